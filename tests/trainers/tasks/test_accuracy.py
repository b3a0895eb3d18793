"""Multiple choice."""

from __future__ import annotations

import pytest

from tests.trainers.tasks.fake import Fake, example, here, values
from trainers.tasks.accuracy import Accuracy

LIKELY = {"no": -4.0, "certainly not": -6.0, "yes": -5.0, "maybe so": None}


def ask(normalise: str, *choices: str, right: str = "no"):
    return Accuracy(name="a", normalise=normalise).measure(
        Fake(likely=LIKELY), [example("q", right, choices=choices)], here()
    )


@pytest.mark.parametrize(
    ("normalise", "accuracy", "margin", "chosen"),
    [
        ("none", 1.0, 2.0, "no"),
        ("chars", 0.0, -2.0 + 6 / 13, "certainly not"),
        ("tokens", 0.0, -2.0 + 6 / 3, "no"),
    ],
)
def test_options_are_compared_by_likelihood_as_normalised(normalise, accuracy, margin, chosen):
    rows = ask(normalise, "no", "certainly not")
    assert values(rows) == {
        ("q", "accuracy"): accuracy,
        ("q", "accuracy_raw"): 1.0,
        ("q", "margin"): pytest.approx(margin),
    }
    assert {row.prediction for row in rows} == {chosen}


def test_the_margin_is_to_the_best_wrong_option():
    assert values(ask("none", "certainly not", "yes", "no"))["q", "margin"] == pytest.approx(1.0)


def test_several_right_options_count_by_their_best():
    rows = Accuracy(name="a", normalise="none").measure(
        Fake(likely=LIKELY), [example("q", "certainly not", "no", choices=("certainly not", "no", "yes"))], here()
    )
    assert values(rows) == {("q", "accuracy"): 1.0, ("q", "accuracy_raw"): 1.0, ("q", "margin"): 1.0}


@pytest.mark.parametrize(
    "choices",
    [(), ("no",), ("yes", "certainly not"), ("no", "no"), ("no", "maybe so"), ("no", " ")],
    ids=["none", "only the right one", "no right one", "one twice", "one that cannot be scored", "a blank one"],
)
def test_a_choice_that_is_none_is_undefined(choices):
    assert set(values(ask("chars", *choices)).values()) == {None}
