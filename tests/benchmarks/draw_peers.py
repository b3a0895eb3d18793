"""The draw of `draw_speed` in Polars, in DuckDB's SQL, and by the libraries that mix data sets, at 20 sources.

The two engines give the same rows as the mixer, which is checked; they make no training order, repeats or account. The
libraries draw from a pool of `SCALE` times fewer rows, and `SCALE` times fewer of them; figures are for 1M rows.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from manifests.names import seed64
from mixers.blend import Blend
from tests.conformance import plain
from tests.conformance.expressions import key

FILE = Path(__file__).parent / "peers" / "draw.py"
PEERS = {"map": 100_000, "trl": 100_000, "streaming": 100_000, "iterable": 20_000}
"""Peer -> rows that it draws; it is given ten times as many."""


def bounds(quotas: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    """Return the key under which each source's rows are looked for, with room for chance."""
    room = {name: min(1.0, (n + 5 * n**0.5 + 16) / counts[name]) for name, n in quotas.items()}
    return {name: min(int(share * 2.0**64), 2**64 - 1) for name, share in room.items()}


def in_polars(samples: pl.DataFrame, quotas: Mapping[str, int], limits: Mapping[str, int]) -> pl.Series:
    """Return the ids of the rows with the lowest keys of each source, by the streaming engine."""
    table = pl.LazyFrame(
        {"source": list(quotas), "quota": list(quotas.values()), "limit": pl.Series(limits.values(), dtype=pl.UInt64)}
    )
    near = samples.lazy().select("sample_id", "k64", "source").with_columns(key=key(0, "member")).drop("k64")
    near = near.join(table, on="source").filter(pl.col("key") <= pl.col("limit"))
    ranked = near.sort("source", "key", "sample_id").with_columns(
        rank=pl.int_range(pl.len()).over("source", order_by=["key", "sample_id"])
    )
    drawn = ranked.filter(pl.col("rank") < pl.col("quota")).select("sample_id").collect(engine="streaming")
    return drawn["sample_id"]


def in_sql(connection: duckdb.DuckDBPyConnection) -> pl.Series:
    """Return the ids of the rows with the lowest keys of each source."""
    query = f"""
        SELECT sample_id FROM (
            SELECT sample_id, source, quota, sampling_key(k64, {seed64(0, "member")}::UBIGINT) AS key, "limit"
            FROM samples JOIN wanted USING (source)
        ) WHERE key <= "limit"
        QUALIFY row_number() OVER (PARTITION BY source ORDER BY key, sample_id) <= quota
    """
    return connection.sql(query).pl()["sample_id"]


def timed(draw: Callable[[], pl.Series], rounds: int) -> tuple[float, float, pl.Series]:
    """Return the CPU-seconds of the first and of the least round, and what was drawn."""
    spent = []
    for _ in range(rounds):
        started = time.process_time()
        found = draw()
        spent.append(time.process_time() - started)
    return spent[0], min(spent), found


def engines(samples: pl.DataFrame, blend: Blend, rounds: int) -> Iterator[str]:
    """Yield a line for Polars and one for SQL; raise AssertionError when they draw other rows than the blend."""
    own = blend.members.select("sample_id").join(samples, on="sample_id", how="left")
    quotas = dict(own.group_by("source").len().sort("source").iter_rows())
    counts = dict(samples.group_by("source").len().iter_rows())
    limits = bounds(quotas, counts)
    first, least, drawn = timed(lambda: in_polars(samples, quotas, limits), rounds)
    assert set(drawn) == set(own["sample_id"])
    yield f"{'Polars, streaming engine':34} | {first:5.2f} | {least:5.2f} | the same rows; no order, no account"
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute("SET memory_limit = '4GB'")
        connection.execute(plain.SQL.read_text("utf-8"))
        narrow = samples.select("sample_id", "k64", "source").to_arrow()
        connection.register("narrow", narrow)
        connection.execute("CREATE TABLE samples AS FROM narrow")
        wanted = [(name, quotas[name], limits[name]) for name in quotas]
        connection.execute('CREATE TABLE wanted (source VARCHAR, quota BIGINT, "limit" UBIGINT)')
        connection.executemany("INSERT INTO wanted VALUES (?, ?, ?)", wanted)
        first, least, drawn = timed(lambda: in_sql(connection), rounds)
    assert set(drawn) == set(own["sample_id"])
    label = f"SQL, DuckDB {duckdb.__version__}"
    yield f"{label:34} | {first:5.2f} | {least:5.2f} | the same rows; no order, no account"


def libraries(samples: pl.DataFrame, python: str) -> Iterator[str]:
    """Yield a line a library, drawn in another interpreter where it is installed there."""
    for peer, rows in PEERS.items():
        with tempfile.TemporaryDirectory() as folder:
            few = samples.head(10 * rows)
            shares = np.sqrt([n for _, n in few.group_by("source").len().sort("source").iter_rows()])
            for (name,), part in few.group_by("source"):
                part.select("sample_id").write_parquet(Path(folder) / f"{name}.parquet")
            (Path(folder) / "shares.json").write_text(json.dumps((shares / shares.sum()).tolist()), "utf-8")
            command = [python, str(FILE), peer, folder, str(rows)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"{peer:34} | failed: {done.stderr.strip().splitlines()[-1][:90]}"
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        if "skipped" in found:
            yield f"{peer:34} | skipped: {found['skipped']}"
            continue
        scale = 1_000_000 / found["rows"]
        label = f"{found['version']}, {peer}"
        yield (
            f"{label:34} | {scale * found['cpu']:5.1f} | {'':5} | {found['what']}; {found['cpu']:.2f} for"
            f" {found['rows']:,} rows, times {scale:.1f}"
        )
