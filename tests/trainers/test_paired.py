"""Sign flips, McNemar's test and clusters of examples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trainers import paired
from trainers.paired import balance, mcnemar, sign_flips, units
from trainers.spread import spread


def every_flip(sums) -> float:
    signs = np.array(list(itertools.product((-1, 1), repeat=len(sums))))
    return float((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).mean())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=1, max_size=9))
def test_few_examples_are_flipped_in_every_way(values):
    assert sign_flips(np.array([values])) == pytest.approx(every_flip(np.array(values)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=3, max_size=3), min_size=1, max_size=10))
def test_binary_metrics_over_several_seeds_are_exact(rows):
    table = np.array(rows).T
    assert sign_flips(table) == pytest.approx(every_flip(table.sum(axis=0)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_a_binary_metric_with_one_seed_is_mcnemars_exact_test(gained, lost, same):
    table = np.array([[1.0] * gained + [-1.0] * lost + [0.0] * same])
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    if table.size:
        assert sign_flips(table) == pytest.approx(expected)
    assert mcnemar(gained, lost) == pytest.approx(expected)


@pytest.mark.parametrize("n", [40, 3000])
def test_many_examples_are_near_the_exact_test(n):
    rng = np.random.default_rng(n)
    values = rng.normal(loc=2 / n**0.5, size=(1, n))
    expected = stats.permutation_test(
        (values[0],), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    ).pvalue
    assert sign_flips(values) == pytest.approx(expected, abs=0.015)
    assert sign_flips(values) == sign_flips(values)


def test_nothing_to_compare_has_no_p_value_and_no_difference_is_no_evidence():
    assert sign_flips(np.empty((0, 0))) is None
    assert sign_flips(np.zeros((2, 5))) == 1.0


def test_the_examples_of_a_cluster_flip_together():
    values = np.array([[0.5, 0.4, 0.3, -0.2, 0.6, 0.1]])
    clusters = np.array([0, 0, 1, 1, 2, 2])
    assert sign_flips(values, clusters) == pytest.approx(every_flip(np.array([0.9, 0.1, 0.7])))


def test_clusters_keep_the_mean_and_give_the_cluster_robust_variance():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(12), rng.integers(1, 9, size=12))
    values = rng.normal(size=12)[clusters] + 0.3 * rng.normal(size=len(clusters))
    grouped = units(values[None], clusters)
    assert grouped.shape == (1, 12)
    assert grouped.mean() == pytest.approx(values.mean())
    residuals = values - values.mean()
    sums = np.array([residuals[clusters == g].sum() for g in range(12)])
    shares = np.bincount(clusters) / len(values)
    robust = (sums**2 / (1 - shares)).sum() / len(values) ** 2  # the sandwich of regressing on a constant, as CR2
    assert spread(values[None], clusters).examples == pytest.approx(robust)


@pytest.mark.parametrize("sizes", [[5, 10, 15, 20], [100, *[5] * 20], [1, 1, 1, 60]])
def test_unequal_clusters_have_the_variance_and_the_freedom_of_a_cluster_robust_mean(sizes):
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    factors, freedom = balance(clusters, len(sizes))
    total = sum(sizes)
    # Bell and McCaffrey, example by example: residuals, adjusted within clusters, of independent values.
    residual = np.eye(total) - 1 / total
    rows = [
        (1 / total) * residual[clusters == g].sum(axis=0) / np.sqrt(1 - size / total) for g, size in enumerate(sizes)
    ]
    product = np.array(rows) @ np.array(rows).T
    assert np.trace(product) == pytest.approx(1 / total)  # unbiased where examples are independent
    assert freedom == pytest.approx(np.trace(product) ** 2 / np.trace(product @ product))
    assert freedom < len(sizes) - 1
    assert (factors > 0).all()


def test_equal_clusters_have_their_number_less_one():
    factors, freedom = balance(np.repeat(np.arange(7), 5), 7)
    assert factors.tolist() == pytest.approx([1.0] * 7)
    assert freedom == pytest.approx(6.0)
    assert balance(None, 9)[1] == 8.0


def test_examples_that_are_copies_of_each_other_add_nothing():
    rng = np.random.default_rng(3)
    once = rng.normal(size=(3, 30))
    clusters = np.repeat(np.arange(30), 4)
    alone, copied = spread(once), spread(np.repeat(once, 4, axis=1), clusters)
    assert (copied.mean, copied.seeds, copied.examples) == pytest.approx((alone.mean, alone.seeds, alone.examples))
    assert (copied.n_examples, copied.n_clusters, alone.n_clusters) == (120, 30, 30)


def test_without_clusters_the_table_is_as_it_was():
    table = np.arange(6.0).reshape(2, 3)
    assert units(table, None) is table
    assert units(table, np.array([2, 0, 1])) is table
    assert paired.units(np.empty((0, 0)), np.array([], dtype=np.int64)).size == 0
