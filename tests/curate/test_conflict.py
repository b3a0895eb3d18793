"""Conflicts: rows that answer one prompt in different ways are kept, grouped and handed to the judge."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.conflict import REASON, Conflict
from curate.exact import Exact
from curate.fuzzy import Fuzzy
from curate.step import STEPS, Step
from manifests import schema
from manifests.component import Context
from tests.curate.pool import STORY, rows, talks

HERE = Context(root=Path())
ASKED = "Which animal jumps over the dog in the old story by the river"


def said(frame, ids):
    answers = dict(frame.select("sample_id", "response").iter_rows())
    return {answers.get(sample) for sample in ids}


def test_it_is_a_step():
    assert isinstance(Conflict(), Step)
    assert STEPS.load("conflict") is Conflict


def test_rows_that_disagree_are_kept_with_their_group_s_first_row():
    frame = rows(
        (ASKED, "It is the quick brown fox"),
        (ASKED.upper(), "A cat"),
        (ASKED, "it is the QUICK brown fox!"),
        ("q", "A cat"),
    )
    found = Conflict().decide(frame, {}, HERE)
    assert dict(found.schema) == dict(schema.DECISIONS)
    assert found.select("kept", "reason").unique().rows() == [(True, REASON)]
    (head,) = found.filter(found["witness_id"].is_null())["sample_id"]
    assert said(frame, [head]) == {"it is the QUICK brown fox!"}
    others = found.filter(found["witness_id"].is_not_null())
    assert said(frame, others["sample_id"]) == {"A cat"}
    assert others.select("witness_id", "similarity").rows() == [(head, 0.0)]
    assert found.filter(found["sample_id"] == head)["similarity"].item() is None


def test_the_first_row_is_the_one_of_most_merit():
    frame = rows((ASKED, "A fox"), (ASKED, "Certainly a cat of some kind"))
    assert said(frame, Conflict().decide(frame, {}, HERE)["witness_id"].drop_nulls()) == {
        "Certainly a cat of some kind"
    }
    frame = frame.with_columns(judge=frame["response"].str.len_chars().cast(float))
    step = Conflict(prefer=("low judge",))
    assert step.reads == ("judge",)
    assert said(frame, step.decide(frame, {}, HERE)["witness_id"].drop_nulls()) == {"A fox"}


def test_answers_with_other_numbers_disagree_unless_that_is_off():
    frame = rows((ASKED, f"{STORY}, in 1847"), (ASKED, f"{STORY}, in 1848"))
    found = Conflict().decide(frame, {}, HERE)
    assert len(found) == 2
    assert found["similarity"].max() > 0.8
    assert len(Conflict(numbers_agree=False).decide(frame, {}, HERE)) == 0
    assert len(Conflict(numbers_agree=False, agreement=1.0).decide(frame, {}, HERE)) == 2


def test_near_prompts_are_one_when_asked():
    frame = rows((ASKED, "A fox"), (ASKED + " please", "A cat"), (ASKED + " in 7 words", "A dog"))
    assert len(Conflict().decide(frame, {}, HERE)) == 0
    assert said(frame, Conflict(prompt_similarity=0.8).decide(frame, {}, HERE)["sample_id"]) == {"A fox", "A cat"}


def test_another_system_turn_makes_another_prompt_when_asked():
    frame = talks(
        [[("system", s), ("user", ASKED), ("assistant", a)] for s, a in (("Lie.", "A cat"), ("Be true.", "A fox"))]
    )
    assert len(Conflict().decide(frame, {}, HERE)) == 2
    assert len(Conflict(system=True).decide(frame, {}, HERE)) == 0


@given(st.permutations(range(12)), st.sampled_from([None, 0.5]))
@settings(max_examples=15, deadline=None)
def test_marks_do_not_depend_on_row_order(order, near):
    frame = rows(*[(f"{ASKED} {'xyz'[i % 3]}", f"Answer {'abcd'[i % 4]} of them") for i in range(12)])
    step = Conflict(prompt_similarity=near)
    assert step.decide(frame[list(order)], {}, HERE).equals(step.decide(frame, {}, HERE))


def test_what_is_marked_survives_the_duplicate_steps():
    frame = rows((STORY, "Yes."), (STORY, "No."), (STORY, "yes"), (STORY + "!", "no"))
    marked = Conflict(prompt_similarity=0.9).decide(frame, {}, HERE)
    gone = {s for step in (Exact(), Fuzzy(threshold=0.5)) for s in step.decide(frame, {}, HERE)["sample_id"]}
    assert said(frame, set(frame["sample_id"]) - gone) == {"Yes.", "No."}
    assert len(marked) >= 2


@pytest.mark.parametrize("frame", [rows(), rows(("p", "a")), rows(("p", "a"), ("p", "a "), ("", "?"), ("", "?"))])
def test_without_disagreement_nothing_is_marked(frame):
    assert Conflict().decide(frame, {}, HERE).shape == (0, 6)
