"""Recomputed activations, compiled layers and four-bit bases: the same training with less memory or time."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil

import pytest
import torch

from manifests.errors import UserError
from trainers.bank.together import together
from trainers.dressing import arithmetic, dressed, layers
from trainers.evaluate import Model, best_device, load_model
from trainers.full import Full
from trainers.lora import Lora, adapted
from trainers.run import Job
from trainers.trainer import Fitted

FULL = Full(base="given", steps=4, lr=5e-3, batch_tokens=256, max_tokens=64)
LORA = Lora(base="given", steps=4, lr=5e-3, batch_tokens=256, max_tokens=64)


@pytest.mark.parametrize("made", [FULL, LORA, dataclasses.replace(LORA, dropout=0.2)])
def test_recomputed_activations_give_the_same_bits(made, rows, base, context, tmp_path):
    plain = made.fit(rows, base, 0, tmp_path / "plain", context)
    again = dataclasses.replace(made, recompute=True).fit(rows, base, 0, tmp_path / "again", context)
    assert again.content_id == plain.content_id


def test_recomputing_holds_less_for_the_backward_pass(base, rows, tokenizer):
    from tests.trainers.test_entropy import outcome
    from trainers.loop import items_of
    from trainers.pack import collate
    from trainers.render import Renderer

    items, _ = items_of(rows, Renderer(tokenizer), 64)
    batch = collate(items, [[i] for i in range(20)])
    plain = load_model(base, "cpu").train()
    spare = dressed(load_model(base, "cpu").train(), dataclasses.replace(FULL, recompute=True))
    assert outcome(spare, batch)[2] < 0.6 * outcome(plain, batch)[2]


@pytest.mark.parametrize("made", [FULL, LORA])
def test_attention_without_a_backward_pass_on_a_cpu_is_refused_before_the_first_step(
    made, rows, base, context, tmp_path
):
    if best_device() == "cpu":
        with pytest.raises(UserError, match="cannot train by flex attention on a CPU"):
            dataclasses.replace(made, attention="flex").fit(rows, base, 0, tmp_path / "run", context)


def test_the_layers_of_a_model_are_found(base):
    model = load_model(base, "cpu")
    assert layers(model) == list(model.model.layers)


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_compiled_layers_train_as_the_plain_ones_do(rows, base, context, tmp_path):
    made = dataclasses.replace(FULL, steps=2, batch_tokens=64)
    plain = made.fit(rows, base, 0, tmp_path / "plain", context)
    fast = dataclasses.replace(made, compile=True).fit(rows, base, 0, tmp_path / "fast", context)
    assert [loss for _, loss in fast.log] == pytest.approx([loss for _, loss in plain.log], rel=1e-4)
    pairs = [(row.messages[:-1], row.messages[-1][1]) for row in rows[:4]]
    one, two = (Model.load(run.path).loglik(pairs) for run in (plain, fast))
    assert [x.total for x in two] == pytest.approx([x.total for x in one], rel=1e-2)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_an_adapter_is_trained_beside_a_base_of_four_bits(rows, base, context, tmp_path):
    made = dataclasses.replace(LORA, quantize=4, steps=12, lr=2e-2)
    run = made.fit(rows, base, 0, tmp_path / "run", context)
    assert run.log[-1][1] < run.log[0][1]
    assert made.fit(rows, base, 0, tmp_path / "again", context).content_id == run.content_id
    pairs = [(row.messages[:-1], row.messages[-1][1]) for row in rows[:8]]
    before, after = (sum(x.total for x in Model.load(path).loglik(pairs)) for path in (base, run.path))
    assert after > before


@pytest.mark.parametrize("made", [FULL, LORA])
def test_bfloat16_trains_nearly_as_float32_does_and_twice_the_same(made, rows, base, context, tmp_path):
    wide = dataclasses.replace(made, precision="float32", log_steps=1).fit(rows, base, 0, tmp_path / "wide", context)
    half = dataclasses.replace(made, precision="bfloat16", log_steps=1)
    once = half.fit(rows, base, 0, tmp_path / "once", context)
    losses = [loss for _, loss in once.log]
    assert losses == pytest.approx([loss for _, loss in wide.log], rel=2e-3)
    assert losses != [loss for _, loss in wide.log]
    assert half.fit(rows, base, 0, tmp_path / "twice", context).content_id == once.content_id


def test_what_is_trained_stays_in_float32_and_a_base_beside_adapters_is_held_in_the_precision(base):
    lora, full = (dataclasses.replace(made, precision="bfloat16") for made in (LORA, FULL))
    kinds = {value.requires_grad: value.dtype for value in adapted(lora, base).parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    model = dressed(load_model(base, "cpu", dtype="float32"), full)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    with arithmetic(model):
        assert model(input_ids=torch.tensor([[1, 2]])).logits.dtype == torch.bfloat16


def test_adapters_trained_together_in_bfloat16_begin_as_those_trained_alone_and_stay_near(
    rows, base, context, tmp_path
):
    half = dataclasses.replace(LORA, precision="bfloat16", log_steps=1, together=2)
    wide = dataclasses.replace(LORA, steps=1)
    jobs = [Job(half, rows, base, seed, tmp_path / f"{seed}", context, {}) for seed in (0, 1)]
    for seed, fitted in enumerate(together(jobs, 2)):
        assert isinstance(fitted, Fitted)
        alone = half.fit(rows, base, seed, tmp_path / f"alone-{seed}", context)
        assert fitted.log[0] == alone.log[0]
        assert fitted.log[0] != wide.fit(rows, base, seed, tmp_path / f"wide-{seed}", context).log[0]
        assert [loss for _, loss in fitted.log] == pytest.approx([loss for _, loss in alone.log], rel=2e-3)
