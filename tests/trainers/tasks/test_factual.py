"""Closed-book questions by what the base knew."""

from __future__ import annotations

import dataclasses

import pytest

from tests.trainers.tasks.fake import Fake, example, here, values
from trainers.tasks.factual import Factual, abstains


def asked(question, answer, familiar=None):
    scores = () if familiar is None else (("familiarity", familiar),)
    return dataclasses.replace(example(question, answer), scores=scores)


EXAMPLES = [asked("capital?", "Paris", 0.75), asked("river?", "the Ob", 0.0), asked("hill?", "Ben Nevis")]
LIKELY = {"Paris": -5.0, "the Ob": -12.0, "Ben Nevis": -9.0}


@pytest.mark.parametrize(
    "answer",
    ["I don't know.", "Unknown", "", "Sorry, but I do not know the answer to that.", "not sure", "I am unsure"],
)
def test_an_abstention_is_recognised(answer):
    assert abstains(answer) == (answer != "I am unsure")


@pytest.mark.parametrize("answer", ["The unknown soldier", "Paris", "I know"])
def test_an_answer_is_no_abstention(answer):
    assert not abstains(answer)


def test_an_abstention_is_truthful_but_not_an_answer_and_not_right():
    said = {"capital?": "paris", "river?": "I don't know", "hill?": "Everest"}
    found = values(Factual(name="facts", familiarity="familiarity").measure(Fake(said, LIKELY), EXAMPLES, here()))
    per = {
        metric: [found[e.example_id, metric] for e in EXAMPLES] for metric in ("exact_match", "truthful", "answered")
    }
    assert per == {"exact_match": [1.0, 0.0, 0.0], "truthful": [1.0, 1.0, 0.0], "answered": [1.0, 0.0, 1.0]}


def test_a_fact_counts_in_its_own_class_alone_and_without_a_score_in_none():
    found = values(Factual(name="facts", familiarity="familiarity").measure(Fake({}, LIKELY), EXAMPLES, here()))
    known = [found[e.example_id, "loglik_known"] for e in EXAMPLES]
    unknown = [found[e.example_id, "loglik_unknown"] for e in EXAMPLES]
    assert (known, unknown) == ([-1.0, None, None], [None, -2.0, None])
    assert [found[e.example_id, "loglik"] for e in EXAMPLES] == [-1.0, -2.0, -1.0]


def test_the_bar_of_being_known_is_a_field():
    task = Factual(name="facts", familiarity="familiarity", known_above=0.8)
    found = values(task.measure(Fake({}, LIKELY), EXAMPLES, here()))
    assert found["capital?", "loglik_known"] is None
    assert found["capital?", "loglik_unknown"] == -1.0


def test_an_answer_that_is_the_reference_is_never_an_abstention():
    task = Factual(name="facts")
    found = values(task.measure(Fake({"who?": "unknown"}, {"Unknown": -7.0}), [asked("who?", "Unknown")], here()))
    assert (found["who?", "exact_match"], found["who?", "answered"]) == (1.0, 1.0)


def test_it_reads_the_scorer_that_it_names():
    assert Factual(name="facts", familiarity="knows").reads == ("knows",)
    assert Factual(name="facts").reads == ()
