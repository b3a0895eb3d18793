"""Texts fall into sentences at their ends alone, and sentences are compared by their content words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sentence import LONGEST, NEGATIONS, STOP, content, negated, sentences, stem, tokens


def test_a_text_falls_into_its_sentences():
    text = 'Rome fell. Was it old? Yes! "It was." Then (so it is said.) it rose.'
    assert sentences(text) == ["Rome fell.", "Was it old?", "Yes!", '"It was."', "Then (so it is said.) it rose."]


def test_abbreviations_initials_and_decimal_points_end_no_sentence():
    text = "Dr. Smith met J. K. Rowling of Acme Inc. Ltd. in Washington, D.C. Monday. It was 3.5 km away."
    assert sentences(text) == [
        "Dr. Smith met J. K. Rowling of Acme Inc. Ltd. in Washington, D.C. Monday.",
        "It was 3.5 km away.",
    ]


def test_the_pronoun_i_does_end_a_sentence():
    assert sentences("It was I. He left.") == ["It was I.", "He left."]


def test_lines_end_sentences_and_lose_their_list_markers():
    assert sentences("Facts:\n1. Rome is old\n2) Paris is not\n- It rains\n* It pours\n\n## End") == [
        "Facts:", "Rome is old", "Paris is not", "It rains", "It pours", "End",
    ]  # fmt: skip


def test_a_text_without_an_end_is_cut_at_spaces():
    parts = sentences("word " * 500)
    assert max(map(len, parts)) <= LONGEST
    assert " ".join(parts).split() == ["word"] * 500
    assert all(len(part) <= LONGEST for part in sentences("x" * 2000))


@given(st.text(alphabet="aB.!? \n\"'1-", max_size=200))
def test_no_letter_or_sign_of_a_sentence_gets_lost(text):
    kept = "".join("".join(sentences(text)).split())
    letters = [c for c in kept if c in "aB"]
    assert letters == [c for c in text if c in "aB"]
    assert all(part == part.strip() and part for part in sentences(text))


@pytest.mark.parametrize(
    ("word", "stemmed"),
    [("Cities", "city"), ("rivers", "river"), ("gas", "gas"), ("glass", "glass"), ("Rome's", "rome"),
     ("virus", "virus"), ("series", "sery"), ("bees", "bee")],
)  # fmt: skip
def test_plurals_lose_their_ending(word, stemmed):
    assert stem(word) == stemmed


def test_content_words_leave_out_function_words_and_negations():
    assert content("The cities of Rome were not, in 1,200.5 BC, the largest") == [
        "city",
        "rome",
        "1,200.5",
        "bc",
        "largest",
    ]
    assert not STOP & NEGATIONS


def test_two_negations_make_none():
    assert negated("It isn't true.")
    assert negated("He was never there.")
    assert not negated("It is not that he never came.")
    assert not negated("It is true.")


def test_tokens_keep_numbers_whole():
    assert tokens("It's 1,000.5 km, or 3.") == ["It's", "1,000.5", "km", "or", "3"]
