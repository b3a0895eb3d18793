"""Hashed n-grams of texts: the counts of a corpus, and how much likelier each text is in one corpus than in another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixers.exponential import logarithm

Ints = NDArray[np.int64]

WORD: Final = r"\w+|[^\w\s]+"
"""A word or a run of marks, of a text in lower case."""
UNIT: Final = 1 << 20
"""Log ratios are whole multiples of 1 / UNIT, so that their sums are exact in any order."""
_CHUNK: Final = 8192
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_ODD: Final = np.uint64(0xD1342543DE82EF95)


@dataclass(frozen=True)
class Hashing:
    """Puts each word and each pair of neighbouring words of a text into one of `buckets`.

    A word's hash is the low 64 bits of its BLAKE2b digest, a pair's a mix of both in their order: the same on every
    machine and version. About 0.3 microseconds a word.
    """

    buckets: int
    _known: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def counts(self, texts: pl.Series) -> Ints:
        """Return the number of n-grams in each bucket, of all texts together."""
        total = np.zeros(self.buckets, dtype=np.int64)
        for _, found, _ in self._chunks(texts):
            total += np.bincount(found, minlength=self.buckets)
        return total

    def sums(self, texts: pl.Series, values: Ints) -> tuple[Ints, Ints]:
        """Return each text's sum of its buckets' `values`, and its number of n-grams."""
        total = np.zeros(len(texts), dtype=np.int64)
        size = np.zeros(len(texts), dtype=np.int64)
        for start, found, owner in self._chunks(texts):
            order = np.argsort(owner, kind="stable")
            texts_here, first, often = np.unique(owner[order], return_index=True, return_counts=True)
            if texts_here.size:
                total[start + texts_here] = np.add.reduceat(values[found[order]], first)
                size[start + texts_here] = often
        return total, size

    def _chunks(self, texts: pl.Series) -> Iterator[tuple[int, NDArray[np.uint16], Ints]]:
        """Yield the place of a chunk's first text, its n-grams' buckets and the place of each one's text within it."""
        for start in range(0, len(texts), _CHUNK):
            words = texts.slice(start, _CHUNK).str.to_lowercase().str.extract_all(WORD)
            sizes = words.list.len().to_numpy().astype(np.int64)
            hashes = self._hashes(words.explode(empty_as_null=False))
            owner = np.repeat(np.arange(sizes.size), sizes)
            pair = owner[1:] == owner[:-1]
            pairs = _mixed(hashes[:-1][pair] * _ODD + hashes[1:][pair])
            both = np.concatenate([hashes, pairs]) % np.uint64(self.buckets)
            yield start, both.astype(np.uint16), np.concatenate([owner, owner[1:][pair]])

    def _hashes(self, words: pl.Series) -> NDArray[np.uint64]:
        distinct = words.unique()
        codes = words.cast(pl.Enum(distinct)).to_physical().to_numpy()
        known = self._known
        for word in distinct.to_list():
            if word not in known:
                known[word] = hashed(word)
        table = np.array([known[word] for word in distinct.to_list()], dtype=np.uint64)
        return table[codes] if table.size else table


def hashed(word: str) -> int:
    """Return the 64-bit hash of a word."""
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64 of each number."""
    z = z + _STEP
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def log_ratios(target: Ints, pool: Ints, prior: float) -> Ints:
    """Return ln p - ln q of each bucket in whole units of 1 / UNIT, 0 where the pool has no n-gram.

    q is the bucket's share of the pool's n-grams, p that of the target's after `prior` n-grams in the pool's
    proportions are added to them: a bucket that a small target lacks is then unlikely, not impossible, and no bucket
    gains by being rare in the pool.
    """
    found = np.zeros(pool.size, dtype=np.int64)
    there = pool > 0
    many = float(pool.sum())
    ratio = (target[there].astype(np.float64) * many / pool[there] + prior) / (float(target.sum()) + prior)
    found[there] = np.rint(logarithm(ratio) * UNIT).astype(np.int64)
    return found
