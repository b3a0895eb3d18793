"""Simplification and grammatical error correction."""

from __future__ import annotations

import pytest

from tests.trainers.tasks.fake import Fake, example, here, values
from trainers.metrics.gleu import gleu
from trainers.metrics.sari import sari
from trainers.tasks.rewrite import Gleu, Sari, original
from trainers.trainer import Example

WRONG = "He go home , quick ."
RIGHT = ("He goes home , quickly .", "He went home quickly .")


@pytest.mark.parametrize(("task", "metric"), [(Sari, sari), (Gleu, gleu)])
def test_the_answer_is_scored_against_source_and_references(task, metric):
    rows = task(name="t").measure(Fake({WRONG: "He goes home , quick ."}), [example(WRONG, *RIGHT)], here())
    assert values(rows) == {(WRONG, task.kind): pytest.approx(metric(WRONG, "He goes home , quick .", RIGHT))}
    assert rows[0].prediction == "He goes home , quick ."


def test_the_source_is_the_stated_one_else_the_last_user_turn():
    assert original(example("Correct this: x", "y", source="x")) == "x"
    turns = (("user", "first"), ("assistant", "done"), ("user", "second"))
    assert original(Example("e", turns, ("y",))) == "second"
    assert original(Example("e", (("system", "only"),), ("y",))) == ""


def test_a_stated_source_changes_the_score():
    prompt = f"Correct this sentence: {WRONG}"
    said = Fake({prompt: prompt})
    without = values(Sari(name="t").measure(said, [example(prompt, *RIGHT)], here()))
    stated = values(Sari(name="t").measure(said, [example(prompt, *RIGHT, source=WRONG)], here()))
    assert without != stated


def test_punctuation_may_be_set_apart():
    said = Fake({"He go home.": "He goes home."})
    asked = [example("He go home.", "He goes home .")]
    assert values(Gleu(name="t", split="word").measure(said, asked, here())) == {
        ("He go home.", "gleu"): pytest.approx(1.0)
    }
    assert values(Gleu(name="t").measure(said, asked, here()))["He go home.", "gleu"] < 1.0
