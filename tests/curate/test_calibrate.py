"""The statistics of a judge against scikit-learn and brute force, and what `judge eval` is told."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from curate import calibrate
from curate.sample import samples_frame
from manifests.errors import UserError
from tests.curate.judged import sample

LABELLED = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.77, 0.9, 1.0])), min_size=1)


def columns(rows):
    return np.array([label for label, _ in rows]), np.array([p for _, p in rows])


def random_set(n: int, seed: int, signal: float = 1.0):
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.3
    return labels, 1 / (1 + np.exp(-(signal * labels + random.normal(size=n) - 0.5)))


@settings(deadline=None, max_examples=60)
@given(LABELLED)
def test_ranking_statistics_equal_scikit_learns_with_ties(rows):
    labels, p = columns(rows)
    if labels.all() or not labels.any():
        assert math.isnan(calibrate.auroc(labels, p))
    else:
        assert calibrate.auroc(labels, p) == pytest.approx(metrics.roc_auc_score(labels, p))
    if labels.any():
        assert calibrate.average_precision(labels, p) == pytest.approx(metrics.average_precision_score(labels, p))
    else:
        assert math.isnan(calibrate.average_precision(labels, p))


@settings(deadline=None, max_examples=60)
@given(LABELLED, st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_threshold_statistics_equal_scikit_learns(rows, threshold):
    labels, p = columns(rows)
    flagged = p >= threshold
    precision, recall, f1 = calibrate.precision_recall_f1(labels, p, threshold)
    expected = metrics.precision_recall_fscore_support(labels, flagged, average="binary", zero_division=np.nan)
    for found, value in zip((precision, recall, f1), expected[:3], strict=True):
        assert found == pytest.approx(float(value), nan_ok=True) or (math.isnan(value) and found in (0.0, math.nan))
    if labels.any() and not labels.all():
        balanced = calibrate.balanced_accuracy(labels, p, threshold)
        assert balanced == pytest.approx(metrics.balanced_accuracy_score(labels, flagged))


@settings(deadline=None, max_examples=60)
@given(LABELLED)
def test_brier_equals_scikit_learns(rows):
    labels, p = columns(rows)
    assert calibrate.brier(labels, p) == pytest.approx(metrics.brier_score_loss(labels, p, pos_label=True))


@pytest.mark.parametrize("seed", range(5))
def test_ece_equals_the_weighted_gaps_of_scikit_learns_calibration_curve(seed):
    labels, p = random_set(500, seed)
    shares, means = calibration_curve(labels, p, n_bins=10)
    counts, _ = np.histogram(p, bins=np.linspace(0, 1, 11))
    expected = np.sum(counts[counts > 0] * np.abs(shares - means)) / len(p)
    assert calibrate.ece(labels, p) == pytest.approx(expected)


def test_ece_of_a_judge_that_is_always_sure_and_always_wrong_is_one():
    assert calibrate.ece([True, False], [0.0, 1.0]) == 1.0
    assert calibrate.ece([True, False], [1.0, 0.0]) == 0.0


def test_undefined_statistics_are_nan():
    assert math.isnan(calibrate.balanced_accuracy([True, True], [0.1, 0.9]))
    assert math.isnan(calibrate.precision_recall_f1([True], [0.1])[0])
    assert math.isnan(calibrate.precision_recall_f1([False], [0.1])[2])
    assert math.isnan(calibrate.brier([], []))
    assert math.isnan(calibrate.ece([], []))


@pytest.mark.parametrize("bad", [[1.2, 0.5], [-0.1, 0.5], [math.nan, 0.5]])
def test_what_is_not_a_probability_is_refused(bad):
    with pytest.raises(UserError, match=r"0\.\.1"):
        calibrate.auroc([True, False], bad)


def test_columns_of_different_length_are_refused():
    with pytest.raises(UserError, match="same length"):
        calibrate.auroc([True, False], [0.5])


def test_the_interval_agrees_with_a_brute_force_bootstrap():
    labels, p = random_set(300, 1)
    low, high = calibrate.bootstrap_ci(calibrate.auroc, labels, p, None, seed=0, n=400)
    random = np.random.default_rng(7)
    draws = [random.integers(300, size=300) for _ in range(400)]
    expected = np.quantile([metrics.roc_auc_score(labels[rows], p[rows]) for rows in draws], [0.025, 0.975])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.015)


def test_the_interval_covers_the_true_value_about_as_often_as_it_says():
    covered = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        labels = random.random(200) < 0.5
        p = random.random(200)
        interval = calibrate.bootstrap_ci(calibrate.auroc, labels, p, None, seed, n=100)
        covered += interval[0] <= 0.5 <= interval[1]
    assert 51 <= covered <= 60


def test_rows_of_a_group_are_drawn_together():
    labels, p = random_set(40, 3)
    groups = np.repeat([f"g{i}" for i in range(40)], 25)
    many = calibrate.bootstrap_ci(calibrate.auroc, np.repeat(labels, 25), np.repeat(p, 25), groups, seed=0, n=400)
    once = calibrate.bootstrap_ci(calibrate.auroc, labels, p, None, seed=0, n=400)
    naive = calibrate.bootstrap_ci(calibrate.auroc, np.repeat(labels, 25), np.repeat(p, 25), None, seed=0, n=400)
    assert many[1] - many[0] == pytest.approx(once[1] - once[0], rel=0.15)
    assert many[1] - many[0] > 3 * (naive[1] - naive[0])


def test_the_interval_does_not_depend_on_the_order_of_rows():
    labels, p = random_set(200, 4)
    groups = np.array([f"g{i % 50}" for i in range(200)])
    order = np.random.default_rng(0).permutation(200)
    for names in (None, groups):
        one = calibrate.bootstrap_ci(calibrate.auroc, labels, p, names, seed=5, n=50)
        shuffled = None if names is None else names[order]
        assert calibrate.bootstrap_ci(calibrate.auroc, labels[order], p[order], shuffled, seed=5, n=50) == one


def test_another_seed_gives_another_interval():
    labels, p = random_set(100, 4)
    one, two = (calibrate.bootstrap_ci(calibrate.auroc, labels, p, None, seed=s, n=50) for s in (1, 2))
    assert one != two


def test_no_interval_where_most_resamples_leave_the_statistic_undefined():
    labels = [True, *([False] * 3)]
    assert calibrate.bootstrap_ci(lambda y, p: math.nan, labels, [0.5] * 4, None, seed=0, n=20) is None
    assert calibrate.bootstrap_ci(calibrate.auroc, [], [], None, seed=0) is None


def test_evaluate_measures_the_scored_rows_and_counts_the_others():
    labels, p = random_set(120, 5)
    status = ["abstained"] * 10 + ["failed"] * 6 + ["ok"] * 104
    values = [float(x) if s == "ok" else None for x, s in zip(p, status, strict=True)]
    found = calibrate.evaluate(labels, values, status, None, 0.4, 0, n=100)
    assert (found["n"], found["n_scored"]) == (120, 104)
    assert found["base_rate"] == pytest.approx(labels.mean())
    measured = found["metrics"]
    assert measured["auroc"]["value"] == pytest.approx(metrics.roc_auc_score(labels[16:], p[16:]))
    assert measured["recall"]["value"] == pytest.approx(metrics.recall_score(labels[16:], p[16:] >= 0.4))
    assert measured["abstain_rate"]["value"] == pytest.approx(10 / 120)
    assert measured["fail_rate"]["value"] == pytest.approx(6 / 120)
    for name, row in measured.items():
        if name != "ece":
            assert row["low"] <= row["value"] <= row["high"], name


def test_evaluate_says_none_where_nothing_was_scored():
    found = calibrate.evaluate([True, False], [None, None], ["failed", "abstained"], n=10)
    assert found["n_scored"] == 0
    assert found["metrics"]["auroc"] == {"value": None, "low": None, "high": None}
    assert found["metrics"]["fail_rate"]["value"] == 0.5


@pytest.mark.parametrize(("labels", "p", "status"), [([], [], []), ([True], [0.5], []), ([True], [], ["ok"])])
def test_evaluate_refuses_columns_that_do_not_match(labels, p, status):
    with pytest.raises(UserError, match="same length"):
        calibrate.evaluate(labels, p, status)


def test_labels_are_read_from_the_meta_and_missing_ones_are_null():
    rows = [sample("a", "1", corrupted=True), sample("b", "2", corrupted=False), sample("c", "3")]
    frame = samples_frame(rows)
    found = calibrate.labelled(frame, "meta.corrupted")
    assert found.dtype == pl.Boolean
    by_id = dict(zip(frame["sample_id"], found, strict=True))
    assert [by_id[row.id] for row in rows] == [True, False, None]


def test_a_label_that_is_not_boolean_is_refused_with_its_sample():
    row = sample("a", "1", corrupted="yes")
    with pytest.raises(UserError, match=row.id):
        calibrate.labelled(samples_frame([row]), "corrupted")


def test_a_label_that_no_sample_has_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'corrupted'"):
        calibrate.labelled(samples_frame([sample("a", "1", corrupted=True)]), "corupted")
