"""Shares of wrong rows: how often the intervals hold the truth in simulated pools, and what the judge's count does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from curate.prevalence import Labelled, Z, _t, naive, prediction_powered, rogan_gladen

TRIALS = 400


def simulated(random, n, share, se=0.8, sp=0.9):
    """Return a pool of which a share is wrong, and a judge whose numbers are at least 0.5 for `se` of them."""
    wrong = random.random(n) < share
    flagged = np.where(wrong, random.random(n) < se, random.random(n) >= sp)
    return wrong, np.where(flagged, 0.5 + 0.5 * random.random(n), 0.5 * random.random(n))


def drawn(random, wrong, p, n):
    rows = random.choice(len(p), n, replace=False)
    return Labelled(wrong[rows], p[rows], np.ones(n), np.arange(n))


def coverage(estimate, share, n, labels, **judge):
    random = np.random.default_rng(labels)
    held = 0
    for _ in range(TRIALS):
        wrong, p = simulated(random, n, share, **judge)
        found = estimate(p, drawn(random, wrong, p, labels))
        held += found.low <= share <= found.high
    return held / TRIALS


def corrected(p, labelled):
    return rogan_gladen(p >= 0.5, labelled, 0.5)


@pytest.mark.parametrize(("share", "n", "labels"), [(0.3, 2000, 200), (0.1, 2000, 400), (0.5, 500, 100)])
@pytest.mark.parametrize("estimate", [corrected, prediction_powered])
def test_a_95_percent_interval_holds_the_truth_in_93_of_100_pools_or_more(estimate, share, n, labels):
    assert coverage(estimate, share, n, labels) >= 0.93


def test_the_judge_s_own_count_misses_it():
    assert coverage(lambda p, _: naive(p >= 0.5), 0.1, 2000, 100) < 0.1


def test_labels_and_judge_together_tell_more_than_the_labels_alone():
    random = np.random.default_rng(0)
    widths = []
    for _ in range(50):
        wrong, p = simulated(random, 20_000, 0.3, se=0.95, sp=0.95)
        labelled = drawn(random, wrong, p, 300)
        both, alone = prediction_powered(p, labelled), prediction_powered(np.full(20_000, 0.5), labelled)
        widths.append((both.high - both.low) / (alone.high - alone.low))
    assert np.median(widths) < 0.75


def test_a_judge_that_says_nothing_leaves_the_mean_of_the_labels():
    wrong = np.arange(40) < 10
    labelled = Labelled(wrong, np.full(40, 0.7), np.ones(40), np.arange(40))
    found = prediction_powered(np.full(500, 0.7), labelled)
    half = stats.t.ppf(0.975, 38) * wrong.std(ddof=2) / np.sqrt(40)
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), rel=1e-4)


def test_when_every_row_is_labelled_the_estimate_is_their_share():
    random = np.random.default_rng(1)
    wrong, p = simulated(random, 300, 0.4)
    everything = Labelled(wrong, p, np.ones(300), np.arange(300))
    assert prediction_powered(p, everything).value == pytest.approx(wrong.mean())
    assert rogan_gladen(p >= 0.5, everything, 0.5).value == pytest.approx(wrong.mean())


def test_unequal_chances_are_weighed_and_ignoring_them_is_wrong():
    random = np.random.default_rng(2)
    held, plain = 0, []
    for _ in range(TRIALS):
        wrong, p = simulated(random, 4000, 0.2)
        chance = np.where(p >= 0.5, 0.15, 0.03)
        rows = np.flatnonzero(random.random(4000) < chance)
        group = np.arange(len(rows))
        found = prediction_powered(p, Labelled(wrong[rows], p[rows], 1 / chance[rows], group))
        held += found.low <= 0.2 <= found.high
        plain.append(wrong[rows].mean())
    assert held / TRIALS >= 0.93
    assert np.mean(plain) > 0.35


def test_rows_of_one_prompt_count_as_one_where_they_err_together():
    random = np.random.default_rng(3)
    wrong, p = simulated(random, 100, 0.3)
    once = Labelled(wrong, p, np.ones(100), np.arange(100))
    many = Labelled(np.repeat(wrong, 9), np.repeat(p, 9), np.ones(900), np.repeat(np.arange(100), 9))
    pool = simulated(random, 5000, 0.3)[1]
    for estimate in (corrected, prediction_powered):
        one, nine = estimate(pool, once), estimate(pool, many)
        assert nine.high - nine.low == pytest.approx(one.high - one.low, rel=0.05)


def test_the_correction_undoes_known_error_rates():
    flagged = np.arange(1000) < 300  # 30 % flagged; sensitivity .8 and specificity .9 make that 2 / 7
    wrong = np.repeat([True, False], 1000)
    p = np.concatenate([np.arange(1000) < 800, np.arange(1000) < 100]).astype(float)
    found = rogan_gladen(flagged, Labelled(wrong, p, np.ones(2000), np.arange(2000)), 0.5)
    assert found.value == pytest.approx((0.3 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert found.note == "sensitivity 0.800, specificity 0.900"
    assert found.low < found.value < found.high


def test_what_cannot_be_estimated_says_why():
    one = Labelled(np.ones(3, bool), np.full(3, 0.9), np.ones(3), np.arange(3))
    assert rogan_gladen(np.ones(5, bool), one, 0.5).note == "the labels hold one class only"
    random = np.random.default_rng(4)
    blind = Labelled(random.random(2000) < 0.5, random.random(2000), np.ones(2000), np.arange(2000))
    assert "hardly" in rogan_gladen(np.ones(5, bool), blind, 0.5).note
    assert prediction_powered(np.ones(5), Labelled(*(column[:1] for column in vars(one).values()))).value is None
    together = Labelled(one.wrong, one.p, one.weight, np.zeros(3, int))
    assert "three prompts" in prediction_powered(np.ones(5), together).note
    assert naive(np.zeros(0, bool)).value is None


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (190, 1000)])
def test_the_naive_interval_is_wilsons(k, n):
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    found = naive(np.arange(n) < k)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_points_of_students_t_equal_scipys():
    assert pytest.approx(stats.norm.ppf(0.975)) == Z
    for freedom in (9, 30, 200, 5000):
        assert _t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-3)
