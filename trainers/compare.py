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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl

from manifests.errors import UserError
from manifests.schema import COMPARISONS, LEADERBOARD, Schema, frame
from trainers.paired import Array, Clusters, sign_flips
from trainers.spread import ALPHA, Estimate, Spread, estimate, kept, needed, spread_of

CLUSTER: Final = "cluster"
"""Optional column of results: examples of one cluster (a prompt, a source task) are not counted as independent."""
VALUES: Final[Schema] = {
    "blend": pl.String,  # recipe: its seeds belong together
    "seed": pl.Int64,
    "task": pl.String,
    "metric": pl.String,
    "example_id": pl.String,
    "value": pl.Float64,  # null or not finite: undefined
}


def leaderboard(
    results: pl.DataFrame, ranges: Mapping[tuple[str, str], tuple[float, float]] | None = None
) -> pl.DataFrame:
    """Return the mean of every blend, task and metric with its interval, columns `LEADERBOARD`, sorted.

    `results` has the columns `VALUES`, in any row order, and may have `CLUSTER`. Examples undefined for a seed are left
    out for all seeds. An interval ends where the range of its (task, metric) does, as `ranges` gives it: a mean cannot
    lie beyond, so it covers as often.
    """
    bounds = ranges or {}
    rows: list[dict[str, Any]] = []
    for task, metric, tables, clusters in _tables(results):
        for blend, table in tables.items():
            found = estimate(spread_of(table, clusters))
            least, most = bounds.get((task, metric), (-math.inf, math.inf))
            ends = [None if end is None else min(max(end, least), most) for end in (found.low, found.high)]
            rows.append(
                {"blend": blend, "task": task, "metric": metric, "mean": found.mean}
                | {"ci_low": ends[0], "ci_high": ends[1]}
                | {"n_examples": found.n_examples, "n_seeds": found.n_seeds}
            )
    return frame(rows, LEADERBOARD).sort("task", "metric", "blend")


def comparisons(
    results: pl.DataFrame, pairs: Sequence[tuple[str, str]] | None = None, fixed: Collection[str] = ()
) -> pl.DataFrame:
    """Return each pair's paired difference (a less b), columns `COMPARISONS`; None compares all pairs of blends.

    Paired by example and seed: only seeds and examples that both blends have are used, and counted. P values are
    corrected by Holm's method over the pairs of one task and metric; a pair without common values gets null. The blends
    in `fixed` are baselines without seeds: compared with every seed of the other, and only in `pairs`.
    """
    blends = results["blend"].unique().sort().to_list()
    chosen = list(itertools.combinations([b for b in blends if b not in fixed], 2)) if pairs is None else list(pairs)
    for a, b in chosen:
        for name in (a, b):
            if name not in blends:
                raise UserError("a comparison names a blend without results", value=name, options=blends)
        if a == b:
            raise UserError("a blend is compared with itself", value=a)
    rows = [
        row | {"task": task, "metric": metric}
        for task, metric, tables, clusters in _tables(results)
        for row in _compared(tables, [pair for pair in chosen if set(pair) <= set(tables)], clusters, frozenset(fixed))
    ]
    return frame(rows, COMPARISONS).sort("task", "metric", "blend_a", "blend_b")


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


def differences(
    tables: Mapping[str, Array], pairs: Sequence[tuple[str, str]], clusters: Clusters = None
) -> list[Estimate]:
    """Return the paired difference of each pair of blends; p values are not corrected for their number.

    `tables` holds seeds x examples for every blend of one task and metric (NaN: undefined), all of one shape; blends in
    no pair still tell how much seeds vary.
    """
    return [estimate(one) for one in _spreads(tables, pairs, clusters)]


def _spreads(tables: Mapping[str, Array], pairs: Sequence[tuple[str, str]], clusters: Clusters) -> list[Spread | None]:
    alone = {
        (a, b): found
        for a, b in itertools.combinations(sorted(tables), 2)
        if (found := spread_of(tables[a] - tables[b], clusters)) is not None
    }
    pooled = _pooled(alone, tables)
    return [_oriented(pooled, a, b) for a, b in pairs]


