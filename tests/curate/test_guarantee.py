"""Promises about thresholds: the exact binomial against SciPy, and how often they are broken in simulated pools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from curate import guarantee
from curate.guarantee import certify, interval, least, upper

COUNTS = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(deadline=None, max_examples=80)
@given(COUNTS, st.floats(0.001, 0.999))
def test_the_binomial_distribution_equals_scipys(counts, p):
    k, n = counts
    assert guarantee.binomial_cdf(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), abs=1e-10)


@settings(deadline=None, max_examples=60)
@given(COUNTS, st.sampled_from([0.8, 0.95, 0.99]))
def test_both_ends_equal_clopper_and_pearsons_in_scipy(counts, confidence):
    k, n = counts
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
    assert interval(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)
    one_sided = stats.binomtest(k, n, alternative="less").proportion_ci(confidence, method="exact")
    assert upper(k, n, confidence) == pytest.approx(one_sided.high, abs=1e-9)


def test_ends_of_the_binomial():
    assert guarantee.binomial_cdf(-1, 5, 0.3) == 0.0
    assert guarantee.binomial_cdf(5, 5, 0.3) == guarantee.binomial_cdf(2, 5, 0.0) == 1.0
    assert guarantee.binomial_cdf(2, 5, 1.0) == 0.0
    assert upper(0, 0) == 1.0


@pytest.mark.parametrize(("alpha", "delta", "rows"), [(0.05, 0.05, 59), (0.01, 0.05, 299), (0.1, 0.1, 22)])
def test_the_fewest_rows_without_an_error_are_the_known_numbers(alpha, delta, rows):
    assert least(alpha, delta) == rows
    assert guarantee.binomial_cdf(0, rows, alpha) <= delta < guarantee.binomial_cdf(0, rows - 1, alpha)


def pool(random, n, wrong_at_one=0.6):
    """Numbers 0..1, and labels that are wrong with a chance that rises with the number."""
    p = random.random(n)
    return p, random.random(n) < wrong_at_one * p**2


def kept_counts(p, wrong, thresholds):
    below = p[None, :] < thresholds[:, None]
    return below.sum(axis=1), (below & wrong[None, :]).sum(axis=1)


@pytest.mark.parametrize(("labels", "alpha", "delta"), [(150, 0.1, 0.1), (400, 0.1, 0.05), (400, 0.05, 0.1)])
def test_a_promise_is_broken_no_more_often_than_it_says(labels, alpha, delta):
    random = np.random.default_rng(labels)
    thresholds = np.linspace(0.0, 1.0, 101)
    truth = np.append(np.nan, 0.6 * thresholds[1:] ** 2 / 3.0)  # the mean of 0.6 p^2 over 0..t
    broken = certified = 0
    for _ in range(400):
        p, wrong = pool(random, labels)
        found = certify(*kept_counts(p, wrong, thresholds), alpha, delta)
        if found.place is not None:
            certified += 1
            broken += truth[found.place] > alpha
            assert found.bound is not None
            assert found.bound <= alpha
    assert broken <= stats.binom.ppf(0.999, 400, delta)
    assert broken / 400 <= delta
    assert certified > 100  # it promises something, or the test would say nothing


def test_choosing_the_last_threshold_that_looks_good_does_break_it():
    """The check above can fail: without the testing, the same simulated pools break the promise far more often."""
    random = np.random.default_rng(3)
    thresholds = np.linspace(0.0, 1.0, 101)
    truth = 0.6 * thresholds**2 / 3.0
    broken = 0
    for _ in range(200):
        p, wrong = pool(random, 150)
        members, errors = kept_counts(p, wrong, thresholds)
        place = np.flatnonzero(errors <= 0.1 * members)[-1]
        broken += truth[place] > 0.1
    assert broken / 200 > 0.3


def test_more_labels_certify_a_more_lenient_threshold():
    random = np.random.default_rng(0)
    thresholds = np.linspace(0.0, 1.0, 101)
    places = [certify(*kept_counts(*pool(random, n), thresholds), 0.1, 0.05).place for n in (1000, 5000, 50_000)]
    assert None not in places
    assert places[1] < places[2] <= 71  # at 0.707 the true share is 0.1
    assert places[0] < places[2]


def test_one_wrong_row_among_the_first_does_not_end_the_search():
    members = np.arange(0, 401, 4)
    errors = (members > 0).astype(int)
    assert certify(members, errors, 0.05, 0.05).place == 100


def test_a_refusal_says_how_many_labels_would_do():
    few = certify(np.array([0, 20]), np.array([0, 0]), 0.05, 0.05)
    assert (few.place, few.needed) == (None, least(0.05, 0.01))
    assert "20 labelled rows" in few.reason
    some = certify(np.array([0, 200]), np.array([0, 8]), 0.05, 0.05)  # 4 % seen, 5 % allowed
    assert some.place is None
    assert some.needed > 1000
    assert certify(np.array([0, some.needed]), np.array([0, int(0.0423 * some.needed)]), 0.05, 0.05).place == 1
    none = certify(np.array([0, 200]), np.array([0, 80]), 0.05, 0.05)
    assert (none.place, none.needed) == (None, None)
    assert "80 of 200" in none.reason
    assert certify(np.array([0]), np.array([0]), 0.05, 0.05).members == 0


def test_the_labels_needed_are_the_fewest():
    n = guarantee.labels_needed(0.02, 0.05, 0.05)
    assert stats.binom.cdf(int(0.02 * n), n, 0.05) <= 0.05
    assert guarantee.labels_needed(0.05, 0.05, 0.05) is None
    assert guarantee.labels_needed(0.0499999, 0.05, 0.05) is None  # more than a million
    assert guarantee.labels_needed(0.0, 0.05, 0.05) == 59


def test_thresholds_depend_on_the_numbers_alone_and_end_above_all():
    p = np.random.default_rng(0).random(5000)
    cuts = guarantee.thresholds(p)
    assert len(cuts) <= guarantee.GRID + 1
    assert (np.diff(cuts) > 0).all()
    assert cuts[-1] > 1.0
    assert set(cuts[:-1]) <= set(p)
    assert list(guarantee.thresholds(np.array([0.9, 0.1, 0.1]))) == [0.1, 0.9, guarantee.ABOVE]
