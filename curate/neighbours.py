"""Pairs of unit vectors within a cosine: all of them by brute force, or nearly all by an inverted index.

Vectors are rounded to whole multiples of 1/2048. Products of such unit vectors are whole numbers below 2^24, where
float32 sums are exact, so a cosine is the same for any row order, thread count, batch and BLAS. The inverted index may
miss pairs; it never invents one and never changes a cosine. HNSW and other top-k searches are not used: a limit on the
number of neighbours loses pairs where they are dense.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curate.jaccard import Pairs
from manifests.errors import UserError, missing_extra

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SCALE: Final = 2048
BLOCK: Final = 512
"""Rows that are looked up at once."""
QUERIES: Final = 16_384
"""Reads of a list that are done at once; the more rows read it one after the other, the longer it stays in cache."""
FLAT: Final = 10_000
"""Rows up to which every pair is computed."""
SAMPLE: Final = 500
"""Rows whose neighbours are found by brute force too, to choose how many lists are read."""
LEAST: Final = 200
"""Neighbours that the choice needs; when there are fewer at the threshold, less similar ones count as well."""
_MARGIN: Final = 0.5
"""Share of the misses allowed that the choice may use up: the rest is for the sample's error."""


def rounded(vectors: Vectors) -> Vectors:
    """Return unit rows as whole multiples of 1/2048, held as float32 integers; raise UserError when not unit rows.

    Zero rows stay. A cosine of 384 dimensions moves by about 0.0002 (standard deviation).
    """
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if len(norms) and (not np.isfinite(norms).all() or (norms > 1.01).any()):
        raise UserError("vectors are not unit rows", value=float(norms.max()), remedy="divide each by its length")
    return np.asarray(np.rint(vectors * np.float32(SCALE)), dtype=np.float32)


