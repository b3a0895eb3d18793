"""Bases, checkpoints and adapters that cannot be trained or read: each is a message that names it."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from manifests.errors import Interrupted, UserError
from trainers import state
from trainers.evaluate import Model, load_model
from trainers.full import Full
from trainers.lora import Lora
from trainers.scratch import Scratch

MADE = Full(base="given", steps=4, lr=5e-3, batch_tokens=256, max_tokens=64)
ADAPTER = Lora(base="given", steps=2, batch_tokens=256, max_tokens=64)


@pytest.fixture
def other(base, tmp_path):
    """Return a copy of the base that may be spoilt."""
    return shutil.copytree(base, tmp_path / "other")


def edit(path, **fields):
    held = json.loads(path.read_text())
    path.write_text(json.dumps({**held, **fields}))


def test_an_empty_blend_is_refused(base, context, tmp_path):
    with pytest.raises(UserError, match="the blend is empty"):
        MADE.fit((), base, 0, tmp_path / "run", context)


def test_a_base_of_pickles_is_refused(other, rows, context, tmp_path):
    import torch

    torch.save({}, other / "pytorch_model.bin")
    (other / "model.safetensors").unlink()
    with pytest.raises(UserError, match="pickled, and reading such a file can run code") as caught:
        MADE.fit(rows, other, 0, tmp_path / "run", context)
    assert "pytorch_model.bin" in str(caught.value)


def test_an_adapter_of_pickles_is_refused(base, rows, context, tmp_path):
    run = ADAPTER.fit(rows, base, 0, tmp_path / "run", context)
    (run.path / "adapter_model.safetensors").rename(run.path / "adapter_model.bin")
    with pytest.raises(UserError, match=r"pickled.*adapter_model\.bin"):
        Model.load(run.path)
    (run.path / "adapter_model.bin").unlink()
    with pytest.raises(UserError, match=r"holds no adapter_model\.safetensors"):
        Model.load(run.path)


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_a_base_cut_short_is_named(other, rows, context, tmp_path, keep):
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(UserError, match="damaged or cut short") as caught:
        MADE.fit(rows, other, 0, tmp_path / "run", context)
    assert "model.safetensors" in str(caught.value)


def test_a_checkpoint_cut_in_half_is_named_and_the_run_begins_anew_without_it(base, rows, context, tmp_path):
    whole = MADE.fit(rows, base, 0, tmp_path / "whole", context)
    seen = []
    halt = dataclasses.replace(context, progress=lambda step, _: seen.append(step), stopping=lambda: 2 in seen)
    with pytest.raises(Interrupted):
        MADE.fit(rows, base, 0, tmp_path / "parts", halt)
    checkpoint = tmp_path / "parts" / state.CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    with pytest.raises(UserError, match="damaged or cut short") as caught:
        MADE.fit(rows, base, 0, tmp_path / "parts", context)
    assert state.CHECKPOINT in str(caught.value)
    assert "begins anew" in str(caught.value)
    checkpoint.unlink()
    assert MADE.fit(rows, base, 0, tmp_path / "parts", context).content_id == whole.content_id


def test_an_adapter_is_not_put_on_another_base(other, base, rows, context, tmp_path):
    run = ADAPTER.fit(rows, other, 0, tmp_path / "run", context)
    assert Model.load(run.path)
    changed = load_model(other, "cpu")
    next(changed.parameters()).data.add_(1.0)
    changed.save_pretrained(other)
    with pytest.raises(UserError, match="the adapter was trained on another base"):
        Model.load(run.path)
    Scratch(layers=1, width=64, heads=2, vocab=280, context=64, steps=1).build(["a b c"], tmp_path / "wide", context)
    shutil.rmtree(other)
    shutil.copytree(tmp_path / "wide", other)
    with pytest.raises(UserError, match="the adapter was trained on another base"):
        Model.load(run.path)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(other, rows, context, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens([f"word{n}" for n in range(2000)])
    tokenizer.save_pretrained(other)
    with pytest.raises(UserError, match="tokenizer does not match the base") as caught:
        MADE.fit(rows, other, 0, tmp_path / "run", context)
    assert "embeddings" in str(caught.value)


def test_a_base_without_a_token_that_ends_an_answer_is_refused(other, rows, context, tmp_path):
    (other / "chat_template.jinja").unlink(missing_ok=True)
    held = json.loads((other / "tokenizer_config.json").read_text())
    for name in ("chat_template", "eos_token"):
        held.pop(name, None)
    (other / "tokenizer_config.json").write_text(json.dumps(held))
    with pytest.raises(UserError, match="no token that ends an answer"):
        MADE.fit(rows, other, 0, tmp_path / "run", context)


def test_a_base_without_a_chat_template_or_a_pad_token_trains_with_the_default_one(other, rows, context, tmp_path):
    (other / "chat_template.jinja").unlink(missing_ok=True)
    held = json.loads((other / "tokenizer_config.json").read_text())
    for name in ("chat_template", "pad_token"):
        held.pop(name, None)
    (other / "tokenizer_config.json").write_text(json.dumps(held))
    run = MADE.fit(rows, other, 0, tmp_path / "run", context)
    assert run.skipped == 0
    assert Model.load(run.path).generate([rows[0].messages[:-1]], 4)


def test_four_bits_without_bitsandbytes_is_told(base, rows, context, tmp_path, monkeypatch):
    from trainers import dressing

    monkeypatch.setattr(dressing, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="'bitsandbytes', which is not installed"):
        dataclasses.replace(ADAPTER, quantize=4).fit(rows, base, 0, tmp_path / "run", context)


def test_a_base_that_sees_across_packed_rows_is_refused(base, rows, context, tmp_path, monkeypatch):
    import torch

    from trainers import run

    def trap(batch, device, dtype, **_):
        ids = torch.from_numpy(batch.ids)
        return {"input_ids": ids, "position_ids": torch.from_numpy(batch.positions), "attention_mask": ids * 0 + 1}

    monkeypatch.setattr(run, "inputs", trap)
    with pytest.raises(UserError, match="sees from one packed row into the next"):
        MADE.fit(rows, base, 0, tmp_path / "run", context)


def test_rows_longer_than_the_window_of_the_base_are_refused(base, rows, context, tmp_path):
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MistralConfig(vocab_size=320, num_key_value_heads=2, sliding_window=16, **small)
    MistralForCausalLM(config).save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match="a window of 16"):
        MADE.fit(rows, tmp_path / "base", 0, tmp_path / "run", context)
