"""Tables of counts with given marginals: iterative proportional fitting, and rounding to whole rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Marginals:
    """Cells of a table: `codes` (d, cells) is each cell's value in each of d dimensions, `wanted` each value's rows."""

    codes: Ints
    wanted: tuple[Floats, ...]

    def sums(self, table: NDArray[np.generic]) -> list[Floats]:
        """Return the sum of each value's cells, dimension by dimension."""
        return [
            np.bincount(code, weights=table.astype(np.float64), minlength=want.size).astype(np.float64)
            for code, want in zip(self.codes, self.wanted, strict=True)
        ]

    def misses(self, table: NDArray[np.generic]) -> list[Floats]:
        """Return by how much each sum is over what is wanted."""
        return [s - want for s, want in zip(self.sums(table), self.wanted, strict=True)]


def fit(counts: Floats, caps: Floats, marginals: Marginals, rounds: int = 1000) -> Floats:
    """Return the table that starts at `counts`, holds the wanted sums and keeps the caps, as far as it can be had.

    Iterative proportional fitting (Deming and Stephan, Annals of Mathematical Statistics 1940), cells cut at their
    caps. Where no table holds all sums, the rounds go in a circle; the mean of one circle is returned.
    """
    total = max(float(marginals.wanted[0].sum()), 0.0)
    table = np.minimum(counts * (total / max(float(counts.sum()), 1.0)), caps)
    for _ in range(rounds):
        circle = []
        for code, want in zip(marginals.codes, marginals.wanted, strict=True):
            held = np.bincount(code, weights=table, minlength=want.size)
            factor = np.divide(want, held, out=np.zeros_like(want), where=held > 0)
            table = np.minimum(table * factor[code], caps)
            circle.append(table)
        if max(float(np.abs(miss).max()) for miss in marginals.misses(table)) < 1e-7:
            return table
    return np.asarray(np.mean(circle, axis=0), dtype=np.float64)


def whole(table: Floats, caps: Ints, marginals: Marginals, total: int) -> Ints:
    """Return whole rows that sum to `total`, keep the caps and whose sums no exchange of one row brings nearer.

    Controlled rounding: cells start at their fitted rows rounded down, each further row goes where the sums are
    furthest short, then rows move from cell to cell while the squared misses shrink. A cell that starts empty stays so
    unless nothing else is left.
    """
    rows = np.minimum(np.floor(table + 1e-9).astype(np.int64), caps)
    misses = marginals.misses(rows)
    for _ in range(total - int(rows.sum())):
        pull = _pull(misses, marginals) - 1e-9 * (table - rows)
        pull[table <= 0] += 1e12
        pull[rows >= caps] = np.inf
        _move(rows, misses, marginals, int(np.argmin(pull)), 1)
    for _ in range(20_000):
        if not _exchanged(rows, caps, misses, marginals, table > 0):
            break
    return rows


def _exchanged(rows: Ints, caps: Ints, misses: list[Floats], marginals: Marginals, open_: NDArray[np.bool_]) -> bool:
    """Move one row between the two cells that gain most, among the eight most overfull; False when none gains."""
    pull = _pull(misses, marginals)
    best, move = -1e-6, None
    givers = np.where(rows > 0, pull, -np.inf)
    for giver in np.argsort(-givers, kind="stable")[:8].tolist():
        if givers[giver] == -np.inf:
            break
        differ = (marginals.codes != marginals.codes[:, giver : giver + 1]).astype(np.float64)
        gain = np.zeros(rows.size)
        for d, (miss, code) in enumerate(zip(misses, marginals.codes, strict=True)):
            gain += differ[d] * (2 * (miss[code] - miss[code[giver]]) + 2)
        gain[(rows >= caps) | ~open_] = np.inf
        taker = int(np.argmin(gain))
        if gain[taker] < best:
            best, move = float(gain[taker]), (giver, taker)
    if move is None:
        return False
    _move(rows, misses, marginals, move[0], -1)
    _move(rows, misses, marginals, move[1], 1)
    return True


def _pull(misses: list[Floats], marginals: Marginals) -> Floats:
    """Return for each cell by how much the sums that it is in are over, together."""
    return np.asarray(sum(miss[code] for miss, code in zip(misses, marginals.codes, strict=True)), dtype=np.float64)


def _move(rows: Ints, misses: list[Floats], marginals: Marginals, cell: int, by: int) -> None:
    rows[cell] += by
    for miss, code in zip(misses, marginals.codes, strict=True):
        miss[code[cell]] += by
