"""Turning a judge's number into a probability: fitted on labelled rows, told of each row by the others.

Both fits keep the order of rows: a calibration moves numbers, it does not make a better judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from curate.logistic import Design, Logistic, fit, sigmoid
from curate.measure import Floats, Ints

Method = Literal["temperature", "isotonic", "none"]
_EDGE: Final = 1e-6
"""Numbers closer than this to 0 or 1 are moved to it before log-odds are taken."""
_UNPENALISED: Final = 1e6
_TOLERANCE: Final = 1e-8


class Calibration(Protocol):
    """A rising function from a judge's number to P(wrong)."""

    def __call__(self, p: Floats) -> Floats:
        """Return P(wrong) for each number, 0..1."""
        ...


@dataclass(frozen=True)
class Temperature:
    """P(wrong) = sigmoid(slope * log-odds + bias); slope is one over the temperature, never negative."""

    slope: float
    bias: float

    def __call__(self, p: Floats) -> Floats:
        """Return P(wrong) for each number, 0..1."""
        return sigmoid(self.slope * log_odds(p) + self.bias)


@dataclass(frozen=True, eq=False)
class Isotonic:
    """A rising line through (`at`, `value`), flat beyond its ends."""

    at: Floats
    value: Floats

    def __call__(self, p: Floats) -> Floats:
        """Return P(wrong) for each number, 0..1."""
        return np.asarray(np.interp(p, self.at, self.value))


class Unchanged:
    """Leaves numbers as they are."""

    def __call__(self, p: Floats) -> Floats:
        """Return the numbers themselves."""
        return p


def log_odds(p: Floats) -> Floats:
    """Return ln(p / (1 - p)), finite at 0 and 1."""
    inside = np.clip(p, _EDGE, 1.0 - _EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def temperature(p: Floats, wrong: NDArray[np.bool_]) -> Temperature:
    """Return the logistic calibration of log-odds (Platt 1999; with a bias, since judges are lenient).

    Where the labels turn the order of the numbers round, or the numbers are all one, every row gets the share of wrong
    rows. Raise UserError when the labels are of one class.
    """
    odds = log_odds(p)
    model = fit(Design.of(odds[:, None]), wrong, _UNPENALISED / len(wrong), _TOLERANCE)
    if model.weights[0] >= 0.0 and np.ptp(odds) > 0.0:
        return Temperature(float(model.weights[0]), model.bias)
    level: Logistic = fit(Design.of(np.zeros((len(wrong), 1))), wrong, _UNPENALISED / len(wrong), _TOLERANCE)
    return Temperature(0.0, level.bias)


def isotonic(p: Floats, wrong: NDArray[np.bool_]) -> Isotonic:
    """Return the rising step values nearest to the labels in squared error, joined by lines.

    Pool adjacent violators (Ayer et al. 1955; for probabilities Zadrozny and Elkan, KDD 2002): rows of one number are
    one point of their weight, then neighbours that fall are replaced by their mean until none does.
    """
    at, place, counts = np.unique(p, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=wrong.astype(np.float64)) / counts
    values: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(mean.tolist(), counts.tolist(), strict=True):
        values.append(value)
        weights.append(weight)
        sizes.append(1)
        while len(values) > 1 and values[-2] >= values[-1]:
            last, heavy, size = values.pop(), weights.pop(), sizes.pop()
            values[-1] = (values[-1] * weights[-1] + last * heavy) / (weights[-1] + heavy)
            weights[-1] += heavy
            sizes[-1] += size
    return Isotonic(at, np.repeat(np.array(values), sizes))


def calibrate(p: Floats, wrong: NDArray[np.bool_], method: Method) -> Calibration:
    """Return the fit of a method; labels of one class give every row their share."""
    if method == "none":
        return Unchanged()
    if wrong.all() or not wrong.any():
        return Isotonic(np.array([0.5]), np.array([float(wrong.mean())]))
    return temperature(p, wrong) if method == "temperature" else isotonic(p, wrong)


def crossfitted(p: Floats, wrong: NDArray[np.bool_], fold: Ints, method: Method) -> Floats:
    """Return P(wrong) of each labelled row by a fit that saw no row of its fold."""
    found = np.array(p)
    for k in np.unique(fold):
        mine = fold == k
        found[mine] = calibrate(p[~mine], wrong[~mine], method)(p[mine]) if (~mine).any() else p[mine]
    return found
