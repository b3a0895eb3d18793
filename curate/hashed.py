"""Unit vectors of words and characters by feature hashing: similar words, not similar meaning, without a model."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

DIMENSIONS: Final = 256
_WORD: Final = re.compile(r"\w+")


def hashed(texts: Sequence[str]) -> Vectors:
    """Return unit rows (n, 256) of hashed word 1-2-grams and character 3-grams: similar words, not similar meaning.

    Counts enter as 1 + ln(count), each feature with a hashed sign (Weinberger et al., ICML 2009); words and characters
    weigh the same. A text without letters or digits is a zero row. About 5,000 prompts per CPU-second.
    """
    parts = [_features(text.lower()) for text in texts]
    words, letters = (_unit(_bags([part[kind] for part in parts])) for kind in (0, 1))
    return _unit(words + letters).astype(np.float32)


def _features(text: str) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return (words and pairs of words, character triples) as numbers; both empty without letters or digits."""
    words = np.array([zlib.crc32(w.encode("utf-8", "replace")) for w in _WORD.findall(text)], dtype=np.uint64)
    if not words.size:
        return words, words
    points = f" {' '.join(text.split())} ".encode("utf-32-le", "replace")
    letters = np.frombuffer(points, dtype="<u4").astype(np.uint64)
    pairs = words[:-1] * np.uint64(0x9E3779B97F4A7C15) + words[1:] + np.uint64(1)
    triples = (letters[:-2] << np.uint64(42)) + (letters[1:-1] << np.uint64(21)) + letters[2:]
    return np.concatenate([words, pairs]), triples


def _bags(features: Sequence[NDArray[np.uint64]]) -> NDArray[np.float64]:
    """Return one signed bag (n, 256) per array of features: sublinear counts, bucket and sign from a mixed hash."""
    if not features:
        return np.zeros((0, DIMENSIONS))
    row = np.repeat(np.arange(len(features), dtype=np.uint64), [part.size for part in features])
    z = np.concatenate(features)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    low = (z ^ (z >> np.uint64(31))) & np.uint64((1 << 40) - 1)
    distinct, counts = np.unique((row << np.uint64(40)) | low, return_counts=True)
    signs = np.where(distinct & np.uint64(DIMENSIONS), 1.0, -1.0)
    place = (distinct >> np.uint64(40)) * np.uint64(DIMENSIONS) + (distinct & np.uint64(DIMENSIONS - 1))
    bags = np.zeros(len(features) * DIMENSIONS, dtype=np.float64)
    np.add.at(bags, place.astype(np.intp), signs * (1.0 + np.log(counts)))
    return bags.reshape(-1, DIMENSIONS)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row divided by its length; zero rows stay."""
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(length > 0, length, 1.0))
