"""Overlap with evaluation text against sets of tuples."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.decontaminate import OVERLAPS, REASON, Decontaminate, overlaps
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.step import Step
from manifests import schema
from manifests.component import Context

HERE = Context(root=Path())
QUESTION = (
    "A train leaves the old station at nine and reaches the coast four hours later; how fast does it go on average?"
)
SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=9).map(" ".join)


def rows(role: str, *pairs: tuple[str, str]) -> pl.DataFrame:
    made = []
    for i, (prompt, response) in enumerate(pairs):
        messages = (Message("user", prompt), Message("assistant", response))
        key = content_id(messages)
        made.append(Sample(sample_id(key, f"{role}-{i}", 0), key, f"{role}-{i}", role, messages))
    return samples_frame(made)


def found(step: Decontaminate, train: pl.DataFrame, held_out: pl.DataFrame) -> dict[str, tuple[str, float]]:
    """Return the prompt of each dropped row with its witness's prompt and the similarity."""
    decisions = step.decide(train, {"eval": held_out}, HERE)
    assert dict(decisions.schema) == dict(schema.DECISIONS)
    prompts = dict(pl.concat([train, held_out]).select("sample_id", "prompt").iter_rows())
    columns = decisions.select("sample_id", "witness_id", "similarity").iter_rows()
    return {prompts[sample]: (prompts[witness], similarity) for sample, witness, similarity in columns}


