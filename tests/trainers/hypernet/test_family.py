"""The family of tasks of `tests.benchmarks.task_family`: what is held out, and that it is learnt from instructions."""

from __future__ import annotations

import pytest

from manifests.component import Context
from tests.benchmarks.task_family import (
    ALL,
    SEEN,
    UNSEEN,
    answer,
    base_of,
    hypernet,
    instruction,
    interval,
    matched,
    material,
)
from trainers.evaluate import Model


def test_held_out_combinations_are_made_of_parts_and_pairs_that_are_seen():
    assert (len(ALL), len(SEEN), len(UNSEEN)) == (72, 60, 12)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        wanted = {(task[one], task[two]) for task in UNSEEN}
        assert wanted <= {(task[one], task[two]) for task in SEEN}
    assert {instruction(task) for task in UNSEEN}.isdisjoint(instruction(task) for task in SEEN)
    assert (instruction((2, 1, 0)), answer((2, 1, 0), "aeimqu")) == ("3 upper !", "I!")


def test_the_interval_is_students():
    assert interval([0.5]) == "0.500"
    assert interval([0.4, 0.5, 0.6]) == "0.500 [0.252, 0.748]"


@pytest.mark.long
def test_unseen_instructions_are_followed_without_being_shown_and_random_ones_are_not(tmp_path):
    base, context = base_of(tmp_path, 0), Context(root=tmp_path)
    found = {}
    for name in ("own", "random"):
        made = hypernet(base, 800, kl=0.0, match=0.0, instructions=name)
        found[name] = matched(Model.load(made.fit(material(), base, 0, tmp_path / name, context).path), UNSEEN)
    assert found["own"] >= 0.75
    assert found["random"] <= 0.1
