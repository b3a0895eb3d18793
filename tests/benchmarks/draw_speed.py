"""CPU-seconds and memory of drawing 1M of 10M rows, by rows, by tokens, in 20 and in 20,000 strata, and weighted.

    python -m tests.benchmarks.draw_speed [--rows 10000000] [--take 1000000]

The pool is synthetic: 20 sources of zipf-like sizes (20,000 groups evenly), 16 random bytes of id a row, tokens 5 to
500. CPU-seconds are those of all threads, of the whole blend with its members, strata and training order.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import polars as pl

from manifests import schema
from mixers.mixer import MIXERS, Pool


def pool(count: int) -> Pool:
    """Return a pool of `count` generalist rows in Polars, as a job would hold it."""
    rng = np.random.default_rng(0)
    k64 = rng.integers(0, 2**64, size=count, dtype=np.uint64)
    share = 1 / np.arange(1, 21)
    source = rng.choice(20, size=count, p=share / share.sum())
    names = pl.Series([f"source-{i:02}" for i in range(20)])
    groups = pl.Series([f"g{i:05}" for i in range(20_000)])
    frame = pl.DataFrame(
        {
            "sample_id": pl.select(pl.format("{}-{}", pl.int_range(count), pl.Series(k64))).to_series(),
            "k64": k64,
            "source": names.gather(source),
            "task": groups.gather(rng.integers(0, 20_000, size=count)),
            "role": pl.repeat("generalist", count, eager=True),
            "n_tokens": pl.Series(rng.integers(5, 500, size=count), dtype=pl.Int32),
            "quality": rng.random(count),
        }
    )
    return Pool(frame, frame.clear(), lambda predicate: frozenset())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--take", type=int, default=1_000_000)
    given = parser.parse_args()
    everything = pool(given.rows)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    recipes = (
        ("20 sources, proportional", "proportional", {"rows": given.take}),
        ("20 sources, temperature 2", "temperature", {"rows": given.take}),
        ("20 sources, by tokens", "proportional", {"tokens": given.take * 250}),
        ("20,000 strata", "proportional", {"rows": given.take, "by": "task"}),
        ("20,000 strata, UniMax by tokens", "unimax", {"tokens": given.take * 250, "by": "task"}),
        ("weighted by a score", "weighted", {"rows": given.take, "score": "quality"}),
        ("top by a score", "top", {"rows": given.take, "score": "quality"}),
    )
    print(f"{given.take:,} of {given.rows:,} rows | CPU-seconds | wall | rows | peak MB over the pool")
    for label, kind, fields in recipes:
        mixer = MIXERS.load(kind)(name="b", **fields)
        cpu, wall = time.process_time(), time.perf_counter()
        blend = mixer.blend(everything, 0, {})
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert list(blend.members.columns) == list(schema.MEMBERS)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) / 1024
        print(f"{label:34} | {cpu:11.2f} | {wall:4.2f} | {blend.members.height:,} | {peak:,.0f}")
    cpu = time.process_time()
    content = blend.content_id
    print(f"{'content id of the last: ' + content[:8]:34} | {time.process_time() - cpu:11.2f} |")


if __name__ == "__main__":
    main()
