"""Which rows stay when similar rows are taken in order of merit: leaders, never connected components."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from curate.jaccard import Pairs, Sets, similar_pairs


@dataclass(frozen=True, eq=False)
class Followers:
    """Rows that are within the threshold of a leader: `row[k]` of `leader[k]`, the most similar leader before it."""

    row: NDArray[np.int64]
    leader: NDArray[np.int64]
    similarity: NDArray[np.float64]


def leaders_of(
    pairs: Iterable[Pairs],
    alive: NDArray[np.bool_],
    *,
    always: NDArray[np.bool_] | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> Followers:
    """Return the rows to drop when rows are taken in order and kept unless similar to a row kept before.

    `pairs` are blocks of similar rows, each block ordered by later, then earlier row, and all pairs of a later row in
    one block. `alive`, all true at first, shape (rows,), becomes false for every dropped row while the blocks are
    drawn, so that a source of pairs that shares the array may leave dropped rows out. Every dropped row is itself
    similar to its leader, however long a chain of small edits is, and no leader is dropped. Rows of `always` are kept
    whatever they are like; `watch` is called with the number of rows done. Of equally similar leaders the first is
    named.
    """
    found: list[tuple[int, int, float]] = []
    for block in pairs:
        edges = np.flatnonzero(np.diff(block.later, prepend=-1, append=-1))
        for begin, end in pairwise(edges):
            row = int(block.later[begin])
            if always is not None and always[row]:
                continue
            kept = np.where(alive[block.earlier[begin:end]], block.similarity[begin:end], -1.0)
            best = int(np.argmax(kept))
            if kept[best] >= 0:
                alive[row] = False
                found.append((row, int(block.earlier[begin + best]), float(kept[best])))
        watch(block.upto)
    rows, lead, similarity = zip(*found, strict=True) if found else ((), (), ())
    return Followers(np.array(rows, np.int64), np.array(lead, np.int64), np.array(similarity, np.float64))


def leaders(
    sets: Sets,
    threshold: float,
    *,
    group: NDArray[np.int64] | None = None,
    always: NDArray[np.bool_] | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> Followers:
    """Return the rows that `leaders_of` drops among sets of this Jaccard similarity, without finding all pairs.

    Rows of different `group` are never similar.
    """
    alive = np.ones(len(sets), np.bool_)
    return leaders_of(similar_pairs(sets, threshold, group=group, alive=alive), alive, always=always, watch=watch)
