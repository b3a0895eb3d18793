"""Full fine-tuning: a whole model comes out, and it has learnt."""

from __future__ import annotations

import json

import pytest

from manifests.errors import Interrupted, UserError
from trainers import state
from trainers.evaluate import Model, load_model
from trainers.full import Full

FULL = Full(base="given", steps=12, lr=5e-3, batch_tokens=256, max_tokens=64, log_steps=4)


@pytest.fixture(scope="module")
def fitted(base, rows, context, tmp_path_factory):
    return FULL.fit(rows, base, 0, tmp_path_factory.mktemp("full") / "run", context, {"blend": "b"})


def test_a_whole_model_is_saved_with_its_tokenizer_and_blend(fitted, base):
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(fitted.path)
    tokenizer = AutoTokenizer.from_pretrained(fitted.path)
    assert model.num_parameters() == load_model(base, "cpu").num_parameters()
    assert tokenizer.chat_template
    assert tokenizer.eos_token_id == model.config.eos_token_id
    with safe_open(fitted.path / "model.safetensors", "pt") as file:
        assert file.metadata()["blend"] == "b"
    assert json.loads((fitted.path / "run.json").read_text())["tags"] == {"blend": "b"}


def test_training_makes_the_answers_likelier(fitted, base, rows):
    pairs = [(row.messages[:-1], row.messages[-1][1]) for row in rows[:8]]
    before = sum(one.total for one in Model.load(base).loglik(pairs))
    after = sum(one.total for one in Model.load(fitted.path).loglik(pairs))
    assert after > 0.8 * before
    assert fitted.log[-1][1] < fitted.log[0][1]


def test_the_same_run_gives_the_same_bits(fitted, base, rows, context, tmp_path):
    assert FULL.fit(rows[::-1], base, 0, tmp_path, context).content_id == fitted.content_id


def test_a_stopped_run_goes_on_bit_for_bit(fitted, base, rows, tmp_path, context):
    from dataclasses import replace

    seen = []
    stop = replace(context, progress=lambda step, _: seen.append(step), stopping=lambda: len(seen) == 5)
    with pytest.raises(Interrupted, match="step 5 of 12"):
        FULL.fit(rows, base, 0, tmp_path, stop)
    assert (tmp_path / state.CHECKPOINT).is_file()
    assert FULL.fit(rows, base, 0, tmp_path, context).content_id == fitted.content_id
    assert not (tmp_path / state.CHECKPOINT).exists()


def test_an_adapter_run_before_it_leaves_nothing_behind(base, rows, context, tmp_path):
    from trainers.lora import Lora

    Lora(base="given", steps=1, batch_tokens=256, max_tokens=64).fit(rows, base, 0, tmp_path, context)
    FULL.fit(rows, base, 0, tmp_path, context)
    assert not list(tmp_path.glob("adapter*"))
    assert Model.load(tmp_path).context == 128


def test_rows_longer_than_the_base_takes_are_refused(base, rows, context, tmp_path):
    with pytest.raises(UserError, match="use 128 or fewer"):
        Full(base="given", max_tokens=129).fit(rows, base, 0, tmp_path, context)
