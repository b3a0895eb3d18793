"""Familiarity: what a model says by itself, against what a row says."""

from __future__ import annotations

import random
from dataclasses import replace

import polars as pl
import pytest

from curate.familiarity import HIGHLY, MAYBE, UNKNOWN, WEAKLY, Familiarity, category
from curate.inquiry import CACHE
from curate.judges import JudgeEngine, Text
from curate.judges.vllm import Vllm
from curate.measure import auroc
from curate.step import JUDGES, STEPS, Scorer
from manifests import schema
from manifests.component import Context, component_key
from manifests.errors import UserError
from tests.benchmarks import world
from tests.curate.judged import by_response, frame
from tests.curate.writer import Writer
from trainers.scratch import Scratch

CAPITALS = {"France": "Paris", "Italy": "Rome", "Norway": "Oslo", "Japan": "Tokyo", "Peru": "Lima", "Kenya": "Nairobi"}


def question(country: str) -> str:
    return f"What is the capital of {country}?"


EXAMPLES = frame((question(c), a) for c, a in CAPITALS.items()).with_columns(role=pl.lit("specialist"))


def knows(prompt: str, number: int) -> str:
    """Know every capital."""
    last = prompt.rpartition("Question: ")[2]
    return next((f" {city}" for country, city in CAPITALS.items() if country in last), " Paris")


def ask(tmp_path, rows, answer=knows, reference=EXAMPLES, **fields):
    samples = rows if isinstance(rows, pl.DataFrame) else frame(rows)
    engine = answer if isinstance(answer, Writer) else Writer(answer)
    scorer = Familiarity(**{"model": engine, "sets": 2, "samples": 3, "shots": 2} | fields)
    given = {} if reference is None else {"specialist": reference}
    return by_response(samples, scorer.score(samples, Context(root=tmp_path), given).scores)


def test_it_is_a_scorer_of_the_table_that_takes_any_engine():
    assert STEPS.load("familiarity") is Familiarity
    scorer = Familiarity(model=Writer(knows))
    assert isinstance(scorer, Scorer)
    assert isinstance(scorer.model, JudgeEngine)
    assert Familiarity.nested == {"model": JUDGES}
    assert (scorer.good, scorer.needs) == ("high", ("specialist",))
    assert replace(scorer, shots=0).needs == ()


def test_what_the_model_says_too_is_known_and_what_it_never_says_is_unknown(tmp_path):
    found = ask(tmp_path, [(question("France"), "Paris"), (question("Norway"), "Bergen")])
    assert (found["Paris"]["value"], found["Paris"]["status"]) == (1.0, "ok")
    assert found["Paris"]["why"] == "highly known: greedy 2/2, sampled 6/6"
    assert (found["Bergen"]["value"], found["Bergen"]["status"]) == (0.0, "ok")
    assert found["Bergen"]["why"] == "unknown: greedy 0/2, sampled 0/6; it says 'oslo' in 8 of 8"


@pytest.mark.parametrize(
    ("greedy", "of", "sampled", "expected"),
    [(4, 4, 0, HIGHLY), (4, 4, 9, HIGHLY), (1, 4, 9, MAYBE), (3, 4, 0, MAYBE), (0, 4, 1, WEAKLY), (0, 4, 0, UNKNOWN)],
)
def test_the_category_is_that_of_gekhman_and_others(greedy, of, sampled, expected):
    assert category(greedy, of, sampled) == expected


def test_the_value_is_the_share_of_all_answers_that_agree(tmp_path):
    def sometimes(prompt: str, number: int) -> str:
        return "Oslo" if number == 2 else f"city {number}"

    row = ask(tmp_path, [(question("Norway"), "Oslo")], sometimes)["Oslo"]
    assert row["value"] == pytest.approx(2 / 8)
    assert row["why"] == "weakly known: greedy 0/2, sampled 2/6"


def test_without_sampling_only_the_greedy_answers_count(tmp_path):
    engine = Writer(knows)
    row = ask(tmp_path, [(question("Norway"), "Oslo")], engine, samples=0)["Oslo"]
    assert row["why"] == "highly known: greedy 2/2, sampled 0/0"
    assert len(engine.asked) == 2


