"""A LoRA adapter on a served judge: the probabilities are those of PEFT's own forward pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.judges import Call, Menu, Reply
from curate.judges.adapter import ADAPTER, adapter_fingerprint, adapter_rank, check_fit
from curate.judges.vllm import Vllm
from manifests.component import Context, spec_of
from manifests.errors import UserError
from tests.curate import tiny_model
from tests.curate.judges.test_weights import model as made_up

MENU = Menu(tiny_model.LABELS, "\nVerdict:")
PROMPTS = [tiny_model.prompt(question, answer) for question, answer, _ in tiny_model.rows(60, seed=8)]


def adapt(base: Path, folder: Path, *, rank: int = 5, seed: int = 0) -> Path:
    """Save an adapter whose matrices are large enough to turn verdicts."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=rank, lora_alpha=3 * rank, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    adapted.save_pretrained(folder)
    return folder


def merged(base: Path, adapter: Path, folder: Path) -> Path:
    """Save the base with PEFT's merge of the adapter in it."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def answers(engine: Vllm, root: Path) -> list[Reply]:
    calls = [Call(str(i), prompt, str(i), str(i)) for i, prompt in enumerate(PROMPTS)]
    with engine.open([MENU], Context(root=root)) as session:
        replies = {reply.key: reply for batch in session.ask(calls, MENU) for reply in batch}
    return [replies[call.key] for call in calls]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_model.build(tmp_path_factory.mktemp("base"), steps=30)


@pytest.mark.vllm
def test_a_served_adapter_answers_as_pefts_merged_model_does(base, tmp_path):
    adapter = adapt(base, tmp_path / "adapter")
    found = answers(Vllm(model=str(base), adapter=str(adapter), max_model_len=128), tmp_path)
    plain = tiny_model.reference(base, PROMPTS)
    expected = tiny_model.reference(merged(base, adapter, tmp_path / "merged"), PROMPTS)
    assert max(abs(one[0] - other[0]) for one, other in zip(plain, expected, strict=True)) > 0.1
    for reply, pair in zip(found, expected, strict=True):
        assert reply.probabilities == pytest.approx(pair, abs=1e-3)


def test_an_adapter_of_another_base_is_refused_before_the_engine_starts(base, tmp_path):
    # vLLM itself takes matrices that are smaller than the model's, and answers.
    adapter = adapt(tiny_model.build(tmp_path / "other", steps=1, width=32), tmp_path / "adapter")
    with pytest.raises(UserError, match=r"layers\.0\.mlp\.down_proj: \[32, 5\] beside \[64, 128\]") as caught:
        answers(Vllm(model=str(base), adapter=str(adapter)), tmp_path)
    assert "trained on" in str(caught.value)


def test_an_adapter_of_a_deeper_base_is_refused(base, tmp_path):
    import safetensors.numpy

    adapter = adapt(base, tmp_path / "adapter")
    check_fit(adapter, base)
    path = adapter / "adapter_model.safetensors"
    weights = safetensors.numpy.load_file(path)
    more = {name.replace("layers.1.", "layers.7."): value for name, value in weights.items() if "layers.1." in name}
    safetensors.numpy.save_file(weights | more, path)
    with pytest.raises(UserError, match=r"layers\.7\..*no such module"):
        check_fit(adapter, base)


def test_names_that_are_other_throughout_are_left_to_the_engine(base, tmp_path):
    import safetensors.numpy

    adapter = adapt(base, tmp_path / "adapter")
    path = adapter / "adapter_model.safetensors"
    weights = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file({name.replace("layers", "blocks"): value for name, value in weights.items()}, path)
    check_fit(adapter, base)


def made_up_adapter(folder: Path, seed: int = 0, **settings) -> Path:
    made_up(folder, seed=seed)
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / ADAPTER).write_text(json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 16} | settings))
    return folder


def test_an_adapters_weights_and_settings_are_its_identity_and_its_folder_is_not(tmp_path):
    first = adapter_fingerprint(made_up_adapter(tmp_path / "a"))
    assert adapter_fingerprint(made_up_adapter(tmp_path / "copy", base_model_name_or_path="/elsewhere")) == first
    assert adapter_fingerprint(made_up_adapter(tmp_path / "b", seed=1)) != first
    assert adapter_fingerprint(made_up_adapter(tmp_path / "c", lora_alpha=32)) != first


def test_an_adapter_makes_another_engine(tmp_path):
    base = str(made_up(tmp_path / "base"))
    one, two = (str(made_up_adapter(tmp_path / name, seed=i)) for i, name in enumerate("ab"))
    engines = [Vllm(model=base), Vllm(model=base, adapter=one), Vllm(model=base, adapter=two)]
    assert len({json.dumps(engine.identity()) for engine in engines}) == 3
    assert len({json.dumps(spec_of(engine)) for engine in engines}) == 3


@pytest.mark.parametrize(("settings", "rank", "room"), [({}, 8, 8), ({"rank_pattern": {"q": 33}}, 33, 64)])
def test_room_is_made_for_the_largest_rank(tmp_path, settings, rank, room):
    adapter = made_up_adapter(tmp_path / "a", **settings)
    assert adapter_rank(adapter) == rank
    engine = Vllm(model=str(made_up(tmp_path / "base")), adapter=str(adapter))
    assert engine._settings([MENU])["adapter_rank"] == room
    assert engine._settings([MENU])["adapter"] == str(adapter.resolve())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "not a LoRA adapter"),
        ({"r": 0}, "not a number above 0"),
        ({"r": "8"}, "not a number above 0"),
        ({"r": 1024}, "above 512"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused_before_anything_starts(tmp_path, settings, match):
    engine = Vllm(model=str(made_up(tmp_path / "base")), adapter=str(made_up_adapter(tmp_path / "a", **settings)))
    with pytest.raises(UserError, match=match), engine.open([MENU], Context(root=tmp_path)):
        pytest.fail("it was opened")


def test_a_folder_that_is_not_an_adapters_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"adapter_config\.json"):
        adapter_fingerprint(made_up(tmp_path / "model"))
    with pytest.raises(UserError, match=r"adapter_config\.json"):
        adapter_fingerprint(tmp_path / "none")
    broken = made_up_adapter(tmp_path / "a")
    (broken / ADAPTER).write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        adapter_fingerprint(broken)
