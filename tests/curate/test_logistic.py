"""The logistic regression is scikit-learn's, on dense and sparse columns alike."""

from __future__ import annotations

import numpy as np
import pytest

from curate.logistic import Design, fit, minimise, sigmoid
from manifests.errors import UserError


def data(n: int = 300, dense: int = 6, sparse: int = 20) -> tuple[Design, np.ndarray, np.ndarray]:
    """Return a design, the same as one array, and labels."""
    random = np.random.default_rng(3)
    block = random.normal(size=(n, dense))
    full = random.random((n, sparse)) * (random.random((n, sparse)) < 0.2)
    row, column = np.nonzero(full)
    whole = np.hstack([block, full])
    labels = whole[:, 0] + 3 * whole[:, dense] + random.normal(size=n) > 0.4
    return Design(block, row, column, full[row, column], sparse), whole, labels


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_coefficients_are_scikit_learns(c):
    from sklearn.linear_model import LogisticRegression

    design, whole, labels = data()
    ours = fit(design, labels, c, 1e-9)
    theirs = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(whole, labels)
    assert ours.weights == pytest.approx(theirs.coef_[0], abs=1e-5)
    assert ours.bias == pytest.approx(theirs.intercept_[0], abs=1e-5)
    assert ours.logits(design) == pytest.approx(theirs.decision_function(whole), abs=1e-4)


def test_a_design_multiplies_as_its_array_does_and_rows_can_be_taken():
    design, whole, _ = data()
    random = np.random.default_rng(0)
    weights, rows = random.normal(size=26), random.normal(size=300)
    assert design.shape == whole.shape
    assert design.times(weights) == pytest.approx(whole @ weights)
    assert design.transposed(rows) == pytest.approx(whole.T @ rows)
    some = random.permutation(300)[:40]
    assert design.take(some).times(weights) == pytest.approx(whole[some] @ weights)


def test_one_class_is_refused():
    with pytest.raises(UserError, match="both classes"):
        fit(Design.of(np.ones((3, 1))), np.ones(3, np.bool_))


def test_the_minimum_of_an_ill_conditioned_bowl_is_found():
    scale = 10.0 ** np.arange(6)
    found = minimise(lambda x: (float(scale @ (x - 1) ** 2), 2 * scale * (x - 1)), np.zeros(6), 1e-12)
    assert found == pytest.approx(np.ones(6), abs=1e-5)


def test_the_sigmoid_does_not_overflow():
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_separable_labels_and_large_features_are_fitted_as_by_scikit_learn(shift):
    from sklearn.linear_model import LogisticRegression

    x = np.linspace(-1, 1, 40)[:, None] + shift / 1e3
    labels = x[:, 0] > shift / 1e3 + 0.1
    ours = fit(Design.of(x), labels, 10.0, 1e-10)
    theirs = LogisticRegression(C=10.0, tol=1e-12, max_iter=10_000).fit(x, labels)
    assert ours.weights == pytest.approx(theirs.coef_[0], rel=1e-4)
    assert ours.bias == pytest.approx(theirs.intercept_[0], rel=1e-4)


def test_without_features_the_bias_is_the_log_odds_of_the_share():
    labels = np.arange(10) < 3
    found = fit(Design.of(np.zeros((10, 0))), labels)
    assert found.weights.shape == (0,)
    assert found.bias == pytest.approx(np.log(3 / 7))


def test_the_order_of_the_rows_and_empty_columns_change_nothing():
    design, _, labels = data()
    order = np.random.default_rng(1).permutation(len(labels))
    wider = Design(design.dense, design.row, design.column, design.value, design.columns + 3)
    ours = fit(design, labels, 1.0, 1e-10)
    assert fit(design.take(order), labels[order], 1.0, 1e-10).weights == pytest.approx(ours.weights, abs=1e-6)
    padded = fit(wider, labels, 1.0, 1e-10).weights
    assert padded[:-3] == pytest.approx(ours.weights, abs=1e-6)
    assert padded[-3:].tolist() == [0, 0, 0]


def test_minimise_stays_where_nothing_falls_and_stops_after_the_most_steps():
    assert minimise(lambda x: (1.0, np.zeros(2)), np.array([3.0, 4.0])).tolist() == [3.0, 4.0]
    seen = []

    def valley(x):
        seen.append(x)
        return float((x[0] - 1) ** 4 + (x[1] * 1e3) ** 2), np.array([4 * (x[0] - 1) ** 3, 2e6 * x[1]])

    few = minimise(valley, np.array([9.0, 9.0]), 1e-12, most=1)
    assert valley(few)[0] < valley(np.array([9.0, 9.0]))[0]
    assert minimise(valley, np.array([9.0, 9.0]), 1e-12) == pytest.approx([1, 0], abs=1e-2)


def test_a_gradient_that_points_the_wrong_way_ends_the_search():
    start = np.array([1.0, -2.0])
    assert minimise(lambda x: (float(x @ x), -2 * x), start).tolist() == start.tolist()
