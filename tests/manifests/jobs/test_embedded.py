"""Recipes that look at vectors, in a job: planned, drawn, resumed and drawn again when the space changes."""

from __future__ import annotations

import polars as pl
import pytest

from manifests.component import Context
from manifests.jobs import rows
from manifests.jobs.plan import plan
from manifests.jobs.spec import load_job
from manifests.store import Manifest
from mixers import recipe
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, edit, go, manifest
from tests.manifests.jobs.test_rows import Published

OLD = "{kind: proportional, name: plain, rows: 16, seeds: [0, 1]}"
CELLS = "encoder: hash, cells: 4"
NEW = f"""{{kind: facility, name: f, rows: 6, score: judge, lowest: true, controls: [stratified], {CELLS}}}
  - {{kind: nearest, name: n, rows: 7, target: capitals, neighbours: 3, {CELLS}}}
  - {{kind: smart, name: s, rows: 8, by: source, {CELLS}}}
  - {{kind: leverage, name: l, rows: 9, where: "p_error < 0.5", {CELLS}}}"""


@pytest.fixture
def file(tmp_path):
    path = small_job.without_training(small_job.write(tmp_path))
    return edit(path, (OLD, NEW))


def actions(file):
    return {row.stage: row.action for row in plan(load_job(file)).rows if row.stage.startswith(("mix", "cells"))}


def test_they_are_drawn_with_their_coverage_and_re_used(file):
    assert go(file).exit_code == 0
    drawn = dict(ask(file, "SELECT blend, n_rows FROM blends").iter_rows())
    assert {name: drawn[f"{name}@0"] for name in "fnsl"} == {"f": 18, "n": 19, "s": 20, "l": 21}
    assert ask(file, "SELECT count(DISTINCT space) FROM cells").item() == 1
    notes = ask(file, "SELECT note FROM strata WHERE blend = 'f@0' AND stratum = 'all'").item()
    assert notes.startswith("coverage 0.")
    assert set(actions(file).values()) == {"re-use"}


def test_a_blend_is_drawn_again_from_its_recipe_and_the_vectors_that_are_kept(file):
    go(file)
    with Manifest(manifest(file)) as opened:
        state = Published(opened)
        for name in "fnsl":
            held = rows.blend_of(state, f"{name}@0")
            mixer = recipe.load(held.recipe)
            pool = rows.pool(state, mixer.space.name, Context(load_job(file).manifest))
            assert mixer.blend(pool, 0, {}).content_id == held.content_id


def test_another_encoder_cuts_a_space_and_draws_anew_and_a_plan_says_so(file):
    go(file)
    edit(file, (f"neighbours: 3, {CELLS}", "neighbours: 3, encoder: hash, cells: 5"))
    planned = actions(file)
    assert planned["mix:n@0"] == "run"
    assert sorted(action for stage, action in planned.items() if stage.startswith("cells")) == ["re-use", "run"]
    assert planned["mix:f@0"] == "re-use"


def test_a_plan_draws_for_its_counts_and_embeds_nothing_when_the_vectors_are_gone(file):
    go(file)
    edit(file, ("rows: 7, target", "share: 0.45, target"))
    counts = {row.stage: row.count for row in plan(load_job(file)).rows}
    assert counts["mix:n@0"] == 22
    kept = rows.cache(Context(load_job(file).manifest))
    kept.unlink()
    counts = {row.stage: row.count for row in plan(load_job(file)).rows}
    assert counts["mix:n@0"] is None
    assert not kept.exists()
    assert go(file).exit_code == 0
    assert ask(file, "SELECT n_rows FROM blends WHERE blend = 'n@0'").item() == 22


def test_no_row_of_an_eval_source_is_in_any_of_them(file):
    go(file)
    roles = ask(
        file, "SELECT DISTINCT s.role FROM blend_members m JOIN samples s USING (sample_id) WHERE m.blend <> ''"
    )
    assert set(roles["role"]) == {"generalist", "specialist"}


def test_vectors_are_unit_rows_of_samples_and_target_in_their_order(file):
    go(file)
    with Manifest(manifest(file)) as opened:
        pool = rows.pool(Published(opened), None, Context(load_job(file).manifest))
    for frame in (pool.samples, pool.target):
        found = pool.vectors("hash", frame)
        assert found.shape == (frame.height, 256)
        assert found[::-1].tolist() == pool.vectors("hash", frame[::-1]).tolist()
        assert ((found**2).sum(axis=1) - 1 < 1e-5).all()
    assert pool.target.filter(pl.col("role") == "eval").height == 4
