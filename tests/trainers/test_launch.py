"""A trainer's `processes`: its worker starts them, and they end with it, with a mistake, and with each other."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import threading
import time

import pytest

from manifests.component import spec_of
from manifests.errors import Interrupted, UserError
from trainers import launch, loop, worker
from trainers.full import Full
from trainers.launch import Died, cause
from trainers.lora import Lora
from trainers.state import CHECKPOINT, Checkpoint, run_key
from trainers.trainer import TRAINERS, Request
from trainers.validation import Validate

TWO = Full(base="given", steps=5, lr=5e-3, batch_tokens=256, max_tokens=64, log_steps=1, processes=2)
LONG = dataclasses.replace(TWO, steps=300, checkpoint_steps=20)
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


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 1])
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
    assert worker.fit(request).content_id == whole


def test_processes_that_are_asked_to_stop_leave_their_checkpoint_and_go_on_bit_for_bit(request_of, whole):
    request = request_of(LONG)
    during(request, lambda found: request.stop.touch())
    with pytest.raises(Interrupted, match="stopped at step"):
        worker.fit(request)
    assert (request.out / CHECKPOINT).is_file()
    request.stop.unlink()
    assert worker.fit(request).content_id == whole


def starves(request, first):
    """Do a share of a run, in which the second process once has no memory."""
    usual, left = loop.loss_of, [0 if first else 1]

    def lacking(model, batch):
        """Fail the first time."""
        if left[0]:
            left[0] = 0
            raise MemoryError
        return usual(model, batch)

    loop.loss_of = lacking
    return worker.fit_share(request, first)


def test_all_processes_take_smaller_parts_once_one_of_them_has_no_memory(request_of):
    wanted = worker.fit(request_of(dataclasses.replace(TWO, accumulate=2), "wanted"))
    found = launch.launch(starves, request_of(TWO), 2)
    assert found.note == "out of memory at step 1: each step in 2 parts since"
    assert found.content_id == wanted.content_id


def diverges(request, first):
    """Do a share of a run whose rate is absurd from its fourth step on."""
    usual = loop.rate
    loop.rate = lambda step, settings: usual(step, settings) if step < 3 else math.inf
    return worker.fit_share(request, first)


def test_a_loss_that_is_not_finite_ends_all_processes_with_the_last_good_state_kept(request_of):
    request = request_of(dataclasses.replace(TWO, steps=20, checkpoint_steps=2))
    with pytest.raises(UserError, match="the training diverged"):
        launch.launch(diverges, request, 2)
    assert multiprocessing.active_children() == []
    key = run_key(worker.build(TRAINERS, request.trainer), request.rows, request.base, request.seed)
    _, facts = Checkpoint(request.out, key).load()
    assert facts["step"] == 2


@pytest.mark.long
def test_a_part_of_a_split_run_is_gone_on_with_from_its_best_step(request_of, tmp_path):
    trainer = dataclasses.replace(TWO, shard=True, steps=8, validate=Validate(share=0.2, every=2))
    whole = worker.fit(request_of(trainer, "whole"))
    half = worker.fit(request_of(trainer, "half", part=(1, 2)))
    assert half.steps == 4
    assert half.best
    rest = worker.fit(request_of(trainer, "rest", part=(2, 2), after=tmp_path / "half"))
    assert (rest.steps, rest.best) == (whole.steps, whole.best)
    one, two = weights(whole), weights(rest)
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-6


def test_what_a_process_says_comes_before_that_another_died_and_both_before_what_follows_from_it():
    said, lost, died = UserError("out of memory"), RuntimeError("connection closed by peer"), Died(-9, "a line")
    assert cause({1: lost, 0: died, 2: said}, 3) is said
    assert cause({1: lost}, 2) is lost
    told = cause({1: lost, 2: died}, 3)
    assert isinstance(told, UserError)
    assert "process 2 (of 0 to 2)" in str(told)
    assert "exit code -9" in str(told)
    assert "a line" in str(told)
    assert "last lines" not in str(cause({0: Died(1, "")}, 2))


def fails(request, first):
    """Fail as a mistake of ours would, in the process that is not first; the first waits for it in vain."""
    if first:
        time.sleep(600)
    raise KeyError(request.run)


def leaves(request, first):
    """End without a word but to standard error."""
    os.write(2, b"no more room\n")
    os._exit(3)


@pytest.mark.parametrize(("work", "error", "said"), [(fails, KeyError, "in process 1"), (leaves, UserError, "no more")])
def test_a_process_that_fails_is_told_with_its_traceback_or_last_words_and_none_waits_for_it(
    request_of, monkeypatch, work, error, said
):
    monkeypatch.setattr(launch, "_GRACE", 0.5)
    with pytest.raises(error) as told:
        launch.launch(work, request_of(TWO), 2)
    assert said in "".join([str(told.value), *getattr(told.value, "__notes__", ())])
    assert multiprocessing.active_children() == []


def test_a_process_has_a_gpu_of_its_own(request_of, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 processes, 1 GPUs"):
        worker.fit(request_of(TWO))


def test_a_run_of_several_processes_is_not_made_by_one(rows, base, context, tmp_path):
    with pytest.raises(UserError, match="made in 2 processes: '1 here'"):
        TWO.fit(rows, base, 5, tmp_path / "run", context)
    assert not (tmp_path / "run").exists()


def test_the_number_of_processes_is_a_part_of_what_a_run_is_and_one_goes_without_saying():
    lora = Lora(base="x")
    assert lora.processes == 1
    assert spec_of(dataclasses.replace(lora, processes=2)) == spec_of(lora) | {"processes": 2} != spec_of(lora)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Lora(base="x", processes=0)
