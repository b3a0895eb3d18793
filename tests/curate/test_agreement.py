"""Agreement of short answers: spelling does not count, words and numbers do."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.agreement import agrees, contained, f1, words
from trainers.metrics.squad import token_f1

PLAIN = st.lists(st.sampled_from(["oslo", "bergen", "1905", "red", "x2", "fjord"]), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Hague", ["hague"]),
        ("  PARIS!  ", ["paris"]),
        ("O'Brien's", ["obriens"]),
        ("1,234,567 people", ["1234567", "people"]),
        ("1,23", ["1", "23"]),
        ("3.50", ["3.50"]),
        ("\u22125 degrees", ["-5", "degrees"]),
        ("10-5", ["10", "5"]),
        ("\ufb01ne \uff21\uff11", ["fine", "a1"]),
        ("A", ["a"]),
        ("the", ["the"]),
        ("?!", []),
        ("", []),
        ("Straße", ["strasse"]),
        ("in 1905.", ["in", "1905"]),
    ],
)
def test_words_are_in_one_spelling(text, found):
    assert words(text) == found


def test_articles_stay_where_they_are_asked_for():
    assert words("The answer is a", articles=True) == ["the", "answer", "is", "a"]


@pytest.mark.parametrize(
    ("answer", "given_", "match", "agree"),
    [
        ("paris.", "Paris", "exact", True),
        ("Paris, France", "Paris", "exact", False),
        ("It is Paris, of course", "Paris", "contains", True),
        ("Parisian", "Paris", "contains", False),
        ("York New", "New York", "contains", False),
        ("The answer is A", "A", "contains", True),
        ("The answer is B", "A", "contains", False),
        ("5", "-5", "contains", False),
        ("1905", "19", "contains", False),
        ("", "Paris", "contains", False),
        ("Paris", "!", "contains", False),
        ("Paris", "!", "f1", False),
    ],
)
def test_answers_agree_by_their_words(answer, given_, match, agree):
    assert agrees(answer, given_, "Which city?", match) is agree


def test_repeating_the_question_is_no_agreement_under_f1():
    question, given_ = "What is the capital of France?", "The capital of France is Paris."
    assert not agrees("The capital of France is Rome.", given_, question, "f1")
    assert agrees("The capital of France is Paris.", given_, question, "f1")
    assert agrees("Paris", given_, question, "f1")
    assert not agrees("Rome", given_, question, "f1")
    assert agrees("France", "France", "Is it France or Italy?", "f1")  # nothing but the question's words to compare


def test_the_threshold_of_f1_counts_its_own_value():
    assert agrees("red fjord", "red oslo", "q", "f1", 0.5)
    assert not agrees("red fjord", "red oslo", "q", "f1", 0.51)


@given(PLAIN, PLAIN)
def test_f1_is_that_of_squad(a, b):
    assert f1(a, b) == pytest.approx(token_f1(" ".join(a), [" ".join(b)]))


@given(PLAIN, PLAIN, PLAIN)
def test_a_run_is_found_wherever_it_stands_and_nothing_else(before, part, after):
    assert contained(part, before + part + after)
    assert contained([], before)
    assert contained(part, before) == (f" {' '.join(part)} " in f" {' '.join(before)} ")


@given(st.text(), st.text())
def test_any_text_agrees_with_itself_if_it_has_words_and_exact_means_contained(a, b):
    for match in ("exact", "contains", "f1"):
        assert agrees(a, a, b, match) is bool(words(a))
    if agrees(a, b, "", "exact"):
        assert agrees(a, b, "", "contains")
        assert Counter(words(a)) == Counter(words(b))
