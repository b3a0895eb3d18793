"""The stance model keeps groups together, calibrates out of fold, and finds the threshold of a stated precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from curate.evidence import Lesson
from curate.stances.model import fitted, folds_of, groups_of, macro_f1, threshold_for


def lessons(*pairs: tuple[str, str]) -> list[Lesson]:
    return [Lesson(claim, evidence, "support", str(i)) for i, (claim, evidence) in enumerate(pairs)]


def data(n: int, seed: int = 0):
    """Return features in which the stance is plain but for some noise, and the stances."""
    random = np.random.default_rng(seed)
    stances = random.integers(3, size=n)
    others = np.eye(3)[stances] + random.normal(0, 0.4, (n, 3))
    return (random.normal(0, 0.03, (n, 8)), others), stances


def test_lessons_that_hang_together_by_claim_or_evidence_are_one_group():
    group = groups_of(lessons(("a", "1"), ("b", "2"), ("a", "2"), ("c", "3"), ("d", "3"), ("e", "4")))
    assert group[0] == group[1] == group[2]
    assert group[3] == group[4]
    assert len({group[0], group[3], group[5]}) == 3


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.integers(2, 5))
def test_groups_stay_in_one_fold_whatever_the_order_of_rows(found, folds):
    group = np.unique(found, return_inverse=True)[1]
    names = [f"r{i}" for i in range(len(group))]
    fold = folds_of(group, names, folds, 0)
    for g in set(group.tolist()):
        assert len(set(fold[group == g].tolist())) == 1
    turned = folds_of(group[::-1], names[::-1], folds, 0)
    assert (turned[::-1] == fold).all()


def test_folds_are_of_like_size():
    group = np.repeat(np.arange(30), 4)
    sizes = np.bincount(folds_of(group, [str(i) for i in range(120)], 5, 0))
    assert sizes.tolist() == [24] * 5


def test_macro_f1_is_that_of_scikit_learn():
    random = np.random.default_rng(1)
    for _ in range(20):
        true, said = random.integers(3, size=30), random.integers(3, size=30)
        labels = np.unique(true)
        assert macro_f1(true, said) == pytest.approx(f1_score(true, said, labels=labels, average="macro"))


def test_it_learns_stances_and_its_probabilities_are_calibrated():
    features, stances = data(600)
    fold = np.arange(600) % 3
    model = fitted(features, stances, fold)
    fresh, true = data(600, seed=9)
    p = model.probabilities(fresh)
    assert np.allclose(p.sum(axis=1), 1)
    assert (p.argmax(axis=1) == true).mean() > 0.75
    assert np.abs(p.mean(axis=0) - np.bincount(true) / 600).max() < 0.05
    sure = p.max(axis=1) > 0.9
    assert (p.argmax(axis=1) == true)[sure].mean() > 0.85


def test_what_it_says_of_a_lesson_does_not_come_from_that_lessons_fold():
    noise = np.random.default_rng(3).integers(3, size=90)
    model = fitted((np.random.default_rng(4).normal(0, 0.2, (90, 40)), np.zeros((90, 1))), noise, np.arange(90) % 3)
    assert (model.unseen.argmax(axis=1) == noise).mean() < 0.5


def test_a_stance_without_lessons_has_no_probability():
    features, stances = data(200)
    stances = np.where(stances == 1, 0, stances)
    p = fitted(features, stances, np.arange(200) % 3).probabilities(features)
    assert (p[:, 1] == 0).all()
    assert np.allclose(p.sum(axis=1), 1)


def test_the_threshold_is_the_least_with_the_stated_precision():
    stances = np.array([1] * 12 + [2] * 8)
    p = np.zeros((20, 3))
    p[:, 1] = [0.9] * 10 + [0.5] * 2 + [0.5] * 2 + [0.1] * 6
    assert threshold_for(1.0, p, stances) == 0.9
    assert threshold_for(0.8, p, stances) == 0.5
    assert threshold_for(0.5, p, stances) == 0.1


def test_no_threshold_rests_on_a_handful_of_lessons():
    stances = np.array([1] * 5 + [2] * 50)
    p = np.zeros((55, 3))
    p[:5, 1] = 0.9
    assert threshold_for(0.9, p, stances) is None
