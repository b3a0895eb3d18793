"""GLEU against counting n-gram by n-gram."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.metrics.gleu import gleu

WRONG = "There is several reason for this ."
RIGHT = "There are several reasons for this ."


def grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def slow(source: str, prediction: str, reference: str) -> float:
    """Sentence GLEU by crossing off n-grams one at a time (Napoles et al. 2015, 2016)."""
    s, h, r = source.split(), prediction.split(), reference.split()
    product = 1.0
    for n in range(1, 5):
        left, in_reference = list(grams(r, n)), set(grams(r, n))
        stale = [gram for gram in grams(s, n) if gram not in in_reference]
        matches = 0
        for gram in grams(h, n):
            if gram in left:
                left.remove(gram)
                matches += 1
            elif gram in stale:
                stale.remove(gram)
                matches -= 1
        matches = max(matches, 0) or 1
        product *= matches / (max(len(h) + 1 - n, 0) or 1)
    brevity = 1.0 if len(h) >= len(r) else math.exp(1 - len(r) / len(h))
    return brevity * product**0.25


TEXT = st.lists(st.sampled_from(list("abcd")), min_size=1, max_size=9).map(" ".join)


@settings(max_examples=100)
@given(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=4))
def test_it_equals_crossing_off_ngrams_one_at_a_time(source, prediction, references):
    expected = sum(slow(source, prediction, reference) for reference in references) / len(references)
    assert gleu(source, prediction, references) == pytest.approx(expected)
    assert 0.0 <= gleu(source, prediction, references) <= 1.0


def test_the_correction_scores_one_and_the_uncorrected_text_is_punished():
    assert gleu(WRONG, RIGHT, [RIGHT]) == pytest.approx(1.0)
    copied = gleu(WRONG, WRONG, [RIGHT])
    unrelated = gleu("x", WRONG, [RIGHT])
    assert copied < unrelated < 1.0


def test_it_is_the_mean_over_references():
    assert gleu(WRONG, RIGHT, [RIGHT, WRONG]) == pytest.approx((1 + gleu(WRONG, RIGHT, [WRONG])) / 2)


def test_letter_case_counts():
    assert gleu(WRONG, RIGHT.lower(), [RIGHT]) < 1.0


def test_an_empty_answer_scores_zero():
    assert gleu(WRONG, "", ["Yes"]) == 0.0


def test_the_split_may_set_punctuation_apart():
    assert gleu("a b.", "a c.", ["a c ."], "word") == pytest.approx(1.0)
    assert gleu("a b.", "a c.", ["a c ."]) < 1.0
