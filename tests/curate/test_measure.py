"""The sums that serve resamples against the plain statistics on rows that are really repeated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import measure
from curate.measure import NAMES, Ranked

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.77, 0.9, 1.0]), st.integers(0, 3)), min_size=1
)


def plain(wrong, p, threshold):
    precision, recall, f1 = measure.precision_recall_f1(wrong, p, threshold)
    return {
        "auroc": measure.auroc(wrong, p),
        "average_precision": measure.average_precision(wrong, p),
        "balanced_accuracy": measure.balanced_accuracy(wrong, p, threshold),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "precision_at_recall_50": measure.at_recall(wrong, p, 0.5)[0],
        "precision_at_recall_80": measure.at_recall(wrong, p, 0.8)[0],
        "brier": measure.brier(wrong, p),
        "ece": measure.ece(wrong, p),
    }


@settings(deadline=None, max_examples=100)
@given(ROWS, st.sampled_from([0.0, 0.25, 0.5, 0.95]))
def test_weighted_rows_measure_as_rows_that_are_repeated(rows, threshold):
    wrong, p, times = (np.array(column) for column in zip(*rows, strict=True))
    if not times.sum():
        return
    found = dict(zip(NAMES, Ranked.of(wrong, p).measured(times.astype(float), threshold), strict=True))
    expected = plain(np.repeat(wrong, times), np.repeat(p, times), threshold)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, nan_ok=True), name


def test_precision_at_a_recall_is_that_of_the_highest_threshold_that_reaches_it():
    wrong = [True, False, True, False, True, False]
    p = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert measure.at_recall(wrong, p, 0.5) == (pytest.approx(2 / 3), 0.7)
    assert measure.at_recall(wrong, p, 1 / 3) == (1.0, 0.9)
    assert measure.at_recall(wrong, p, 0.8) == (pytest.approx(3 / 5), 0.5)
    assert all(math.isnan(value) for value in measure.at_recall([False], [0.1], 0.5))


def test_rows_of_one_number_are_flagged_together():
    assert measure.at_recall([True, False, True], [0.5, 0.5, 0.5], 0.5) == (pytest.approx(2 / 3), 0.5)
