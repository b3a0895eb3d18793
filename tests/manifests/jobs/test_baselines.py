"""Baselines beside the runs, scores that a task reads, and seeds that failed."""

from __future__ import annotations

import json
import shutil

import pytest

from manifests.errors import UserError
from manifests.jobs import training
from manifests.jobs.plan import plan
from manifests.jobs.spec import load_job
from manifests.store import Store
from tests.manifests.jobs.small_job import ask, broken, edit, go, keys, manifest

MEASURE = "  - {kind: loglik, name: capitals, task: capitals, limit: 3}\n"
ALL = "baselines: [base, majority, copy]\ncompare: [[plain, base], [near, plain]]\n"


def test_baselines_stand_in_the_leaderboard_and_are_compared_only_when_asked(copy):
    edit(copy, ("error_budget: 0.1\n", ALL + "error_budget: 0.1\n"))
    before = keys(copy)
    planned = {row.stage: row.action for row in plan(load_job(copy)).rows}
    assert {name for name, action in planned.items() if action == "run"} == {
        "measure:base:capitals", "measure:majority:capitals", "measure:copy:capitals", "compare:all",
    }  # fmt: skip
    go(copy)
    assert broken(copy) == []
    after = keys(copy)
    assert {name for name in before if name in after and before[name] != after[name]} == {"compare:all"}
    board = ask(copy, "SELECT blend, mean, n_seeds, n_planned FROM leaderboard ORDER BY blend").rows()
    assert [(blend, seeds, planned) for blend, _, seeds, planned in board] == [
        ("base", 1, 1), ("majority", 1, 1), ("near", 2, 2), ("plain", 2, 2),
    ]  # fmt: skip
    assert all(mean is not None for _, mean, _, _ in board)
    pairs = ask(copy, "SELECT blend_a, blend_b, n_seeds, n_examples FROM comparisons ORDER BY ALL").rows()
    assert pairs == [("near", "plain", 2, 3), ("plain", "base", 2, 3)]
    assert ask(copy, "SELECT count(*) FROM best_sets WHERE blend = 'base'").item() == 0
    assert go(copy).ran == 0


def test_a_job_without_baselines_measures_none(done):
    assert ask(done, "SELECT DISTINCT run FROM results ANTI JOIN runs USING (run)").height == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("error_budget: 0.1\n", "baselines: [copy, copy]\n", "a baseline stands twice"),
        ("error_budget: 0.1\n", "baselines: [copied]\n", "baselines"),
        ("error_budget: 0.1\n", "compare: [[plain, base]]\n", "no such recipe"),
        ("name: plain", "name: base", "a recipe has the name of this baseline"),
        ("role: specialist, task: capitals", "role: generalist", "majority counts the answers of specialist rows"),
        (MEASURE, "  - {kind: factual, name: f, task: capitals, familiarity: judge}\n", "leaves eval rows out"),
        (MEASURE, "  - {kind: factual, name: f, task: capitals, familiarity: knows}\n", "no scorer of this name"),
    ],
)
def test_mistakes_are_named(copy, old, new, message):
    edit(copy, (old, new))
    if "baselines" not in new and "compare" not in new:
        edit(copy, ("train:\n", "baselines: [base, majority]\ntrain:\n"))
    with pytest.raises(UserError, match=message):
        load_job(copy)


def test_training_losses_processor_time_and_parameters_are_kept(done):
    curve = ask(done, "SELECT run, count(*) AS n, min(step) AS low, max(step) AS high FROM learning_curve GROUP BY 1")
    assert curve.height == 4
    assert curve["high"].to_list() == [4] * 4
    costs = ask(done, "FROM costs").to_dicts()
    assert all(row["parameters"] > 10_000 and row["flops"] == 6 * row["parameters"] * row["tokens"] for row in costs)
    assert all(row["cpu_seconds"] > 0 for row in costs)