def lengths(grid: Vectors) -> Floats:
    """Return the length of each rounded row: the root of a whole number."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", grid, grid, dtype=np.float64)), np.float64)


def cosines(grid: Vectors, length: Floats, row: Ints, other: Ints) -> Floats:
    """Return the cosine of the rounded rows `row[k]` and `other[k]`, -1 to 1; that with a zero row is 0.

    From whole products and correctly rounded roots and divisions: the same everywhere.
    """
    found = np.empty(len(row), np.float64)
    for begin in range(0, len(row), 65536):
        a, b = row[begin : begin + 65536], other[begin : begin + 65536]
        dot = np.einsum("ij,ij->i", grid[a], grid[b]).astype(np.float64)
        found[begin : begin + 65536] = dot / np.maximum(length[a] * length[b], 1.0)
    return np.clip(found, -1.0, 1.0)


@dataclass(frozen=True)
class Search:
    """How neighbours are looked for, and how many of them that finds."""

    lists: int = 0
    """Lists of the inverted index; 0 for brute force."""
    probes: int = 0
    """Lists that are read for a row."""
    recall: float = 1.0
    """Share of the neighbours of the sampled rows that the search finds, 0..1: the smaller of the mean over neighbours,
    which crowds govern, and the mean over rows."""
    sampled: int = 0
    """Rows on which that was measured."""
    neighbours: int = 0
    """Neighbours that those rows have."""


class Index:
    """The rows of a grid (n, d), searched by cosine."""

    def __init__(self, grid: Vectors, threshold: float, *, recall: float = 0.99, flat: int = FLAT) -> None:
        """Plan the search: brute force up to `flat` rows, else as many lists as the wanted recall needs.

        `threshold`, the cosine of neighbours, is above 0. The plan depends on the rows, not on their order: centroids
        are trained, and recall is measured, on rows spread evenly over them in the order of their values. (Which pairs
        the lists miss does depend on which row of the two is looked up: the later one.)
        """
        self._faiss = _faiss()
        self._grid, self._threshold, self._length = grid, threshold, lengths(grid)
        self._centroids: Vectors | None = None
        self._cell = np.empty(0, np.int64)
        self.search = Search()
        if len(grid) > flat:
            order = _ordered(grid)
            lists = int(2 ** round(np.log2(1.6 * np.sqrt(len(grid)))))
            self._centroids = _centroids(grid[order[:: max(1, len(grid) // (lists * 16))]], lists)
            self.search = self._planned(order[:: max(1, len(grid) // SAMPLE)], recall)

    def _planned(self, sample: Ints, recall: float) -> Search:
        """Return the fewest lists with which the search finds that share of the sample's neighbours."""
        grid, centroids = self._grid, self._centroids
        if centroids is None:
            return Search()
        self._cell = _nearest_centroid(grid, centroids)
        inverse = (1 / np.maximum(self._length, 1.0)).astype(np.float32)
        alike = grid[sample] @ grid.T
        alike *= inverse[sample, None]
        alike *= inverse[None, :]
        alike[np.arange(len(sample)), sample] = -1
        near = alike >= self._threshold
        if near.sum() < LEAST:
            near = alike >= min(self._threshold, float(np.partition(alike.ravel(), -LEAST)[-LEAST]))
        by_list = np.argsort(-(grid[sample] @ centroids.T), axis=1, kind="stable")
        rank = np.empty_like(by_list)
        np.put_along_axis(rank, by_list, np.arange(len(centroids))[None, :], axis=1)
        query, found = np.nonzero(near)
        needed = rank[query, self._cell[found]] + 1
        share = 1 - (1 - recall) * _MARGIN
        each = 1 / near.sum(axis=1)[query]
        probes = max(_quantile(needed, np.ones(len(needed)), share), _quantile(needed, each, share))
        reached = needed <= probes
        least = min(float(reached.mean()), float(each[reached].sum() / each.sum()))
        return Search(len(centroids), probes, least, len(sample), len(needed))

    def pairs(self, alive: NDArray[np.bool_] | None = None) -> Iterator[Pairs]:
        """Yield the pairs of rows with a cosine of at least the threshold, block by block of the later row.

        Each block is ordered by later, then earlier row. A zero row has no neighbours. `alive` may be changed by the
        caller while a block is in its hands: rows that are then false are not compared with later blocks, so that
        finding leaders costs no more than comparing with leaders. Rows of one block are compared with each other.
        """
        index, members = self._empty(), np.empty(0, np.int64)
        shortest = float(self._length[self._length > 0].min(initial=SCALE))
        radius = float(np.float32(self._threshold * shortest * shortest * (1 - 1e-6)))
        step = BLOCK if self._centroids is None else min(4 * BLOCK, max(1, QUERIES // self.search.probes))
        for begin in range(0, len(self._grid), step):
            rows = np.arange(begin, min(begin + step, len(self._grid)))
            block = self._empty()
            self._add(block, rows)
            (later, found), (own, inner) = self._within([index, block], rows, radius)
            later, earlier = np.append(later, own), np.append(members[found], inner + begin)
            before = earlier < later
            later, earlier = later[before], earlier[before]
            similarity = cosines(self._grid, self._length, later, earlier)
            near = np.flatnonzero(similarity >= self._threshold)
            near = near[np.lexsort((earlier[near], later[near]))]
            yield Pairs(later[near], earlier[near], similarity[near], int(rows[-1]) + 1)
            stays = self._length[rows] > 0
            fresh = rows[stays if alive is None else stays & alive[rows]]
            self._add(index, fresh)
            members = np.append(members, fresh)

    def _add(self, index: Any, rows: Ints) -> None:  # noqa: ANN401 - a faiss index
        """Add those rows of the grid, each to the list that the plan put it in."""
        if self._centroids is None:
            index.add(self._grid[rows])
        elif len(rows):
            _lists().add_preassigned(index, self._grid[rows], self._cell[rows])

    def _within(self, indexes: Sequence[Any], rows: Ints, radius: float) -> Iterator[tuple[Ints, Ints]]:
        """Yield, of each index, the rows and the places in the index of those within `radius` of them."""
        if self._centroids is None:
            searches = [index.range_search(self._grid[rows], radius) for index in indexes]
        else:
            near, lists = indexes[0].quantizer.search(self._grid[rows], self.search.probes)
            turn = np.argsort(lists, axis=None, kind="stable")  # the queries of a list one after the other
            rows, lists, near = np.repeat(rows, self.search.probes)[turn], lists.ravel()[turn], near.ravel()[turn]
            queries, lists, near = self._grid[rows], lists[:, None], near[:, None]
            for index in indexes:
                index.nprobe = 1
            searches = [_lists().range_search_preassigned(index, queries, radius, lists, near) for index in indexes]
        for limits, _, places in searches:
            yield np.repeat(rows, np.diff(limits.astype(np.int64))), places.astype(np.int64)

    def nearest(self, k: int) -> Iterator[tuple[int, Ints, Floats]]:
        """Yield (first row, places, cosines) of the k nearest other rows, block by block, nearest first.

        Shapes (rows, k); where there are fewer, the place and the cosine are -1. Of equally near rows which ones are
        named is left open, their cosines are not.
        """
        index = self._empty()
        self._add(index, np.arange(len(self._grid)))
        most = min(k + 9, len(self._grid))
        for begin in range(0, len(self._grid), BLOCK):
            block = self._grid[begin : begin + BLOCK]
            places = np.asarray(index.search(block, most)[1], np.int64)
            own = np.repeat(np.arange(begin, begin + len(block))[:, None], most, axis=1)
            value = cosines(self._grid, self._length, own.ravel(), np.maximum(places, 0).ravel()).reshape(places.shape)
            value[(places < 0) | (places == own)] = -2
            best = np.argsort(-value, axis=1, kind="stable")[:, :k]
            value, places = np.take_along_axis(value, best, 1), np.take_along_axis(places, best, 1)
            wide = ((0, 0), (0, k - best.shape[1]))
            yield (
                begin,
                np.pad(np.where(value < -1, -1, places), wide, constant_values=-1),
                np.pad(np.maximum(value, -1.0), wide, constant_values=-1.0),
            )

    def _empty(self) -> Any:  # noqa: ANN401 - a faiss index
        """Return an index of the plan's shape without rows."""
        faiss, width = self._faiss, self._grid.shape[1]
        if self._centroids is None:
            return faiss.IndexFlatIP(width)
        quantizer = faiss.IndexFlatIP(width)
        quantizer.add(self._centroids)
        index = faiss.IndexIVFFlat(quantizer, width, len(self._centroids), faiss.METRIC_INNER_PRODUCT)
        index.train(self._centroids)
        index.nprobe = self.search.probes
        return index


def _quantile(needed: Ints, weight: Floats, share: float) -> int:
    """Return the least number that this share of the weight does not exceed."""
    order = np.argsort(needed, kind="stable")
    reached = np.cumsum(weight[order])
    place = np.searchsorted(reached, share * reached[-1] * (1 - 1e-12))
    return int(needed[order[min(int(place), len(order) - 1)]])


def _ordered(grid: Vectors) -> Ints:
    """Return the rows in the order of their values; equal rows are interchangeable."""
    packed = np.ascontiguousarray(grid.astype(">i2"))
    whole = packed.view(f"V{packed.shape[1] * packed.itemsize}").ravel()
    order: Ints = np.argsort(whole, kind="stable").astype(np.int64)
    return order


def _centroids(grid: Vectors, lists: int, iterations: int = 4) -> Vectors:
    """Return `lists` rounded unit centroids by spherical k-means (Dhillon and Modha, 2001), begun at even steps."""
    centroids = grid[np.linspace(0, len(grid) - 1, lists).astype(np.int64)]
    for _ in range(iterations):
        cell = _nearest_centroid(grid, centroids)
        order = np.argsort(cell, kind="stable")
        some, first = np.unique(cell[order], return_index=True)
        sums = np.add.reduceat(grid[order].astype(np.float64), first, axis=0)
        centroids = centroids.copy()
        centroids[some] = np.rint(sums * (SCALE / np.maximum(np.sqrt((sums * sums).sum(1, keepdims=True)), 1.0)))
    return centroids


def _nearest_centroid(grid: Vectors, centroids: Vectors) -> Ints:
    """Return the place of each row's nearest centroid, of equally near ones the first."""
    cells = [(grid[at : at + 4096] @ centroids.T).argmax(axis=1) for at in range(0, len(grid), 4096)]
    return np.asarray(np.concatenate(cells), np.int64)


def _lists() -> Any:  # noqa: ANN401 - a module
    """Return faiss' functions for rows whose lists are known."""
    from faiss.contrib import ivf_tools

    return ivf_tools


def _faiss() -> Any:  # noqa: ANN401 - the faiss module
    try:
        import faiss
    except ImportError:
        raise missing_extra("faiss-cpu", "embed") from None
    return faiss
