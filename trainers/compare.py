"""Means and paired differences of blends, with intervals that hold for three seeds as well as for thirty.

The model: a value (or a paired difference of two blends) of one seed on one example is a mean plus a seed effect, an
example effect and a rest, all random, so that a statement holds for other seeds and other examples. The variance of the
mean is the sum of a part from the seeds and a part from the examples (two-way analysis of variance); the mean over its
standard error follows, nearly, a mixture of t distributions with the degrees of freedom of the two parts, weighted by
their shares (as in the approximation of Cochran and Cox, Experimental Designs, 1957, section 4.14, which weights the
quantiles). A percentile bootstrap over two or three seeds covers far too rarely.
`tests/benchmarks/compare_coverage.py` measures coverage, false positives and power.

Three seeds alone leave a comparison two degrees of freedom. So the part from the seeds is pooled over the blends of the
task and metric, and guarded against blends that differ in their spread: see `_pooled`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from manifests.errors import UserError
from manifests.schema import COMPARISONS, LEADERBOARD, Schema, frame
from trainers.student import Mixture, critical, detectable, mixed

Array = npt.NDArray[np.float64]

ALPHA: Final = 0.05
"""Two-sided error rate of intervals (each by itself) and of verdicts (after Holm's correction)."""
POWER: Final = 0.8
"""Power at which `minimum_detectable` is found by a single comparison."""
VALUES: Final[Schema] = {
    "blend": pl.String,  # recipe: its seeds belong together
    "seed": pl.Int64,
    "task": pl.String,
    "metric": pl.String,
    "example_id": pl.String,
    "value": pl.Float64,  # null or not finite: undefined
}


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
    n_examples: int = 0
    n_seeds: int = 0


def leaderboard(results: pl.DataFrame) -> pl.DataFrame:
    """Return the mean of every blend, task and metric with its interval, columns `LEADERBOARD`, sorted.

    `results` has the columns `VALUES`, in any row order. Examples undefined for a seed are left out for all seeds.
    """
    rows: list[dict[str, Any]] = []
    for task, metric, tables in _tables(results):
        for blend, table in tables.items():
            found = estimate(spread(complete(table)))
            rows.append(
                {"blend": blend, "task": task, "metric": metric, "mean": found.mean}
                | {"ci_low": found.low, "ci_high": found.high}
                | {"n_examples": found.n_examples, "n_seeds": found.n_seeds}
            )
    return frame(rows, LEADERBOARD).sort("task", "metric", "blend")


def comparisons(results: pl.DataFrame, pairs: Sequence[tuple[str, str]] | None = None) -> pl.DataFrame:
    """Return each pair's paired difference (a less b), columns `COMPARISONS`; None compares all pairs of blends.

    Paired by example and seed: only seeds and examples that both blends have are used, and counted. P values are
    corrected by Holm's method over the pairs of one task and metric; a pair without common values gets null.
    """
    blends = results["blend"].unique().sort().to_list()
    chosen = list(itertools.combinations(blends, 2)) if pairs is None else list(pairs)
    for a, b in chosen:
        for name in (a, b):
            if name not in blends:
                raise UserError("a comparison names a blend without results", value=name, options=blends)
        if a == b:
            raise UserError("a blend is compared with itself", value=a)
    rows = [
        row | {"task": task, "metric": metric}
        for task, metric, tables in _tables(results)
        for row in _compared(tables, chosen)
    ]
    return frame(rows, COMPARISONS).sort("task", "metric", "blend_a", "blend_b")


def complete(table: Array) -> Array:
    """Return the seeds and examples of a table (seeds x examples, NaN undefined) without a gap.

    A seed with less than half of the examples of the fullest one is left out as a failed run; then an example that a
    remaining seed lacks is left out.
    """
    defined = np.isfinite(table)
    counts = defined.sum(axis=1)
    seeds = (counts > 0) & (2 * counts >= counts.max(initial=0))
    return table[seeds][:, defined[seeds].all(axis=0)] if seeds.any() else np.empty((0, 0))


def spread(table: Array) -> Spread | None:
    """Return the analysis of variance of a table without gaps (seeds x examples); None when it is empty."""
    n_seeds, n_examples = table.shape
    if not table.size:
        return None
    by_seed, by_example = table.mean(axis=1), table.mean(axis=0)
    mean = float(by_seed.mean())
    seeds = float(by_seed.var(ddof=1)) if n_seeds > 1 else 0.0
    examples = float(by_example.var(ddof=1)) if n_examples > 1 else 0.0
    if n_seeds > 1 and n_examples > 1:
        rest = table - by_seed[:, None] - by_example[None, :] + mean
        examples -= float((rest**2).sum()) / ((n_seeds - 1) * (n_examples - 1)) / n_seeds
    scale = float(np.abs(table).max())
    return Spread(mean, seeds, max(examples, 0.0) / n_examples, n_seeds, n_examples, n_seeds - 1, scale)


def estimate(found: Spread | None) -> Estimate:
    """Return interval, p value and detectable effect of a mean.

    No p value is below 2^(1 - examples), the least that a sign-flip test of so few examples can reach.
    """
    if found is None:
        return Estimate()
    seeds = found.seeds / found.n_seeds
    error = math.sqrt(seeds + found.examples)
    known = Estimate(mean=found.mean, n_examples=found.n_examples, n_seeds=found.n_seeds)
    least = 2.0 ** (1 - found.n_examples)
    if error <= 1e-12 * found.scale:
        alone = found.n_seeds * found.n_examples == 1
        return replace(known, p_value=None if alone else least if found.mean else 1.0)
    mixture = _mixture(seeds, found.freedom, found.examples, found.n_examples - 1)
    limit = critical(ALPHA, mixture)
    return replace(
        known,
        low=found.mean - limit * error,
        high=found.mean + limit * error,
        p_value=min(1.0, max(mixed(found.mean / error, mixture), least)),
        detectable=detectable(limit, POWER, mixture) * error,
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p values corrected for their number by Holm's step-down method (1979); None is not counted."""
    ranked = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(ranked):
        highest = max(highest, min(1.0, p * (len(ranked) - rank)))
        corrected[index] = highest
    return corrected


def verdict(difference: float | None, corrected: float | None) -> str:
    """Return `helps`, `hurts` or `cannot tell` for a difference in a metric of which more is better."""
    if difference is None or corrected is None or corrected >= ALPHA:
        return "cannot tell"
    return "helps" if difference > 0 else "hurts"


def differences(tables: Mapping[str, Array], pairs: Sequence[tuple[str, str]]) -> list[Estimate]:
    """Return the paired difference of each pair of blends; p values are not corrected for their number.

    `tables` holds seeds x examples for every blend of one task and metric (NaN: undefined), all of one shape; blends in
    no pair still tell how much seeds vary.
    """
    alone = {
        (a, b): found
        for a, b in itertools.combinations(sorted(tables), 2)
        if (found := spread(complete(tables[a] - tables[b]))) is not None
    }
    pooled = _pooled(alone, tables)
    return [_oriented(pooled, a, b) for a, b in pairs]


def _compared(tables: Mapping[str, Array], pairs: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield the columns of `COMPARISONS`, without task and metric, of each pair."""
    estimates = differences(tables, pairs)
    corrected = holm([one.p_value for one in estimates])
    for (a, b), one, p in zip(pairs, estimates, corrected, strict=True):
        yield {
            "blend_a": a,
            "blend_b": b,
            "difference": one.mean,
            "ci_low": one.low,
            "ci_high": one.high,
            "p_value": p,
            "verdict": verdict(one.mean, p),
            "minimum_detectable": one.detectable,
            "n_examples": one.n_examples,
            "n_seeds": one.n_seeds,
        }


def _oriented(known: Mapping[tuple[str, str], Spread], a: str, b: str) -> Estimate:
    if (a, b) in known:
        return estimate(known[a, b])
    found = known.get((b, a))
    return estimate(None if found is None else replace(found, mean=0.0 - found.mean))


def _pooled(alone: Mapping[tuple[str, str], Spread], tables: Mapping[str, Array]) -> dict[tuple[str, str], Spread]:
    """Return the differences with the seeds' variance pooled over all pairs of three or more blends.

    A pair gets the largest of three variances: its own, the mean of all pairs, and the sum of its blends' own (what
    each adds to every pair that it is in). Its degrees of freedom are those of the additive layout blends x seeds where
    the mean of all is the largest; they fall to the pair's own as the square of the ratio by which it is exceeded.
    """
    runs = np.array([np.isfinite(table).any(axis=1) for table in tables.values()])
    shared = int(runs.sum()) - int(runs.any(axis=1).sum()) - int(runs.any(axis=0).sum()) + 1
    known = [found.seeds for found in alone.values() if found.n_seeds > 1]
    if runs.any(axis=1).sum() < 3 or not known or max(known) <= 0:
        return dict(alone)
    mean = math.fsum(known) / len(known)
    additive = _additive(alone, mean)
    pooled: dict[tuple[str, str], Spread] = {}
    for (a, b), found in alone.items():
        if shared <= found.freedom:
            pooled[a, b] = found
            continue
        largest = max(found.seeds, mean, additive[a] + additive[b])
        freedom = found.freedom + (shared - found.freedom) * (mean / largest) ** 2
        pooled[a, b] = replace(found, seeds=largest, freedom=freedom)
    return pooled


def _additive(alone: Mapping[tuple[str, str], Spread], mean: float) -> dict[str, float]:
    """Return each blend's own variance over seeds: the least-squares fit of pairs' variances by sums of two.

    A pair without two common seeds counts as `mean`. Estimates may be negative.
    """
    blends = sorted({blend for pair in alone for blend in pair})
    sums = dict.fromkeys(blends, 0.0)
    for a, b in itertools.combinations(blends, 2):
        found = alone.get((a, b))
        variance = found.seeds if found is not None and found.n_seeds > 1 else mean
        sums[a] += variance
        sums[b] += variance
    n = len(blends)
    total = math.fsum(sums.values()) / (2 * (n - 1))
    return (
        {blend: (value - total) / (n - 2) for blend, value in sums.items()}
        if n > 2
        else dict.fromkeys(blends, mean / 2)
    )


def _mixture(seeds: float, freedom: float, examples: float, freedom_of_examples: float) -> Mixture:
    """Return the distribution of mean over standard error, of the two variances that make up the error."""
    total = seeds + examples
    parts = [(seeds / total, freedom), (examples / total, freedom_of_examples)]
    return [(weight, max(1.0, degrees)) for weight, degrees in parts if weight > 0]


def _tables(results: pl.DataFrame) -> Iterator[tuple[str, str, dict[str, Array]]]:
    """Yield (task, metric, table of seeds x examples by blend), all tables of one task and metric alike in shape."""
    missing = [column for column in VALUES if column not in results.columns]
    if missing:
        raise UserError("results lack a column", value=missing[0], options=results.columns)
    rows = results.select(pl.col(name).cast(kind) for name, kind in VALUES.items())
    cells = rows.select("task", "metric", "blend", "seed", "example_id")
    twice = cells.filter(cells.is_duplicated()).sort(cells.columns)
    if twice.height:
        raise UserError("two results for one blend, seed, task, metric and example", value=twice.row(0))
    groups = rows.partition_by("task", "metric", as_dict=True)
    for task, metric in sorted(groups):
        group = groups[task, metric]
        blends, at_blend = np.unique(group["blend"].to_numpy(), return_inverse=True)
        seeds, at_seed = np.unique(group["seed"].to_numpy(), return_inverse=True)
        examples, at_example = np.unique(group["example_id"].to_numpy(), return_inverse=True)
        cube = np.full((len(blends), len(seeds), len(examples)), np.nan)
        values = group["value"].to_numpy()
        cube[at_blend, at_seed, at_example] = np.where(np.isfinite(values), values, np.nan)
        yield str(task), str(metric), {str(blend): cube[i] for i, blend in enumerate(blends)}
