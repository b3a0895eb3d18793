"""Memory that runs out: the step is done again in half the parts, once, with the same gradient."""

from __future__ import annotations

import builtins
import dataclasses
import json

import pytest

from manifests.errors import Interrupted, UserError
from trainers import loop, memory
from trainers.full import Full

MADE = Full(base="given", steps=6, lr=5e-3, batch_tokens=256, max_tokens=64)


@pytest.fixture
def starve(monkeypatch):
    """Return a function that lets batches run out of memory: of too many bins, all after some, or one only."""
    import torch

    real = loop.loss_of

    def plant(most=99, calls=10**9, only=0, error=torch.OutOfMemoryError):
        made = [0]

        def lacking(model, batch):
            made[0] += 1
            if batch.ids.shape[0] > most or made[0] > calls or made[0] == only:
                raise error("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory")
            return real(model, batch)

        monkeypatch.setattr(loop, "loss_of", lacking)

    return plant


@pytest.mark.parametrize("kind", ["OutOfMemoryError", "RuntimeError", "MemoryError"])
def test_half_the_part_gives_the_same_weights_as_that_many_parts_from_the_start(
    starve, rows, base, context, tmp_path, kind
):
    import torch

    two = dataclasses.replace(MADE, accumulate=2).fit(rows, base, 0, tmp_path / "two", context)
    starve(most=2, error=getattr(builtins, kind, None) or getattr(torch, kind))
    run = MADE.fit(rows, base, 0, tmp_path / "one", context)
    assert run.content_id == two.content_id
    assert run.tokens == two.tokens
    assert run.note == "out of memory at step 1: each step in 2 parts since"
    assert json.loads((tmp_path / "one" / "run.json").read_text())["note"] == run.note


def test_gradients_of_the_failed_try_are_not_kept(starve, rows, base, context, tmp_path):
    four = dataclasses.replace(MADE, accumulate=4).fit(rows, base, 0, tmp_path / "four", context)
    starve(only=2)  # the first of two parts is done by then, its gradient added
    run = dataclasses.replace(MADE, accumulate=2).fit(rows, base, 0, tmp_path / "two", context)
    assert run.content_id == four.content_id


def test_memory_that_runs_out_again_ends_the_run_with_its_last_good_state(starve, rows, base, context, tmp_path):
    starve(most=2, calls=9)
    made = dataclasses.replace(MADE, checkpoint_steps=2)
    with pytest.raises(UserError, match="after the parts were halved at step 1") as caught:
        made.fit(rows, base, 0, tmp_path, context)
    assert "recompute: true" in str(caught.value)
    assert (tmp_path / "checkpoint.safetensors").is_file()


def test_halves_that_do_not_fit_either_are_told_as_such(starve, rows, base, context, tmp_path):
    starve(most=0, error=MemoryError)
    with pytest.raises(UserError, match="after the parts were halved at step 1"):
        MADE.fit(rows, base, 0, tmp_path, context)


def test_one_row_that_does_not_fit_is_told_at_once(starve, rows, base, context, tmp_path):
    starve(most=0)
    made = dataclasses.replace(MADE, batch_tokens=64)
    with pytest.raises(UserError, match="out of memory") as caught:
        made.fit(rows, base, 0, tmp_path, context)
    assert "1 packed rows at once" in str(caught.value)


def test_a_resumed_run_keeps_the_smaller_parts(starve, rows, base, context, tmp_path):
    starve(most=2)
    whole = MADE.fit(rows, base, 0, tmp_path / "whole", context)
    seen = []
    halt = dataclasses.replace(context, progress=lambda step, _: seen.append(step), stopping=lambda: 3 in seen)
    with pytest.raises(Interrupted):
        MADE.fit(rows, base, 0, tmp_path / "parts", halt)
    parts = MADE.fit(rows, base, 0, tmp_path / "parts", context)
    assert (parts.content_id, parts.note) == (whole.content_id, whole.note)


def test_other_errors_are_not_about_memory():
    assert not memory.out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        memory.halved(RuntimeError("shapes do not match"), 8, 1, 1, 0)
