"""Intervals by drawing again: whole groups of rows, so that answers to one prompt stay together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.measure import Floats, Ints, arrays
from manifests.names import seed64

RESAMPLES: Final = 1000
_LEAST_DEFINED: Final = 0.5
"""Share of resamples in which a statistic must be defined for an interval to be given."""

Statistic = Callable[[NDArray[np.bool_], Floats], float]


def bootstrap_ci(
    statistic: Statistic,
    labels: ArrayLike,
    p_error: ArrayLike,
    groups: ArrayLike | None,
    seed: int,
    n: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of `statistic` when whole groups are drawn again, `n` times.

    Rows of a group (answers to one prompt) stay together, since they are not independent; None makes each row a group.
    The result depends on the seed and the groups' names, not on the order of rows. None when fewer than half of the
    resamples define the statistic. Costs `n` evaluations.
    """
    wrong, p = arrays(labels, p_error)
    if not len(p):
        return None
    index = grouped(wrong, p, groups)
    order = np.lexsort((p, wrong, index))
    wrong, p, index = wrong[order], p[order], index[order]
    values = np.array([statistic(np.repeat(wrong, times), np.repeat(p, times)) for times in draws(index, seed, n)])
    return percentile(values)


def grouped(wrong: NDArray[np.bool_], p: Floats, groups: ArrayLike | None) -> Ints:
    """Return the number of each row's group, 0..; the numbering does not depend on the order of rows.

    Without groups, or where each row is one of its own, rows are numbered by label and value.
    """
    names = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    if names is not None and names.max(initial=-1) + 1 < len(names):
        return names
    index = np.empty(len(p), np.int64)
    index[np.lexsort((p, wrong) if names is None else (names, p, wrong))] = np.arange(len(p))
    return index


def draws(index: Ints, seed: int, n: int) -> Iterator[Ints]:
    """Yield `n` times how often each row is drawn when as many groups as there are are drawn with replacement."""
    groups = int(index.max()) + 1
    random = np.random.default_rng(seed64(seed, "bootstrap"))
    for _ in range(n):
        yield np.bincount(random.integers(groups, size=groups), minlength=groups)[index]


def percentile(values: Floats) -> tuple[float, float] | None:
    """Return the middle 95 % of the values that are finite, None when fewer than half are."""
    defined = values[np.isfinite(values)]
    if not len(values) or len(defined) < _LEAST_DEFINED * len(values):
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)
