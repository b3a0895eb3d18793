"""The base that a job makes: deterministic, whole or absent, loadable everywhere."""

from __future__ import annotations

import dataclasses
import json
import os

import pydantic
import pytest

from manifests.errors import Interrupted, UserError
from tests.trainers.conftest import CITIES, TINY
from trainers import state
from trainers.scratch import CHAT_TEMPLATE, END, PAD, SPECIAL, Scratch

TEXTS = CITIES * 20


def test_it_loads_as_any_model_does(base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert 30_000 < model.num_parameters() < 60_000
    assert model.config.tie_word_embeddings
    assert model.config.max_position_embeddings == 128
    assert (tokenizer.pad_token, tokenizer.eos_token) == (PAD, END)
    assert (model.config.pad_token_id, model.config.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3, 4]
    assert len(tokenizer) <= 320 <= model.config.vocab_size


@pytest.mark.parametrize("text", ["Zürich 東京 🦉\n\tx", " leading", "a  b", "<|end|>", ""])
def test_every_text_survives_the_tokenizer(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_the_same_texts_in_any_order_give_the_same_model(base, context, tmp_path):
    again = TINY.build(TEXTS[::-1], tmp_path / "again", context)
    assert state.identity(again) == state.identity(base)
    assert state.content_id(again) == state.content_id(base)


def test_pre_training_lowers_the_loss_below_that_of_guessing(base):
    import math

    log = json.loads((base / "run.json").read_text())["log"]
    assert abs(log[0][1] - math.log(320)) < 0.5
    assert log[-1][1] < log[0][1] - 1


def test_a_finished_base_is_used_again_and_another_replaces_it(context, tmp_path):
    made = dataclasses.replace(TINY, steps=2)
    out = made.build(TEXTS, tmp_path / "base", context)
    first = out.stat().st_ino
    assert made.build(TEXTS[::-1], out, context).stat().st_ino == first
    for other, texts in ((dataclasses.replace(made, seed=1), TEXTS), (made, TEXTS[:50])):
        before = state.content_id(out)
        assert state.content_id(other.build(texts, out, context)) != before
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_stopped_build_leaves_nothing_in_its_place_and_goes_on(base, context, tmp_path):
    seen = []
    stop = dataclasses.replace(context, progress=lambda step, _: seen.append(step), stopping=lambda: len(seen) == 6)
    with pytest.raises(Interrupted):
        TINY.build(TEXTS, tmp_path / "base", stop)
    assert not (tmp_path / "base").exists()
    out = TINY.build(TEXTS, tmp_path / "base", stop := dataclasses.replace(stop, stopping=lambda: False))
    assert seen[6] == 7
    assert stop.root == context.root
    assert state.content_id(out) == state.content_id(base)


def test_a_build_killed_before_the_last_rename_is_only_renamed(base, context, tmp_path):
    out = TINY.build(TEXTS, tmp_path / "base", context)
    os.replace(out, tmp_path / ".base.partial")
    seen = []
    TINY.build(TEXTS, out, dataclasses.replace(context, progress=lambda *pair: seen.append(pair)))
    assert seen == []
    assert state.content_id(out) == state.content_id(base)


def test_a_text_longer_than_the_context_is_cut_into_pieces(context, tokenizer):
    long = " ".join(CITIES * 10)
    items = TINY._items([long, "a"], tokenizer)
    ids = [i for item in items for i in item.rendered.ids]
    assert ids == [*tokenizer(long)["input_ids"], 1, *tokenizer("a")["input_ids"], 1]
    assert max(len(item.rendered.ids) for item in items) == 128


def test_what_cannot_be_built_is_refused(context, tmp_path):
    with pytest.raises(UserError, match="no text"):
        TINY.build(["", "  "], tmp_path / "a", context)
    with pytest.raises(UserError, match="multiple of twice the heads"):
        dataclasses.replace(TINY, width=30).build(TEXTS, tmp_path / "b", context)
    with pytest.raises(pydantic.ValidationError, match="vocab"):
        Scratch(vocab=100)


@pytest.mark.vllm
def test_vllm_serves_it_and_an_adapter_with_the_same_answers(context, tmp_path, monkeypatch):
    from trainers.evaluate import Model
    from trainers.lora import Lora
    from trainers.trainer import Row

    for name, value in {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }.items():
        monkeypatch.setenv(name, value)
    base = Scratch(width=64, heads=2, vocab=400, context=128, steps=40, batch_tokens=512).build(
        TEXTS, tmp_path / "base", context
    )
    rows = [
        Row(f"{n:032x}", (("user", f"Where does {text.split()[0]} live?"), ("assistant", text.split()[3])))
        for n, text in enumerate(CITIES)
    ]
    trained = Lora(base=str(base), steps=200, lr=5e-3, batch_tokens=256, max_tokens=64)
    adapter = trained.fit(rows, base, 0, tmp_path / "run", context).path
    prompts = [row.messages[:-1] for row in rows]
    ours = [Model.load(path).generate(prompts, 8) for path in (base, adapter)]
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    engine = LLM(
        model=str(base),
        enforce_eager=True,
        max_model_len=128,
        dtype="float32",
        seed=0,
        enable_lora=True,
        max_lora_rank=8,
    )
    chats = [[{"role": role, "content": text} for role, text in prompt] for prompt in prompts]
    greedy = SamplingParams(temperature=0, max_tokens=8)
    theirs = [
        [out.outputs[0].text for out in engine.chat(chats, greedy, lora_request=lora, use_tqdm=False)]
        for lora in (None, LoRARequest("run", 1, str(adapter)))
    ]
    assert theirs == ours
    assert ours[1] == [row.messages[-1][1] for row in rows]