def test_a_failed_seed_shows_as_fewer_than_planned_and_says_why(copy, monkeypatch):
    from trainers.full import Full

    fit = Full.fit
    shutil.rmtree(manifest(copy) / "runs")
    edit(copy, ("  steps: 4\n", "  steps: 5\n"))

    def sometimes(self, rows, base, seed, out, context, tags=None):
        if out.name == "near@0":
            raise UserError("the machine has a cold", value=out.name)
        return fit(self, rows, base, seed, out, context, tags)

    monkeypatch.setattr(Full, "fit", sometimes)
    go(copy)
    board = ask(copy, "SELECT blend, n_seeds, n_planned FROM leaderboard ORDER BY blend").rows()
    assert board == [("near", 1, 2), ("plain", 2, 2)]
    assert ask(copy, "SELECT n_seeds FROM comparisons").item() == 1
    failed = ask(copy, "SELECT run, status, flops FROM costs WHERE status = 'failed'").rows()
    assert failed == [("near@0", "failed", None)]
    assert "cold" in ask(copy, "SELECT note FROM runs WHERE run = 'near@0'").item()


def test_results_of_another_harness_stand_beside_our_own(copy):
    for blend, value in (("near", 1), ("plain", 0)):
        for seed in (0, 1):
            folder = copy.parent / "data" / "logs" / f"{blend}@{seed}"
            folder.mkdir(parents=True)
            lines = [json.dumps({"doc_id": i, "filter": "none", "metrics": ["acc"], "acc": value}) for i in range(8)]
            (folder / "samples_arc.jsonl").write_text("\n".join(lines), "utf-8")
    edit(copy, (MEASURE, MEASURE + "  - {kind: imported, name: arc, path: data/logs}\n"))
    before = keys(copy)
    go(copy)
    assert broken(copy) == []
    assert {name for name, key in keys(copy).items() if before.get(name) != key} == {
        *(f"measure:{blend}@{seed}:arc" for blend in ("near", "plain") for seed in (0, 1)), "compare:all",
    }  # fmt: skip
    board = ask(copy, "SELECT blend, mean, n_examples, n_seeds FROM leaderboard WHERE task = 'arc' ORDER BY 1").rows()
    assert board == [("near", 1.0, 8, 2), ("plain", 0.0, 8, 2)]
    verdict, p = ask(copy, "SELECT verdict, p_permutation FROM comparisons WHERE task = 'arc'").row(0)
    assert (verdict, p) == ("helps", 2 / 2**8)
    assert go(copy).ran == 0
    (copy.parent / "data" / "logs" / "near@0" / "samples_arc.jsonl").write_text(lines[0], "utf-8")
    assert go(copy).ran == 2


def test_a_task_that_reads_a_score_is_measured_again_when_the_score_is_given_anew(copy):
    scorer = "  - {kind: length, name: size, roles: [eval]}\n"
    edit(copy, ("  - {kind: judge,", scorer + "  - {kind: judge,"))
    edit(
        copy,
        (
            MEASURE,
            "  - {kind: factual, name: facts, task: capitals, familiarity: size, max_new_tokens: 2}\n",
        ),
    )
    go(copy)
    assert broken(copy) == []
    before = keys(copy)
    found = ask(copy, "SELECT metric, count(value) AS n FROM results GROUP BY 1")
    scored = ask(copy, "SELECT count(value) FROM scores WHERE scorer = 'size'").item()
    counts = dict(found.rows())
    assert counts["exact_match"] == 4 * 4
    assert scored == 4
    assert counts["exact_match_known"] + counts["exact_match_unknown"] == 4 * scored
    edit(copy, ("name: size, roles: [eval]", "name: size, roles: [eval, specialist]"))
    go(copy)
    changed = {name for name, key in keys(copy).items() if before.get(name) != key}
    assert {f"measure:{blend}@{seed}:facts" for blend in ("near", "plain") for seed in (0, 1)} <= changed


def test_examples_of_one_prompt_or_of_one_given_cluster_are_not_independent(copy):
    with Store(manifest(copy)) as store:
        store._connection.execute("UPDATE store.samples SET meta = '{\"cluster\": \"all\"}' WHERE role = 'eval'")
        tables = training.compare_tables(load_job(copy), store)
    assert tables["comparisons"]["p_permutation"].to_list() == [1.0]
    with Store(manifest(copy)) as store:
        store._connection.execute("UPDATE store.samples SET meta = '{}', prompt = 'same' WHERE role = 'eval'")
        tables = training.compare_tables(load_job(copy), store)
    assert tables["comparisons"]["p_permutation"].to_list() == [1.0]
