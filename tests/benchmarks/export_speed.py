"""What two blends of many rows cost in a manifest: bytes of the members, diff, summary, and an export without text.

    python -m tests.benchmarks.export_speed [--rows 1000000]

The manifest is written by `Store`; the pool has half as many rows again as a blend. CPU-seconds are those of all
threads. The export joins members with their facts, without text, in training order.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from manifests import schema
from manifests.store import FILE, StageRecord, Store

JOINED = (
    "SELECT m.position, m.sample_id, m.role, m.weight, m.repeats, m.reason, s.source, s.task, s.licence, s.n_tokens"
    " FROM blend_members m JOIN samples s USING (sample_id) WHERE m.blend = 'a@0' ORDER BY m.position"
)


def samples(count: int) -> pl.DataFrame:
    """Return `count` generalist rows with random ids and next to no text."""
    ids = np.frombuffer(np.random.default_rng(0).bytes(16 * count), dtype=np.uint8).tobytes().hex()
    identity = pl.Series("sample_id", [ids[i : i + 32] for i in range(0, len(ids), 32)])
    fixed = {"role": "generalist", "task": "qa", "prompt": "q", "response": "a", "messages": "[]", "licence": "MIT"}
    numbers = {"n_turns": 2, "n_chars": 2, "n_tokens": 7}
    frame = pl.DataFrame({"sample_id": identity}).with_columns(
        content_id=pl.col("sample_id"),
        k64=pl.int_range(count, dtype=pl.UInt64),
        source=pl.format("source-{}", pl.int_range(count) % 20),
        system=pl.lit(None, dtype=pl.String),
        meta=pl.lit("{}"),
        **{name: pl.lit(value) for name, value in fixed.items()},
        **{name: pl.lit(value, dtype=pl.Int32) for name, value in numbers.items()},
    )
    return frame.select(list(schema.SAMPLES))


def blend(pool: pl.DataFrame, name: str, rows: int, seed: int) -> dict[str, pl.DataFrame]:
    """Return the tables of a blend of `rows` random rows."""
    members = pool.select("sample_id", "role").sample(rows, seed=seed, shuffle=True)
    members = members.with_row_index("position").with_columns(
        pl.col("position").cast(pl.Int64),
        weight=pl.lit(1.0),
        repeats=pl.lit(1, dtype=pl.Int32),
        reason=pl.lit("drawn"),
        blend=pl.lit(f"{name}@0"),
    )
    head = {"blend": f"{name}@0", "recipe_name": name, "content_id": name * 32, "recipe": "{}", "seed": 0}
    sizes = {"n_rows": rows, "n_samples": rows, "n_tokens": 7 * rows}
    about = pl.DataFrame([{**head, **sizes}]).with_columns(created_at=pl.lit("2026-01-01").str.to_datetime())
    return {"blends": about, "members": members}


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU-seconds of the better of two goes."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        root, pool, sizes = Path(folder) / "m", samples(rows + rows // 2), []
        with Store(root) as store:
            store.commit(StageRecord("read:pool", "read", "0", "{}", 0, 0.0), {"samples": pool})
            for i, name in enumerate(("a", "b")):
                sizes.append(store.publish().stat().st_size)
                record = StageRecord(f"mix:{name}@0", "mix", name, "{}", i + 1, 0.0)
                store.commit(record, blend(pool, name, rows, i))
            sizes.append(store.publish().stat().st_size)
        print(f"members of one blend      {(sizes[2] - sizes[1]) / 1e6:8.2f} MB")
        with duckdb.connect(str(root / FILE), read_only=True) as connection:
            out = Path(folder) / "ids.parquet"
            joined = connection.sql(JOINED).to_arrow_table()
            frame = pl.DataFrame(joined)
            for what, work in {
                "composition of both": lambda: connection.execute("FROM composition").fetchall(),
                "blend_diff, counted": lambda: connection.execute(
                    "SELECT change, count(*) FROM blend_diff('a@0', 'b@0') GROUP BY change"
                ).fetchall(),
                "COPY of the join": lambda: connection.execute(
                    f"COPY ({JOINED}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)"
                ),
                "polars, joined before": lambda: frame.write_parquet(out),
            }.items():
                print(f"{what:24}  {cpu(work):8.2f} CPU-s")


if __name__ == "__main__":
    main()
