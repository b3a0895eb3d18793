"""Keys that draw rows without replacement with odds in proportion to their weights."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_LN2: Final = 0.6931471805599453
_CHUNK: Final = 1 << 15


def keys(uniform: NDArray[np.uint64], weights: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return the keys of rows of `weights` > 0 (finite): the n lowest are a draw of n without replacement.

    Key -ln(u) / weight, with u in (0, 1) from the row's `uniform` 64 bits (Efraimidis and Spirakis, "Weighted random
    sampling with a reservoir", IPL 2006), as the bits of a double, which order as it does. A smaller draw is the
    beginning of a larger one. The logarithm is computed from sums and products alone: libraries differ in theirs.
    """
    found = np.empty(uniform.size, dtype=np.float64)
    for start in range(0, uniform.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        waits = 0.0 - logarithm(_unit(uniform[part]))  # not -0.0, whose bits come last, where u rounds to 1
        np.divide(waits, weights[part], out=found[part])
    return found.view(np.uint64)


def log_keys(uniform: NDArray[np.uint64], log_weights: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return keys that draw as those of `keys` do, from the natural logarithms of the weights (finite).

    Key ln(-ln u) - ln weight, for weights too large or small for a double: the row of the highest Gumbel-perturbed log
    weight comes first (Gumbel top-k; Kool, van Hoof and Welling, "Stochastic beams and where to find them", ICML 2019).
    """
    found = np.empty(uniform.size, dtype=np.float64)
    for start in range(0, uniform.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        wait = np.maximum(-logarithm(_unit(uniform[part])), 2.0**-54)  # u rounds to 1 at the last of 2^53 steps
        np.subtract(logarithm(wait), log_weights[part], out=found[part])
    return bits(found)


def bits(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return whole numbers in the order of finite doubles."""
    found = (values + 0.0).view(np.int64)  # -0.0 becomes 0.0
    flipped = np.where(found < 0, ~found, found ^ np.int64(-(2**63)))
    return flipped.view(np.uint64)


def _unit(uniform: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the middle of the one of 2^53 slices of (0, 1) that 64 bits fall into."""
    return ((uniform >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def logarithm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return natural logarithms of values > 0, to about 2 units in the last place; the same bits on any machine.

    ln m = 2 artanh((m - 1) / (m + 1)) for m within a factor of sqrt 2 of 1, by its series.
    """
    mantissa, exponent = np.frexp(values)
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    power = exponent - small
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    series = np.full_like(s, 1.0 / 23.0)
    for odd in range(21, 0, -2):
        series = series * square + 1.0 / odd
    return np.asarray(power * _LN2 + 2.0 * s * series, dtype=np.float64)
