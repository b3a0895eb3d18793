"""Likelihood of the answers."""

from __future__ import annotations

import pytest

from tests.trainers.tasks.fake import Fake, example, here, values
from trainers.tasks.loglik import Loglik


def test_it_is_the_sum_over_all_references_per_character():
    model = Fake(likely={"ab": -1.0, "cdef": -8.0})
    rows = Loglik(name="l").measure(model, [example("q", "ab", "", "cdef")], here())
    assert values(rows) == {("q", "loglik"): pytest.approx(-9.0 / 6)}
    assert rows[0].prediction is None


def test_nothing_is_generated():
    model = Fake(likely={"ab": -1.0})
    Loglik(name="l").measure(model, [example("q", "ab")], here())
    assert model.limits == []


def test_an_answer_that_cannot_be_scored_leaves_the_example_undefined():
    model = Fake(likely={"ab": -1.0, "cd": None})
    assert values(Loglik(name="l").measure(model, [example("q", "ab", "cd")], here())) == {("q", "loglik"): None}
