"""MinHash bands chosen from the recall that is wanted: candidates for a join that verifies every one of them.

The smallest of a set's members under a random order is that of another set with probability J, their Jaccard
similarity; `rows` such minima agree with probability J^rows, and in at least one of `count` bands with probability
1 - (1 - J^rows)^count (Broder, "On the resemblance and containment of documents", SEQUENCES 1997; the bands: Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.numbering import Codes
from manifests.errors import UserError

Ints = NDArray[np.int64]

MINIMA: Final = 128
"""Minima that a row costs at the most, unless a band of one needs more."""
_RUN: Final = 1 << 15
_ODD: Final = 0x9E3779B1


@dataclass(frozen=True)
class Bands:
    """`count` bands of `rows` minima each; the seed draws the orders."""

    rows: int
    count: int
    seed: int = 0

    @classmethod
    def of(cls, threshold: float, recall: float, *, minima: int = MINIMA, seed: int = 0) -> Bands:
        """Return the longest bands, at most `minima` minima in all, that find a pair as often as wanted.

        `recall` is the probability for a pair of exactly the threshold's similarity, 0 < recall < 1; more similar pairs
        are found more often. Longer bands mean fewer false candidates. A threshold so low that even bands of one need
        more than `minima` is refused.
        """
        chosen = None
        for rows in range(1, minima + 1):
            agree = threshold**rows
            count = 1 if agree >= 1 else math.ceil(math.log1p(-recall) / math.log1p(-agree))
            if rows * count <= minima:
                chosen = cls(rows, count, seed)
        if chosen is None:
            raise UserError(
                f"MinHash with {minima} minima does not reach a recall of {recall} at this threshold",
                value=threshold,
                remedy="raise the threshold, lower the recall, allow more minima, or use the exact join",
            )
        return chosen

    def recall(self, similarity: float) -> float:
        """Return the probability that a pair of this similarity is a candidate."""
        return float(1 - (1 - similarity**self.rows) ** self.count)

    def buckets(self, begin: Ints, end: Ints, member: Codes) -> tuple[Ints, Ints]:
        """Return (row, bucket) per row and band, ordered by row, for the sets `member[begin[r]:end[r]]`.

        Two rows have a bucket in common where all minima of a band agree; by collision of 32-bit keys, two others do
        once in 2^32. Empty sets have none. Buckets are below 2^32 times the number of bands.
        """
        rows = np.flatnonzero(end > begin)
        found = np.empty((len(rows), self.count), np.uint64)
        drawn = np.random.default_rng(self.seed).integers(0, 2**31, self.rows * self.count, np.int64)
        multipliers = (2 * drawn + 1).astype(np.uint32)
        ends = np.cumsum(end[rows] - begin[rows])
        first = 0
        while first < len(rows):
            done = int(ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(ends, done + _RUN, "right")))
            # The sets stand one after the other; empty ones in between take no room.
            mixed = _mixed(member[begin[rows[first]] : end[rows[last - 1]]])
            found[first:last] = self._keys(mixed, begin[rows[first:last]] - begin[rows[first]], multipliers)
            first = last
        found += np.arange(self.count, dtype=np.uint64) << np.uint64(32)
        return np.repeat(rows, self.count), found.astype(np.int64).ravel()

    def _keys(self, mixed: NDArray[np.uint32], starts: Ints, multipliers: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the 32-bit key of each set and band; an order is that of the products with an odd number."""
        keys = np.zeros((len(starts), self.count), np.uint32)
        product = np.empty_like(mixed)
        for at, multiplier in enumerate(multipliers):
            np.multiply(mixed, multiplier, out=product)
            column = keys[:, at // self.rows]
            column ^= np.minimum.reduceat(product, starts)
            column *= np.uint32(_ODD)
            column ^= column >> np.uint32(15)
        return keys


def _mixed(member: Codes) -> NDArray[np.uint32]:
    """Return a bijection of 32-bit integers that leaves no pattern (Murmur3's finaliser)."""
    mixed = member.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    return mixed
