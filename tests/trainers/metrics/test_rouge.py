"""ROUGE-L against the package rouge_score."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from trainers.metrics.rouge import rouge_l, words

SCORER = RougeScorer(["rougeL"], use_stemmer=True)
SENTENCES = [
    "The quick brown foxes were jumping over lazily sleeping dogs.",
    "A fox jumped over the dog!",
    "Relational databases generalise hierarchical ones; 42 % of 1,000 users agreed.",
    "naïve café — naive cafe",
    "...",
    "",
]


@pytest.mark.parametrize("prediction", SENTENCES)
@pytest.mark.parametrize("reference", SENTENCES)
def test_it_equals_the_package_rouge_score(prediction, reference):
    assert rouge_l(prediction, [reference]) == pytest.approx(SCORER.score(reference, prediction)["rougeL"].fmeasure)


WORDS = st.lists(
    st.sampled_from(
        [
            "a",
            "run",
            "running",
            "runs",
            "nation",
            "nationally",
            "happy",
            "happiness",
            "the",
            "of",
            "skies",
            "sky",
            "12",
            "12th",
        ]
    ),
    max_size=20,
).map(" ".join)


@settings(max_examples=150)
@given(WORDS, WORDS)
def test_random_sentences_equal_the_package_too(prediction, reference):
    expected = SCORER.score(reference, prediction)["rougeL"].fmeasure
    assert rouge_l(prediction, [reference]) == pytest.approx(expected)


def test_the_best_reference_counts():
    assert rouge_l("yes it is", ["no", "yes it is"]) == 1.0


def test_words_are_stemmed_runs_of_ascii_letters_and_digits():
    assert words("Running, the 3rd naïve dogs") == ["run", "the", "3rd", "na", "ve", "dog"]
    assert words("Привет") == []
