"""Exact duplicates: one of each group stays, and says for whom."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.exact import REASON, Exact
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.step import Step
from manifests import schema
from manifests.component import Context

HERE = Context(root=Path())
SMALL = st.lists(
    st.tuples(st.sampled_from("pq"), st.sampled_from(["a", "a ", "A", "b"]), st.sampled_from("xy")), max_size=20
)


def rows(*triples: tuple[str, str, str]) -> pl.DataFrame:
    made, seen = [], {}
    for prompt, response, source in triples:
        messages = (Message("user", prompt), Message("assistant", response))
        key = content_id(messages)
        seen[key, source] = seen.get((key, source), -1) + 1
        made.append(Sample(sample_id(key, source, seen[key, source]), key, source, "generalist", messages))
    return samples_frame(made)


def kept(frame: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(~pl.col("sample_id").is_in(decisions["sample_id"].implode()))


def test_it_is_a_step():
    assert isinstance(Exact(), Step)


@given(SMALL, st.sampled_from(["both", "prompt", "response"]), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_one_row_of_each_group_stays_and_is_the_witness(triples, key, case, whitespace):
    frame = rows(*triples)
    decisions = Exact(key=key, case=case, whitespace=whitespace).decide(frame, {}, HERE)
    assert dict(decisions.schema) == dict(schema.DECISIONS)

    def plain(text: str) -> str:
        text = " ".join(text.split()) if whitespace else text
        return text.casefold() if case else text

    groups = defaultdict(set)
    for sample, prompt, response in frame.select("sample_id", "prompt", "response").iter_rows():
        values = {"prompt": (plain(prompt),), "response": (plain(response),), "both": (plain(prompt), plain(response))}
        groups[values[key]].add(sample)
    witness = dict(decisions.select("sample_id", "witness_id").iter_rows())
    for group in groups.values():
        stays = group - set(witness)
        assert len(stays) == 1
        assert {witness[s] for s in group - stays} <= stays


@given(st.permutations(range(12)))
@settings(max_examples=20, deadline=None)
def test_decisions_do_not_depend_on_row_order(order):
    frame = rows(*[("pq"[i % 2], "ab"[i % 3 == 0], "xyz"[i % 3]) for i in range(12)])
    assert Exact().decide(frame[list(order)], {}, HERE).equals(Exact().decide(frame, {}, HERE))


def test_a_drop_says_why_and_for_whom():
    frame = rows(("p", "a", "x"), ("p", "a", "x"), ("p", "b", "x"))
    decisions = Exact().decide(frame, {}, HERE)
    assert decisions.select("kept", "reason", "similarity").rows() == [(False, REASON, 1.0)]
    assert {decisions["sample_id"].item(), decisions["witness_id"].item()} < set(frame["sample_id"])


@pytest.mark.parametrize(
    ("prefer", "response", "source"), [("length", "the longer one", "b"), ("source", "short", "a"), ("id", None, None)]
)
def test_the_preferred_row_stays(prefer, response, source):
    frame = rows(("p", "the longer one", "b"), ("p", "short", "a"), ("p", "tiny", "c"))
    stays = kept(frame, Exact(key="prompt", prefer=(prefer,)).decide(frame, {}, HERE))
    if prefer == "id":
        assert stays["sample_id"].item() == min(frame["sample_id"])
    else:
        assert stays.select("response", "source").row(0) == (response, source)


def test_normalisation_is_a_choice():
    frame = rows(("p", "caf\u00e9  noir", "x"), ("p", "cafe\u0301 noir ", "x"), ("p", "CAF\u00c9 noir", "x"))
    assert len(Exact().decide(frame, {}, HERE)) == 1
    assert len(Exact(case=True).decide(frame, {}, HERE)) == 2
    assert len(Exact(nfc=False).decide(frame, {}, HERE)) == 0
    assert len(Exact(whitespace=False).decide(frame, {}, HERE)) == 0


def test_prompt_and_response_are_not_run_together():
    assert len(Exact().decide(rows(("a b", "c", "x"), ("a", "b c", "x")), {}, HERE)) == 0


def test_a_protected_source_loses_nothing():
    frame = rows(("p", "the longer one", "b"), ("p", "short", "a"), ("p", "tiny", "a"))
    stays = kept(frame, Exact(key="prompt", protect=("a",)).decide(frame, {}, HERE))
    assert stays["source"].to_list() == ["a", "a"]


def test_no_rows_give_no_decisions():
    assert Exact().decide(rows(), {}, HERE).shape == (0, 6)
