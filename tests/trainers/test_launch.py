"""A trainer's `processes`: its worker starts them, and they end with it, with a mistake, and with each other."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

from manifests.component import spec_of
from manifests.errors import Interrupted, UserError
from trainers import launch, worker
from trainers.full import Full
from trainers.launch import Died, cause
from trainers.lora import Lora
from trainers.state import CHECKPOINT
from trainers.trainer import Fitted, Request
from trainers.validation import Validate

TWO = Full(base="given", steps=5, lr=5e-3, batch_tokens=256, max_tokens=64, log_steps=1, processes=2)
LONG = dataclasses.replace(TWO, steps=400, checkpoint_steps=20)
PARTS = {"processes": 1, "accumulate": 2}
"""What one process does in two processes' place."""


@pytest.fixture
def request_of(base, rows, tmp_path):
    special = tuple(dataclasses.replace(row, role="specialist") for row in rows)

    def make(trainer, name="run", **fields) -> Request:
        out = tmp_path / name
        given = {"rows": special, "stop": tmp_path / "stop", **fields}
        return Request(run=name, trainer=worker.describe(trainer), base=str(base), seed=5, out=out, **given)

    return make


def during(request, act, step=40):
    """Call `act(processes)` in a thread once the run has done so many steps."""

    def watch():
        limit = time.monotonic() + 120
        while (worker.progress(request.out) or (0, 0))[0] < step and time.monotonic() < limit:
            time.sleep(0.02)
        act(sorted(multiprocessing.active_children(), key=lambda process: process.pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def weights(fitted):
    from safetensors.torch import load_file

    return load_file(fitted.path / "model.safetensors")


def test_two_processes_that_a_worker_starts_give_the_weights_of_one_that_takes_two_parts(request_of):
    one = worker.fit(request_of(dataclasses.replace(TWO, **PARTS), "one"))
    two = worker.fit(request_of(TWO, "two"))
    record = json.loads((two.path / "run.json").read_text())
    assert record["processes"] == 2
    assert (two.content_id, two.tokens, two.log) == (one.content_id, one.tokens, one.log)
    assert two.parameters == one.parameters
    assert two.cpu_seconds > 0
    assert worker.progress(two.path) is None
    assert multiprocessing.active_children() == []
    again = worker.fit(request_of(TWO, "two"))
    assert (again.content_id, again.cpu_seconds) == (two.content_id, None)


def test_processes_that_each_hold_a_part_give_the_weights_of_one_up_to_rounding(request_of):
    one = weights(worker.fit(request_of(dataclasses.replace(TWO, processes=1), "one")))
    fitted = worker.fit(request_of(dataclasses.replace(TWO, shard=True), "two"))
    two = weights(fitted)
    assert json.loads((fitted.path / "run.json").read_text())["sharded"]
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4
    assert one.keys() == two.keys()


@pytest.fixture(scope="module")
def whole(base, rows, tmp_path_factory):
    """Return the content id of the long run, made by one process."""
    special = tuple(dataclasses.replace(row, role="specialist") for row in rows)
    out = tmp_path_factory.mktemp("whole") / "run"
    trainer = worker.describe(dataclasses.replace(LONG, **PARTS))
    return worker.fit(Request(run="run", trainer=trainer, base=str(base), seed=5, rows=special, out=out)).content_id


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_run_which_goes_on_from_its_checkpoint(request_of, whole, rank):
    request = request_of(LONG)
    thread = during(request, lambda found: os.kill(found[rank].pid, signal.SIGKILL))
    with pytest.raises(UserError, match=rf"process {rank} \(of 0 to 1\) of this run died: 'exit code -9'"):
        worker.fit(request)
    thread.join()
    assert multiprocessing.active_children() == []
    assert worker.progress(request.out) is None
    assert (request.out / CHECKPOINT).is_file()
    assert not (request.out / "run.json").exists()
    fitted = worker.fit(request)
    assert fitted.content_id == whole
    assert fitted.cpu_seconds is None  # some of it was another's


def test_processes_that_are_asked_to_stop_leave_their_checkpoint_and_go_on_bit_for_bit(request_of, whole):
    request = request_of(LONG)
    during(request, lambda found: request.stop.touch()).join(0)
    with pytest.raises(Interrupted, match="stopped at step"):
        worker.fit(request)
    assert (request.out / CHECKPOINT).is_file()
    request.stop.unlink()
    assert worker.fit(request).content_id == whole


def test_a_mistake_in_the_processes_is_told_as_that_of_one(request_of):
    with pytest.raises(UserError, match="no row of this blend can be trained on") as told:
        worker.fit(request_of(dataclasses.replace(TWO, max_tokens=16, lr=1e-3), rows=request_of(TWO).rows[:1]))
    assert "40" not in str(told.value)
    diverging = dataclasses.replace(TWO, lr=1.0, clip=1e9, steps=200, weight_decay=1.0)
    with pytest.raises(UserError, match="the training diverged"):
        worker.fit(request_of(diverging, "diverging"))
