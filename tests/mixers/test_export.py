"""Exports: really loaded by `datasets`, the same bytes each time, a card that names the licences."""

import json
import os
import subprocess
import sys

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import UserError
from mixers.export import SHARD, export, table_of
from mixers.proportional import Proportional
from tests.mixers.pools import usual

LICENCES = {"alpaca": "CC-BY-NC-4.0", "dolly": "CC-BY-SA-3.0", "seeds": "Apache-2.0", "jfleg": "my own | terms"}


def samples():
    frame = usual().samples
    text = [
        json.dumps([{"content": f"Ask {i}\n\u2028é", "role": "user"}, {"content": f"Say {i}", "role": "assistant"}])
        for i in frame["sample_id"]
    ]
    licence = [LICENCES.get(source, "MIT") for source in frame["source"]]
    return frame.with_columns(pl.Series("messages", text), pl.Series("licence", licence))


def drawn(rows=40):
    return Proportional(name="cov-20k", rows=rows, specialist_rows=10).blend(usual(), 0, {})


def test_datasets_loads_the_folder_offline_in_training_order(tmp_path):
    blend = drawn()
    folder = export(blend, samples(), tmp_path / "cov-20k@0")
    code = (
        "import json, sys, datasets\n"
        "d = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])\n"
        "print(json.dumps({'splits': list(d), 'rows': list(d['train'])}))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "cache")]
    found = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert found["splits"] == ["train"]
    assert [row["sample_id"] for row in found["rows"]] == blend.members["sample_id"].to_list()
    first = found["rows"][0]
    assert first["messages"][0] == {"role": "user", "content": f"Ask {first['sample_id']}\n\u2028é"}
    assert (first["position"], first["weight"], first["repeats"]) == (0, 1.0, 1)
    assert {row["role"] for row in found["rows"]} == {"generalist", "specialist"}
    assert all(row["reason"] and row["source"] and row["licence"] for row in found["rows"])


def test_the_same_blend_gives_the_same_bytes(tmp_path):
    blend = drawn()
    first = export(blend, samples(), tmp_path / "a")
    second = export(blend, samples().sample(fraction=1.0, shuffle=True, seed=3), tmp_path / "b")
    files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert [str(f) for f in files] == ["README.md", "SHA256SUMS", SHARD, "recipe.json"]
    assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files)


def test_a_second_export_replaces_the_first_and_leaves_nothing_else(tmp_path):
    export(drawn(40), samples(), tmp_path / "b")
    export(drawn(20), samples(), tmp_path / "b")
    assert pl.read_parquet(tmp_path / "b" / SHARD).height == 30
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TURNS = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXT}), max_size=3)


@given(st.lists(TURNS, min_size=1, max_size=4), st.booleans())
def test_a_table_holds_the_messages_that_the_json_holds(turns, ascii_only):
    text = [json.dumps(some, ensure_ascii=ascii_only) for some in turns]
    found = table_of(pl.DataFrame({"messages": pl.Series(text, dtype=pl.String)}))
    assert found.column_names == ["messages"]
    assert found["messages"].to_pylist() == turns


def card(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_names_the_licences_and_the_rows_not_for_commercial_use(tmp_path):
    front, body = card(export(drawn(), samples(), tmp_path / "b"))
    assert front["license"] == ["apache-2.0", "cc-by-nc-4.0", "cc-by-sa-3.0", "mit", "other"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": SHARD}]
    assert "**Not for commercial use**: the blend holds rows under CC-BY-NC-4.0." in body
    assert "my own \\| terms" in body


def test_a_flag_on_the_rows_counts_as_much_as_the_licences_name(tmp_path):
    plain = samples().with_columns(licence=pl.lit("MIT"))
    free = card(export(drawn(), plain, tmp_path / "a"))
    assert free[0]["license"] == "mit"
    assert "No row's licence is known to rule out commercial use." in free[1]
    flagged = plain.with_columns(non_commercial=pl.col("source") == "dolly")
    assert "**Not for commercial use**" in card(export(drawn(), flagged, tmp_path / "b"))[1]


def test_the_composition_sums_to_the_blend(tmp_path):
    _, body = card(export(drawn(), samples(), tmp_path / "b"))
    rows = [line.split("|") for line in body.splitlines() if line.startswith(("| generalist", "| specialist"))]
    counts = [(row[2].strip(), int(row[-3]), float(row[-2])) for row in rows]
    assert sum(n for _, n, _ in counts) == 50
    assert sum(share for *_, share in counts) == pytest.approx(1, abs=0.001)
    assert {source for source, *_ in counts} == {"alpaca", "dolly", "seeds", "jfleg", "iterater"}


def test_the_recipe_file_draws_the_blend_again(tmp_path):
    blend = drawn()
    recipe = json.loads((export(blend, samples(), tmp_path / "b") / "recipe.json").read_text())
    assert (recipe["blend"], recipe["content_id"], recipe["rows"]) == ("cov-20k@0", blend.content_id, 50)
    assert recipe["recipe"]["kind"] == "proportional"
    assert {line["stratum"] for line in recipe["strata"]} == set(blend.strata["stratum"])


def test_a_member_without_its_sample_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(UserError, match="not among the samples"):
        export(drawn(), samples().head(5), tmp_path / "b")
    assert list(tmp_path.iterdir()) == []
