"""A job with a search: what is trained, what stops, what the manifest says of it, and how it goes on after a kill."""

from __future__ import annotations

import pytest

from manifests.errors import UserError
from manifests.jobs.plan import plan
from manifests.jobs.run import run
from manifests.jobs.spec import load_job
from manifests.store import Manifest
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, edit, ids, manifest
from trainers import worker

SEARCH = (
    "measure:\n",
    "search: {kind: halving, rung: 2, eta: 2, metric: loglik, task: {kind: loglik, name: dev, source: dev}}\n"
    "measure:\n",
)
DEV = (
    "curate:\n",
    "  - {name: dev, path: data/dev.jsonl, format: question-answer, role: eval, task: dev, licence: CC0-1.0}\n"
    "curate:\n",
)


@pytest.fixture
def path(copy):
    small_job.lines(
        copy.parent / "data" / "dev.jsonl", [{"question": f"Seat of {c}, if any?", "answer": a} for c, a in PLACES]
    )
    return edit(copy, DEV, SEARCH)


PLACES = [("Malta", "Valletta"), ("Chile", "Santiago"), ("Nepal", "Kathmandu"), ("Ghana", "Accra"), ("Iraq", "Baghdad")]


def test_a_search_trains_all_to_the_rung_and_one_to_the_end_and_says_why(path, monkeypatch, tmp_path):
    plain = path.with_name("plain.yaml")
    plain.write_text(path.read_text().replace(SEARCH[1], SEARCH[0]))
    run(load_job(plain, manifest=tmp_path / "whole"))
    with Manifest(tmp_path / "whole") as opened:
        whole = dict(opened.sql("SELECT run, content_id FROM runs").rows())
    planned = {row.stage: row for row in plan(load_job(path)).rows}["search:halving"]
    assert (planned.count, planned.unit, planned.at_most) == (2 * (2 * 2 + 2), "steps", True)
    fit, fits = worker.fit, []

    def dying(request):
        """Fit, but die before the fourth run."""
        if len(fits) == 3:
            raise KeyboardInterrupt
        fits.append(request.run)
        return fit(request)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "fit", dying)
        with pytest.raises(KeyboardInterrupt):
            small_job.go(path)
    killed = ids(path)
    assert small_job.go(path).exit_code == 0
    assert small_job.go(path).ran == 0
    assert small_job.broken(path) == []
    runs = {r["run"]: r for r in ask(path, "FROM runs").iter_rows(named=True)}
    (best,) = {run.partition("@")[0] for run in runs if "/" not in run}
    rungs = {f"{blend}@{seed}/rung-2" for blend in ("plain", "near") for seed in (0, 1)}
    assert set(runs) == rungs | {f"{best}@0", f"{best}@1"}
    assert {run["steps"] for name, run in runs.items() if "/" in name} == {2}
    assert all(ids(path)[f"run {best}@{seed}"] == whole[f"{best}@{seed}"] for seed in (0, 1))
    assert {name: key for name, key in killed.items() if "rung" in name}.items() <= ids(path).items()
    other = "near" if best == "plain" else "plain"
    assert runs[f"{best}@1"]["note"] == "search: chosen"
    assert runs[f"{other}@0/rung-2"]["note"].startswith("search: stopped, not among the best 1 of 2 at 2: ")
    assert f"behind '{best}' (95 % interval" in runs[f"{other}@1/rung-2"]["note"]
    board = ask(path, "SELECT DISTINCT blend, task FROM leaderboard").rows()
    finals = {(best, "capitals"), (best, "dev")}
    assert set(board) == finals | {("plain/rung-2", "dev"), ("near/rung-2", "dev")}
    assert ask(path, "SELECT blend_a, blend_b FROM comparisons").rows() == [("near/rung-2", "plain/rung-2")]
    with Manifest(manifest(path)) as opened:
        assert "search:halving" in opened.status()["stage"].to_list()
    assert {row.action for row in plan(load_job(path)).rows} == {"re-use"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("source: dev}", "source: held-out}"), "'capitals' measures"),
        (("task: dev, licence", "task: capitals/dev, licence"), "'capitals' measures"),
        (("metric: loglik", "metric: logli"), "did you mean 'loglik'"),
        (("rung: 2", "rung: 9"), "longer than the whole run"),
        (("  steps: 4\n  batch", "  steps: 4\n  epochs: 2\n  batch"), "one budget"),
        (("name: dev, source: dev}", "name: capitals, source: dev}"), "has this name"),
        (("source: dev}", "source: def}"), "no eval source of this name"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(path, change, words):
    edit(path, change)
    with pytest.raises(UserError, match=words):
        load_job(path)


def test_a_very_short_first_rung_is_told_in_the_plan(path):
    edit(path, ("  steps: 4\n  batch", "  steps: 60\n  batch"))
    assert "the first rung is 2 of 60" in plan(load_job(path)).rows[-1].why


def test_runs_that_are_trained_together_stop_at_a_rung_and_go_on_to_the_weights_of_runs_alone(path, tmp_path):
    edit(path, ("  kind: full\n", "  kind: lora\n  rank: 2\n  together: 2\n"))
    alone = path.with_name("alone.yaml")
    alone.write_text(path.read_text().replace(SEARCH[1], SEARCH[0]).replace("  together: 2\n", ""))
    run(load_job(alone, manifest=tmp_path / "whole"))
    assert small_job.go(path).exit_code == 0
    with Manifest(tmp_path / "whole") as opened:
        whole = dict(opened.sql("SELECT run, content_id FROM runs").rows())
    made = dict(ask(path, "SELECT run, content_id FROM runs WHERE NOT contains(run, 'rung')").rows())
    assert len(made) == 2
    assert made.items() <= whole.items()
