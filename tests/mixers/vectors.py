"""Pools whose rows have vectors, the same for a sample id in any pool."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

from tests.mixers.pools import usual


def of(ids, dimensions=12):
    """Return a unit row for each id, around one of six middles."""
    found = np.empty((len(ids), dimensions), dtype=np.float32)
    for place, name in enumerate(ids):
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        middle = np.zeros(dimensions)
        middle[rng.integers(6)] = 1.5
        found[place] = middle + rng.normal(size=dimensions) / 2
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def embedded(pool=None, **other):
    """Return the pool, or `usual()`, with vectors."""
    pool = usual() if pool is None else pool
    return dataclasses.replace(pool, vectors=lambda encoder, rows: of(rows["sample_id"].to_list()), **other)
