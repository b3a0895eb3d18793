"""Logistic regression with an L2 penalty, in NumPy: dense and sparse columns side by side, fitted by L-BFGS."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from manifests.errors import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Objective = Callable[[Floats], tuple[float, Floats]]

MEMORY: Final = 20
"""Pairs of steps and gradients that L-BFGS keeps."""
_SUFFICIENT: Final = 1e-4
_CURVATURE: Final = 0.9
_HALVINGS: Final = 40


@dataclass(frozen=True, eq=False)
class Design:
    """Rows of features: a dense block, then sparse columns given as (row, column, value), rows ascending."""

    dense: Floats
    row: Ints
    column: Ints
    value: Floats
    columns: int
    """How many sparse columns there are."""

    @classmethod
    def of(cls, dense: Floats) -> Design:
        """Return a design without sparse columns."""
        none = np.empty(0, np.int64)
        return cls(np.asarray(dense, np.float64), none, none, np.empty(0), 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and all columns."""
        return len(self.dense), self.dense.shape[1] + self.columns

    def times(self, weights: Floats) -> Floats:
        """Return one weighted sum per row."""
        split = self.dense.shape[1]
        sparse = np.bincount(self.row, self.value * weights[split:][self.column], minlength=len(self.dense))
        return np.asarray(self.dense @ weights[:split] + sparse)

    def transposed(self, rows: Floats) -> Floats:
        """Return one sum per column, rows weighted."""
        sparse = np.bincount(self.column, self.value * rows[self.row], minlength=self.columns)
        return np.concatenate([self.dense.T @ rows, sparse])

    def take(self, rows: Ints) -> Design:
        """Return the rows of these numbers, each at most once, in this order."""
        place = np.full(len(self.dense), -1, np.int64)
        place[rows] = np.arange(len(rows))
        kept = np.flatnonzero(place[self.row] >= 0)
        kept = kept[np.argsort(place[self.row[kept]], kind="stable")]
        return Design(self.dense[rows], place[self.row[kept]], self.column[kept], self.value[kept], self.columns)


@dataclass(frozen=True, eq=False)
class Logistic:
    """A fitted model: P(true) is 1 / (1 + exp(-logit))."""

    weights: Floats
    bias: float

    def logits(self, design: Design) -> Floats:
        """Return the log-odds of true per row."""
        return design.times(self.weights) + self.bias


def fit(design: Design, labels: NDArray[np.bool_], c: float = 1.0, tolerance: float = 1e-6) -> Logistic:
    """Return the minimum of c times the summed log-loss plus half the squared weights; the bias is not penalised.

    Deterministic; the gradient's largest entry falls below `tolerance` times that of the start. Raise UserError when
    the labels are of one class.
    """
    if not labels.any() or labels.all():
        raise UserError("a classifier needs labels of both classes", value=bool(labels.any()))
    signs = np.where(labels, 1.0, -1.0)

    def objective(x: Floats) -> tuple[float, Floats]:
        """Return the penalised loss and its gradient at weights and bias `x`."""
        margin = signs * (design.times(x[:-1]) + x[-1])
        loss = c * np.logaddexp(0.0, -margin).sum() + 0.5 * x[:-1] @ x[:-1]
        pull = -c * signs * sigmoid(-margin)
        return float(loss), np.append(design.transposed(pull) + x[:-1], pull.sum())

    share = labels.mean()
    start = np.zeros(design.shape[1] + 1)
    start[-1] = np.log(share / (1.0 - share))
    found = minimise(objective, start, tolerance)
    return Logistic(found[:-1], float(found[-1]))


def minimise(objective: Objective, start: Floats, tolerance: float = 1e-6, most: int = 2000) -> Floats:
    """Return the minimum of a convex function that gives (value, gradient), by L-BFGS (Liu and Nocedal 1989).

    Steps satisfy the weak Wolfe conditions, found by bisection. Stops when the gradient's largest entry is below
    `tolerance` times max(1, that of the start), when no step makes progress, or after `most` steps.
    """
    x = start
    value, gradient = objective(x)
    goal = tolerance * max(1.0, float(np.abs(gradient).max()))
    pairs: deque[tuple[Floats, Floats]] = deque(maxlen=MEMORY)
    for _ in range(most):
        if np.abs(gradient).max() <= goal:
            break
        direction = _direction(gradient, pairs)
        first = 1.0 if pairs else min(1.0, 1.0 / float(np.abs(gradient).sum()))
        step = _searched(objective, x, value, gradient, direction, first)
        if step is None:
            break
        moved, value, turned = step
        if (moved - x) @ (turned - gradient) > 0:
            pairs.append((moved - x, turned - gradient))
        x, gradient = moved, turned
    return x


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def _direction(gradient: Floats, pairs: deque[tuple[Floats, Floats]]) -> Floats:
    """Return the quasi-Newton direction by the two loops over the pairs kept."""
    q = -gradient
    alphas = []
    for step, change in reversed(pairs):
        alpha = step @ q / (step @ change)
        alphas.append(alpha)
        q = q - alpha * change
    if pairs:
        step, change = pairs[-1]
        q = q * (step @ change / (change @ change))
    for (step, change), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + step * (alpha - change @ q / (step @ change))
    return q


def _searched(
    objective: Objective, x: Floats, value: float, gradient: Floats, direction: Floats, first: float
) -> tuple[Floats, float, Floats] | None:
    """Return the point, value and gradient after a step along the direction, None when none makes progress."""
    slope = float(gradient @ direction)
    if slope >= 0:
        return None
    low, high, size = 0.0, np.inf, first
    for _ in range(_HALVINGS):
        moved = x + size * direction
        found, turned = objective(moved)
        if found > value + _SUFFICIENT * size * slope:
            high = size
        elif turned @ direction < _CURVATURE * slope:
            low = size
        else:
            return moved, found, turned
        size = (low + high) / 2 if np.isfinite(high) else 2 * low
    return (moved, found, turned) if found < value else None