def _compared(
    tables: Mapping[str, Array], pairs: Sequence[tuple[str, str]], clusters: Clusters, fixed: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Yield the columns of `COMPARISONS`, without task and metric, of each pair."""
    wide = {name: _constant(table) if name in fixed else table for name, table in tables.items()}
    free = [(a, b) for a, b in pairs if a not in fixed and b not in fixed]
    drawn = {name: table for name, table in tables.items() if name not in fixed}
    spreads = dict(zip(free, _spreads(drawn, free, clusters), strict=True))
    for a, b in pairs:
        if (a, b) not in spreads:
            spreads[a, b] = spread_of(wide[a] - wide[b], clusters)
    estimates = [_judged(spreads[pair], wide[pair[0]] - wide[pair[1]], clusters) for pair in pairs]
    corrected, flipped = holm([one.p_value for one in estimates]), holm([one.flips for one in estimates])
    for (a, b), one, p, flips in zip(pairs, estimates, corrected, flipped, strict=True):
        decided = verdict(one.mean, p)
        yield {
            "blend_a": a,
            "blend_b": b,
            "difference": one.mean,
            "ci_low": one.low,
            "ci_high": one.high,
            "p_value": p,
            "verdict": decided,
            "minimum_detectable": one.detectable,
            "n_examples": one.n_examples,
            "n_seeds": one.n_seeds,
            "p_permutation": flips,
            "seeds_needed": one.seeds_needed if decided == "cannot tell" else None,
            "examples_needed": one.examples_needed if decided == "cannot tell" else None,
        }


def _judged(found: Spread | None, table: Array, clusters: Clusters) -> Estimate:
    """Return the estimate of a pair with its sign flips and what would decide it."""
    known = estimate(found)
    if found is None:
        return known
    seeds, examples = kept(table)
    flips = sign_flips(table[seeds][:, examples], None if clusters is None else clusters[examples])
    more_seeds, more_examples = needed(found)
    return replace(known, flips=flips, seeds_needed=more_seeds, examples_needed=more_examples)


def _constant(table: Array) -> Array:
    """Return the one seed of a baseline at every seed."""
    held = np.isfinite(table).any(axis=1)
    return np.broadcast_to(table[held][0], table.shape) if held.any() else table


def _oriented(known: Mapping[tuple[str, str], Spread], a: str, b: str) -> Spread | None:
    if (a, b) in known:
        return known[a, b]
    found = known.get((b, a))
    return None if found is None else replace(found, mean=0.0 - found.mean)


def _pooled(alone: Mapping[tuple[str, str], Spread], tables: Mapping[str, Array]) -> dict[tuple[str, str], Spread]:
    """Return the differences with the seeds' variance pooled over all pairs of three or more blends.

    A pair gets the largest of three variances: its own, the mean of all pairs, and the sum of its blends' own (what
    each adds to every pair that it is in). When the mean of all is the largest, its degrees of freedom are those of the
    additive layout blends x seeds, fewer where blends differ in their spread; they fall to the pair's own as the square
    of the ratio by which it is exceeded.
    """
    runs = np.array([np.isfinite(table).any(axis=1) for table in tables.values()])
    shared = float(runs.sum()) - int(runs.any(axis=1).sum()) - int(runs.any(axis=0).sum()) + 1
    known = [found.seeds for found in alone.values() if found.n_seeds > 1]
    if runs.any(axis=1).sum() < 3 or not known or max(known) <= 0:
        return dict(alone)
    mean = math.fsum(known) / len(known)
    additive = _additive(alone, mean)
    shared = _effective(shared, additive, max(found.n_seeds for found in alone.values()) - 1)
    pooled: dict[tuple[str, str], Spread] = {}
    for (a, b), found in alone.items():
        if shared <= found.freedom:
            pooled[a, b] = found
            continue
        largest = max(found.seeds, mean, additive[a] + additive[b])
        freedom = found.freedom + (shared - found.freedom) * (mean / largest) ** 2
        pooled[a, b] = replace(found, seeds=largest, freedom=freedom)
    return pooled


def _effective(shared: float, additive: Mapping[str, float], freedom: int) -> float:
    """Return the degrees of freedom of the pooled variance when blends differ in their spread (Satterthwaite 1946).

    `shared` times the squared mean over the mean square of the blends' own variances, their squares corrected for the
    noise of an estimate with `freedom`; never more than `shared`.
    """
    known = [max(0.0, value) for value in additive.values()]
    squares = math.fsum(value * value for value in known) / (1 + 2 / freedom)
    total = math.fsum(known)
    return min(shared, shared * total * total / (len(known) * squares)) if squares > 0 else shared


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


def _tables(results: pl.DataFrame) -> Iterator[tuple[str, str, dict[str, Array], Clusters]]:
    """Yield (task, metric, tables of seeds x examples by blend, clusters), the tables of one metric alike in shape."""
    missing = [column for column in VALUES if column not in results.columns]
    if missing:
        raise UserError("results lack a column", value=missing[0], options=results.columns)
    rows = results.select(pl.col(name).cast(kind) for name, kind in VALUES.items())
    rows = rows.with_columns(
        results[CLUSTER].cast(pl.String) if CLUSTER in results.columns else pl.col("example_id").alias(CLUSTER)
    )
    cells = rows.select("task", "metric", "blend", "seed", "example_id")
    twice = cells.filter(cells.is_duplicated()).sort(cells.columns)
    if twice.height:
        raise UserError("two results for one blend, seed, task, metric and example", value=twice.row(0))
    groups = rows.partition_by("task", "metric", as_dict=True)
    for task, metric in sorted(groups):
        group = groups[task, metric]
        blends, at_blend = np.unique(group["blend"].to_numpy(), return_inverse=True)
        seeds, at_seed = np.unique(group["seed"].to_numpy(), return_inverse=True)
        examples, first, at_example = np.unique(group["example_id"].to_numpy(), return_index=True, return_inverse=True)
        names, clusters = np.unique(group[CLUSTER].fill_null("").to_numpy()[first], return_inverse=True)
        cube = np.full((len(blends), len(seeds), len(examples)), np.nan)
        values = group["value"].to_numpy()
        cube[at_blend, at_seed, at_example] = np.where(np.isfinite(values), values, np.nan)
        held = clusters.astype(np.int64) if len(names) < len(examples) else None
        yield str(task), str(metric), {str(blend): cube[i] for i, blend in enumerate(blends)}, held
