"""A job whose trainer has variants: each is a run of its own, compared by name."""

from __future__ import annotations

import json

import pytest

from manifests.errors import UserError
from manifests.jobs.spec import load_job
from manifests.jobs.stages import runs_of
from manifests.jobs.training import compared
from tests.manifests.jobs.small_job import ask, broken, go, keys

JOB = """\
name: small
sources:
  - {name: seen, path: rows.jsonl, format: prompt-completion, role: generalist, select: {part: seen}, licence: CC0-1.0}
  - {name: mine, path: rows.jsonl, format: prompt-completion, role: knowledge, select: {part: mine}, licence: CC0-1.0}
  - {name: unseen, path: rows.jsonl, format: prompt-completion, role: eval, select: {part: unseen}, licence: CC0-1.0}
mix:
  - {kind: proportional, name: tasks, rows: 12, seeds: [0, 1]}
train:
  kind: hypernet
  base: {kind: scratch, layers: 1, width: 32, heads: 1, vocab: 300, context: 128, steps: 2, batch_tokens: 128}
  unseen: mine
  steps: 2
  tasks_per_step: 2
  rows_per_task: 2
  max_tokens: 48
  instruction_tokens: 48
  teacher_steps: 2
  teacher_tokens: 48
  rank: 2
  width: 16
  variants:
    generated: {}
    prompt: {method: prompt}
    own: {method: own}
    random: {instructions: random}
measure:
  - {kind: loglik, name: answers, source: unseen}
baselines: [base]
compare:
  - [tasks/generated, tasks/random]
  - [tasks/own, base]
"""
TASKS = {"seen": ("Say the word twice.", "Spell the word backwards."), "mine": ("Say the last letter.",)}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Return the job file, with rows of three tasks beside it."""
    folder = tmp_path_factory.mktemp("variants")
    rows = [
        {"part": part, "system": text, "prompt": f"{part} {text[:5]} {n}", "completion": f"{text[4:7]} {n % 4}"}
        for part in ("seen", "mine", "unseen")
        for text in TASKS.get(part, TASKS["mine"])
        for n in range(8)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    path = folder / "job.yaml"
    path.write_text(JOB, "utf-8")
    return path


@pytest.fixture(scope="module")
def done(job):
    assert go(job).exit_code == 0
    return job


def test_each_variant_is_a_run_and_a_line_of_the_leaderboard(done):
    runs = ask(done, "SELECT run, blend, status FROM runs ORDER BY run")
    names = ("generated", "own", "prompt", "random")
    assert runs["run"].to_list() == [f"tasks@{seed}/{name}" for seed in (0, 1) for name in names]
    assert runs["blend"].to_list() == ["tasks@0"] * 4 + ["tasks@1"] * 4
    assert set(runs["status"]) == {"done"}
    board = ask(done, "SELECT blend, n_seeds FROM leaderboard ORDER BY blend")
    assert dict(board.iter_rows()) == {"base": 1, **{f"tasks/{name}": 2 for name in names}}
    assert broken(done) == []


def test_the_pairs_that_were_asked_for_are_compared(done):
    found = ask(done, "SELECT blend_a, blend_b FROM comparisons").unique().rows()
    assert sorted(found) == [("tasks/generated", "tasks/random"), ("tasks/own", "base")]


def test_the_kept_prefix_scores_what_the_base_scores_with_the_instruction_in_the_prompt(done):
    frame = ask(done, "SELECT run, avg(value) AS value FROM results GROUP BY run")
    value = dict(frame.iter_rows())
    assert value["tasks@0/prompt"] == pytest.approx(value["base"], abs=1e-4)


def test_the_same_job_again_has_nothing_to_do_and_another_variant_trains_alone(done):
    assert go(done).ran == 0
    before = keys(done)
    done.write_text(
        JOB.replace("    prompt: {method: prompt}\n", "    prompt: {method: prompt}\n    few: {steps: 1}\n")
    )
    assert go(done).ran == 2 * 2 + 1
    assert before.items() - keys(done).items() <= {("compare:all", before["compare:all"])}
    done.write_text(JOB)


def test_runs_carry_the_variants_fields(job):
    runs = dict(runs_of(load_job(job).train, "tasks@0"))
    assert {name: trainer.method for name, trainer in runs.items()}["tasks@0/own"] == "own"
    assert all(not trainer.variants for trainer in runs.values())


def test_pairs_that_name_a_unit_stand_beside_those_within_each():
    names = ["a/x", "a/y", "b/x", "b/y"]
    assert compared(names, [("a/x", "a/y")]) == [("a/x", "a/y")]
    assert compared(names, [("a/x", "a/y"), ("a", "b")]) == [("a/x", "a/y"), ("a/x", "b/x"), ("a/y", "b/y")]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tasks/random", "tasks/randm", "did you mean 'tasks/random'"),
        ("method: prompt", "methd: prompt", "did you mean 'method'"),
        ("unseen: mine", "unseen: unseen", "validation rows cannot be eval rows"),
        ("unseen: mine", "unseen: seen", "rows of the test tasks would be trained on"),
        ("unseen: mine", "unseen: mein", "did you mean 'mine'"),
        ("source: unseen}\nbase", "source: unseen, engine: vllm}\nbase", "makes one for each instruction"),
    ],
)
def test_mistakes_in_variants_are_told_with_their_line(job, tmp_path, old, new, message):
    (tmp_path / "rows.jsonl").write_bytes((job.parent / "rows.jsonl").read_bytes())
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace(old, new), "utf-8")
    with pytest.raises(UserError, match=message) as caught:
        load_job(path)
    assert "job.yaml:" in str(caught.value)
