"""Pools for the tests: synthetic rows with sources, tasks, cells and a judge's probability."""

from __future__ import annotations

import random

import polars as pl

from manifests.names import digest, k64
from mixers.mixer import Pool


def rows(source: str, role: str, count: int, *, seed: int = 0, cells: int = 4) -> pl.DataFrame:
    """Return `count` rows of one source; every fifth has no p_error."""
    rng = random.Random(f"{source}{seed}")
    ids = [digest([source, i]) for i in range(count)]
    return pl.DataFrame(
        {
            "sample_id": ids,
            "k64": pl.Series([k64(i) for i in ids], dtype=pl.UInt64),
            "source": source,
            "role": role,
            "task": [None if i % 3 == 0 else f"t{i % 3}" for i in range(count)],
            "n_tokens": pl.Series([rng.randint(5, 60) for _ in ids], dtype=pl.Int32),
            "p_error": pl.Series([None if i % 5 == 0 else rng.random() for i in range(count)], dtype=pl.Float64),
            "cell": pl.Series([rng.randrange(cells) for _ in ids], dtype=pl.Int32),
        }
    )


def pool(*parts: pl.DataFrame, target: pl.DataFrame | None = None, shuffle: int | None = None) -> Pool:
    """Return a pool of the parts; the target is its specialist rows unless given; `shuffle` permutes every frame."""
    samples = pl.concat(parts)
    target = samples.filter(pl.col("role") == "specialist") if target is None else target
    if shuffle is not None:
        samples = samples.sample(fraction=1.0, shuffle=True, seed=shuffle)
        target = target.sample(fraction=1.0, shuffle=True, seed=shuffle)

    def select(where: str) -> frozenset[str]:
        found = pl.SQLContext(pool=samples).execute(f"SELECT sample_id FROM pool WHERE {where}", eager=True)
        return frozenset(found["sample_id"])

    return Pool(samples=samples, target=target, select=select)


def usual(shuffle: int | None = None) -> Pool:
    """Return 1,000 + 300 + 7 generalist rows and 60 + 20 specialist rows."""
    return pool(
        rows("alpaca", "generalist", 1000),
        rows("dolly", "generalist", 300),
        rows("seeds", "generalist", 7),
        rows("jfleg", "specialist", 60),
        rows("iterater", "specialist", 20),
        shuffle=shuffle,
    )


def ids(blend, role: str = "generalist") -> set[str]:
    """Return the sample ids of a blend's rows of one role."""
    return set(blend.members.filter(pl.col("role") == role)["sample_id"])


def stratum(blend, name: str) -> dict:
    """Return a blend's line of one stratum."""
    return blend.strata.row(by_predicate=pl.col("stratum") == name, named=True)
