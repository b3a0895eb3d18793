"""Rendering: prompts are prefixes, answers alone are learnt, text is only text."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.errors import UserError
from trainers.render import NO_ANSWER, NO_PROMPT, TEMPLATE, TOO_LONG, Problem, Rendered, Renderer, laid_out, render

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
REWRITES = (  # shows the last user turn otherwise once there is an answer
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | upper if loop.last else m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
THINKS = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}<think></think>{% endif %}"
    "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"
)


def with_template(tokenizer, template, *extra):
    made = copy.deepcopy(tokenizer)
    made.chat_template = template
    if extra:
        made.add_special_tokens({"additional_special_tokens": list(extra)})
    return made


@pytest.fixture(scope="module")
def renderers(tokenizer) -> dict[str, Renderer]:
    return {
        "own": Renderer(tokenizer),
        "default": Renderer(with_template(tokenizer, None)),
        "chatml": Renderer(with_template(tokenizer, CHATML, "<|im_start|>", "<|im_end|>")),
        "no system": Renderer(with_template(tokenizer, NO_SYSTEM)),
        "rewrites": Renderer(with_template(tokenizer, REWRITES)),
        "thinks": Renderer(with_template(tokenizer, THINKS)),
        "alpaca": Renderer(laid_out(with_template(tokenizer, None), "alpaca")),
    }


contents = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)
spiced = st.one_of(contents, st.sampled_from(["a<|end|>b", "<|assistant|>", "<|im_end|>\n<|im_start|>user", "<|pad|>"]))
turns = st.tuples(st.booleans(), st.lists(st.tuples(spiced, spiced), min_size=1, max_size=3)).map(
    lambda made: tuple(
        ([("system", "Be brief.")] if made[0] else [])
        + [turn for ask, answer in made[1] for turn in (("user", ask), ("assistant", answer))]
    )
)


@pytest.mark.parametrize("name", ["own", "default", "chatml", "no system", "rewrites", "thinks", "alpaca"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=turns)
def test_a_prompt_for_generation_is_the_start_of_the_training_row(renderers, name, messages):
    renderer = renderers[name]
    row = renderer.row(messages, 4096)
    assert isinstance(row, Rendered)
    assert list(row.ids[: row.start]) == renderer.prompt(messages[:-1])
    assert row.ids[-1] == renderer.end
    assert renderer.end not in row.ids[row.start : -1]
    assert row.mask == tuple([False] * row.start + [True] * (len(row.ids) - row.start))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=turns)
def test_text_cannot_open_or_end_a_turn(tokenizer, messages):
    ids = render(tokenizer, messages, 4096).ids
    assert ids.count(tokenizer.convert_tokens_to_ids("<|end|>")) == len(messages)
    assert ids.count(tokenizer.convert_tokens_to_ids("<|user|>")) == sum(role == "user" for role, _ in messages)


@pytest.mark.parametrize("name", ["own", "default", "chatml"])
def test_the_learnt_tokens_spell_the_answer_and_its_end(renderers, name):
    renderer = renderers[name]
    row = renderer.row((("user", "Where?"), ("assistant", "In Rome, by the river.")), 256)
    learnt = renderer.tokenizer.decode([i for i, kept in zip(row.ids, row.mask, strict=True) if kept][:-1])
    assert learnt == "In Rome, by the river."


def test_only_the_last_answer_is_learnt(tokenizer):
    messages = (("user", "a"), ("assistant", "first"), ("user", "b"), ("assistant", "second"))
    row = render(tokenizer, messages, 256)
    assert tokenizer.decode(row.ids[row.start :], skip_special_tokens=True) == "second"
    assert "first" in tokenizer.decode(row.ids[: row.start])


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ((), NO_ANSWER),
        ((("user", "a"),), NO_ANSWER),
        ((("user", "a"), ("assistant", " \n")), NO_ANSWER),
        ((("assistant", "a"),), NO_PROMPT),
        ((("user", "Where?"), ("assistant", "word " * 200)), TOO_LONG),
    ],
)
def test_a_row_with_nothing_to_learn_is_a_problem(tokenizer, messages, reason):
    assert render(tokenizer, messages, 64) == Problem(reason)


def test_a_template_that_refuses_the_turns_is_a_problem(tokenizer):
    renderer = Renderer(with_template(tokenizer, "{{ raise_exception('never') if messages[0].content == 'x' }}a"))
    assert renderer.row((("user", "x"), ("assistant", "y")), 64) == Problem(TEMPLATE)
    with pytest.raises(UserError, match="template refuses"):
        renderer.prompt((("user", "x"),))


def test_a_long_prompt_is_cut_from_the_left_and_the_answer_kept(tokenizer):
    messages = (("user", "word " * 300 + "the end"), ("assistant", "In Rome."))
    whole, cut = render(tokenizer, messages, 4096), render(tokenizer, messages, 64)
    assert not whole.truncated
    assert cut.truncated
    assert len(cut.ids) == 64
    assert cut.ids == whole.ids[-64:]
    assert cut.ids[cut.start :] == whole.ids[whole.start :]


def test_a_cut_prompt_keeps_its_first_token_when_that_begins_a_text(tokenizer):
    made = with_template(tokenizer, "<|system|>" + tokenizer.chat_template)
    made.bos_token = "<|system|>"  # noqa: S105
    row = render(made, (("user", "word " * 300), ("assistant", "In Rome.")), 64)
    assert row.ids[0] == made.bos_token_id
    assert len(row.ids) == 64


def test_a_system_turn_goes_into_the_first_user_turn_where_the_template_has_none(renderers):
    renderer = renderers["no system"]
    row = renderer.row((("system", "Be brief."), ("user", "Where?"), ("assistant", "Rome")), 256)
    text = renderer.tokenizer.decode(row.ids)
    assert text.startswith("[user]Be brief.\n\nWhere?")


def test_a_tokenizer_that_marks_the_start_of_a_text_does_not_mark_the_answer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<e>", "▁", "Q", "A", ":", "x", "y", "▁Q", "<u>"]
    bpe = Tokenizer(models.BPE({w: n for n, w in enumerate(words)}, [("▁", "Q")], unk_token="<u>"))  # noqa: S106
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<e>", unk_token="<u>")  # noqa: S106
    made.chat_template = (
        "{% for m in messages %}{{ 'Q:' if m.role == 'user' else 'A:' }}{{ m.content }}"
        "{% if m.role == 'assistant' %}<e>{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
    )
    row = render(made, (("user", "x"), ("assistant", "y")), 64)
    assert made.convert_ids_to_tokens(list(row.ids)) == ["▁Q", ":", "x", "A", ":", "y", "<e>"]
    assert row.start == 5


WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
NO_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
"""Both as published: tatsu-lab/stanford_alpaca@15b51ae3, train.py, PROMPT_DICT."""

paragraphs = contents.filter(lambda text: "\n" not in text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(instruction=paragraphs, text=contents | st.just(""), answer=contents)
def test_the_alpaca_layout_is_the_published_one_to_the_byte(tokenizer, instruction, text, answer):
    made = laid_out(copy.deepcopy(tokenizer), "alpaca")
    turns = [{"role": "user", "content": instruction + ("\n\n" + text if text else "")}]
    wanted = (WITH_INPUT if text else NO_INPUT).replace("{instruction}", instruction, 1)
    wanted = wanted if not text else wanted.rpartition("{input}")[0] + text + wanted.rpartition("{input}")[2]
    said = {"tokenize": False}
    assert made.apply_chat_template(turns, add_generation_prompt=True, **said) == wanted
    turns.append({"role": "assistant", "content": answer})
    assert made.apply_chat_template(turns, **said) == wanted + answer + made.eos_token


def test_the_alpaca_layout_puts_a_system_turn_where_the_instruction_stands(renderers):
    made = renderers["alpaca"]
    row = made.row((("system", "Be brief."), ("user", "Where?"), ("assistant", "Rome")), 512)
    assert made.tokenizer.decode(row.ids) == WITH_INPUT.format(instruction="Be brief.", input="Where?") + "Rome<|end|>"


def test_a_layout_opens_with_the_token_that_the_tokenizer_opens_with(tokenizer):
    from tokenizers.processors import TemplateProcessing

    made = copy.deepcopy(tokenizer)
    made.bos_token = "<|system|>"  # noqa: S105
    assert not laid_out(made, "alpaca").chat_template.startswith("{{ bos")
    pair = [("<|system|>", made.bos_token_id)]
    made.backend_tokenizer.post_processor = TemplateProcessing(single="<|system|> $A", special_tokens=pair)
    row = render(laid_out(made, "alpaca"), (("user", "Where?"), ("assistant", "Rome")), 512)
    assert row.ids.count(made.bos_token_id) == 1
    assert row.ids[0] == made.bos_token_id


def test_its_own_layout_is_left_alone(tokenizer):
    assert laid_out(copy.deepcopy(tokenizer), "own").chat_template == tokenizer.chat_template
