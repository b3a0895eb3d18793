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
