"""A job whose trainer has several processes: the same runs, killed and stopped as any others."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, edit, ids, manifest, orphans, start, until
from trainers import launch

FEW = "  steps: 4\n  batch_tokens: 128\n  max_tokens: 64\n"
MANY = FEW.replace("4", "300", 1) + "  checkpoint_steps: 10\n"


def job(folder, more):
    """Return the job file of one run of 300 steps, which has `more` fields."""
    path = small_job.write(folder)
    text = path.read_text("utf-8")
    first, last = text.index("  - {kind: coverage"), text.index("train:")
    path.write_text(text[:first] + text[last:], "utf-8")
    return edit(path, ("seeds: [0, 1]", "seeds: [0]"), (FEW, MANY + more))


def trains(path):
    """Return a condition that turns true once a run has a checkpoint."""
    return lambda: any((manifest(path) / "runs").glob("*/checkpoint.safetensors"))


def test_a_run_of_two_processes_goes_on_after_a_kill_and_a_stop_to_the_weights_of_one(here, tmp_path):
    path, log = job(tmp_path, "  accumulate: 2\n"), tmp_path / "log"
    assert small_job.go(path).exit_code == 0
    one, made = ids(path), small_job.finished(path)
    edit(path, ("accumulate: 2", "processes: 2"))
    process = start(path, log=log)
    assert until(trains(path), process, 200), log.read_text("utf-8")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert orphans(process.pid) == []
    (manifest(path) / "runs" / "plain@0" / "progress").unlink()  # what the killed one showed
    process = start(path, log=log)
    assert until(lambda: any((manifest(path) / "runs").glob("*/progress")), process, 200), log.read_text("utf-8")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 130, log.read_text("utf-8")
    assert "Traceback" not in log.read_text("utf-8")
    assert orphans(process.pid) == []
    assert trains(path)()
    process = start(path, log=log)
    assert process.wait(120) == 0, log.read_text("utf-8")
    assert ids(path) == one
    assert small_job.finished(path)["train:plain@0"] > made["train:plain@0"]  # it was made anew
    assert ask(path, "SELECT status, steps FROM runs").rows() == [("done", 300)]
    assert small_job.broken(path) == []


@pytest.mark.long
def test_a_process_of_a_run_that_dies_fails_the_run_which_the_same_command_goes_on_with(here, tmp_path, monkeypatch):
    path = job(tmp_path, "  processes: 2\n")
    gathered = launch._gathered

    def killing(shares):
        """Kill the second process once there is a checkpoint."""
        while not trains(path)() and shares[1].process.is_alive():
            time.sleep(0.01)
        shares[1].process.kill()
        return gathered(shares)

    with monkeypatch.context() as patch:
        patch.setattr(launch, "_gathered", killing)
        assert small_job.go(path).exit_code == 1
    status, note = ask(path, "SELECT status, note FROM runs").row(0)
    assert status == "failed"
    assert "process 1 (of 0 to 1) of this run died: 'exit code -9'" in note
    assert trains(path)()
    assert small_job.go(path).exit_code == 0
    assert ask(path, "SELECT status, steps FROM runs").rows() == [("done", 300)]
