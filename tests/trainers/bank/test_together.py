"""Runs trained together: each is the run that it would be alone, whatever happens to the others."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

from manifests.component import Context
from manifests.errors import Interrupted, UserError
from trainers import state
from trainers.bank import together as bank
from trainers.bank.stack import Stack
from trainers.bank.together import together
from trainers.evaluate import load_model
from trainers.lora import Lora
from trainers.run import Job

LORA = Lora(base="given", steps=8, lr=1e-2, batch_tokens=256, max_tokens=64, rank=4, log_steps=3, checkpoint_steps=3)


def job_of(base, rows, out, seed=0, **fields) -> Job:
    trainer = dataclasses.replace(LORA, **fields)
    return Job(trainer, rows, base, seed, out, Context(root=out.parent), {"blend": f"b@{seed}"})


def alone(job: Job, folder):
    out = folder / job.out.name
    return job.trainer.fit(job.rows, job.base, job.seed, out, dataclasses.replace(job.context, root=folder), job.tags)


def figures(fitted):
    """Return all of a run that does not depend on where and how fast it was made."""
    return dataclasses.replace(fitted, path=None, seconds=0.0, peak_memory=0)


def files(folder):
    """Return the files of a run, but for what in its record depends on where and how fast it was made."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    record = json.loads(found.pop(state.RECORD))
    for name in ("seconds", "peak_memory", "base_relative", "speed"):
        record.pop(name, None)
    return found, record


def jobs(base, rows, folder):
    """Return five runs that differ in rows, steps, rates, schedules, seeds and the shapes of their batches."""
    return [
        job_of(base, rows, folder / "a", 0),
        job_of(base, rows[:25], folder / "b", 1, steps=3),
        job_of(base, rows[5:], folder / "c", 2, steps=11, lr=3e-3, schedule="linear", warmup=0.3),
        job_of(base, rows[:7], folder / "d", 0, batch_tokens=130, max_tokens=48, clip=0.1, weight_decay=0.2),
        job_of(base, rows[::2], folder / "e", 3, accumulate=2, log_steps=1),
    ]


@pytest.mark.parametrize("slots", [1, 2, 5, 9])
def test_runs_trained_together_are_those_of_runs_alone_to_the_last_bit(base, rows, tmp_path, slots):
    made = together(jobs(base, rows, tmp_path / "together"), slots)
    for job, fitted in zip(jobs(base, rows, tmp_path / "together"), made, strict=True):
        expected = alone(job, tmp_path / "alone")
        assert figures(fitted) == figures(expected)
        assert files(fitted.path) == files(expected.path)
        assert (state.finished(fitted.path, state.run_key(job.trainer, job.rows, base, job.seed)) or [None])[
            0
        ] == fitted


def test_an_adapter_does_not_depend_on_the_others_nor_on_its_slot(base, rows, tmp_path):
    forth = together(jobs(base, rows, tmp_path / "forth"), 3)
    back = together(jobs(base, rows, tmp_path / "back")[::-1], 4)[::-1]
    assert [run.content_id for run in forth] == [run.content_id for run in back]
    assert len({run.content_id for run in forth}) == 5


def test_steps_are_computed_together_and_a_slot_that_falls_free_is_filled(base, rows, tmp_path, monkeypatch):
    seen = []
    plain = Stack.gradients

    def watched(stack, work, parameters):
        seen.append(len(work))
        return plain(stack, work, parameters)

    monkeypatch.setattr(Stack, "gradients", watched)
    runs = [job_of(base, rows, tmp_path / str(n), n, steps=steps) for n, steps in enumerate((2, 6, 3, 1))]
    together(runs, 2)
    assert seen == [2, 2, 2, 2, 2, 2]  # 6 steps beside 2 + 3 + 1


def test_one_pass_takes_the_rows_of_many_adapters(base, rows, tmp_path, monkeypatch):
    import torch

    shapes = []
    plain = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda one, two: shapes.append(tuple(one.shape)) or plain(one, two))
    together([job_of(base, rows, tmp_path / str(n), 0, steps=1, lr=0.1 / (n + 1)) for n in range(3)], 3)
    trained = [shape for shape in shapes if shape[1] == 4 * 48]  # the rest is each run's check of its base
    assert len(trained) >= 2 * 7
    assert {shape[0] for shape in trained} == {3}


def test_runs_of_other_shapes_are_made_in_a_bank_of_their_own(base, rows, tmp_path):
    made = [job_of(base, rows, tmp_path / f"{n}-{rank}", n, rank=rank, steps=2) for rank in (2, 4) for n in range(2)]
    for job, fitted in zip(made, together(made, 4), strict=True):
        assert fitted.content_id == alone(job, tmp_path / "alone").content_id


