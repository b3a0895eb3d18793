"""Calibrations against scikit-learn's, and what none of them may do: turn the order, or learn a row's own label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from curate import measure
from curate.calibration import Isotonic, Temperature, calibrate, crossfitted, isotonic, log_odds, temperature

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 1000).map(lambda i: i / 1000)), min_size=2, max_size=60)


def overconfident(n, seed):
    """Numbers that are three times as sure as they should be."""
    random = np.random.default_rng(seed)
    odds = random.normal(size=n)
    return 1 / (1 + np.exp(-3 * odds - 1)), random.random(n) < 1 / (1 + np.exp(-odds))


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_isotonic_equals_scikit_learns(rows):
    wrong, p = (np.array(column) for column in zip(*rows, strict=True))
    reference = IsotonicRegression(out_of_bounds="clip").fit(p, wrong)
    asked = np.concatenate([p, np.linspace(0, 1, 21)])
    assert isotonic(p, wrong)(asked) == pytest.approx(reference.predict(asked), abs=1e-9)


def test_temperature_equals_logistic_regression_on_log_odds():
    p, wrong = overconfident(800, 0)
    reference = LogisticRegression(C=1e12, tol=1e-10).fit(log_odds(p)[:, None], wrong)
    found = temperature(p, wrong)
    assert found.slope == pytest.approx(reference.coef_[0, 0], rel=1e-3)
    assert found.bias == pytest.approx(reference.intercept_[0], abs=1e-3)
    assert found.slope == pytest.approx(1 / 3, abs=0.06)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.sampled_from(["temperature", "isotonic", "none"]))
def test_a_calibration_keeps_the_order_and_stays_between_0_and_1(rows, method):
    wrong, p = (np.array(column) for column in zip(*rows, strict=True))
    found = calibrate(p, wrong, method)(np.linspace(0, 1, 50))
    assert (np.diff(found) >= -1e-12).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


@settings(deadline=None, max_examples=40)
@given(ROWS, st.randoms())
def test_a_calibration_does_not_depend_on_the_order_of_rows(rows, shuffled):
    wrong, p = (np.array(column) for column in zip(*rows, strict=True))
    order = list(range(len(rows)))
    shuffled.shuffle(order)
    for method in ("temperature", "isotonic"):
        one, two = calibrate(p, wrong, method), calibrate(p[order], wrong[order], method)
        assert one(p) == pytest.approx(two(p), abs=1e-6)


def test_numbers_that_point_the_wrong_way_tell_nothing():
    p, wrong = overconfident(500, 1)
    found = temperature(1 - p, wrong)
    assert found.slope == 0.0
    assert found(p) == pytest.approx(wrong.mean(), abs=1e-6)
    assert temperature(np.full(4, 0.5), np.array([True, False, False, False]))(p) == pytest.approx(0.25, abs=1e-4)


def test_labels_of_one_class_give_their_share():
    for method in ("temperature", "isotonic"):
        assert calibrate(np.array([0.2, 0.9]), np.array([True, True]), method)(np.array([0.1])) == [1.0]


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_unseen_rows_become_better_calibrated(method):
    p, wrong = overconfident(2000, 2)
    found = crossfitted(p, wrong, np.arange(2000) % 5, method)
    assert measure.ece(wrong, p) > 0.1
    assert measure.ece(wrong, found) < 0.05
    assert measure.brier(wrong, found) < measure.brier(wrong, p)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_row_s_own_label_changes_nothing_about_it(method):
    p, wrong = overconfident(100, 3)
    fold = np.arange(100) % 4
    found = crossfitted(p, wrong, fold, method)
    turned = wrong.copy()
    turned[fold == 2] = ~turned[fold == 2]
    again = crossfitted(p, turned, fold, method)
    assert (found[fold == 2] == again[fold == 2]).all()
    assert (found[fold != 2] != again[fold != 2]).any()


def test_the_kinds_of_a_calibration():
    p, wrong = overconfident(50, 4)
    assert isinstance(calibrate(p, wrong, "temperature"), Temperature)
    assert isinstance(calibrate(p, wrong, "isotonic"), Isotonic)
    assert (calibrate(p, wrong, "none")(p) == p).all()
    assert (crossfitted(p, wrong, np.zeros(50, int), "isotonic") == p).all()  # one fold: nothing to learn from
