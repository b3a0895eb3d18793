"""The trained reader learns from labelled pairs, refutes only as precisely as asked, and says how good it is."""

from __future__ import annotations

import random

import pytest

from curate.evidence import Lesson
from curate.stances import Pair, StanceReader
from curate.stances.trained import Trained
from curate.step import STANCES
from manifests.component import Context
from manifests.errors import Interrupted, UserError

NAMES = ["Rome", "Paris", "Oslo", "Lima", "Cairo", "Quito", "Delhi", "Tokyo"]


def lessons(n: int, seed: int = 0, *, noise: float = 0.0) -> list[Lesson]:
    """Return lessons: evidence that states the claim, has another number in it, or speaks of something else."""
    chance = random.Random(seed)
    made = []
    for i in range(n):
        city, year = chance.choice(NAMES), chance.randint(1000, 1999)
        stance = ("support", "refute", "neither")[i % 3]
        claim = f"The {i} hall of {city} was opened in {year}."
        said = {
            "support": f"The {i} hall of {city} was opened in {year} by the mayor.",
            "refute": f"The {i} hall of {city} was opened in {year + 7} by the mayor.",
            "neither": f"Bread number {i + 5} is baked with salt and water.",
        }[stance]
        label = chance.choice(["support", "refute", "neither"]) if chance.random() < noise else stance
        made.append(Lesson(claim, said, label, f"{i:04}"))
    return made


READER = Trained(encoder="hash", folds=3, min_lessons=20)


def test_it_is_a_reader_of_stances():
    assert isinstance(READER, StanceReader)
    assert STANCES.load("trained") is Trained
    assert set(READER.identity()) == {"encoder"}


def test_it_reads_the_stances_of_pairs_that_it_has_not_seen(tmp_path):
    fresh = lessons(30, seed=5)
    read = READER.read([Pair(f.claim, f.evidence) for f in fresh], lessons(150), Context(tmp_path))
    assert [stance.verdict for stance in read.stances] == [lesson.stance for lesson in fresh]
    assert all(0 <= s.support + s.refute <= 1 + 1e-9 for s in read.stances)


def test_it_says_how_good_it_is_out_of_fold(tmp_path):
    read = READER.read([], lessons(150), Context(tmp_path))
    found = {row["metric"]: row for row in read.quality}
    assert found["macro_f1"]["value"] > 0.9
    assert found["refute_precision"]["value"] >= 0.9
    assert found["refute_precision"]["ci_low"] <= found["refute_precision"]["value"]
    assert found["refute_recall"]["n"] == 50


def test_labels_without_a_pattern_refute_nothing(tmp_path):
    taught = lessons(150, noise=1.0)
    read = READER.read([Pair(t.claim, t.evidence) for t in taught], taught, Context(tmp_path))
    assert "refute" not in {stance.verdict for stance in read.stances}
    assert {row["metric"]: row["value"] for row in read.quality}["refute_precision"] is None


def test_the_order_of_lessons_and_pairs_does_not_matter(tmp_path):
    taught, fresh = lessons(120), [Pair(f.claim, f.evidence) for f in lessons(12, seed=7)]
    one = READER.read(fresh, taught, Context(tmp_path)).stances
    two = READER.read(fresh[::-1], taught, Context(tmp_path)).stances[::-1]
    assert [s.verdict for s in one] == [s.verdict for s in two]
    assert [s.refute for s in one] == pytest.approx([s.refute for s in two], abs=1e-9)


def test_too_few_lessons_are_a_user_error(tmp_path):
    with pytest.raises(UserError, match="too few labelled pairs"):
        READER.read([], lessons(30), Context(tmp_path))
    with pytest.raises(UserError, match="too few labelled pairs"):
        READER.read([], [], Context(tmp_path))


def test_stopping_is_heard(tmp_path):
    context = Context(tmp_path)
    taught = lessons(90)
    READER.read([Pair(t.claim, t.evidence) for t in taught], taught, context)
    with pytest.raises(Interrupted):
        READER.read([Pair("Rome is old.", "Rome.")], taught, Context(tmp_path, stopping=lambda: True))
