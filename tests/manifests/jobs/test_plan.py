"""What a plan says beforehand is what the run then does."""

from __future__ import annotations

import shutil

import pytest

from manifests.jobs.plan import plan
from tests.curate.fake_server import FakeServer
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, edit, finished, go, manifest


def planned(path):
    return {row.stage: row for row in plan(small_job.job(path)).rows}


def to_run(path):
    return {name for name, row in planned(path).items() if row.action == "run"}


def test_a_plan_of_a_finished_job_has_nothing_to_run_and_exact_counts(done):
    rows = planned(done)
    assert {row.action for row in rows.values()} == {"re-use"}
    assert {row.why for row in rows.values()} == {"same key in the manifest"}
    assert not any(row.at_most for row in rows.values())
    counts = {name: (row.count, row.unit) for name, row in rows.items()}
    written = dict(ask(done, "SELECT stage, n_rows FROM stages").iter_rows())
    for name in ("step:1-exact", "step:2-rules", "step:3-decontaminate"):
        assert counts[name] == (written[name], "rows")
    assert counts["read:pool"] == (40, "rows")
    assert counts["score:4-judge"] == (0, "calls")
    assert counts["mix:near@1"] == (24, "rows")
    assert counts["train:near@1"] == (4, "steps")
    assert counts["measure:near@1:capitals"] == (3, "examples")


def test_a_plan_of_a_new_job_writes_nothing_and_bounds_what_it_cannot_know(fresh):
    rows = planned(fresh)
    assert not (fresh.parent / "runs").exists()
    assert {row.action for row in rows.values()} == {"run"}
    assert (rows["read:pool"].count, rows["read:pool"].at_most) == (40, False)
    assert (rows["step:1-exact"].count, rows["step:1-exact"].at_most) == (40, True)
    assert rows["train:near@0"].why == "its blend is not drawn yet"
    frame = plan(small_job.job(fresh)).frame()
    assert frame.filter(stage="step:1-exact")["unit"].item() == "at most rows"
    assert frame.height == 22
    assert plan(small_job.job(fresh)).totals() == {"run": 22, "re-use": 0, "judge calls": 40, "training steps": 16}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rows: 16", "rows: 15"),
        ("  steps: 4\n", "  steps: 5\n"),
        ("limit: 3", "limit: 2"),
        ("error_budget", "compare: [[plain, near]]\nerror_budget"),
        ("notes: A test.", "notes: ''"),
    ],
)
def test_after_a_change_the_plan_names_the_stages_that_the_run_then_runs(copy, old, new):
    edit(copy, (old, new))
    before, found = finished(copy), to_run(copy)
    if old == "rows: 16":  # a blend's content is known once it is drawn: until then every run may be another
        assert {row.why for name, row in planned(copy).items() if name.startswith("train")} == {
            "its blend is not drawn yet"
        }
        found = {name for name in found if "near" not in name}
    outcome = go(copy)
    assert found == {name for name, at in finished(copy).items() if before.get(name) != at}
    assert outcome.ran == len(found)


def test_files_that_went_are_planned_again(copy):
    shutil.rmtree(manifest(copy) / "blends" / "near@1")
    assert {name: row.why for name, row in planned(copy).items() if row.action == "run"}["mix:near@1"] == (
        "its files are gone"
    )


def test_a_failed_run_is_planned_again_with_the_comparison(copy):
    edit(copy, ("max_tokens: 64", "max_tokens: 100"))
    assert go(copy).exit_code == 1
    rows = planned(copy)
    assert {row.why for name, row in rows.items() if name.startswith("train")} == {"it failed the last time"}
    assert rows["compare:all"].action == "run"


def test_judge_calls_left_are_those_not_in_the_cache(here, tmp_path):
    with FakeServer(small_job.answer) as server:
        path = small_job.without_training(small_job.write(tmp_path, small_job.served(server)))
        go(path)
        edit(path, ("{kind: judge, ", "{kind: judge, min_label_mass: 0.4, "))
        assert planned(path)["score:4-judge"].count == 0  # a new threshold reads the answers again
        edit(path, ("judge-1", "judge-2"))
        assert planned(path)["score:4-judge"].count == 36
        server.models = ["judge-2"]
        before = sum(server.asked.values())
        go(path)
        assert sum(server.asked.values()) - before == 36 + 1  # and the first question, which is not stored


def test_only_a_scorer_that_asks_a_model_makes_calls(tmp_path):
    path = small_job.without_training(small_job.write(tmp_path))
    edit(path, ("  - {kind: judge,", "  - {kind: length}\n  - {kind: judge,"))
    assert {row.stage.split("-")[1]: row.unit for row in planned(path).values() if row.stage.startswith("score:")} == {
        "length": "rows",
        "judge": "calls",
    }
