"""Forecasts of what generalist rows gain: against a plain regression, a planted relation, and simulated studies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainers.gain import COVERAGE, PRIOR, Case, Gain, forecast, left_out

NEAR = {name: middle for name, (middle, _) in COVERAGE.items()}


def case(target="t", specialist=100.0, generalist=400.0, near=0.0, **more):
    """Return a case whose coverage numbers are `near` spreads above their middles."""
    coverage = {name: middle + near * spread for name, (middle, spread) in COVERAGE.items()}
    return Case(target, specialist, generalist, coverage, **more)


def studies(rng, targets, slope=0.3, noise=0.05, between=0.05):
    """Return gains of targets that differ in nearness, each measured at four amounts."""
    found = []
    for index in range(targets):
        near = rng.normal()
        own = rng.normal() * between
        for generalist in (50.0, 200.0, 800.0, 3200.0):
            one = case(f"t{index}", generalist=generalist, near=near)
            found.append(Gain(one, slope * near + own + rng.normal() * noise, noise))
    return found


def test_without_history_the_forecast_is_nothing_and_wide():
    found = forecast([], case())
    assert found.gain == pytest.approx(0.0, abs=1e-12)
    assert found.p_helps == pytest.approx(0.5)
    assert found.ci_high == pytest.approx(-found.ci_low, abs=1e-6)
    least = 1.96 * PRIOR * float(np.linalg.norm(case().features()))
    assert found.ci_high > least


def test_the_interval_is_that_of_many_draws_from_the_prior():
    rng = np.random.default_rng(0)
    grid = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0])
    weight = grid * np.exp(-0.5 * (grid / PRIOR) ** 2)
    between, within = (rng.choice(grid, 200_000, p=weight / weight.sum()) for _ in range(2))
    slopes = rng.normal(size=(200_000, case().features().size)) * PRIOR
    draws = slopes @ case(near=1.0).features() + rng.normal(size=200_000) * np.hypot(between, within)
    found = forecast([], case(near=1.0))
    assert [found.ci_low, found.ci_high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), rel=0.02)


def test_a_planted_relation_is_found_and_told_for_targets_never_seen():
    history = studies(np.random.default_rng(1), targets=12)
    near, far = forecast(history, case("new", near=1.5)), forecast(history, case("new", near=-1.5))
    assert near.ci_low < 0.45 < near.ci_high
    assert far.ci_low < -0.45 < far.ci_high
    assert near.p_helps > 0.95
    assert far.p_helps < 0.05


def test_a_target_with_a_history_of_its_own_is_forecast_from_it():
    history = [*studies(np.random.default_rng(2), targets=6, slope=0.0), *[Gain(case("mine"), 0.8, 0.02)] * 3]
    own, other = forecast(history, case("mine")), forecast(history, case("another"))
    assert own.gain > 0.6
    assert other.gain < 0.4
    assert own.ci_high - own.ci_low < other.ci_high - other.ci_low


def test_more_history_narrows_the_interval_and_a_noisy_measurement_widens_it():
    history = studies(np.random.default_rng(3), targets=10)
    width = [(f := forecast(history[:n], case("new"))).ci_high - f.ci_low for n in (0, 8, 40)]
    assert width == sorted(width, reverse=True)
    noisy = forecast(history, case("new"), error=1.0)
    assert noisy.ci_high - noisy.ci_low > 2 * 1.9


def test_the_order_of_the_history_changes_nothing():
    history = studies(np.random.default_rng(4), targets=4)
    a, b = forecast(history, case("new")), forecast(history[::-1], case("new"))
    assert [a.gain, a.ci_low, a.ci_high] == pytest.approx([b.gain, b.ci_low, b.ci_high], abs=1e-8)


def test_an_unknown_coverage_number_counts_as_its_middle():
    assert Case("t", 10.0, 10.0).features() == pytest.approx(Case("t", 10.0, 10.0, NEAR).features())
    assert math.isfinite(forecast([], Case("t", 0.0, 0.0)).gain)


def test_leaving_a_target_out_uses_no_gain_of_its_own():
    history = [Gain(case("a"), 5.0, 0.1), Gain(case("a"), 5.0, 0.1), Gain(case("b"), 0.1, 0.1)]
    found = left_out(history)
    assert [mean for _, _, mean in found] == pytest.approx([0.1, 0.1, 5.0])
    assert found[0][1].gain < 1.0


def test_intervals_for_targets_left_out_hold_what_was_seen_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    inside = [
        forecast_.ci_low <= gain.gain <= forecast_.ci_high
        for _ in range(12)
        for gain, forecast_, _ in left_out(studies(rng, targets=4, slope=rng.normal() * PRIOR, between=0.2))
    ]
    assert np.mean(inside) > 0.9