@pytest.mark.parametrize("fields", [{"dropout": 0.1}, {"targets": r".*\.(q|v)_proj"}])
def test_runs_that_cannot_be_stacked_are_made_one_after_the_other(base, rows, tmp_path, monkeypatch, fields):
    monkeypatch.setattr(bank, "Stack", None)
    made = [job_of(base, rows, tmp_path / str(n), n, steps=2, **fields) for n in range(3)]
    for job, fitted in zip(made, together(made, 3), strict=True):
        assert fitted.content_id == alone(job, tmp_path / "alone").content_id


@pytest.mark.parametrize(
    "fields",
    [
        {"alpha": 10.0, "rank": 3},
        {"alpha": 1.0, "rank": 16},
        {"rank": 1},
        {"batch_tokens": 24, "max_tokens": 24},
        {"recompute": True},
        {"schedule": "constant"},
    ],
)
def test_other_scales_ranks_and_ways_to_train_are_equal_too(base, rows, tmp_path, fields):
    made = [job_of(base, rows[n:], tmp_path / str(n), n, steps=4, **fields) for n in range(3)]
    for job, fitted in zip(made, together(made, 3), strict=True):
        assert files(fitted.path) == files(alone(job, tmp_path / "alone").path)


def test_another_architecture_with_biases_and_shared_heads_is_equal_too(base, rows, tmp_path):
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(base)
    sizes = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    config = Qwen2Config(vocab_size=384, eos_token_id=1, pad_token_id=0, bos_token_id=None, **sizes, **heads)
    other = tmp_path / "qwen"
    Qwen2ForCausalLM(config).save_pretrained(other)
    tokenizer.save_pretrained(other)
    made = [job_of(other, rows[n:], tmp_path / str(n), n, steps=4) for n in range(3)]
    for job, fitted in zip(made, together(made, 2), strict=True):
        assert files(fitted.path) == files(alone(job, tmp_path / "alone").path)


def test_runs_that_end_early_on_held_out_rows_free_their_slots(base, rows, tmp_path, monkeypatch):
    from trainers.validation import Validate

    rows = [dataclasses.replace(row, role="specialist") for row in rows]
    watched = {"validate": Validate(rows=6, every=1, patience=2), "lr": 0.3, "steps": 12}
    made = [job_of(base, rows[n:], tmp_path / str(n), n, **watched) for n in range(4)]
    found = together(made, 2)
    assert min(run.steps for run in found) < 12
    for job, fitted in zip(made, found, strict=True):
        expected = alone(job, tmp_path / "alone")
        assert figures(fitted) == figures(expected)
        assert files(fitted.path) == files(expected.path)


def test_memory_that_runs_out_once_makes_smaller_parts_as_in_a_run_alone(base, rows, tmp_path, monkeypatch):
    plain = Stack.gradients
    calls = []

    def short(stack, work, parameters):
        calls.append(max(len(parts) for parts in work.values()))
        if len(calls) == 2:
            raise MemoryError("no room")
        return plain(stack, work, parameters)

    monkeypatch.setattr(Stack, "gradients", short)
    found = together([job_of(base, rows, tmp_path / str(n), n, steps=4) for n in range(2)], 2)
    assert calls == [1, 1, 2, 2, 2]
    assert all("out of memory at step 2" in run.note for run in found)


def test_named_layers_alone_can_be_adapted(base, rows, tmp_path):
    made = [job_of(base, rows, tmp_path / str(n), n, steps=2, targets=("q_proj", "down_proj")) for n in range(2)]
    for job, fitted in zip(made, together(made, 2), strict=True):
        assert files(fitted.path) == files(alone(job, tmp_path / "alone").path)


def test_a_run_that_diverges_ends_alone_with_its_last_good_state(base, rows, tmp_path):
    poisoned = job_of(base, rows, tmp_path / "bad", 1, steps=8)

    def poison(step, _):
        if step == 5:
            seat = next(iter(held[0]._seats.values()))
            next(iter(seat.named.values())).data.fill_(math.nan)

    held = []
    plain = bank._Bank.run
    patch = pytest.MonkeyPatch()
    patch.setattr(bank._Bank, "run", lambda self: held.append(self) or plain(self))
    poisoned = dataclasses.replace(poisoned, context=dataclasses.replace(poisoned.context, progress=poison))
    others = [job_of(base, rows, tmp_path / str(n), n) for n in range(3)]
    try:
        bad, *good = together([poisoned, *others], 2)
    finally:
        patch.undo()
    assert isinstance(bad, UserError)
    assert "not finite at step 6" in str(bad)
    tensors, facts = state.Checkpoint(poisoned.out, state.run_key(poisoned.trainer, rows, base, poisoned.seed)).load()
    assert facts["step"] == 3
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    for job, fitted in zip(others, good, strict=True):
        assert fitted.content_id == alone(job, tmp_path / "alone").content_id


def test_a_run_without_a_row_to_learn_is_its_own_error(base, rows, tmp_path):
    empty = job_of(base, (), tmp_path / "empty")
    error, fitted = together([empty, job_of(base, rows, tmp_path / "good", steps=2)], 2)
    assert isinstance(error, UserError)
    assert fitted.steps == 2


