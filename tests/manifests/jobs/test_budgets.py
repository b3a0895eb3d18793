"""A job with two budgets and held-out rows: two runs a blend, told apart and compared within their budget."""

from __future__ import annotations

import json

import pytest

from manifests.errors import ContaminationError, UserError
from manifests.jobs import training
from manifests.jobs.plan import plan
from manifests.jobs.stages import blend_of_run, data_stages, runs_of, training_stages
from manifests.store import Manifest
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import edit, manifest

BOTH = ("  steps: 4\n  batch_tokens: 128\n  max", "  tokens: 400\n  exposures: 1\n  batch_tokens: 128\n  max")
HELD = ("  max_tokens: 64", "  max_tokens: 64\n  validate: {rows: 3, every: 2}")
DEV = (
    "curate:\n",
    "  - {name: dev, path: data/dev.jsonl, format: question-answer, role: specialist, licence: CC0-1.0}\ncurate:\n",
)
FROM_DEV = ("  max_tokens: 64", "  max_tokens: 64\n  validate: {source: dev, every: 2}")


@pytest.fixture
def path(copy):
    return edit(copy, BOTH, HELD)


def test_two_budgets_make_two_runs_of_a_blend_that_are_told_apart(path):
    assert small_job.go(path).exit_code == 0
    with Manifest(manifest(path)) as opened:
        runs = opened.sql("SELECT run, blend, steps, tokens, note FROM runs ORDER BY run").to_dicts()
        board = opened.sql("SELECT blend, n_seeds FROM leaderboard ORDER BY blend").rows()
        pairs = opened.sql("SELECT blend_a, blend_b FROM comparisons").rows()
        facts = opened.sql("SELECT count(*) FROM runs r JOIN blends b USING (blend)").item()
    refs = ("near@0", "near@1", "plain@0", "plain@1")
    assert [(r["run"], r["blend"]) for r in runs] == [(f"{b}/{u}", b) for b in refs for u in ("exposures", "tokens")]
    assert facts == 8
    assert all(400 <= r["tokens"] < 464 for r in runs if r["run"].endswith("/tokens"))
    assert all("is the best on held-out rows" in r["note"] for r in runs)
    assert board == [(f"{recipe}/{unit}", 2) for recipe in ("near", "plain") for unit in ("exposures", "tokens")]
    assert sorted(map(sorted, pairs)) == [[f"near/{unit}", f"plain/{unit}"] for unit in ("exposures", "tokens")]
    record = json.loads((manifest(path) / "runs" / "near@0" / "tokens" / "run.json").read_text())
    assert record["tags"]["blend"] == "near@0"
    assert (record["trainer"]["tokens"], record["trainer"]["exposures"]) == (400, None)
    again = small_job.go(path)
    assert again.ran == 0


def test_a_plan_tells_each_budget_in_its_unit(path):
    found = {row.stage: (row.count, row.unit) for row in plan(small_job.job(path)).rows}
    assert found["train:near@1/tokens"] == (400, "tokens")
    assert found["train:near@1/exposures"] == (1, "exposures")


def test_one_budget_keeps_the_name_of_the_blend(copy):
    trainer = small_job.job(copy).train
    assert runs_of(trainer, "near@0") == [("near@0", trainer)]
    assert [blend_of_run(run) for run in ("near@0", "near@0/tokens")] == ["near@0", "near@0"]


def test_recipes_are_compared_within_a_budget():
    names = ["a/epochs", "a/tokens", "b/epochs", "b/tokens", "c/tokens"]
    assert training.compared(names, ()) == [
        ("a/epochs", "b/epochs"),
        *(("a/tokens", "b/tokens"), ("a/tokens", "c/tokens"), ("b/tokens", "c/tokens")),
    ]
    assert training.compared(names, [("b", "a")]) == [("b/epochs", "a/epochs"), ("b/tokens", "a/tokens")]
    assert training.compared(["a", "b"], [("b", "a")]) == [("b", "a")]
    assert training.compared(["a", "b"], ()) is training.compared([], ()) is None


def with_dev(path, rows):
    small_job.lines(path.parent / "data" / "dev.jsonl", rows)
    return edit(path, DEV, FROM_DEV)


def test_rows_of_a_named_source_are_held_out(copy):
    rows = [{"question": f"Capital of {c}?", "answer": a} for c, a in (("Chile", "Santiago"), ("France", "Paris"))]
    path = with_dev(copy, rows)
    assert small_job.go(path).exit_code == 0
    record = json.loads((manifest(path) / "runs" / "near@0" / "run.json").read_text())
    assert record["best"] in (2, 4)
    before = {s.name: s.key for s in stages(path)}
    small_job.lines(path.parent / "data" / "dev.jsonl", rows[:1])
    after = {s.name: s.key for s in stages(path)}
    assert before["train:near@0"] != after["train:near@0"]


def stages(path):
    job = small_job.job(path)
    return training_stages(job, data_stages(job), {"near@0": "c"}, "b")


def test_a_held_out_row_that_a_test_holds_too_is_a_contamination(copy):
    path = with_dev(copy, [{"question": "Tell me the capital city of Cuba, please.", "answer": "Havana"}])
    edit(path, ("  - {kind: decontaminate, ngram: 6}\n", ""))
    with pytest.raises(ContaminationError):
        small_job.go(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (*HELD[:1], "  max_tokens: 64\n  validate: {source: held-out}", "validation rows cannot be eval rows"),
        (*HELD[:1], "  max_tokens: 64\n  validate: {source: fact}", "did you mean 'facts'"),
        (*HELD[:1], "  max_tokens: 64\n  validate: {shares: 0.1}", "did you mean 'share'"),
        (*HELD[:1], "  max_tokens: 64\n  validate: {every: 3}", "one of share, rows and source"),
        (*HELD[:1], "  max_tokens: 64\n  log_to: [tensorbord]", "did you mean 'tensorboard'"),
        (*HELD[:1], "  max_tokens: 64\n  tokens: 0", "tokens"),
    ],
)
def test_mistakes_are_told_with_their_line(copy, old, new, message):
    with pytest.raises(UserError, match=message) as caught:
        small_job.job(edit(copy, (old, new)))
    assert "job.yaml:" in str(caught.value)
