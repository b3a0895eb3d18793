"""Exact match and token F1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.metrics.squad import exact_match, normalise, token_f1


def test_case_articles_punctuation_and_spaces_do_not_count():
    assert normalise(" The  Eiffel-Tower, a  tower! ") == "eiffeltower tower"
    assert exact_match("the Eiffel Tower.", ["Tour Eiffel", "eiffel tower"]) == 1.0


def test_articles_count_where_they_are_asked_for():
    assert normalise("The cat.", articles=False) == "the cat"
    assert exact_match("the cat", ["cat"], articles=False) == 0.0


@pytest.mark.parametrize(
    ("prediction", "references", "value"),
    [
        ("in Paris France", ["Paris"], 0.5),
        ("Paris", ["Rome", "Paris France"], 2 / 3),
        ("cat cat", ["cat"], 2 / 3),
        ("", ["Paris"], 0.0),
        ("the", ["a"], 1.0),
        ("red", ["blue"], 0.0),
    ],
)
def test_token_f1_is_the_best_over_references(prediction, references, value):
    assert token_f1(prediction, references) == pytest.approx(value)


@given(st.text(max_size=40), st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_scores_lie_in_range_and_an_exact_match_has_full_f1(prediction, references):
    score = token_f1(prediction, references)
    assert 0.0 <= score <= 1.0
    if exact_match(prediction, references):
        assert score == pytest.approx(1.0)
    assert exact_match(prediction, [*references, prediction]) == 1.0
