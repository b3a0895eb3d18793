"""The surrogate against laws that were planted."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.replay import replay
from trainers.search import Arms
from trainers.surrogate import OWN, Surrogate, fitted, ridge, spread_out, transfer

ON = {"task": None, "metric": "loglik"}


def test_ridge_recovers_a_planted_linear_law():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1000, size=(40, 4))
    beta = np.array([0.002, 0.0, -0.001, 0.0005])
    y = x @ beta + 3 + 0.001 * rng.normal(size=40)
    fit = ridge(x, y, squares=False)
    new = rng.uniform(0, 1000, size=(50, 4))
    assert np.abs(fit.predict(new)[0] - (new @ beta + 3)).max() < 0.004
    assert fit.error < 0.002
    assert fitted(x, list("abcd"), y).law == "linear"


def test_squares_find_an_optimum_inside():
    share = np.linspace(0, 1, 12)[:, None]
    y = -((share[:, 0] - 0.4) ** 2)
    fit = fitted(share, ["share"], y)
    fine = np.linspace(0, 1, 101)[:, None]
    assert fit.law == "quadratic"
    assert fine[np.argmax(fit.predict(fine)[0]), 0] == pytest.approx(0.4, abs=0.02)


def test_the_law_of_effective_data_is_recovered_and_reaches_beyond_what_was_seen():
    rng = np.random.default_rng(1)
    rows = np.column_stack(
        [rng.choice([50, 100, 200], 24), rng.choice([0, 100, 400], 24), rng.choice([0, 100, 400], 24)]
    )
    rows = rows.astype(float)

    def law(given):
        return 5 - 20 * (given[:, 0] + 0.25 * given[:, 1] - 0.0625 * given[:, 2]).clip(1) ** -0.35

    fit = transfer(rows, 0, law(rows))
    far = np.array([[100.0, 1600, 0], [400, 0, 0], [100, 0, 800]])
    assert np.allclose(fit.predict(far)[0], law(far), atol=1e-6)
    assert fitted(rows, [OWN, "rows:near", "rows:junk"], law(rows)).law == "effective data"


def test_few_arms_do_not_support_a_law_of_effective_data():
    rows = np.array([[100.0, 0], [100, 100], [100, 200], [100, 400]])
    assert transfer(rows, 0, np.array([0.0, 1, 2, 3])).error == np.inf


def test_the_first_arms_are_far_apart():
    x = np.array([[0.0], [0.1], [0.2], [5.0], [10.0]])
    assert spread_out(x, [1, 0, 2, 3, 4], 3) == [1, 4, 3]
    assert spread_out(x, [1, 0, 2, 3, 4], 9)[:1] == [1]
    assert len(spread_out(x, [1, 0, 2, 3, 4], 9)) == 5


def test_proposals_find_the_best_of_many_by_few():
    x = np.array([[a, b] for a in range(8) for b in range(8)], dtype=float)
    worth = 0.3 * x[:, 0] - 0.2 * (x[:, 1] - 3) ** 2
    names = tuple(f"n{i:02}" for i in range(64))
    grid = {10: {name: np.full((2, 8), w) for name, w in zip(names, worth, strict=True)}}
    found = replay(Surrogate(start=8, batch=2, runs=14, **ON), Arms(names, 10, x, ("a", "b")), grid)
    assert found.regret == 0
    assert sum(at > 0 for at in found.reached.values()) <= 14


def test_a_surrogate_without_features_still_ends():
    names = tuple("abcdef")
    grid = {10: {name: np.full((1, 4), float(i)) for i, name in enumerate(names)}}
    found = replay(Surrogate(start=2, runs=5, **ON), Arms(names, 10), grid)
    assert found.chosen.best in names


def test_proxies_at_a_rung_cost_a_part_and_the_best_is_trained_to_the_end():
    x = np.arange(12.0)[:, None]
    names = tuple(f"n{i:02}" for i in range(12))
    tables = {name: np.full((1, 4), float(i)) for i, name in enumerate(names)}
    found = replay(
        Surrogate(start=3, batch=1, runs=6, rung=2, **ON), Arms(names, 10, x, ("a",)), {2: tables, 10: tables}
    )
    assert found.chosen.best == "n11"
    assert found.reached["n11"] == 10
    assert set(found.reached.values()) == {0, 2, 10}
