"""Numbers for how broad a target is and how well the pool covers it.

tests/benchmarks/coverage_targets.py sets them against a person's ranking of thirteen real targets (docs/MIXING.md has
the table). By MiniLM `nearness`, `breadth`, `overlap` and `effective_share` rank broad above narrow, `knn_recall` ranks
best how much of its like the pool holds, though only fairly, and `novelty` and `distance` describe but do not rank. By
the lexical `hash` encoder only the numbers of cells rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from manifests import schema
from manifests.names import k64, sampling_key
from manifests.tasks import wider, within
from mixers.cells import Ints, Vectors, rounded

POOL: Final = "pool"
"""Stands for all generalist sources in the `source` column of a coverage frame."""
MOST: Final = 500
"""Rows of a target that are compared with the pool."""
FELLOWS: Final = 100
"""Rows of a target among which the nearest fellow is looked for, so that a large target has no smaller radius."""
_NEAREST: Final = 5
_SAMPLE: Final = 1000
_CHUNK: Final = 8192

Floats = NDArray[np.float64]


def coverage(samples: pl.DataFrame, vectors: Vectors, k: int, seed: int = 0) -> pl.DataFrame:
    """Return `schema.COVERAGE`: how well the pool covers each specialist and eval source and task, all in 0..1.

    `samples` has sample_id, source, role, task and cell (0..k-1); `vectors` (n, d) are its unit rows in order.
    Distances are 1 - cosine, of at most 500 rows of the target by sampling key. Of the target alone (`source` = pool):

    * `breadth`: entropy of the target's cells / log k (small targets read low: at most log n/log k);
    * `spread`: mean distance between two of its rows, at most 1; absent for a target of one row.

    For each generalist source and for `pool`, all of them:

    * `nearness`: 1 - mean distance to the source's nearest row / `spread`: 1 = it holds every row, 0 = it is no nearer
      than any other row of the target. Ranks broad above narrow best, hardly changes with the target's size, and falls
      for a target whose rows share a template; absent without `spread`, or with a spread of 0;
    * `knn_recall`: share of the rows with a row of the source at least as near as their nearest fellow (coverage of
      Naeem et al., ICML 2020, with k = 1), looked for among 100 to 199 fellows; a smaller target has fewer, hence a
      wider radius and a higher recall. Absent for a target of one row;
    * `overlap`: sum over cells of min(share of the target, share of the source): 1 = same distribution;
    * `effective_share`: share of the source's rows that is left, as Kish's effective size, when its cells are weighted
      by P(cell | target) / P(cell | source), over the cells that it has: 1 / (1 + chi-square), if it has all;
    * `cell_recall`: share of the target's rows whose cell holds at least 5 of the source's rows. 1 for every target
      once the source has many rows per cell: it tells blends and small sources apart, not targets;
    * `distance`: mean distance to the source's 5 nearest rows, at most 1. It follows length and topic more than task;
    * `novelty`: chance that a row of the target is farther from the source than a row of the pool (1,000 by key) is
      from its nearest other: 0.5 = as usual as the pool's own rows. Above 0.8 for every real target measured.
    """
    grid = rounded(vectors)
    cell = samples["cell"].to_numpy().astype(np.int64)
    pool = _pool(samples)
    held = {name: np.bincount(cell[rows], minlength=k) for name, rows in pool.items()}
    apart = _own(grid, _distinct(grid, _by_key(samples, pool[POOL], seed))) if pool else np.zeros(0)
    rows: list[dict[str, Any]] = []
    for target, mine in _targets(samples):
        counts = np.bincount(cell[mine], minlength=k)
        near = _by_key(samples, mine, seed)[:MOST]
        spread = _spread(grid[near])
        numbers = [(POOL, "breadth", _entropy(counts) / float(np.log(max(k, 2)))), (POOL, "spread", _capped(spread))]
        for source, others in held.items():
            numbers += [(source, name, value) for name, value in _shares(counts, others).items()]
        fellow = _fellow(grid, near)
        for source, distances in _reach(grid, near, pool).items():
            reached = Reached(distances, fellow, apart, spread).numbers()
            numbers += [(source, name, value) for name, value in reached.items()]
        rows += [{"target": target, "source": s, "metric": m, "value": v} for s, m, v in numbers if v is not None]
    return schema.frame(rows, schema.COVERAGE).sort("target", "metric", "source")


@dataclass(frozen=True)
class Reached:
    """What is known of the distances from a target to a source."""

    distances: Floats
    """(n, 5): from each row to the nearest rows of the source, the nearest first."""
    fellow: Floats | None
    """(n,): from each row to its nearest fellow; None for a target of one row."""
    apart: Floats
    """Sorted distances of the pool's own rows to their nearest others."""
    spread: float | None
    """Mean distance between two rows of the target."""

    def numbers(self) -> dict[str, float | None]:
        """Return `distance`, `nearness`, `knn_recall` and `novelty`; None for what cannot be said."""
        first = self.distances[:, 0]
        recall = None if self.fellow is None else float((first <= self.fellow).mean())
        usual = np.searchsorted(self.apart, first, "left") + np.searchsorted(self.apart, first, "right")
        return {
            "distance": _capped(float(self.distances.mean())),
            "nearness": max(0.0, 1 - float(first.mean()) / self.spread) if self.spread else None,
            "knn_recall": recall,
            "novelty": float(usual.mean() / (2 * self.apart.size)) if self.apart.size else None,
        }


