"""The t distribution against SciPy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from trainers.student import critical, detectable, incomplete_beta, mixed, two_sided

FREEDOMS = [1, 1.3, 2, 3, 4.7, 10, 99, 499, 5000]


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("t", [0.0, 0.01, 1.0, 2.5, 12.7, 80.0])
def test_tails_equal_those_of_scipy(t, freedom):
    assert two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-8, abs=1e-290)
    assert two_sided(-t, freedom) == two_sided(t, freedom)


@settings(max_examples=100)
@given(st.floats(0, 1), st.floats(0.05, 500), st.floats(0.05, 500))
def test_the_incomplete_beta_function_equals_that_of_scipy(x, a, b):
    assert incomplete_beta(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("alpha", [0.4, 0.05, 1e-3, 1e-6])
def test_quantiles_equal_those_of_scipy(alpha, freedom):
    assert critical(alpha, [(1.0, freedom)]) == pytest.approx(stats.t.ppf(1 - alpha / 2, freedom), rel=1e-7)


def test_infinite_freedom_is_the_normal_distribution():
    assert critical(0.05, [(1.0, math.inf)]) == pytest.approx(stats.norm.ppf(0.975))
    expected = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert detectable(1.959964, 0.8, [(1.0, math.inf)]) == pytest.approx(expected, rel=1e-4)


def test_a_mixture_lies_between_its_parts():
    mixture = [(0.25, 2), (0.75, 99)]
    assert mixed(2.0, mixture) == pytest.approx(0.25 * two_sided(2.0, 2) + 0.75 * two_sided(2.0, 99))
    limit = critical(0.05, mixture)
    assert mixed(limit, mixture) == pytest.approx(0.05, rel=1e-8)
    assert critical(0.05, [(1.0, 99)]) < limit < critical(0.05, [(1.0, 2)])


@pytest.mark.parametrize("freedom", [1, 2, 4.5, 10, 499])
def test_the_detectable_effect_has_the_power_of_the_noncentral_distribution(freedom):
    limit = critical(0.05, [(1.0, freedom)])
    effect = detectable(limit, 0.8, [(1.0, freedom)])
    assert stats.nct.sf(limit, freedom, effect) == pytest.approx(0.8, abs=2e-3)
