"""BLEU and iBLEU against sacrebleu."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu import sentence_bleu

from trainers.metrics.bleu import bleu, ibleu

TEXT = st.lists(st.sampled_from(list("abcde")), min_size=0, max_size=12).map(" ".join)
FULL = TEXT.filter(bool)


def published(prediction: str, references: list[str]) -> float:
    return sentence_bleu(prediction, references, tokenize="none").score / 100


@settings(max_examples=300, deadline=None)
@given(TEXT, st.lists(FULL, min_size=1, max_size=3))
def test_it_equals_sacrebleu_on_tokens(prediction, references):
    assert bleu(prediction, references) == pytest.approx(published(prediction, references), abs=1e-12)


def test_it_equals_sacrebleu_on_a_sentence():
    prediction = "the cat sat on the mat near the door"
    references = ["the cat is on the mat by the door", "a cat sat on the mat"]
    assert bleu(prediction, references) == pytest.approx(published(prediction, references))
    assert bleu(references[0], references) == pytest.approx(1.0)


@settings(max_examples=100, deadline=None)
@given(FULL, TEXT, FULL, st.floats(0, 1))
def test_ibleu_is_what_was_gained_less_what_was_copied(source, prediction, reference, alpha):
    expected = alpha * published(prediction, [reference]) - (1 - alpha) * published(prediction, [source])
    found = ibleu(source, prediction, [reference], "space", alpha)
    assert found == pytest.approx(expected, abs=1e-12)
    assert alpha - 1 - 1e-12 <= found <= alpha + 1e-12


def test_a_copy_scores_less_than_a_paraphrase():
    source, reference = "how old are you", "what is your age"
    assert ibleu(source, source, [reference]) < 0 < ibleu(source, reference, [reference])


def test_punctuation_can_stand_apart():
    assert bleu("a cat.", ["a cat ."], "word") == pytest.approx(1.0)
    assert bleu("a cat.", ["a cat ."]) < 1.0