def _shares(counts: Ints, others: Ints) -> dict[str, float]:
    """Return the numbers of a target's and a source's rows per cell."""
    target, source = counts / counts.sum(), others / others.sum()
    has = others > 0
    squares = float((target[has] ** 2 / source[has]).sum())
    return {
        "cell_recall": float(counts[others >= 5].sum() / counts.sum()),
        "overlap": min(1.0, float(np.minimum(target, source).sum())),
        "effective_share": min(1.0, float(target[has].sum()) ** 2 / squares) if squares else 0.0,
    }


def _pool(samples: pl.DataFrame) -> dict[str, Ints]:
    """Return the places of each generalist source's rows, and of all of them as `pool`."""
    generalist = (samples["role"] == "generalist").to_numpy()
    source = samples["source"].to_numpy()
    names = sorted(set(source[generalist]))
    found = {name: np.flatnonzero(generalist & (source == name)) for name in names}
    return {POOL: np.flatnonzero(generalist), **found} if names else {}


def _targets(samples: pl.DataFrame) -> Iterator[tuple[str, Ints]]:
    """Give the places of the rows of each specialist and eval source, and of each of their tasks, wider ones too."""
    asked = samples["role"].is_in(["specialist", "eval"])
    mine = samples.filter(asked)
    sources = sorted(set(mine["source"]))
    for name in sources:
        yield name, np.flatnonzero((asked & (samples["source"] == name)).to_numpy())
    for name in wider(mine["task"].drop_nulls()):
        if name not in sources:
            yield name, np.flatnonzero((asked & samples.select(within(name)).to_series()).to_numpy())


def _by_key(samples: pl.DataFrame, places: Ints, seed: int) -> Ints:
    """Return the places in the order of their rows' sampling keys."""
    ids = samples["sample_id"].to_numpy()[places].astype(str)
    keys = sampling_key(np.array([k64(i) for i in ids], dtype=np.uint64), seed, "coverage")
    return np.asarray(places[np.lexsort((ids, keys))], dtype=np.int64)


def _distinct(grid: Vectors, places: Ints) -> Ints:
    """Return the first place of each different row, so that copies within the pool make nothing look near."""
    first: dict[bytes, int] = {}
    for place in places.tolist():
        first.setdefault(grid[place].tobytes(), place)
    return np.array(list(first.values()), dtype=np.int64)


def _entropy(counts: Ints) -> float:
    share = counts[counts > 0] / counts.sum()
    return max(0.0, float(-(share * np.log(share)).sum()))


def _lengths(grid: Vectors) -> Vectors:
    """Return the length of each rounded row; 1 for a zero row, whose cosine with all is 0."""
    squares = np.einsum("ij,ij->i", grid, grid, dtype=np.float64)
    return np.asarray(np.sqrt(np.where(squares > 0, squares, 1)), dtype=np.float32)


def _cosines(left: Vectors, right: Vectors) -> Vectors:
    """Return the cosine of each pair of rounded rows: exact dots, correctly rounded divisions."""
    return np.asarray(left @ right.T / _lengths(left)[:, None] / _lengths(right), dtype=np.float32)


def _distance(cosines: Vectors) -> Floats:
    """Return 1 - cosine, 0..2, to six digits, so that equal rows are 0 apart."""
    return np.asarray(np.maximum(1 - np.round(cosines.astype(np.float64), 6), 0), dtype=np.float64)


def _capped(distance: float | None) -> float | None:
    return None if distance is None else min(1.0, distance)


def _spread(grid: Vectors) -> float | None:
    """Return the mean distance between two different rows, None when there is one."""
    if len(grid) < 2:
        return None
    return float(np.triu(_distance(_cosines(grid, grid)), 1).sum() * 2 / (len(grid) * (len(grid) - 1)))


def _fellow(grid: Vectors, target: Ints) -> Floats | None:
    """Return each row's distance to its nearest fellow in its block of 100 to 199 rows."""
    if target.size < 2:
        return None
    found = []
    for block in np.array_split(target, max(1, target.size // FELLOWS)):
        between = _cosines(grid[block], grid[block])
        np.fill_diagonal(between, -np.inf)
        found.append(_distance(between.max(axis=1)))
    return np.concatenate(found)


def _own(grid: Vectors, distinct: Ints) -> Floats:
    """Return the sorted distances of at most 1,000 of the distinct rows to their nearest others, none of one row."""
    chosen = distinct[:_SAMPLE]
    if distinct.size < 2:
        return np.zeros(0)
    best = np.full(chosen.size, -np.inf, dtype=np.float32)
    for start in range(0, distinct.size, _CHUNK):
        between = _cosines(grid[chosen], grid[distinct[start : start + _CHUNK]])
        inside = np.arange(start, min(start + between.shape[1], chosen.size))
        between[inside, inside - start] = -np.inf
        best = np.maximum(best, between.max(axis=1))
    return np.sort(_distance(best))


def _reach(grid: Vectors, target: Ints, pool: Mapping[str, Ints]) -> dict[str, Floats]:
    """Return each target row's distances to the 5 nearest rows (fewer, if there are) of each source and of the pool."""
    reach: dict[str, Vectors] = {}
    for source, places in pool.items():
        if source == POOL:
            continue
        best = np.empty((target.size, 0), dtype=np.float32)
        for start in range(0, places.size, _CHUNK):
            best = _greatest(np.hstack([best, _cosines(grid[target], grid[places[start : start + _CHUNK]])]))
        reach[source] = best
    whole = {POOL: _greatest(np.hstack(list(reach.values())))} if reach else {}
    return {source: _distance(best) for source, best in {**whole, **reach}.items()}


def _greatest(cosines: Vectors) -> Vectors:
    """Return the 5 greatest of each row, the greatest first."""
    most = min(_NEAREST, cosines.shape[1])
    return np.asarray(-np.sort(np.partition(-cosines, most - 1, axis=1)[:, :most], axis=1), dtype=np.float32)
