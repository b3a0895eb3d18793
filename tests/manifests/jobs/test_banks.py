"""A job whose runs are trained together: the same runs, found again, stopped, killed and failed as any others."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from manifests.jobs import training
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, edit, go, ids, keys, manifest, until

LORA = ("  kind: full\n", "  kind: lora\n  rank: 4\n")
TOGETHER = ("  max_tokens: 64\n", "  max_tokens: 64\n  together: 3\n")


@pytest.fixture
def alone(copy):
    """Return the job file of a finished job whose four runs are adapters, made one after the other."""
    assert go(edit(copy, LORA)).exit_code == 0
    return copy


def test_runs_trained_together_are_those_trained_one_after_the_other(alone, tmp_path, monkeypatch):
    before, board = ids(alone), ask(alone, "FROM leaderboard")
    stages = keys(alone)
    assert go(edit(alone, TOGETHER)).ran == 0
    shutil.rmtree(manifest(alone) / "runs")
    edit(alone, ("  steps: 4\n  batch", "  steps: 5\n  batch"))
    go(alone)
    assert ids(alone) != before
    edit(alone, ("  steps: 5\n  batch", "  steps: 4\n  batch"))
    asked = []
    share = training.Workers.share
    monkeypatch.setattr(
        training.Workers, "share", lambda self, work, parts: asked.append(len(parts)) or share(self, work, parts)
    )
    assert go(alone).exit_code == 0
    assert asked == [4]
    assert ids(alone) == before
    assert keys(alone) == stages
    assert ask(alone, "FROM leaderboard").equals(board)


def test_each_worker_gets_an_even_share_of_the_runs(alone):
    job = small_job.job(edit(alone, TOGETHER))
    assert training.banks(job, ["a", "b", "c", "d", "e"], 2) == [["a", "c", "e"], ["b", "d"]]
    assert training.banks(job, ["a"], 4) == [["a"]]
    assert training.banks(job, [], 4) == []
    job = small_job.job(edit(alone, ("together: 3", "together: 1")))
    assert training.banks(job, ["a", "b"], 1) == [["a"], ["b"]]


def test_a_run_that_fails_in_a_bank_is_recorded_and_the_others_are_done(alone, monkeypatch):
    from trainers.bank import together

    fit = together.fit

    def sometimes(run, prepare, save):
        return fit(run, prepare if run.out.name != "near@0" else broken, save)

    def broken():
        from manifests.errors import UserError

        raise UserError("the machine has a cold", value=0)

    edit(alone, TOGETHER, ("  steps: 4\n  batch", "  steps: 5\n  batch"))
    monkeypatch.setattr(together, "fit", sometimes)
    assert go(alone).exit_code == 1
    status = dict(ask(alone, "SELECT run, status FROM runs").iter_rows())
    assert status == {"near@0": "failed", "near@1": "done", "plain@0": "done", "plain@1": "done"}
    monkeypatch.setattr(together, "fit", fit)
    outcome = go(alone)
    assert (outcome.exit_code, outcome.ran) == (0, 3)  # the run, its measurement, the comparison


def test_a_bank_whose_worker_dies_is_a_message_and_goes_on_to_the_same_weights(done, tmp_path):
    steps = ("  steps: 4\n  batch", "  steps: 60\n  checkpoint_steps: 5\n  batch")
    shutil.copytree(done.parent, tmp_path / "copy")
    path = edit(tmp_path / "copy" / "job.yaml", LORA, TOGETHER, steps)
    shutil.rmtree(manifest(path) / "runs")
    log = tmp_path / "log"
    process = small_job.start(path, log=log)
    runs = manifest(path) / "runs"
    assert until(lambda: len(list(runs.glob("*/checkpoint.safetensors"))) == 3, process), log.read_text("utf-8")
    for worker in small_job.members(process.pid):
        if worker != process.pid:
            os.kill(worker, signal.SIGKILL)
    assert process.wait(60) == 2
    assert "worker process died" in log.read_text("utf-8")
    assert len(list(runs.glob("*/checkpoint.safetensors"))) >= 3
    process = small_job.start(path, log=log)
    assert process.wait(300) == 0, log.read_text("utf-8")
    made = ids(path)
    shutil.rmtree(manifest(path))
    shutil.copytree(manifest(done), manifest(path))
    process = small_job.start(edit(path, ("together: 3", "together: 1")), log=log)
    assert process.wait(300) == 0, log.read_text("utf-8")
    assert ids(path) == made
