"""One example under several wordings."""

from __future__ import annotations

import statistics

import pytest
from pydantic import ValidationError

from manifests.errors import UserError
from tests.trainers.tasks.fake import Fake, example, here, values
from trainers.tasks.robust import Robust, worded

TWO = ("Correct: {source}", "{prompt} Fix it.")


def test_mean_worst_and_steadiness_are_those_of_the_wordings():
    made = Robust(name="steady", score="exact_match", templates=(*TWO, "Rewrite {source}"))
    one = example("Fix: he go", "he goes", source="he go")
    said = {"Correct: he go": "he goes", "Fix: he go Fix it.": "he goes", "Rewrite he go": "he go"}
    found = values(made.measure(Fake(said), [one], here()))
    assert found["Fix: he go", "mean"] == pytest.approx(2 / 3)
    assert found["Fix: he go", "worst"] == 0.0
    assert found["Fix: he go", "steadiness"] == pytest.approx(-statistics.stdev([1, 1, 0]))


def test_an_answer_that_no_wording_changes_is_perfectly_steady():
    found = values(Robust(name="steady").measure(Fake({}, {"four": -2.0}), [example("2+2", "four")], here()))
    assert (found["2+2", "steadiness"], found["2+2", "mean"]) == (0.0, -0.5)


def test_one_wording_that_cannot_be_scored_leaves_the_example_undefined():
    class Deaf(Fake):
        def loglik(self, pairs):
            return [
                None if "Fix" in pair[0][-1][1] else one for pair, one in zip(pairs, super().loglik(pairs), strict=True)
            ]

    made = Robust(name="steady", templates=TWO)
    found = values(made.measure(Deaf({}, {"four": -2.0}), [example("2+2", "four")], here()))
    assert set(found.values()) == {None}


def test_a_slot_inside_the_text_is_not_filled_again():
    turned = worded(example("say {source}", "x", source="S"), "{prompt} / {source}")
    assert turned.messages[-1] == ("user", "say {source} / S")
    assert turned.messages[0] == ("system", "Be brief.")


@pytest.mark.parametrize("templates", [("{prompt}",), ("{prompt}", "{prompt}"), ("{prompt}", "no slot")])
def test_wordings_that_tell_nothing_are_refused(templates):
    with pytest.raises((ValidationError, UserError), match=r"wording|at least 2"):
        Robust(name="steady", templates=templates)