def test_examples_never_hold_the_row_nor_its_answer_and_stand_before_the_question(tmp_path):
    rows = [(question(c), a) for c, a in CAPITALS.items()]
    engine = Writer(knows)
    ask(tmp_path, rows, engine, shots=4, sets=3)
    for prompt, _ in engine.asked:
        *examples, asked = prompt.split("\n\n")
        assert asked.endswith("?\nAnswer:")
        assert len(examples) == 4
        country = asked.split("capital of ")[1].split("?")[0]
        assert f"capital of {country}" not in "".join(examples)
        assert CAPITALS[country] not in "".join(examples)
        assert all(CAPITALS[e.split("capital of ")[1].split("?")[0]] == e.split("Answer: ")[1] for e in examples)


def test_the_sets_differ_and_hang_on_the_seed_alone(tmp_path):
    def prompts(folder: str, reference: pl.DataFrame, **fields) -> list[str]:
        engine = Writer(knows)
        ask(tmp_path / folder, [("What is the capital of Chad?", "N'Djamena")], engine, reference, sets=4, **fields)
        return sorted({prompt for prompt, _ in engine.asked})

    first = prompts("a", EXAMPLES)
    assert len(first) > 1
    assert prompts("b", EXAMPLES.reverse()) == first
    assert prompts("c", EXAMPLES, seed=1) != first


def test_no_examples_means_one_set(tmp_path):
    engine = Writer(knows)
    row = ask(tmp_path, [(question("Peru"), "Lima")], engine, None, shots=0, sets=5, template="{prompt}\n{response}")
    assert row["Lima"]["why"] == "highly known: greedy 1/1, sampled 3/3"
    assert {prompt for prompt, _ in engine.asked} == {question("Peru")}


def test_rows_of_one_prompt_share_their_calls_and_a_second_time_nothing_is_asked(tmp_path):
    engine = Writer(knows)
    rows = [(question("Chad"), "Paris"), (question("Chad"), "Rome")]
    first = ask(tmp_path, rows, engine, None, shots=0)
    assert len(engine.asked) == 2
    assert (first["Paris"]["value"], first["Rome"]["value"]) == (1.0, 0.0)
    assert ask(tmp_path, rows, engine, None, shots=0) == first
    assert (len(engine.asked), len(engine.opened)) == (2, 1)
    assert (tmp_path / CACHE).exists()


def test_values_do_not_hang_on_the_order_of_rows_nor_on_what_is_asked_beside_them(tmp_path):
    rows = [(question(c), a) for c, a in CAPITALS.items()]
    whole = ask(tmp_path / "a", rows)
    turned = ask(tmp_path / "b", frame(rows).reverse())
    assert whole == turned
    assert ask(tmp_path / "c", rows[:1])["Paris"] == whole["Paris"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (("What is long?", " ".join(["word"] * 13)), "no short answer to compare: 13 words, 12 at most"),
        (("What is empty?", "  ?!"), "no words in the response"),
        (("Is it Rome or Paris?", "Paris"), "the prompt holds the answer"),
    ],
)
def test_rows_with_nothing_to_compare_abstain_and_are_not_asked(tmp_path, row, why):
    engine = Writer(knows)
    found = ask(tmp_path, [row, (question("Peru"), "Lima")], engine)[row[1]]
    assert (found["status"], found["value"], found["why"], found["key"]) == ("abstained", None, why, None)
    assert not any(row[0] in prompt for prompt, _ in engine.asked)


def test_other_sources_and_longer_conversations_abstain(tmp_path):
    samples = frame([(question("Peru"), "Lima"), (question("Japan"), "Tokyo")])
    several = samples.with_columns(n_turns=pl.lit(4, pl.Int32))
    assert {row["why"] for row in ask(tmp_path, several).values()} == {"more than one question"}
    assert {row["why"] for row in ask(tmp_path, samples, sources=("other",)).values()} == {
        "its source is not asked about"
    }
    assert {row["status"] for row in ask(tmp_path, samples, sources=("tests",)).values()} == {"ok"}


def test_a_failed_call_fails_its_row_and_no_other(tmp_path):
    def dry(prompt: str, number: int) -> str | None:
        return None if "Peru" in prompt.rpartition("\n\n")[2] and number else knows(prompt, number)

    found = ask(tmp_path, [(question("Peru"), "Lima"), (question("Japan"), "Tokyo")], dry)
    assert (found["Lima"]["status"], found["Lima"]["value"]) == ("failed", None)
    assert found["Lima"]["why"] == "2 of 4 calls failed: the writer is out of ink"
    assert found["Tokyo"]["value"] == 1.0


