"""The sampler's test vectors: arrays, Polars expressions, SQL and plain integers give the same members."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from manifests.names import sampling_key, seed64
from mixers.exponential import keys
from mixers.mixer import MIXERS
from mixers.quota import Fill, apportion
from tests.benchmarks.gates import ROOT
from tests.conformance import arrays, expressions, plain, recipes, sql, write

DRAWS = {vector["name"]: vector for vector in plain.vectors("draw")}
SMALL = [name for name, vector in DRAWS.items() if "pool" in vector]
LARGE = [name for name in DRAWS if name not in SMALL]
ORDERS = (None, 1, 2)


def members(vector):
    return [tuple(row) for row in vector["members"]]


def unsigned(texts):
    return np.array([int(text, 16) for text in texts], dtype=np.uint64)


def test_the_file_holds_what_plain_integers_give():
    held = [json.loads(line) for line in plain.FILE.read_text("utf-8").splitlines()]
    assert held == json.loads(json.dumps(list(write.lines())))
    assert len(held) > 150


def test_seeds_and_purposes_become_the_recorded_64_bits():
    for vector in plain.vectors("seed64"):
        assert f"{seed64(int(vector['seed']), vector['purpose']):016x}" == vector["seed64"]


def test_sampling_keys_of_every_engine_are_the_recorded_ones():
    vectors = plain.vectors("key")
    expected = [int(v["key"], 16) for v in vectors]
    assert sql.keys(vectors) == expected
    for vector, key in zip(vectors, expected, strict=True):
        k64 = unsigned([vector["k64"]])
        assert int(sampling_key(k64, int(vector["seed"]), vector["purpose"])[0]) == key
        found = pl.DataFrame({"k64": k64}).select(expressions.key(vector["seed"], vector["purpose"]))
        assert found.item() == key


def test_waits_of_weighted_rows_are_the_recorded_bits():
    vectors = plain.vectors("wait")
    uniform, odds = unsigned(v["uniform"] for v in vectors), np.array([v["odds"] for v in vectors])
    assert [f"{bits:016x}" for bits in keys(uniform, odds).tolist()] == [v["wait"] for v in vectors]
    frame = pl.DataFrame({"uniform": uniform, "odds": odds})
    waits = frame.select(expressions.wait(pl.col("uniform"), pl.col("odds"))).to_series()
    assert [struct.pack(">d", wait).hex() for wait in waits] == [v["wait"] for v in vectors]


def test_a_row_with_the_last_key_of_all_is_drawn_before_any_other():
    """Its u rounds to 1 and its wait to 0, the least there is."""
    first, last = keys(unsigned(["ffffffffffffffff", "fffffffffffff000"]), np.ones(2)).tolist()
    assert first == 0 < last


def test_quotas_are_the_recorded_ones():
    for vector in plain.vectors("quota"):
        plenty = dict.fromkeys(vector["weights"], 10**6)
        assert apportion(vector["total"], Fill(vector["weights"], plenty)) == vector["rows"]


@pytest.mark.parametrize("shuffle", ORDERS)
@pytest.mark.parametrize("name", SMALL)
def test_the_mixers_draw_the_recorded_members_in_any_order_of_rows(name, shuffle):
    blend = arrays.blend(DRAWS[name], shuffle)
    assert blend.members.select("sample_id", "role", "repeats").rows() == members(DRAWS[name])
    assert blend.content_id == DRAWS[name]["content_id"]


@pytest.mark.parametrize("shuffle", ORDERS)
@pytest.mark.parametrize("name", SMALL)
def test_polars_expressions_draw_the_recorded_members_in_any_order_of_rows(name, shuffle):
    assert expressions.draw(DRAWS[name], shuffle) == members(DRAWS[name])


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", SMALL)
def test_sql_draws_the_recorded_members_on_any_number_of_threads(name, threads):
    assert sql.draw(DRAWS[name], threads, shuffle=threads) == members(DRAWS[name])


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", LARGE)
def test_sql_draws_large_pools_alike_on_any_number_of_threads(name, threads):
    assert plain.content_id(sql.draw(DRAWS[name], threads, shuffle=threads)) == DRAWS[name]["content_id"]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("engine", ["arrays", "expressions"])
def test_large_pools_are_drawn_alike_on_any_number_of_threads(engine, threads):
    command = [sys.executable, "-m", f"tests.conformance.{engine}", str(threads), *LARGE]
    told = {**os.environ, "POLARS_MAX_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["threads"] == threads
    assert found["ids"] == {name: DRAWS[name]["content_id"] for name in LARGE}


def test_every_kind_of_recipe_has_a_vector():
    lacking = sorted(set(MIXERS.entries) - set(recipes.RECIPES))
    assert not lacking, (
        f"no vector for the kinds {lacking}: add a line each to RECIPES in tests/conformance/recipes.py, then run"
        " python -m tests.conformance.recipes --write"
    )
    assert set(recipes.RECIPES) == set(recipes.recorded()), "run python -m tests.conformance.recipes --write"


@pytest.mark.parametrize("kind", recipes.RECIPES)
def test_a_recipe_draws_the_blend_that_its_version_stands_for(kind):
    assert recipes.found(kind) == recipes.recorded()[kind], (
        f"kind '{kind}' draws another blend than the one recorded for its version. Undo what changed the draw; or, if"
        " it is meant, raise `version` in the kind's class and run python -m tests.conformance.recipes --write"
    )


@pytest.mark.parametrize("kind", recipes.RECIPES)
def test_a_recipe_draws_the_same_blend_from_shuffled_rows(kind):
    assert recipes.drawn(kind, shuffle=7) == recipes.drawn(kind)


def test_another_blend_is_not_recorded_under_the_same_version(tmp_path, monkeypatch):
    held = recipes.recorded()
    held["equal"] = {"version": held["equal"]["version"], "blends": "0" * 32}
    held["top"] = {"version": held["top"]["version"] - 1, "blends": "0" * 32}
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps(held), "utf-8")
    monkeypatch.setattr(recipes, "FILE", path)
    assert recipes.write() == ["equal"]
    assert recipes.recorded()["equal"]["blends"] == "0" * 32
    assert recipes.recorded()["top"] == recipes.found("top")
