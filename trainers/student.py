"""Student's t distribution, and mixtures of two of them, without SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Final

Mixture = Sequence[tuple[float, float]]
"""(weight, degrees of freedom) of t distributions; the weights add up to 1."""

_TINY: Final = 1e-300
_STEPS: Final = 500


def two_sided(t: float, freedom: float) -> float:
    """Return the probability that |T| exceeds |t|, T having `freedom` > 0 degrees of freedom (inf: the normal)."""
    if math.isinf(freedom):
        return math.erfc(abs(t) / math.sqrt(2))
    return incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def mixed(t: float, mixture: Mixture) -> float:
    """Return the probability that |T| exceeds |t| where T follows the mixture."""
    return math.fsum(weight * two_sided(t, freedom) for weight, freedom in mixture)


def critical(alpha: float, mixture: Mixture) -> float:
    """Return the t that |T| exceeds with probability `alpha` (0 < alpha < 1), to a relative precision of 1e-9."""
    low = NormalDist().inv_cdf(1 - alpha / 2)
    step = 1.1
    high = low * step
    while mixed(high, mixture) > alpha:
        step *= step
        low, high = high, high * step
    return _root(lambda t: math.log(mixed(t, mixture) / alpha), low, high)


def detectable(limit: float, power: float, mixture: Mixture) -> float:
    """Return the effect, in standard errors, for which t exceeds `limit` with probability `power`.

    The mixture of noncentral t distributions is solved by quadrature over the chi distribution of the estimated error;
    the far tail is left out. Good to 1e-3.
    """
    grids = [(weight, _error_grid(freedom)) for weight, freedom in mixture]

    def missed(effect: float) -> float:
        """Return by how much, relative to `power`, an effect is found too seldom."""
        found = math.fsum(
            weight * share * _normal(effect - limit * error) for weight, grid in grids for error, share in grid
        )
        return 1 - found / power

    return _root(missed, 0.0, 4 * limit + 4, near=1e-5)


def shrinkage(mixture: Mixture) -> float:
    """Return what a standard error is expected to be estimated as, in units of its true value (0.8 .. 1).

    `sqrt(2 / f) gamma((f + 1) / 2) / gamma(f / 2)` for f degrees of freedom, weighted by the mixture.
    """
    return math.fsum(
        weight * (1.0 if math.isinf(f) else math.sqrt(2 / f) * math.exp(math.lgamma((f + 1) / 2) - math.lgamma(f / 2)))
        for weight, f in mixture
    )


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for 0 <= x <= 1 and a, b > 0.

    Lentz's evaluation of the continued fraction (Numerical Recipes 6.4), good to about 1e-12.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(front) * _fraction(x, a, b) / a
    return 1 - math.exp(front) * _fraction(1 - x, b, a) / b


def _error_grid(freedom: float, points: int = 61) -> list[tuple[float, float]]:
    """Return (error estimated over true error, its probability) on a grid over nine standard deviations each side."""
    if math.isinf(freedom):
        return [(1.0, 1.0)]
    reach = 9 / math.sqrt(2 * freedom)
    low = max(0.0, 1 - reach)
    step = (1 + reach - low) / points
    errors = [low + (i + 0.5) * step for i in range(points)]
    logs = [(freedom - 1) * math.log(e) - freedom * (e * e - 1) / 2 for e in errors]
    weights = [math.exp(value) for value in logs]
    total = math.fsum(weights)
    return [(error, weight / total) for error, weight in zip(errors, weights, strict=True)]


def _normal(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _root(function: Callable[[float], float], low: float, high: float, near: float = 1e-10) -> float:
    """Return where a falling function comes `near` 0 between `low` and `high`, by regula falsi (Illinois)."""
    at_low, at_high = function(low), function(high)
    side = 0
    for _ in range(_STEPS):
        if high - low <= 1e-9 * max(high, 1e-9) or at_low == at_high:
            break
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        if not low < middle < high:
            middle = (low + high) / 2
        value = function(middle)
        if abs(value) < near:
            return middle
        if value > 0:
            low, at_low = middle, value
            at_high = at_high / 2 if side > 0 else at_high
            side = 1
        else:
            high, at_high = middle, value
            at_low = at_low / 2 if side < 0 else at_low
            side = -1
    return (low + high) / 2