def test_failed_calls_are_asked_again(tmp_path):
    row = [(question("Peru"), "Lima")]
    assert ask(tmp_path, row, lambda prompt, number: None)["Lima"]["status"] == "failed"
    assert ask(tmp_path, row)["Lima"]["value"] == 1.0


def test_a_model_that_writes_nothing_is_a_failure_and_not_ignorance(tmp_path):
    row = ask(tmp_path, [(question("Peru"), "Lima")], lambda prompt, number: " \n")["Lima"]
    assert (row["status"], row["why"]) == ("failed", "the model wrote nothing in 8 answers")
    some = ask(tmp_path / "b", [(question("Peru"), "Lima")], lambda prompt, number: "Lima" if number == 1 else "")
    assert some["Lima"]["value"] == 0.25


def test_cut_answers_are_read_as_far_as_they_go_but_never_agree_exactly(tmp_path):
    def cut(prompt: str, number: int) -> Text:
        return Text("Lima", "length" if number != 1 else "stop")

    row = [(question("Peru"), "Lima")]
    assert ask(tmp_path, row, cut)["Lima"]["value"] == 1.0
    assert ask(tmp_path, row, cut, match="exact")["Lima"]["value"] == 0.25
    every = ask(tmp_path / "b", row, lambda prompt, number: Text("Lima", "length"), match="exact", max_tokens=5)["Lima"]
    assert (every["status"], every["why"]) == ("failed", "every answer was cut off at 5 tokens")


def test_meaning_is_compared_by_an_encoder(tmp_path):
    said = "The town lies on a wide river near the sea"
    row = [("Describe it.", said)]
    same = ask(tmp_path, row, lambda *_: f"{said}.", match="embedding", encoder="hash", longest=2, least=0.8)
    other = ask(tmp_path / "b", row, lambda *_: "Nothing grows there", match="embedding", encoder="hash", least=0.8)
    assert (same[said]["value"], other[said]["value"]) == (1.0, 0.0)


def test_how_it_is_asked_is_what_the_fields_say(tmp_path):
    engine = Writer(knows)
    fields = {"max_tokens": 9, "stop": ("\n", "Q:"), "temperature": 0.7, "seed": 5, "samples": 6}
    ask(tmp_path, [(question("Peru"), "Lima")], engine, **fields)
    hows = {(h.max_tokens, h.n, h.temperature, h.seed, h.stop) for _, h in engine.asked}
    assert hows == {(9, 1, 0.0, 0, ("\n", "Q:")), (9, 6, 0.7, 5, ("\n", "Q:"))}


def test_pending_counts_the_calls_that_score_would_make(tmp_path):
    samples = frame([(question("Peru"), "Lima"), (question("Peru"), "Cusco"), ("Long?", "word " * 20)])
    context, reference = Context(root=tmp_path), {"specialist": EXAMPLES}
    engine = Writer(knows)
    scorer = Familiarity(model=engine, sets=2, samples=3, shots=2)
    expected = scorer.pending(samples, context, reference)
    assert scorer.pending(samples, context) == 4  # without the examples: two sets, greedy and sampled, one prompt
    scorer.score(samples, context, reference)
    assert len(engine.asked) == expected
    assert scorer.pending(samples, context, reference) == 0
    none = Familiarity(model=engine, shots=0, samples=0)
    assert none.pending(samples, context) == 1


def test_too_few_examples_are_said(tmp_path):
    with pytest.raises(UserError, match="too few rows to show as examples: 6 of role specialist"):
        ask(tmp_path, [(question("Peru"), "Lima")], shots=7)
    with pytest.raises(UserError, match="too few rows to show as examples: 0"):
        ask(tmp_path, [(question("Peru"), "Lima")], exemplar_sources=("other",))


def test_long_rows_are_no_examples(tmp_path):
    long = frame([("Tell me more. " * 40, "Paris"), ("Again?", "word " * 13)]).with_columns(role=pl.lit("specialist"))
    with pytest.raises(UserError, match="0 of role specialist"):
        ask(tmp_path, [(question("Peru"), "Lima")], reference=long, shots=1)


