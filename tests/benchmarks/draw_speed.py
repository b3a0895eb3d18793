"""CPU-seconds and memory of drawing 1M of 10M rows, by rows, by tokens, in 20 and in 20,000 strata, and weighted.

    python -m tests.benchmarks.draw_speed [--rows 10000000] [--take 1000000] [--rounds 3] [--peers PYTHON]
    python -m tests.benchmarks.draw_speed --growth [--rows 30000000]

The pool is synthetic: 20 sources of zipf-like sizes, 20,000 groups (`even`: of equal odds; `skewed`: zipf-like, crossed
with the source), 16 random bytes of id a row, tokens 5 to 500. CPU-seconds are those of all threads, of the whole blend
with its members, strata and training order: of the first round, which touches its memory for the first time, and of the
least. Memory is the process's high-water mark (VmHWM, reset before each recipe) over what it held (VmRSS) before the
first; what is kept from earlier recipes counts. PYTHON is an interpreter in which the peers
are looked for. `--growth` draws a tenth of 1M, 10M and so on, and fits the exponent of the least CPU-seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from manifests import schema
from mixers.blend import Blend
from mixers.mixer import MIXERS, Pool
from tests.benchmarks import draw_peers

GROWTH = (1_000_000, 3_000_000, 10_000_000, 30_000_000)


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
    skewed = np.minimum((1000.0 ** rng.random(count)).astype(np.int64), 999)  # cells of zipf-like sizes
    frame = frame.with_columns(cell=pl.Series(skewed, dtype=pl.Int32))
    return Pool(frame, frame.clear(), lambda predicate: frozenset())


def recipes(take: int) -> dict[str, tuple[str, dict]]:
    """Return each line's kind of recipe and fields, by label."""
    return {
        "20 sources, proportional": ("proportional", {"rows": take}),
        "20 sources, temperature 2": ("temperature", {"rows": take}),
        "20 sources, by tokens": ("proportional", {"tokens": take * 250}),
        "20,000 strata, even": ("proportional", {"rows": take, "by": "task"}),
        "20,000 strata, skewed": ("proportional", {"rows": take, "by": ("source", "cell")}),
        "20,000 strata, UniMax by tokens": ("unimax", {"tokens": take * 250, "by": "task"}),
        "weighted by a score": ("weighted", {"rows": take, "score": "quality"}),
        "top by a score": ("top", {"rows": take, "score": "quality"}),
    }


def held(field: str) -> int:
    """Return a line of the process's status, in bytes: VmRSS or VmHWM."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def drawn(everything: Pool, kind: str, fields: dict, rounds: int) -> tuple[list[float], Blend]:
    """Return the CPU-seconds of each round, and the blend."""
    mixer, spent = MIXERS.load(kind)(name="b", **fields), []
    for _ in range(rounds):
        started = time.process_time()
        blend = mixer.blend(everything, 0, {})
        spent.append(time.process_time() - started)
    assert list(blend.members.columns) == list(schema.MEMBERS)
    return spent, blend


def table(rows: int, take: int, rounds: int, python: str) -> None:
    """Print a line a recipe, then the peers."""
    bare = held("VmRSS")
    everything = pool(rows)
    own = held("VmRSS")
    sizes = [f"{part / 1e6:,.0f} MB" for part in (own, bare, everything.samples.estimated_size())]
    print(f"{take:,} of {rows:,} rows; CPU-seconds, {pl.thread_pool_size()} threads")
    print(f"the process holds {sizes[0]} with the pool: {sizes[1]} bare, {sizes[2]} the pool's columns")
    print(f"{'':34} | first | least | rows      | strata | peak MB over the pool")
    for label, (kind, fields) in recipes(take).items():
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
        spent, blend = drawn(everything, kind, fields, rounds)
        peak = (held("VmHWM") - own) / 1e6
        sizes = f"{blend.members.height:9,} | {blend.strata.height:6,} | {peak:,.0f}"
        print(f"{label:34} | {spent[0]:5.2f} | {min(spent):5.2f} | {sizes}", flush=True)
    started = time.process_time()
    content = blend.content_id
    print(f"{'content id of the last: ' + content[:8]:34} | {time.process_time() - started:5.2f} |")
    _, blend = drawn(everything, *recipes(take)["20 sources, temperature 2"], 1)
    print(f"\n{'beside 20 sources, temperature 2':34} | first | least | what it does; libraries: for 1M rows")
    for line in (
        *draw_peers.engines(everything.samples, blend, rounds),
        *draw_peers.libraries(everything.samples, python),
    ):
        print(line, flush=True)


def growth(most: int, rounds: int) -> None:
    """Print CPU-seconds by size, and the exponent."""
    sizes = [size for size in GROWTH if size <= most]
    spent: dict[str, list[float]] = {}
    for size in sizes:
        everything = pool(size)
        for label, (kind, fields) in recipes(size // 10).items():
            spent.setdefault(label, []).append(min(drawn(everything, kind, fields, rounds)[0]))
        print(f"{size:,} rows: {held('VmHWM') / 1e9:.1f} GB at most in the whole process", file=sys.stderr, flush=True)
    print(f"{'a tenth of, CPU-seconds':34} | {' | '.join(f'{size:>10,}' for size in sizes)} | exponent")
    for label, seconds in spent.items():
        slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        print(f"{label:34} | {' | '.join(f'{each:10.2f}' for each in seconds)} | {slope:.2f}")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--take", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--growth", action="store_true")
    given = parser.parse_args()
    if given.growth:
        growth(given.rows or GROWTH[-1], given.rounds)
    else:
        table(given.rows or 10_000_000, given.take, given.rounds, given.peers)


if __name__ == "__main__":
    main()
