"""Questions with short answers."""

from __future__ import annotations

import math

import pytest

from tests.trainers.tasks.fake import Fake, example, here, values
from trainers.tasks.qa import QA


def test_the_best_reference_counts_in_each_metric():
    model = Fake({"Capital of France?": "It is Paris."}, {"Paris": -10.0, "City of Paris": -13.0})
    rows = QA(name="qa").measure(model, [example("Capital of France?", "Paris", "City of Paris")], here())
    found = values(rows)
    assert found["Capital of France?", "exact_match"] == 0.0
    assert found["Capital of France?", "token_f1"] == pytest.approx(0.5)
    assert found["Capital of France?", "loglik"] == pytest.approx(-1.0)
    assert {row.prediction for row in rows} == {"It is Paris."}


def test_case_articles_and_punctuation_do_not_cost_the_match():
    model = Fake({"Which tower?": " the Eiffel tower.\n"}, {"Eiffel Tower": -3.0})
    found = values(QA(name="qa").measure(model, [example("Which tower?", "Eiffel Tower")], here()))
    assert found["Which tower?", "exact_match"] == found["Which tower?", "token_f1"] == 1.0


@pytest.mark.parametrize("broken", [None, -math.inf, math.nan])
def test_a_reference_that_cannot_be_scored_leaves_the_others(broken):
    model = Fake(likely={"long": broken, "ok": -1.0})
    both = QA(name="qa").measure(model, [example("q", "long", "ok")], here())
    assert values(both)["q", "loglik"] == -0.5
    alone = values(QA(name="qa").measure(model, [example("q", "long")], here()))
    assert alone["q", "loglik"] is None
    assert alone["q", "exact_match"] == 0.0


def test_answers_are_limited_in_length():
    model = Fake(likely={"r": -1.0})
    QA(name="qa", max_new_tokens=9).measure(model, [example("q", "r")], here())
    assert model.limits == [9]