def stopped(job, step):
    """Return the job with a context that asks to stop after `step` steps."""
    seen = []
    return dataclasses.replace(
        job,
        context=dataclasses.replace(
            job.context, progress=lambda done, _: seen.append(done), stopping=lambda: step in seen
        ),
    )


def test_what_a_bank_began_a_run_alone_ends_and_the_other_way_round(base, rows, tmp_path):
    whole = [alone(job, tmp_path / "whole") for job in jobs(base, rows, tmp_path / "x")]
    begun = together([stopped(job, 2) for job in jobs(base, rows, tmp_path / "one")], 3)
    assert all(isinstance(error, Interrupted) for error in begun)
    ended = [alone(job, tmp_path / "one") for job in jobs(base, rows, tmp_path / "one")]
    assert list(map(figures, ended)) == list(map(figures, whole))
    for job in jobs(base, rows, tmp_path / "two"):
        with pytest.raises(Interrupted):
            alone(stopped(job, 2), tmp_path / "two")
    ended = together(jobs(base, rows, tmp_path / "two"), 3)
    assert list(map(figures, ended)) == list(map(figures, whole))


def test_finished_runs_are_returned_and_the_rest_is_made(base, rows, tmp_path):
    first = together(jobs(base, rows, tmp_path)[:2], 2)
    times = {path: path.stat().st_mtime_ns for run in first for path in run.path.iterdir()}
    again = together(jobs(base, rows, tmp_path), 2)
    assert again[:2] == first
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert [type(run).__name__ for run in again] == ["Fitted"] * 5


def test_runs_that_wait_when_the_job_stops_are_not_begun(base, rows, tmp_path):
    stop = [False]
    context = Context(root=tmp_path, stopping=lambda: stop[0], progress=lambda *_: stop.__setitem__(0, True))
    made = [dataclasses.replace(job, context=context) for job in jobs(base, rows, tmp_path)]
    found = together(made, 2)
    assert all(isinstance(error, Interrupted) for error in found)
    assert sum(job.out.exists() for job in made) == 2


def test_the_seconds_of_the_runs_add_up_to_those_that_were_spent(base, rows, tmp_path):
    started = time.perf_counter()
    made = together([job_of(base, rows, tmp_path / str(n), n) for n in range(4)], 4)
    spent = time.perf_counter() - started
    assert all(run.seconds > 0 for run in made)
    assert sum(run.seconds for run in made) <= spent


def test_too_little_memory_is_told_to_every_run(base, rows, tmp_path, monkeypatch):
    def short(stack, work, parameters):
        raise MemoryError("no room")

    monkeypatch.setattr(Stack, "gradients", short)
    found = together([job_of(base, rows, tmp_path / str(n), n) for n in range(3)], 2)
    assert [type(error) for error in found] == [UserError] * 3
    assert all("out of memory" in str(error) for error in found)
    assert len({id(error) for error in found}) == 3


def test_no_thread_is_left(base, rows, tmp_path):
    before = threading.active_count()
    together([job_of(base, rows, tmp_path / str(n), n, steps=1) for n in range(3)], 2)
    assert threading.active_count() == before


def test_peft_loads_and_merges_what_a_bank_wrote(base, rows, tmp_path):
    import torch
    from peft import PeftModel

    made = together(jobs(base, rows, tmp_path), 5)
    ids = torch.arange(20).reshape(2, 10) + 5
    plain = load_model(base, "cpu")(input_ids=ids).logits
    for fitted in made:
        model = PeftModel.from_pretrained(load_model(base, "cpu"), str(fitted.path)).eval()
        logits = model(input_ids=ids).logits
        assert float((logits - plain).detach().abs().max()) > 1e-3
        assert torch.allclose(model.merge_and_unload()(input_ids=ids).logits, logits, atol=1e-5)


def plain(job):
    """Return the job without what cannot be sent to another process."""
    return (job.trainer, job.rows, job.base, job.seed, job.out, dict(job.tags))


KILLED = """
import pickle, sys, time
from manifests.component import Context
from trainers.bank.together import together
from trainers.run import Job
jobs = [
    Job(trainer, rows, base, seed, out, Context(root=out.parent, progress=lambda *_: time.sleep(0.02)), tags)
    for trainer, rows, base, seed, out, tags in pickle.load(sys.stdin.buffer)
]
together(jobs, 3)
"""


def test_a_killed_bank_goes_on_bit_for_bit(base, rows, tmp_path):
    def made(folder):
        return [job_of(base, rows[n:], folder / str(n), n, steps=40 + n, checkpoint_steps=4) for n in range(4)]

    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE)
    pickle.dump([plain(job) for job in made(folder)], process.stdin)
    process.stdin.close()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not all((folder / str(n) / state.CHECKPOINT).exists() for n in range(3)):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert all((folder / str(n) / state.CHECKPOINT).exists() for n in range(3))
    assert not list(folder.glob("*/run.json"))
    for job, fitted in zip(made(folder), together(made(folder), 4), strict=True):
        assert figures(fitted) == figures(alone(job, tmp_path / "alone"))
