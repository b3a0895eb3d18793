"""Tests and units of paired differences that assume no distribution: sign flips, McNemar, clusters of examples."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Clusters = npt.NDArray[np.int64] | None
"""The cluster of each example; None when every example is one of its own."""

FLIPS: Final = 9999
"""Random sign flips where their exact distribution is out of reach; the least p value is then 1 / 10,000."""

_MANY: Final = 2000
_EXACT: Final = 14
_LATTICE: Final = 4_000_000


def units(table: Array, clusters: Clusters) -> Array:
    """Return a table of seeds x clusters whose means over clusters are the table's means over examples.

    `clusters` holds the cluster of each example; None or one example each returns the table. A cluster stands for the
    seed's mean plus its examples' summed deviations from it, times clusters over examples: the variance of such means
    is the cluster-robust one of the mean over examples (the linearised ratio estimator of Cochran, Sampling Techniques,
    1977, section 9A), also where clusters differ in size.
    """
    if clusters is None or not table.size:
        return table
    names, place = np.unique(clusters, return_inverse=True)
    if len(names) == table.shape[1]:
        return table
    means = table.mean(axis=1, keepdims=True)
    sums = np.zeros((table.shape[0], len(names)))
    np.add.at(sums.T, place, (table - means).T)
    return np.asarray(means + sums * (len(names) / table.shape[1]), dtype=np.float64)


def balance(clusters: Clusters, count: int) -> tuple[Array, float]:
    """Return what squared deviations of `units` are multiplied by, and the degrees of freedom of their mean square.

    A large cluster draws the mean towards itself, so that the plain mean square is too small, and unequal clusters
    leave fewer degrees of freedom than their number less one. The factors and the freedom are those of Bell and
    McCaffrey (2002; CR2 with Satterthwaite's approximation, as in Imbens and Kolesar 2016) for a mean: with shares w
    and a = w^2 / (1 - w), the variance is the sum of a d^2 over the clusters' deviations d, its freedom
    1 / (sum w^2 + (sum a)^2 - sum a^2). Equal clusters have factors of 1 and their number less one. `count` is that of
    the units.
    """
    if clusters is None or count < 2 or count == len(clusters):
        return np.ones(count), count - 1.0
    share = np.unique(clusters, return_counts=True)[1] / len(clusters)
    weight = share**2 / (1 - share)
    squares = float((share**2).sum() + weight.sum() ** 2 - (weight**2).sum())
    return (count - 1) / (count * (1 - share)), min(count - 1.0, 1 / squares)


def sign_flips(differences: Array, clusters: Clusters = None) -> float | None:
    """Return the two-sided p value of paired differences (seeds x examples) when each example's sign is flipped.

    The examples of a cluster flip together, and so do the seeds of an example: a statement about other examples, the
    seeds being those that were run. Exact for up to 14 clusters and for values on a lattice, as those of binary metrics
    (with one seed it is then McNemar's exact test); else from `FLIPS` flips of a fixed generator, counting the observed
    one (Phipson and Smyth 2010), or, above 2,000 clusters, from the normal distribution that they approach. None
    without examples.
    """
    if not differences.size:
        return None
    sums = differences.sum(axis=0)
    if clusters is not None:
        names, place = np.unique(clusters, return_inverse=True)
        sums = np.bincount(place, weights=sums, minlength=len(names))
    sizes = np.abs(sums)
    moved = sizes > 1e-12 * max(1.0, float(sizes.max(initial=0.0)))
    sums, sizes = sums[moved], sizes[moved]
    if not len(sums):
        return 1.0
    if np.all(sizes == sizes[0]):
        return mcnemar(int((sums > 0).sum()), int((sums < 0).sum()))
    observed = abs(float(sums.sum()))
    whole = np.rint(sizes)
    if np.array_equal(whole, sizes) and len(sizes) * whole.sum() <= _LATTICE:
        return _lattice([int(value) for value in whole], round(observed))
    if len(sizes) > _MANY:
        return math.erfc(observed / math.sqrt(2 * float((sizes**2).sum())))
    return _flipped(sizes, observed - 1e-9 * float(sizes.sum()))


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided exact p value of McNemar's test (1947): of the examples that changed, half gain by chance.

    `gained` are wrong under b and right under a, `lost` the other way round.
    """
    changed = gained + lost
    tail = sum(math.comb(changed, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << changed))


def _flipped(sums: Array, near: float) -> float:
    """Return the share of sign flips whose sum is at least `near` away from 0: of all, or of random ones."""
    if len(sums) <= _EXACT:
        totals = np.zeros(1)
        for value in sums:
            totals = np.concatenate([totals - value, totals + value])
        return float((np.abs(totals) >= near).mean())
    generator = np.random.default_rng(0)
    beyond = 0
    for first in range(0, FLIPS, 1111):
        signs = generator.integers(0, 2, size=(min(1111, FLIPS - first), len(sums))) * 2 - 1
        beyond += int((np.abs(signs @ sums) >= near).sum())
    return (beyond + 1) / (FLIPS + 1)


def _lattice(steps: list[int], observed: int) -> float:
    """Return the probability that a sum of `steps`, each of random sign, is `observed` away from 0 or farther."""
    reach = sum(steps)
    shares = np.zeros(2 * reach + 1)
    shares[reach] = 1.0
    for step in steps:
        moved = np.zeros_like(shares)
        moved[step:] += 0.5 * shares[: len(shares) - step]
        moved[: len(shares) - step] += 0.5 * shares[step:]
        shares = moved
    far = np.abs(np.arange(-reach, reach + 1)) >= observed
    return min(1.0, float(math.fsum(shares[far])))