@pytest.mark.parametrize("template", ["{response}", "{prompt}", "{response} {prompt}", ""])
def test_a_template_without_a_place_for_the_answer_is_refused(template):
    with pytest.raises((UserError, ValueError), match="the template needs"):
        Familiarity(model=Writer(knows), template=template)


def test_what_a_row_says_cannot_pull_in_the_templates_places(tmp_path):
    engine = Writer(lambda prompt, number: "x")
    ask(tmp_path, [("Say {response} and {prompt}", "y")], engine, None, shots=0)
    assert {prompt for prompt, _ in engine.asked} == {"Question: Say {response} and {prompt}\nAnswer:"}


def test_every_row_is_answered_once_and_no_rows_are_no_rows(tmp_path):
    samples = frame([(question("Peru"), "Lima")] * 3 + [("Long?", "word " * 20)])
    scorer = Familiarity(model=Writer(knows), shots=0)
    scores = scorer.score(samples, Context(root=tmp_path)).scores
    assert sorted(scores["sample_id"]) == sorted(samples["sample_id"])
    assert scores.schema == pl.Schema(schema.SCORES)
    assert scorer.score(samples.head(0), Context(root=tmp_path)).scores.height == 0


def test_the_key_hangs_on_every_field_and_the_identity_on_the_encoder_only_where_it_is_used():
    scorer = Familiarity(model=Writer(knows))
    changed = [replace(scorer, shots=3), replace(scorer, least=0.6), replace(scorer, seed=1)]
    assert len({component_key(part) for part in (scorer, *changed)}) == 4
    assert scorer.identity() == {"model": {"model": "writer"}}
    assert set(replace(scorer, match="embedding", encoder="hash").identity()) == {"model", "encoder"}


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """Return a model that has learnt a table of facts by heart, those facts, and as many that it was never told."""
    facts = world.facts(random.Random(4), 10, 40)
    taught, unseen = facts[:20], facts[20:]
    folder = tmp_path_factory.mktemp("memory")
    size = {"layers": 2, "width": 64, "heads": 2, "vocab": 400, "context": 128, "batch_tokens": 1024, "lr": 1e-2}
    texts = world.lessons([(fact, fact.true) for fact in taught], 0, together=2)
    return Scratch(**size, steps=200).build(texts, folder / "base", Context(root=folder)), taught, unseen


def greedy(folder, prompts: list[str]) -> list[str]:
    """Return the first line that a plain forward pass adds to each prompt, token by token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        written = model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        found.append(tokenizer.decode(written, skip_special_tokens=True).partition("\n")[0].strip())
    return found


@pytest.mark.vllm
def test_a_real_model_is_familiar_with_what_it_was_taught_and_with_nothing_else(memory, tmp_path):
    folder, taught, unseen = memory
    answers = greedy(folder, [f"Question: {fact.ask(0)}\nAnswer:" for fact in taught + unseen])
    assert sum(said == fact.true for said, fact in zip(answers, taught, strict=False)) >= 18  # it did learn them
    samples = frame((fact.ask(0), fact.true) for fact in taught + unseen)
    shown = frame((fact.ask(1), fact.true) for fact in taught).with_columns(role=pl.lit("specialist"))
    scorer = Familiarity(model=Vllm(model=str(folder), max_model_len=128), shots=1, sets=2, samples=4, max_tokens=12)
    scores = scorer.score(samples, Context(root=tmp_path), {"specialist": shown}).scores
    assert set(scores["status"]) == {"ok"}
    value = dict(samples.join(scores, on="sample_id").select("prompt", "value").iter_rows())
    known, new = ([value[fact.ask(0)] for fact in facts] for facts in (taught, unseen))
    assert sum(known) / len(known) > 0.85
    assert sum(new) / len(new) < 0.1
    assert auroc([True] * 20 + [False] * 20, known + new) > 0.97

    alone = replace(scorer, shots=0, samples=0).score(samples, Context(root=tmp_path)).scores
    found = dict(samples.join(alone, on="sample_id").select("prompt", "value").iter_rows())
    expected = {f.ask(0): float(said == f.true) for said, f in zip(answers, taught + unseen, strict=True)}
    assert found == expected
