"""Figures of a run's speed, against counts by hand and by torch's own counter."""

from __future__ import annotations

import json

import pytest

from trainers.evaluate import load_model
from trainers.full import Full
from trainers.speed import beside, flops_per_token, peak, speed


def test_operations_are_those_of_palms_formula(base):
    model = load_model(base, "cpu")
    head, table = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    count = sum(value.numel() for value in model.parameters()) - (0 if head is table else table.numel())
    assert flops_per_token(model, 64) == 6 * count + 12 * 2 * 32 * 64
    for value in model.parameters():
        value.requires_grad = False
    assert flops_per_token(model, 64) == 4 * count + 12 * 2 * 32 * 64


def test_operations_are_those_that_torch_counts(base):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = load_model(base, "cpu")
    model.set_attn_implementation("eager")
    ids = torch.randint(5, 300, (2, 64))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    counted = counter.get_total_flops() / ids.numel()
    assert counted == pytest.approx(flops_per_token(model, 64), rel=0.06)


def test_the_share_of_the_peak_is_that_of_all_processes(base, monkeypatch):
    from trainers import speed as module

    model = load_model(base, "cpu")
    assert peak("cpu") is None
    assert speed(model, 1000, 2.0, 64, 1)["mfu"] is None
    assert speed(model, 1000, 0.0, 64, 1)["tokens_per_second"] is None
    monkeypatch.setattr(module, "peak", lambda device: 1e9)
    found = speed(model, 1000, 2.0, 64, 2)
    assert found["tokens_per_second"] == 500
    assert found["mfu"] == pytest.approx(500 * flops_per_token(model, 64) / 2e9)


def test_the_share_of_the_peak_is_told_beside_the_speed_as_the_run_goes(base, monkeypatch):
    from trainers import speed as module

    model, seen = load_model(base, "cpu"), []
    given = {"loss": 2.0, "tokens_per_second": 500.0}
    beside(lambda step, figures: seen.append((step, figures)), model, 64, 2)(1, given)
    monkeypatch.setattr(module, "peak", lambda device: 1e9)
    told = beside(lambda step, figures: seen.append((step, figures)), model, 64, 2)
    told(2, given)
    told(3, {"loss": 1.0})
    share = pytest.approx(500 * flops_per_token(model, 64) / 2e9)
    assert seen == [(1, given), (2, {**given, "mfu": share}), (3, {"loss": 1.0})]


def test_a_run_records_its_speed(base, rows, context, tmp_path):
    made = Full(base="given", steps=2, batch_tokens=256, max_tokens=64)
    run = made.fit(rows, base, 0, tmp_path, context)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["speed"]["tokens_per_second"] == pytest.approx(run.tokens / run.seconds)
    assert record["speed"]["flops_per_token"] > 0
    assert record["peak_memory"] == run.peak_memory > 0
