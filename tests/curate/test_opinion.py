"""Opinions: what probabilities, texts and several votes amount to, and what they never turn into a number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.judges import ABSTAINED, FAILED, OK, Menu, Reply, Text, failed
from curate.opinion import Opinion, Policy, combine, read, remarked, written

TWO = Menu((" correct", " wrong"), ":")
THREE = Menu((" correct", " wrong", " unsure"), ":")


def reply(*probabilities: float) -> Reply:
    return Reply(key="k", status=OK, probabilities=probabilities)


def ok(*values: float) -> list[Opinion]:
    return [Opinion(OK, value, keys=(f"k{i}",)) for i, value in enumerate(values)]


def test_the_value_is_the_share_of_wrong_in_both_answers():
    assert read(reply(0.6, 0.2), TWO, 0.5) == Opinion(OK, 0.25, None, ("k",))


def test_the_third_answer_counts_to_the_mass_and_not_to_the_value():
    found = read(reply(0.3, 0.1, 0.2), THREE, 0.55)
    assert (found.status, found.value) == (OK, pytest.approx(0.25))
    assert read(reply(0.3, 0.1), TWO, 0.55).status == FAILED


def test_an_unsure_judge_abstains_with_the_probability():
    found = read(reply(0.2, 0.2, 0.6), THREE, 0.5)
    assert (found.status, found.value, found.why) == (ABSTAINED, None, "the judge is unsure (p=0.60)")


def test_an_answer_as_likely_as_unsure_is_an_answer():
    assert read(reply(0.4, 0.1, 0.4), THREE, 0.5).value == pytest.approx(0.2)


def test_one_that_is_only_unsure_abstains_and_does_not_fail():
    assert read(reply(0.0, 0.0, 1.0), THREE, 0.5).status == ABSTAINED


def test_a_recorded_judge_may_lack_the_third_answer():
    assert read(reply(0.9, 0.1), THREE, 0.5).value == pytest.approx(0.1)


@pytest.mark.parametrize(("menu", "found"), [(TWO, (0.5, 0.3, 0.2)), (THREE, (0.4, 0.3, 0.2, 0.1)), (TWO, (1.0,))])
def test_probabilities_for_another_menu_are_a_failure(menu, found):
    opinion = read(reply(*found), menu, 0.0)
    assert (opinion.status, opinion.value) == (FAILED, None)
    assert opinion.why == f"malformed: {len(found)} probabilities for {len(menu.labels)} labels"


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_no_probability_at_all_is_a_failure(least):
    for found in (reply(0.0, 0.0), reply(), Reply(key="k", status=OK)):
        assert read(found, TWO, least).status == FAILED


def test_a_status_that_does_not_exist_is_a_failure():
    opinion = read(Reply(key="k", status="fine", probabilities=(0.5, 0.5)), TWO, 0.0)
    assert (opinion.status, opinion.value, opinion.why) == (FAILED, None, "no reason given")


def test_the_engines_own_reason_is_kept():
    assert read(failed("k", "too long"), TWO, 0.5) == Opinion(FAILED, None, "too long", ("k",))
    assert read(Reply(key="k", status=ABSTAINED, why="no record"), TWO, 0.5).status == ABSTAINED


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_votes_amount_to_their_mean(values):
    found = combine(ok(*values), Policy())
    assert found.status == OK
    assert found.value == pytest.approx(math.fsum(values) / len(values), abs=1e-12)
    assert min(values) <= found.value <= max(values)
    assert found.keys == tuple(f"k{i}" for i in range(len(values)))


def test_one_vote_is_its_own_result():
    vote = Opinion(OK, 0.4, "odd", ("k",))
    assert combine([vote], Policy(max_spread=0.0)) is vote


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(0.01, 0.99))
def test_votes_on_both_sides_of_the_threshold_are_unstable(values, threshold):
    wrong = sum(value >= threshold for value in values)
    found = combine(ok(*values), Policy(threshold=threshold))
    assert found.status == OK
    assert found.unstable == (0 < wrong < len(values))
    assert found.why == (f"unstable: {wrong} of {len(values)} votes say wrong" if found.unstable else None)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(0, 1))
def test_votes_too_far_apart_are_no_verdict(values, most):
    found = combine(ok(*values), Policy(max_spread=most))
    apart = max(values) - min(values) > most
    assert (found.status == ABSTAINED) == apart
    assert (found.value is None) == apart
    if apart:
        assert found.why.startswith("votes disagree")


def test_a_failed_vote_fails_the_row_unless_it_is_to_be_ignored():
    votes = [*ok(0.2, 0.4), Opinion(FAILED, None, "too long", ("k9",))]
    strict = combine(votes, Policy())
    assert (strict.status, strict.value, strict.why) == (FAILED, None, "1 of 3 votes failed: too long")
    loose = combine(votes, Policy(partial="ignore"))
    assert (loose.status, loose.value, loose.why) == (OK, pytest.approx(0.3), "1 of 3 votes failed")
    assert combine([votes[2]] * 2, Policy(partial="ignore")).status == FAILED


def test_as_many_unsure_votes_as_decided_ones_decide_nothing():
    unsure = Opinion(ABSTAINED, None, "the judge is unsure (p=0.60)")
    found = combine([*ok(0.9), unsure], Policy())
    assert (found.status, found.value) == (ABSTAINED, None)
    assert found.why == "1 of 2 votes abstained: the judge is unsure (p=0.60)"
    assert combine([*ok(0.9, 0.9), unsure], Policy()).value == pytest.approx(0.9)
    assert combine([unsure, unsure], Policy()).status == ABSTAINED


STATUS = st.sampled_from([OK, ABSTAINED, FAILED])


@given(st.lists(st.tuples(STATUS, st.floats(0, 1)), min_size=1, max_size=7), st.floats(0, 1), st.booleans())
def test_a_value_is_there_exactly_when_the_status_is_ok(votes, most, ignore):
    opinions = [Opinion(OK, v) if s == OK else Opinion(s, None, "why") for s, v in votes]
    found = combine(opinions, Policy(max_spread=most, partial="ignore" if ignore else "fail"))
    assert (found.value is not None) == (found.status == OK)
    assert found.status == OK or found.why
    if not ignore and any(s == FAILED for s, _ in votes):
        assert found.status == FAILED


def test_remarks_are_joined():
    assert remarked(Opinion(OK, 0.1), None).why is None
    assert remarked(remarked(Opinion(OK, 0.1), "a"), "b").why == "a; b"


def texts(*found: object, status: str = OK) -> Reply:
    return Reply(key="k", status=status, texts=tuple(found))


def test_a_text_that_the_model_ended_is_a_text():
    assert written(texts(Text("  hello \n", "stop"))).text == "hello"
    assert written(texts(Text("hello", "eos_token"))).why is None


def test_a_text_that_reached_the_limit_is_marked():
    assert written(texts(Text("hello", "length"))).cut


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (texts(Text(" \n", "stop")), "empty"),
        (texts(Text("", "length")), "empty"),
        (texts(), "malformed: 0 texts in place of one"),
        (texts(Text("a", "stop"), Text("b", "stop")), "malformed: 2 texts in place of one"),
        (texts(Text(None, "stop")), "malformed"),
        (texts(Text("a", "content_filter")), "malformed: the text was ended by 'content_filter'"),
        (texts(Text("a", "None")), "malformed"),
        (reply(0.5, 0.5), "malformed"),
        (failed("k", "too long"), "too long"),
        (texts(Text("a", "stop"), status="odd"), "no reason given"),
    ],
)
def test_what_is_no_text_says_why(found, why):
    said = written(found)
    assert said.text == ""
    assert said.why.startswith(why)
