"""Designs and controls in a job: one entry of mix becomes several blends, planned with exact counts, then drawn."""

from __future__ import annotations

import polars as pl
import pytest

from manifests.errors import UserError
from manifests.jobs import rows
from manifests.jobs.plan import plan
from manifests.jobs.spec import load_job
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, edit, go

OLD = "{kind: proportional, name: plain, rows: 16, seeds: [0, 1]}"
SWEEP = (
    "{kind: sweep, name: w, design: added_on, generalist_rows: [0, 9], specialist_rows: [2, 4],"
    " of: {kind: proportional}}"
)
CONTROLLED = '{kind: equal, name: e, rows: 10, where: "p_error < 0.5", controls: [stratified, ungated, random_drop]}'
STAGED = "{kind: staged, name: s, of: {kind: proportional, rows: 60, max_epochs: 3}}"


@pytest.fixture
def file(tmp_path):
    path = small_job.without_training(small_job.write(tmp_path))
    return edit(path, (OLD, f"{SWEEP}\n  - {CONTROLLED}\n  - {STAGED}"))


def test_one_entry_becomes_several_recipes_in_order(file):
    job = load_job(file)
    names = ["w-s2-g0", "w-s2-g9", "w-s4-g0", "w-s4-g9", "e", "e-stratified", "e-ungated", "e-random-drop"]
    assert [m.name for m in job.mix] == [*names, "s-mixed", "s-generalist-first", "near"]
    assert job.entries == (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3)


def test_what_is_planned_is_drawn_and_the_controls_are_a_query_away(file):
    go(edit(file, (SWEEP, "{kind: proportional, name: first, rows: 3}")))
    edit(file, ("{kind: proportional, name: first, rows: 3}", SWEEP), ("rows: 10", "rows: 11"))
    planned = {row.stage: row for row in plan(load_job(file)).rows}
    assert planned["mix:w-s2-g9@0"].count == 11
    assert "repeats source:pool:" in planned["mix:s-mixed@0"].why or planned["mix:s-mixed@0"].action == "re-use"
    go(file)
    drawn = dict(ask(file, "SELECT 'mix:' || blend, n_rows FROM blends").iter_rows())
    assert {name: row.count for name, row in planned.items() if name.startswith("mix:")} == drawn
    pairs = ask(
        file,
        "SELECT b.recipe_name, sum(m.repeats)::INT AS n FROM blends b JOIN blend_members m USING (blend)"
        " WHERE b.recipe_name IN ('e', 'e-stratified', 'e-ungated', 'e-random-drop') AND m.role = 'generalist'"
        " GROUP BY ALL",
    )
    assert dict(pairs.iter_rows()) == dict.fromkeys(["e", "e-stratified", "e-ungated", "e-random-drop"], 11)


def test_a_staged_blend_with_repeats_is_trained_on_one_role_after_the_other(file):
    go(file)
    roles = dict(ask(file, "SELECT sample_id, role FROM samples").iter_rows())
    with small_job.Manifest(small_job.manifest(file)) as opened:

        class State:
            def query(self, sql, parameters=()):
                return opened.sql(sql, parameters)

        shown = [roles[row.sample_id] for row in rows.training_rows(State(), "s-generalist-first@0")]
    assert shown.count("generalist") == 60
    assert set(shown[:60]) == {"generalist"}
    counts = ask(file, "SELECT max(repeats) AS most, sum(taken)::INT AS n FROM strata WHERE blend = 's-mixed@0'")
    assert isinstance(counts, pl.DataFrame)
    assert counts["most"][0] in {2, 3}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{kind: sweep, name: w, design: added_on, generalist_rows: [1], of: {kind: proportionl}}", "'proportional'"),
        ("{kind: sweep, name: w, design: added_on, generalist_rows: [1], of: {kind: equal, whre: x}}", "'where'"),
        ("{kind: sweep, name: w, design: fixed_total, shares: [0.5], of: {kind: equal}}", "fixed_total needs"),
        ("{kind: stratified, name: w, rows: 3, by: [source, tsk]}", "'task'"),
        ("{kind: top, name: w, rows: 3, score: p_eror}", "'p_error'"),
        ("{kind: raking, name: w, rows: 3, marginals: {source: {pool: 0.7}}}", "do not add up to 1"),
        ("{kind: equal, name: near, rows: 3}", "a second recipe of this name"),
        ("{kind: equal, name: w, rows: 3, controls: [ungatd]}", "'ungated'"),
    ],
)
def test_a_wrong_entry_is_an_error_at_its_line_and_said_once(file, entry, message):
    edit(file, (CONTROLLED, entry))
    with pytest.raises(UserError) as caught:
        load_job(file)
    assert message in str(caught.value)
    assert str(caught.value).count(f"{file.name}:") <= 2
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if entry in text)
    assert f":{line}:" in str(caught.value) or f":{line + 2}:" in str(caught.value)
