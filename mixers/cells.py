"""Coverage cells: the regions of an embedding space.

Vectors are rounded to whole multiples of 1/2048. Dot products of such unit vectors stay below 2^24, where float32
arithmetic is exact, and all else is integer or correctly rounded arithmetic: the same vectors give the same cells for
any row order, thread count, batch size and BLAS library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from manifests.errors import UserError
from manifests.names import digest, k64, sampling_key

SCALE: Final = 2048
"""Length of a rounded unit row."""
_CHUNK: Final = 8192
_VERSION: Final = 2

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Space:
    """Which embedding (`curate.embed`) is cut into how many cells by a clustering of which seed."""

    encoder: str
    cells: int
    seed: int

    @property
    def name(self) -> str:
        """12 hex digits that change with any field and with the version of the cells or of their numbers."""
        return digest([self.encoder, self.cells, self.seed, _VERSION])[:12]


def assign(vectors: Vectors, ids: Sequence[str], is_target: Mask, k: int, seed: int) -> NDArray[np.int32]:
    """Return the cell, 0..k-1, of each unit row of `vectors` (n, d), in the rows' order.

    Spherical k-means (Dhillon and Modha, 2001) on at most 20,000 rows: target rows up to half of them, so that a small
    target is resolved as finely as the pool, then other rows, each by the sampling key of its id. Fewer cells are used
    when there are fewer distinct rows.
    """
    if not len(ids):
        return np.zeros(0, dtype=np.int32)
    grid = rounded(vectors)
    return nearest(grid, fit(grid[_fitted(ids, is_target, seed)], k, seed))


def rounded(vectors: Vectors) -> Vectors:
    """Return unit rows as whole multiples of 1/2048, held as float32 integers; raise UserError when not unit rows."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if not np.isfinite(norms).all() or (norms > 1.01).any():
        raise UserError("vectors are not unit rows", value=float(norms.max()), remedy="divide each by its length")
    return np.asarray(np.rint(vectors * np.float32(SCALE)), dtype=np.float32)


def _fitted(ids: Sequence[str], is_target: Mask, seed: int, most: int = 20_000) -> Ints:
    """Return the places of the rows to fit on, in the order of their keys."""
    keys = sampling_key(np.array([k64(i) for i in ids], dtype=np.uint64), seed, "cells")
    order = np.lexsort((np.asarray(ids, dtype=str), keys))
    target, other = order[is_target[order]], order[~is_target[order]]
    chosen = target[: max(most // 2, most - other.size)]
    chosen = np.concatenate([chosen, other[: most - chosen.size]])
    return np.asarray(chosen[np.lexsort((np.asarray(ids, dtype=str)[chosen], keys[chosen]))], dtype=np.int64)


def fit(grid: Vectors, k: int, seed: int, iterations: int = 25) -> Vectors:
    """Return at most `k` unit centroids (k, d), rounded, of rounded rows (n, d); the rows' order fixes the result.

    Starts from k-means++ (Arthur and Vassilvitskii, 2007), with distance 1 - cosine. A cell that loses every row is
    moved to the row furthest from its own centroid.
    """
    centroids = _spread(grid, k, seed)
    before = np.full(len(grid), -1, dtype=np.int32)
    for _ in range(iterations):
        cell, similarity = _best(grid, centroids)
        if np.array_equal(cell, before):
            break
        before = cell
        centroids = _centres(grid, cell, similarity, centroids)
    return centroids


def _spread(grid: Vectors, k: int, seed: int) -> Vectors:
    """Return k-means++ starting rows: each drawn with odds proportional to its distance from those before it."""
    draws = sampling_key(np.arange(k, dtype=np.uint64), seed, "k-means++")
    chosen = [int(draws[0] % np.uint64(len(grid)))]
    apart = _apart(grid, grid[chosen[0]])
    while len(chosen) < k and (total := int(apart.sum())) > 0:
        ahead = np.cumsum(apart)
        place = int(np.searchsorted(ahead, int(draws[len(chosen)]) % total, side="right"))
        chosen.append(place)
        apart = np.minimum(apart, _apart(grid, grid[place]))
    return grid[chosen]


def _apart(grid: Vectors, row: Vectors) -> Ints:
    """Return 1 - cosine of each row to `row`, in units of 1/2048^2; equal rows are 0 apart."""
    apart = np.maximum(SCALE * SCALE - (grid @ row).astype(np.int64), 0)
    apart[(grid == row).all(axis=1)] = 0
    return apart


def _centres(grid: Vectors, cell: NDArray[np.int32], similarity: Vectors, old: Vectors) -> Vectors:
    order = np.argsort(cell, kind="stable")
    present, starts = np.unique(cell[order], return_index=True)
    sums = np.zeros(old.shape, dtype=np.int64)
    sums[present] = np.add.reduceat(grid[order].astype(np.int64), starts, axis=0)
    length = np.sqrt((sums * sums).sum(axis=1).astype(np.float64))
    centres = old.copy()
    moved = length > 0
    centres[moved] = np.rint(sums[moved] * (SCALE / length[moved])[:, None]).astype(np.float32)
    empty = np.setdiff1d(np.arange(len(old)), present)
    centres[empty] = grid[np.argsort(similarity, kind="stable")[: empty.size]]
    return centres


def nearest(grid: Vectors, centroids: Vectors) -> NDArray[np.int32]:
    """Return the cell of each rounded row: the centroid of greatest dot product, the first of equals."""
    return _best(grid, centroids)[0]


def _best(grid: Vectors, centroids: Vectors) -> tuple[NDArray[np.int32], Vectors]:
    cells, similarities = np.empty(len(grid), dtype=np.int32), np.empty(len(grid), dtype=np.float32)
    for start in range(0, len(grid), _CHUNK):
        dots = grid[start : start + _CHUNK] @ centroids.T
        cells[start : start + _CHUNK] = dots.argmax(axis=1)
        similarities[start : start + _CHUNK] = dots.max(axis=1)
    return cells, similarities
