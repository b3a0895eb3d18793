"""Instruction following."""

from __future__ import annotations

import pytest

from tests.trainers.tasks.fake import Fake, example, here, values
from trainers.tasks.rouge import Rouge


def test_stems_count_for_rouge_and_articles_for_the_match():
    model = Fake({"a": "The dogs were running.", "b": "THE CAT!"})
    rows = Rouge(name="r").measure(
        model, [example("a", "dog runs", "the dogs run"), example("b", "cat", "the cat")], here()
    )
    found = values(rows)
    assert found["a", "rouge_l"] == pytest.approx(6 / 7)
    assert found["a", "exact_match"] == 0.0
    assert found["b", "rouge_l"] == found["b", "exact_match"] == 1.0
    assert rows[0].prediction == "The dogs were running."


def test_a_match_needs_the_article_that_the_reference_has():
    found = values(Rouge(name="r").measure(Fake({"b": "cat"}), [example("b", "the cat")], here()))
    assert found["b", "exact_match"] == 0.0
