"""Retrieval of passages for a query: by words (BM25), by sentence vectors, or by both.

Results do not depend on the number of queries asked at once; ties go to the passage that comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from curate import embed
from curate.neighbours import rounded
from curate.sentence import content
from manifests.component import Context
from manifests.errors import Interrupted
from manifests.names import digest_bytes

Retriever = Literal["lexical", "embedding", "both"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SATURATION: Final = 1.2
"""k1 of BM25: how soon a repeated word stops to count."""
LENGTH: Final = 0.75
"""b of BM25: how much long passages are held back."""
RANK: Final = 60
"""Constant of reciprocal-rank fusion."""
DEPTH: Final = 50
"""Passages of each ranking that are fused."""
BLOCK: Final = 256
"""Queries that are compared with all vectors at once."""
_GRID: Final = 2048.0 * 2048.0


@dataclass(frozen=True, eq=False)
class Found:
    """The best passages of each query: places, -1 where there are fewer, and scores, best first, shapes (n, k)."""

    place: Ints
    score: Floats


class Lexical:
    """BM25 over the stems of content words (Robertson and Zaragoza, Foundations and Trends in IR 3, 2009).

    The score of a passage is the sum over the query's distinct words of idf * f * (k1 + 1) / (f + k1 * (1 - b + b *
    length / mean length)), idf = ln(1 + (N - n + 0.5) / (n + 0.5)): never negative. Holds 12 bytes per distinct word of
    each passage.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._vocabulary: dict[str, int] = {}
        sizes = np.zeros(len(texts), np.int64)
        words: list[NDArray[np.int32]] = []
        for i, text in enumerate(texts):
            number = self._vocabulary
            coded = [number.setdefault(word, len(number)) for word in content(text)]
            sizes[i] = len(coded)
            words.append(np.asarray(coded, np.int32))
        flat = np.concatenate(words) if words else np.empty(0, np.int32)
        passage = np.repeat(np.arange(len(texts), dtype=np.int64), sizes)
        pairs, counts = np.unique(flat.astype(np.int64) * max(len(texts), 1) + passage, return_counts=True)
        word, self._passage = np.divmod(pairs, max(len(texts), 1))
        holders = np.bincount(word, minlength=len(self._vocabulary))
        self._start = np.concatenate(([0], np.cumsum(holders)))
        idf = np.log1p((len(texts) - holders + 0.5) / (holders + 0.5))
        norm = SATURATION * (1.0 - LENGTH + LENGTH * sizes / max(float(sizes.mean()) if len(sizes) else 0.0, 1e-9))
        weight = idf[word] * counts * (SATURATION + 1.0) / (counts + norm[self._passage])
        self._passage, self._weight = self._passage.astype(np.int32), weight
        self._score = np.zeros(len(texts))

    def search(self, query: str, k: int) -> tuple[Ints, Floats]:
        """Return the places and scores of the k best passages that share a word with the query, best first."""
        numbers = sorted({self._vocabulary[word] for word in content(query) if word in self._vocabulary})
        spans = [slice(self._start[number], self._start[number + 1]) for number in numbers]
        for span in spans:
            self._score[self._passage[span]] += self._weight[span]
        touched = [self._passage[span] for span in spans]
        at = np.unique(np.concatenate(touched)) if touched else np.empty(0, np.int64)
        value = self._score[at]
        self._score[at] = 0.0
        order = _best(value, k)
        return at[order].astype(np.int64), value[order]


def lexical(texts: Sequence[str], queries: Sequence[str], k: int, context: Context) -> Found:
    """Return the k best passages of each query by BM25; raise Interrupted when asked to stop."""
    index = Lexical(texts)
    found = _empty(len(queries), k)
    for i, query in enumerate(queries):
        if i % BLOCK == 0 and context.stopping():
            raise Interrupted("stopped while looking for evidence")
        place, score = index.search(query, k)
        found.place[i, : len(place)], found.score[i, : len(place)] = place, score
    return found


def embedding(texts: Sequence[str], queries: Sequence[str], k: int, encoder: str, context: Context) -> Found:
    """Return the k passages of each query with the greatest cosine, all of them compared; vectors are cached.

    Cosines of rounded vectors are sums of whole numbers: the same in any block and on any machine.
    """
    passages, asked = vectors(texts, encoder, context), vectors(queries, encoder, context)
    found = _empty(len(queries), k)
    if not len(texts) or not len(queries):
        return found
    grid, asked = rounded(passages), rounded(asked)
    for begin in range(0, len(queries), BLOCK):
        if context.stopping():
            raise Interrupted("stopped while looking for evidence")
        alike = asked[begin : begin + BLOCK] @ grid.T
        for i, row in enumerate(alike, begin):
            order = _best(row, k)
            found.place[i, : len(order)], found.score[i, : len(order)] = order, row[order] / _GRID
    return found


def fused(rankings: Sequence[Found], k: int) -> Found:
    """Return the k best by the sum of 1 / (60 + rank) over rankings (Cormack, Clarke and Buettcher, SIGIR 2009)."""
    found = _empty(len(rankings[0].place), k)
    for i in range(len(found.place)):
        total: dict[int, float] = {}
        for ranking in rankings:
            for rank, place in enumerate(ranking.place[i].tolist(), 1):
                if place >= 0:
                    total[place] = total.get(place, 0.0) + 1.0 / (RANK + rank)
        best = sorted(total.items(), key=lambda item: (-item[1], item[0]))[:k]
        for j, (place, score) in enumerate(best):
            found.place[i, j], found.score[i, j] = place, score
    return found


def retrieve(
    texts: Sequence[str], queries: Sequence[str], k: int, retriever: Retriever, encoder: str, context: Context
) -> Found:
    """Return the k best passages of each query by the retriever that is asked for."""
    if retriever == "lexical":
        return lexical(texts, queries, k, context)
    if retriever == "embedding":
        return embedding(texts, queries, k, encoder, context)
    depth = max(k, DEPTH)
    return fused([lexical(texts, queries, depth, context), embedding(texts, queries, depth, encoder, context)], k)


def vectors(texts: Sequence[str], encoder: str, context: Context) -> embed.Vectors:
    """Return one unit vector per text, kept in the manifest's cache under the hash of the text."""
    ids = [digest_bytes(text.encode("utf-8", "replace")) for text in texts]
    return embed.encode(texts, ids, encoder, context.root / "cache" / "embeddings.sqlite", context)


def _empty(n: int, k: int) -> Found:
    return Found(np.full((n, k), -1, np.int64), np.zeros((n, k)))


def _best(value: NDArray[np.floating], k: int) -> Ints:
    """Return the places of the k greatest values, greatest first, of equal ones the first."""
    if len(value) <= k:
        return np.argsort(-value, kind="stable")
    least = np.partition(value, len(value) - k)[len(value) - k]
    place = np.flatnonzero(value >= least)
    return place[np.argsort(-value[place], kind="stable")][:k]
