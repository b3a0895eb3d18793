"""The variance of a mean over seeds and examples: its interval, its p value, and what would decide it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from trainers.paired import Array, Clusters, balance, units
from trainers.student import Mixture, critical, detectable, mixed, shrinkage

ALPHA: Final = 0.05
"""Two-sided error rate of intervals (each by itself) and of verdicts (after Holm's correction)."""
POWER: Final = 0.8
"""Power at which `minimum_detectable` is found by a single comparison."""
MOST_SEEDS: Final = 1000
MOST_EXAMPLES: Final = 1_000_000
"""Above these a number of seeds or examples that would decide a comparison is not told."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean of a table of seeds x examples and the two parts of its variance."""

    mean: float
    seeds: float
    """Variance of the means of single seeds; 0 for one seed."""
    examples: float
    """Part of the variance of `mean` from the choice of examples."""
    n_seeds: int
    n_examples: int
    freedom: float = 0.0
    """Degrees of freedom of `seeds`."""
    scale: float = 0.0
    """Largest value met, to tell rounding from spread."""
    n_clusters: int = 0
    """Independent units among the examples."""
    freedom_of_examples: float = 0.0
    """Degrees of freedom of `examples`: the clusters less one, fewer where they differ in size."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval, the p value of being 0 and the effect found with 80 % power.

    What cannot be said is None: everything without a value, all but the mean where no two values differ.
    With `n_seeds` = 1 and nothing to pool, all of it is conditional on that seed.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    detectable: float | None = None
    """Corrected for standard errors from few seeds being too small on average."""
    n_examples: int = 0
    n_seeds: int = 0
    flips: float | None = None
    """P value of sign flips over the examples, for the seeds that were run."""
    seeds_needed: int | None = None
    examples_needed: int | None = None
    """Seeds, or examples, at which an effect as large as `mean` would be detectable, all else as it is."""


def complete(table: Array) -> Array:
    """Return the seeds and examples of a table (seeds x examples, NaN undefined) without a gap.

    A seed with less than half of the examples of the fullest one is left out as a failed run; then an example that a
    remaining seed lacks is left out.
    """
    seeds, examples = kept(table)
    return table[seeds][:, examples]


def spread(table: Array, clusters: Clusters = None) -> Spread | None:
    """Return the analysis of variance of a table without gaps (seeds x examples); None when it is empty.

    With `clusters`, its units are clusters of examples: see `paired.units`. The part from the seeds is at least what
    the rest alone gives it (no component of variance is negative): two seeds that happen to agree prove nothing.
    """
    if not table.size:
        return None
    given = table.shape[1]
    table = units(table, clusters)
    factors, freedom = balance(clusters, table.shape[1])
    n_seeds, n_examples = table.shape
    by_seed, by_example = table.mean(axis=1), table.mean(axis=0)
    mean = float(by_seed.mean())
    seeds = float(by_seed.var(ddof=1)) if n_seeds > 1 else 0.0
    apart = factors * (by_example - mean) ** 2
    examples = float(apart.sum()) / (n_examples - 1) if n_examples > 1 else 0.0
    if n_seeds > 1 and n_examples > 1:
        rest = table - by_seed[:, None] - by_example[None, :] + mean
        error = float((factors * rest**2).sum()) / ((n_seeds - 1) * (n_examples - 1))
        examples -= error / n_seeds
        seeds = max(seeds, error / n_examples)
    scale = float(np.abs(table).max())
    part = max(examples, 0.0) / n_examples
    return Spread(mean, seeds, part, n_seeds, given, n_seeds - 1, scale, n_examples, freedom)


def estimate(found: Spread | None) -> Estimate:
    """Return interval, p value and detectable effect of a mean.

    No p value is below 2^(1 - clusters), the least that a sign-flip test of so few can reach.
    """
    if found is None:
        return Estimate()
    seeds = found.seeds / found.n_seeds
    error = math.sqrt(seeds + found.examples)
    known = Estimate(mean=found.mean, n_examples=found.n_examples, n_seeds=found.n_seeds)
    least = 2.0 ** (1 - found.n_clusters)
    if error <= 1e-12 * found.scale:
        alone = found.n_seeds * found.n_clusters == 1
        return replace(known, p_value=None if alone else least if found.mean else 1.0)
    mixture = _mixture(seeds, found.freedom, found.examples, found.freedom_of_examples)
    limit = critical(ALPHA, mixture)
    return replace(
        known,
        low=found.mean - limit * error,
        high=found.mean + limit * error,
        p_value=min(1.0, max(mixed(found.mean / error, mixture), least)),
        detectable=detectable(limit, POWER, mixture) * error / shrinkage(mixture),
    )


def needed(found: Spread) -> tuple[int | None, int | None]:
    """Return the seeds, and the examples, at which an effect as large as the mean is found with power `POWER`.

    Each with the other as it is and the variances as estimated. None where no number up to `MOST_SEEDS` or
    `MOST_EXAMPLES` does it, where the mean is 0, and for seeds where only one was run and none can be borrowed.
    """
    if not found.mean or found.seeds + found.examples <= 0:
        return None, None

    def more_seeds(n: int) -> Spread:
        """Return the spread with `n` seeds, all else as it is."""
        grown = found.freedom * (n - 1) / (found.n_seeds - 1) if found.n_seeds > 1 else found.freedom
        return replace(found, n_seeds=n, freedom=grown)

    def more_examples(n: int) -> Spread:
        """Return the spread with `n` examples, all else as it is."""
        share = found.n_examples / n
        clusters = max(2, round(found.n_clusters / share))
        freedom = found.freedom_of_examples * (clusters - 1) / max(1, found.n_clusters - 1)
        part = found.examples * share
        return replace(found, n_examples=n, n_clusters=clusters, examples=part, freedom_of_examples=freedom)

    seeds = _least(more_seeds, found.n_seeds, MOST_SEEDS) if found.seeds > 0 else None
    return seeds, _least(more_examples, found.n_examples, MOST_EXAMPLES)


def spread_of(table: Array, clusters: Clusters) -> Spread | None:
    """Return the analysis of variance of what `complete` keeps of a table."""
    seeds, examples = kept(table)
    return spread(table[seeds][:, examples], None if clusters is None else clusters[examples])


def _least(grown: Callable[[int], Spread], low: int, most: int) -> int | None:
    """Return the least number from `low` to `most` at which the mean is detectable, by bisection."""

    def enough(n: int) -> bool:
        """Return whether the mean is detectable with `n`."""
        found = grown(n)
        seeds = found.seeds / found.n_seeds
        error = math.sqrt(seeds + found.examples)
        effect = abs(found.mean) / error
        if effect < 2.8:  # less than with every degree of freedom
            return False
        mixture = _mixture(seeds, found.freedom, found.examples, found.freedom_of_examples)
        return detectable(critical(ALPHA, mixture), POWER, mixture) <= effect

    if not enough(most):
        return None
    high = most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def kept(table: Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which seeds and which examples `complete` keeps."""
    defined = np.isfinite(table)
    counts = defined.sum(axis=1)
    seeds = (counts > 0) & (2 * counts >= counts.max(initial=0))
    return seeds, defined[seeds].all(axis=0) & bool(seeds.any())


def _mixture(seeds: float, freedom: float, examples: float, freedom_of_examples: float) -> Mixture:
    """Return the distribution of mean over standard error, of the two variances that make up the error."""
    total = seeds + examples
    parts = [(seeds / total, freedom), (examples / total, freedom_of_examples)]
    return [(weight, max(1.0, degrees)) for weight, degrees in parts if weight > 0]