def reference(train: list[str], held_out: list[str], n: int, cap: int | None) -> dict[tuple[int, int], float]:
    def grams(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    theirs = [grams(t) for t in held_out]
    often = {g: sum(g in other for other in theirs) for grams_of in theirs for g in grams_of}
    counted = [{g for g in mine if cap is None or often[g] <= cap} for mine in theirs]
    result = {}
    for i, text in enumerate(train):
        for j, (mine, test) in enumerate(zip(counted, held_out, strict=True)):
            if mine and mine & grams(text):
                result[i, j] = len(mine & grams(text)) / len(mine)
            elif not mine and test.split() and test.split() == text.split():
                result[i, j] = 1.0
    return result


def test_it_is_a_step_that_needs_the_eval_rows():
    assert isinstance(Decontaminate(), Step)
    assert Decontaminate.needs == ("eval",)
    assert Decontaminate().roles == ("generalist", "specialist")


@given(
    st.lists(SENTENCES, max_size=8),
    st.lists(SENTENCES, max_size=6),
    st.integers(1, 4),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=100, deadline=None)
def test_overlaps_are_those_of_sets_of_tuples(train, held_out, n, cap, share):
    got = overlaps(
        pl.Series(train, dtype=pl.String),
        pl.Series(held_out, dtype=pl.String),
        n,
        share=share,
        max_eval_rows=cap,
    )
    assert dict(got.schema) == dict(OVERLAPS)
    expected = {k: v for k, v in reference(train, held_out, n, cap).items() if v >= share}
    assert {(i, j): s for i, j, s in got.iter_rows()} == expected
    assert got.select("train", "eval").rows() == sorted(expected)


def test_a_quoted_test_question_is_found_whatever_its_case_and_punctuation():
    train = rows(
        "generalist", ("Rephrase: " + QUESTION.upper().replace(",", " -"), "Done."), ("Name a train.", "Flyer.")
    )
    dropped = found(Decontaminate(), train, rows("eval", (QUESTION, "80 km/h")))
    assert list(dropped.values()) == [(QUESTION, 1.0)]
    decisions = Decontaminate().decide(train, {"eval": rows("eval", (QUESTION, "x"))}, HERE)
    assert decisions.select("kept", "reason").rows() == [(False, REASON)]


def test_twelve_shared_words_are_not_thirteen():
    shared = QUESTION.split()[:12]
    train = rows("generalist", (" ".join(shared), "ok"), (" ".join([*QUESTION.split()[:13], "or so"]), "ok"))
    assert list(found(Decontaminate(), train, rows("eval", (QUESTION, "x")))) == [
        " ".join([*QUESTION.split()[:13], "or so"])
    ]


def test_the_answer_is_searched_only_when_asked():
    train = rows("generalist", ("Make up a question.", QUESTION))
    held_out = rows("eval", (QUESTION, "80 km/h"))
    assert len(found(Decontaminate(), train, held_out)) == 1
    assert len(found(Decontaminate(text="prompt"), train, held_out)) == 0


def test_the_eval_answer_is_looked_for_only_when_asked():
    train = rows("generalist", (QUESTION, "ok"))
    held_out = rows("eval", ("Write a question about a train.", QUESTION))
    assert len(found(Decontaminate(), train, held_out)) == 0
    assert len(found(Decontaminate(eval_text="both"), train, held_out)) == 1


def test_a_share_asks_for_more_than_one_gram():
    half = " ".join(QUESTION.split()[:15])
    train, held_out = rows("generalist", (half, "ok")), rows("eval", (QUESTION, "x"))
    ((_, similarity),) = found(Decontaminate(), train, held_out).values()
    assert similarity == 3 / (len(QUESTION.split()) - 12)
    assert len(found(Decontaminate(share=similarity), train, held_out)) == 1
    assert len(found(Decontaminate(share=similarity + 0.01), train, held_out)) == 0


def test_a_short_test_prompt_drops_the_same_prompt_and_no_other():
    train = rows(
        "generalist",
        ("Why is the sky blue?", "Rayleigh."),
        ("why is the  sky blue", "Light."),
        ("Tell me why is the sky blue?", "Light."),
        ("Sky?", "Why is the sky blue?"),
    )
    dropped = found(Decontaminate(), train, rows("eval", ("Why is the sky blue?", "x")))
    assert set(dropped) == {"Why is the sky blue?", "why is the  sky blue"}


def test_prompts_without_a_word_match_nothing():
    assert found(Decontaminate(), rows("generalist", ("???", "a")), rows("eval", ("!", "x"))) == {}


def test_the_instruction_of_a_task_is_boiler_plate_but_its_rows_are_not():
    template = "Read the sentence below with care and say whether its tone is positive or negative, in one word only: "
    lines = [f"{w} film that I saw with my {w} aunt in the {w} theatre by the sea" for w in "abcdefghijklmnop"]
    held_out = rows("eval", *[(template + line, "positive") for line in lines])
    train = rows("generalist", (template + "The soup was cold.", "negative"), (template + lines[3], "positive"))
    assert set(found(Decontaminate(), train, held_out)) == {template + lines[3]}
    assert len(found(Decontaminate(max_eval_rows=None), train, held_out)) == 2


def test_a_prompt_of_nothing_but_boiler_plate_is_compared_as_a_whole():
    held_out = rows("eval", *[(QUESTION, f"answer {i}") for i in range(12)])
    train = rows("generalist", (QUESTION, "ok"), (QUESTION + " Think.", "ok"))
    dropped = found(Decontaminate(max_eval_rows=10), train, held_out)
    assert list(dropped) == [QUESTION]


def test_the_witness_is_the_eval_row_most_covered_then_the_smallest_id():
    long = QUESTION + " " + " ".join(f"extra{i}" for i in range(30))
    held_out = rows("eval", (long, "x"), (QUESTION, "x"), (QUESTION, "y"))
    decisions = Decontaminate().decide(rows("generalist", (QUESTION, "ok")), {"eval": held_out}, HERE)
    best = held_out.filter(pl.col("prompt") == QUESTION)["sample_id"].min()
    assert decisions.select("witness_id", "similarity").rows() == [(best, 1.0)]


@given(st.permutations(range(10)), st.permutations(range(5)))
@settings(max_examples=15, deadline=None)
def test_decisions_do_not_depend_on_row_order(order, eval_order):
    train = rows("generalist", *[(f"{QUESTION} {i}" if i % 2 else f"Short {i}", "ok") for i in range(10)])
    held_out = rows("eval", *[(QUESTION, f"{i}") for i in range(3)], ("Short 2", "x"), ("Short 4", "x"))
    step = Decontaminate()
    straight = step.decide(train, {"eval": held_out}, HERE)
    assert len(straight) == 7
    assert step.decide(train[list(order)], {"eval": held_out[list(eval_order)]}, HERE).equals(straight)


@pytest.mark.parametrize(("train", "held_out"), [((), (("q", "x"),)), ((("q", "x"),), ()), ((), ())])
def test_nothing_overlaps_with_nothing(train, held_out):
    assert Decontaminate().decide(rows("generalist", *train), {"eval": rows("eval", *held_out)}, HERE).shape == (0, 6)


def test_a_blend_can_be_checked_by_text_alone():
    blend = pl.Series([f"Question: {QUESTION}\nAnswer: 80", "Something else", "2 + 2"])
    got = overlaps(blend, pl.Series([QUESTION, "2+2?"]))
    assert got.rows() == [(0, 0, 1.0), (2, 1, 1.0)]
