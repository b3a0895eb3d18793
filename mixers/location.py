"""Facility location: which rows stand for the most others, in the order in which greedy takes them.

Similarities are cosines of rows on `cells.rounded`'s grid, cut at 0 and rounded down to whole multiples of 1/4096. In a
block of at most 2,000 rows every sum of them stays below 2^24, where float32 arithmetic is exact: the same rows are
taken for any row order, thread count and BLAS library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mixers import cells

if TYPE_CHECKING:
    from mixers.cells import Vectors
    from mixers.pick import Ints

Floats = NDArray[np.float64]

ONE: Final = 4096
"""Similarity 1, as a whole number."""
BLOCK: Final = 2000
"""Most rows among which greedy is exact: cost grows with it, coverage hardly (0.3 points from 2,000 to 10,000 rows)."""
DEPTH: Final = 8
"""One row in so many of a block is taken by greedy; those after it are no better than a draw."""
_CHUNK: Final = 4096


@dataclass(frozen=True)
class Taken:
    """Rows that greedy took, in its order, and by how much each raised the objective, in units of 1/4096."""

    rows: Ints
    gains: Ints


def similarity(left: Vectors, right: Vectors) -> Vectors:
    """Return the similarities (n, m) of rounded rows (n, d) and (m, d), whole numbers 0..4096 held as float32."""
    return _scaled(left @ right.T)


def _scaled(products: Vectors) -> Vectors:
    """Return dot products of rounded rows as similarities, in place."""
    products *= np.float32(ONE / cells.SCALE**2)
    np.floor(products, out=products)
    return np.clip(products, 0, ONE, out=products)


def greedy(similarities: Vectors, worth: Ints, most: int) -> Taken:
    """Return at most `most` rows of a block, each the one that raises the objective most, the first of equals.

    The objective of rows S is the sum over all rows i of the best similarity of i to a row of S, plus the sum of
    `worth` (n, whole numbers >= 0) over S. It is monotone and submodular, so `most` rows reach at least 1 - 1/e of the
    best there is (Nemhauser, Wolsey and Fisher, Mathematical Programming 1978). `similarities` (n, n) is symmetric.
    A row taken changes the gains only through the rows that it is nearest to: their terms alone are computed anew.
    """
    gains = similarities.sum(axis=0, dtype=np.float32)
    bonus = worth.astype(np.float64)
    best = np.zeros(len(gains), dtype=np.float32)
    rows, raised = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    for turn in range(most):
        both = gains + bonus
        row = int(both.argmax())
        rows[turn], raised[turn] = row, int(both[row])
        bonus[row] = -np.inf
        nearer = np.flatnonzero(similarities[row] > best)
        if nearer.size:
            old, new = best[nearer], similarities[row, nearer]
            terms = similarities[nearer]
            np.maximum(terms, old[:, None], out=terms)
            np.minimum(terms, new[:, None], out=terms)
            gains -= terms.sum(axis=0, dtype=np.float32) - old.sum(dtype=np.float32)
            best[nearer] = new
    return Taken(rows, raised)


def coverage(rows: Vectors, drawn: Vectors) -> float:
    """Return the mean best similarity, 0..1, of rounded rows to those drawn."""
    best = np.zeros(len(rows), dtype=np.float32)
    for start in range(0, len(drawn), _CHUNK):
        best = np.maximum(best, (rows @ drawn[start : start + _CHUNK].T).max(axis=1))
    return float(_scaled(best).sum(dtype=np.float64)) / (ONE * len(rows))


def blocks(grid: Vectors, strata: NDArray[np.int32], cell: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the block of each rounded row (n, d), at most `BLOCK` rows in each.

    A stratum that is small enough is one block, a larger one is divided by cell. A cell that is still too large is cut
    by a k-means of its first thousand rows, and what that leaves too large by the rows' order.
    """
    crossed = strata.astype(np.int64) * (int(cell.max(initial=0)) + 2)
    crossed += np.where(np.bincount(strata)[strata] > BLOCK, cell + 1, 0) if len(strata) else 0
    found = np.unique(crossed, return_inverse=True)[1].astype(np.int32)
    for block in np.flatnonzero(np.bincount(found) > BLOCK).tolist():
        rows = np.flatnonzero(found == block)
        near = cells.nearest(grid[rows], cells.fit(grid[rows[:1000]], -(-2 * rows.size // BLOCK), 0, 10))
        ahead = found.max() + 1
        for part in range(int(near.max()) + 1):
            those = rows[near == part]
            found[those] = ahead + np.arange(those.size) // BLOCK
            ahead += -(-those.size // BLOCK)
    return found


def order(grid: Vectors, blocks: NDArray[np.int32], worth: Ints) -> NDArray[np.uint64]:
    """Return keys of rounded rows (n, d) by which the lowest come first: greedy's order, the greatest gain first.

    Greedy runs within each block (see `greedy`), for one row in `DEPTH` of it; as gains fall within a block, the blocks
    merged by gain are what greedy takes for the sum of the blocks' objectives. Rows not taken by greedy share the
    highest key. 200,000 rows of d = 384 in blocks of 1,000 cost 4 CPU-seconds, in blocks of 3,000 twice as much.
    """
    keys = np.full(len(grid), np.iinfo(np.int64).max, dtype=np.uint64)
    line = np.argsort(blocks, kind="stable")
    edges = np.flatnonzero(np.diff(blocks[line], prepend=-1, append=-1))
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = line[begin:end]
        taken = greedy(similarity(grid[rows], grid[rows]), worth[rows], -(-rows.size // DEPTH))
        keys[rows[taken.rows]] = (np.iinfo(np.int64).max - 1 - taken.gains).astype(np.uint64)
    return keys
