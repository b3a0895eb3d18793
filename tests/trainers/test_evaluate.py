"""Measuring a model: right numbers, the same in any company."""

from __future__ import annotations

import json
import shutil

import pytest

from manifests.errors import UserError
from tests.trainers.conftest import CITIES
from trainers.evaluate import Loglik, Model, base_of, load_model
from trainers.full import Full
from trainers.lora import Lora
from trainers.trainer import Row

ROWS = tuple(
    Row(f"{n:032x}", (("user", f"Where does {text.split()[0]} live?"), ("assistant", text.split()[3])))
    for n, text in enumerate(CITIES)
)


@pytest.fixture(scope="module")
def taught(base, context, tmp_path_factory) -> Model:
    """Return a model that knows six answers by heart."""
    trainer = Full(base="given", steps=160, lr=1e-2, batch_tokens=256, max_tokens=64)
    return Model.load(trainer.fit(ROWS, base, 0, tmp_path_factory.mktemp("taught"), context).path)


@pytest.fixture(scope="module")
def adapter(base, rows, context, tmp_path_factory):
    trainer = Lora(base="given", steps=8, lr=2e-2, batch_tokens=256, max_tokens=64)
    return trainer.fit(rows, base, 0, tmp_path_factory.mktemp("adapter") / "run", context).path


@pytest.fixture(scope="module")
def prompts(rows):
    """Return prompts of many lengths, some of several turns."""
    made = [row.messages[:-1] for row in rows[:12]]
    made += [(("system", "Be brief."), ("user", "word " * n)) for n in range(1, 20)]
    made += [(("user", "Hi"), ("assistant", "Hello"), ("user", f"Who bakes {n}?")) for n in range(5)]
    return made


def test_what_was_learnt_is_answered_and_the_answer_ends(taught):
    assert taught.generate([row.messages[:-1] for row in ROWS], 12) == [row.messages[-1][1] for row in ROWS]


def test_greedy_answers_are_those_of_transformers_one_by_one(taught, prompts):
    import torch

    expected = []
    for prompt in prompts:
        ids = torch.tensor([taught.renderer.prompt(prompt)])
        out = taught.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        expected.append(taught.renderer.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
    assert taught.generate(prompts, 6) == expected


def test_answers_and_likelihoods_are_the_same_in_any_company(taught, prompts):
    pairs = [(prompt, f"In Rome; {n}.") for n, prompt in enumerate(prompts)]
    together, answers = taught.loglik(pairs), taught.generate(prompts, 5)
    assert taught.loglik(pairs[::-1]) == together[::-1]
    assert [taught.loglik([pair])[0] for pair in pairs[::5]] == together[::5]
    assert taught.generate(prompts[::-1], 5) == answers[::-1]
    assert [taught.generate([prompt], 5)[0] for prompt in prompts[::7]] == answers[::7]


def test_likelihoods_are_those_of_an_unpadded_pass(taught, prompts):
    import torch

    pairs = [(prompt, f"In Oslo, {n}") for n, prompt in enumerate(prompts)]
    for (prompt, answer), found in zip(pairs, taught.loglik(pairs), strict=True):
        row = taught.renderer.row([*prompt, ("assistant", answer)], 128)
        ids = torch.tensor([row.ids])
        with torch.no_grad():
            logs = taught.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        each = logs.gather(1, ids[0, 1:, None])[row.start - 1 :, 0]
        assert found.total == pytest.approx(float(each.sum()), abs=1e-4)
        assert found.n_tokens == len(each)
        assert found.n_chars == len(answer)


def test_the_likelihoods_of_all_first_tokens_add_up_to_one(taught):
    import math

    tokenizer = taught.renderer.tokenizer
    ends = [taught.loglik([(ROWS[0].messages[:-1], answer)])[0].total for answer in ("Rome", "Oslo", "Lima")]
    assert sum(math.exp(total) for total in ends) <= 1 + 1e-6
    assert math.exp(ends[0]) > 0.5
    assert tokenizer.eos_token_id in taught.stops


def test_what_cannot_be_scored_is_none_and_spoils_nothing(taught):
    prompt = ROWS[0].messages[:-1]
    found = taught.loglik([(prompt, "Rome"), (prompt, ""), (prompt, "word " * 200), (prompt, "Oslo")])
    assert [type(one) for one in found] == [Loglik, type(None), type(None), Loglik]
    assert found[0] == taught.loglik([(prompt, "Rome")])[0]
    assert taught.loglik([]) == []
    assert taught.generate([], 4) == []


def test_a_prompt_longer_than_the_context_is_cut_from_the_left(taught):
    long = (("user", "word " * 400 + ROWS[1].messages[0][1]),)
    ids = taught.renderer.prompt(long, taught.context - 8)
    assert len(ids) == 120
    assert len(taught.generate([long], 8)) == 1
    assert taught.loglik([(long, "Oslo")])[0].n_tokens > 1
    with pytest.raises(UserError, match="no room"):
        taught.generate([long], 128)


def test_an_adapter_is_merged_into_its_base(adapter, base, prompts):
    import torch
    from peft import PeftModel

    ids = torch.tensor([[5, 60, 70, 80, 90]])
    apart = PeftModel.from_pretrained(load_model(base, "cpu"), str(adapter)).eval()
    merged = Model.load(adapter)
    with torch.no_grad():
        assert torch.allclose(apart(input_ids=ids).logits, merged.model(input_ids=ids).logits, atol=1e-4)
    plain = Model.load(base).loglik([(prompts[0], "In Rome")])[0]
    assert merged.loglik([(prompts[0], "In Rome")])[0].total > plain.total


def test_an_adapter_finds_its_base_after_both_were_moved(adapter, base, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(adapter, moved / adapter.parent.name / adapter.name)
    shutil.copytree(base, moved / base.parent.name / base.name)
    folder = moved / adapter.parent.name / adapter.name
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tmp_path / "gone")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert base_of(folder) == str(moved / base.parent.name / base.name)
    pair = [(ROWS[0].messages[:-1], "Rome")]
    assert Model.load(folder).loglik(pair) == Model.load(adapter).loglik(pair)


def test_pickled_weights_are_refused(base, adapter, tmp_path):
    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(base, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pickled.*pytorch_model\.bin"):
        Model.load(folder)
    copied = tmp_path / "adapter"
    shutil.copytree(adapter, copied)
    (copied / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        Model.load(copied)


def test_a_model_that_is_not_there_is_a_user_error():
    with pytest.raises(UserError, match="cannot be loaded"):
        Model.load("nobody/no-such-model@main")


def test_a_closed_model_holds_no_weights(adapter):
    model = Model.load(adapter)
    model.close()
    assert model.model is None
