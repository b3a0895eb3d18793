"""What generalist rows gained so far: a small Bayesian model of it, and its predictions with intervals.

A gain is a paired difference to the same specialist rows alone, in standard deviations of the examples' values, so that
metrics can stand beside each other. gain = x'b + target + error, where b, the targets' own effects and the errors are
normal with mean 0; the two unknown spreads are averaged over a grid, weighted by how well they explain the history
(Gelman et al., Bayesian Data Analysis, 3rd ed., section 5.4). Without history the prediction is the prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

COVERAGE: Final[Mapping[str, tuple[float, float]]] = {
    "nearness": (0.4, 0.1),
    "breadth": (0.6, 0.2),
    "overlap": (0.25, 0.15),
}
"""Coverage numbers that rank targets, with the middle and spread that 13 real targets had (docs/MIXING.md)."""
PRIOR: Final = 0.25
"""Standard deviation, in standard deviations of the examples, of each coefficient and of the unknown spreads."""
GRID: Final = (0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Case:
    """What is known before training: the target, the amounts, the coverage numbers of the target in the pool."""

    target: str
    specialist_rows: float
    generalist_rows: float
    coverage: Mapping[str, float] = field(default_factory=dict)
    factual: bool = False
    exposures: bool = False
    """Whether every specialist row is shown as often as without the generalist rows, instead of equal tokens."""

    def features(self) -> Array:
        """Return the regressors: 1, scarcity, dose, share, budget, skill, coverage, and coverage with scarcity.

        An unknown coverage number counts as its middle.
        """
        specialist, generalist = max(self.specialist_rows, 1.0), max(self.generalist_rows, 0.0)
        scarce = 2.5 - math.log10(specialist)
        near = [(self.coverage.get(name, middle) - middle) / spread for name, (middle, spread) in COVERAGE.items()]
        share = generalist / (generalist + specialist)
        own = (
            1.0,
            scarce,
            math.log10(1.0 + generalist) - 2.5,
            2.0 * share - 1.0,
            float(self.exposures),
            float(self.factual),
        )
        return np.array([*own, *near, near[0] * scarce])


@dataclass(frozen=True, slots=True)
class Gain:
    """What one comparison saw: the case, the gain and its standard error."""

    case: Case
    gain: float
    error: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """A predicted gain, its 95 % interval, and the probability that it is above 0."""

    gain: float
    ci_low: float
    ci_high: float
    p_helps: float


def forecast(history: Sequence[Gain], case: Case, error: float = 0.0) -> Forecast:
    """Return what the case is expected to gain; `error` is the standard error that its measurement would add."""
    mixture = [(weight, mean, sd) for weight, mean, sd in _posteriors(history, case, error) if weight > 1e-9]
    mean = sum(weight * at for weight, at, _ in mixture)
    ends = [_quantile(mixture, share) for share in (0.025, 0.975)]
    return Forecast(mean, ends[0], ends[1], 1.0 - _below(mixture, 0.0))


def left_out(history: Sequence[Gain]) -> list[tuple[Gain, Forecast, float]]:
    """Return for each gain what the history of the other targets forecasts, and their mean gain."""
    found = []
    for one in history:
        others = [gain for gain in history if gain.case.target != one.case.target]
        mean = float(np.mean([gain.gain for gain in others])) if others else 0.0
        found.append((one, forecast(others, one.case, one.error), mean))
    return found


def _posteriors(history: Sequence[Gain], case: Case, error: float) -> list[tuple[float, float, float]]:
    """Return (weight, mean, standard deviation) of the prediction at each point of the grid of spreads."""
    new = case.features()
    rows = np.array([gain.case.features() for gain in history]).reshape(len(history), new.size)
    seen = np.array([gain.gain for gain in history])
    errors = np.array([gain.error for gain in history])
    targets = [gain.case.target for gain in history]
    same = np.array([[a == b for b in targets] for a in targets], dtype=np.float64).reshape(len(targets), len(targets))
    own = np.array([target == case.target for target in targets], dtype=np.float64)
    found = []
    for between in GRID:
        for within in GRID:
            total = PRIOR**2 * rows @ rows.T + between**2 * same + np.diag(errors**2 + within**2)
            shared = PRIOR**2 * rows @ new + between**2 * own
            mean, variance, evidence = 0.0, PRIOR**2 * float(new @ new) + between**2 + within**2 + error**2, 0.0
            if len(history):
                root = np.linalg.cholesky(total)
                left, right = np.linalg.solve(root, shared), np.linalg.solve(root, seen)
                mean, variance = float(left @ right), variance - float(left @ left)
                evidence = -0.5 * float(right @ right) - float(np.log(np.diag(root)).sum())
            # half-normal spreads; the grid is even in their logarithms, hence the last term
            prior = -0.5 * (between**2 + within**2) / PRIOR**2 + math.log(between * within)
            found.append((evidence + prior, mean, math.sqrt(max(variance, 1e-12))))
    top = max(weight for weight, _, _ in found)
    scale = sum(math.exp(weight - top) for weight, _, _ in found)
    return [(math.exp(weight - top) / scale, mean, sd) for weight, mean, sd in found]


def _below(mixture: Sequence[tuple[float, float, float]], at: float) -> float:
    return sum(weight * 0.5 * math.erfc((mean - at) / (sd * math.sqrt(2.0))) for weight, mean, sd in mixture)


def _quantile(mixture: Sequence[tuple[float, float, float]], share: float) -> float:
    """Return the value below which `share` of the mixture lies, to 1e-9, by halving."""
    low = min(mean - 12.0 * sd for _, mean, sd in mixture)
    high = max(mean + 12.0 * sd for _, mean, sd in mixture)
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        low, high = (middle, high) if _below(mixture, middle) < share else (low, middle)
    return (low + high) / 2.0
