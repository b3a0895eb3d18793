"""What blends of many rows cost in a manifest: bytes of the members, diff, summary, and exports.

    python -m tests.benchmarks.export_speed [--rows 1000000] [--python PYTHON]

The manifest is written by `Store`; the pool has half as many rows again as a blend, 20 sources and some 300 bytes of
messages a row. CPU-seconds are those of all threads, the better of two goes. Figures of fewer rows are multiplied.
PYTHON is an interpreter that has `datasets` and `mosaicml-streaming`, where it is another one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from manifests import schema
from manifests.exporting import export
from manifests.store import FILE, Manifest, StageRecord, Store

FACTS = "position, sample_id, role, weight, repeats, reason, source, task, licence"
COPY = "COPY (SELECT {columns} FROM {rows} {order}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)"
MEMBERS = {
    "facts joined, without text": COPY.format(columns=FACTS, rows="blend('a@0')", order="", out="{out}"),
    "ids": COPY.format(
        columns="position, sample_id, weight, repeats",
        rows="blend_members WHERE blend = 'a@0'",
        order="ORDER BY position",
        out="{out}",
    ),
    "messages and facts": COPY.format(columns=f"messages, {FACTS}", rows="blend('a@0')", order="", out="{out}"),
}
ASKED = {
    "composition of both": "FROM composition",
    "blend_facts of both": "FROM blend_facts",
    "blend_diff, counted": "SELECT change, count(*) FROM blend_diff('a@0', 'b@0') GROUP BY change",
    "blend_overlap": "FROM blend_overlap WHERE blend_a = 'a@0' AND blend_b = 'b@0'",
    "why, one sample": "FROM why((SELECT max(sample_id) FROM samples))",
    "blend('a@0') LIMIT 5": "FROM blend('a@0') LIMIT 5",
}
WORDS = "how many grains of sand are in a bucket that holds ten litres and is half full "
TURNS = f'[<"content":"{WORDS}{{}}","role":"user">,<"content":"{{}} {WORDS}{WORDS}","role":"assistant">]'
"""Messages, with < and > for braces."""
FEW = {"messages": 10, "mds": 10, "datasets": 10, "streaming": 10}
"""What is tried on so many times fewer rows."""
PEER = Path(__file__).parent / "peers" / "export.py"


def samples(count: int) -> pl.DataFrame:
    """Return `count` generalist rows of 20 sources with random ids and messages of some 300 bytes."""
    ids = np.random.default_rng(0).bytes(16 * count).hex()
    identity = pl.Series("sample_id", [ids[i : i + 32] for i in range(0, len(ids), 32)])
    said = pl.format(TURNS, pl.col("sample_id"), pl.col("sample_id").str.reverse())
    fixed = {"role": "generalist", "task": "qa", "prompt": "q", "response": "a", "licence": "MIT"}
    numbers = {"n_turns": 2, "n_chars": 300, "n_tokens": 75}
    frame = pl.DataFrame({"sample_id": identity}).with_columns(
        content_id=pl.col("sample_id"),
        k64=pl.int_range(count, dtype=pl.UInt64),
        source=pl.format("source-{}", pl.int_range(count) % 20),
        system=pl.lit(None, dtype=pl.String),
        messages=said.str.replace_all("<", "{", literal=True).str.replace_all(">", "}", literal=True),
        meta=pl.lit("{}"),
        **{name: pl.lit(value) for name, value in fixed.items()},
        **{name: pl.lit(value, dtype=pl.Int32) for name, value in numbers.items()},
    )
    return frame.select(list(schema.SAMPLES))


def read(pool: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return what a stage that read the pool writes."""
    counts = pool.group_by("source").len("rows").sort("source").with_columns(pl.col("rows").cast(pl.Int64))
    sources = counts.with_columns(
        role=pl.lit("generalist"), uri=pl.lit("pool"), revision=pl.lit(None, dtype=pl.String), licence=pl.lit("MIT"),
        non_commercial=pl.lit(value=False), samples="rows", rejects=pl.lit(0), skipped=pl.lit(0), sha256=pl.lit("0"),
    )  # fmt: skip
    return {"sources": sources, "samples": pool}


def blend(pool: pl.DataFrame, name: str, rows: int, strata: int, seed: int) -> dict[str, pl.DataFrame]:
    """Return the tables of a blend of `rows` random rows with as many reasons as `strata`."""
    members = pool.select("sample_id", "role").sample(rows, seed=seed, shuffle=True)
    members = members.with_columns(
        position=pl.int_range(rows, dtype=pl.Int64),
        weight=pl.lit(1.0),
        repeats=pl.lit(1, dtype=pl.Int32),
        reason=pl.format("proportional: stratum {}", pl.Series(np.random.default_rng(seed).integers(0, strata, rows))),
        blend=pl.lit(f"{name}@0"),
    )
    head = {"blend": f"{name}@0", "recipe_name": name, "content_id": name * 32, "recipe": "{}", "seed": 0}
    sizes = {"n_rows": rows, "n_samples": rows, "n_tokens": 75 * rows}
    about = pl.DataFrame([{**head, **sizes}]).with_columns(created_at=pl.lit("2026-01-01").str.to_datetime())
    return {"blends": about, "members": members}


def grown(root: Path, pool: pl.DataFrame, rows: int) -> Iterator[tuple[int, float]]:
    """Write blends a, b, c, d of 20 strata and e to h of 20,000; yield strata and the MB that one took on average."""
    with Store(root) as store:
        store.commit(StageRecord("read:pool", "read", "0", "{}", 0, 0.0), read(pool))
        size = store.publish().stat().st_size
        for strata, names in ((20, "abcd"), (20_000, "efgh")):
            for i, name in enumerate(names):
                record = StageRecord(f"mix:{name}@0", "mix", name, "{}", i + 1, 0.0)
                store.commit(record, blend(pool, name, rows, strata, ord(name)))
            before, size = size, store.publish().stat().st_size
            yield strata, (size - before) / len(names) / 1e6
        store.retire([f"mix:{name}@0" for name in "cdefgh"])
        small = pool.head(rows // 10)
        store.commit(StageRecord("mix:s@0", "mix", "s", "{}", 9, 0.0), blend(small, "s", rows // 10, 20, 0))
        store.publish()


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU-seconds of the better of two goes."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def told(what: str, seconds: float, note: str = "") -> None:
    """Print a line of the table."""
    print(f"{what:44} | {seconds:6.2f} | {note}", flush=True)


def peers(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int, python: str) -> None:
    """Write the rows of a blend in Polars, and a tenth of them with libraries, from frames that are there already."""
    members = connection.sql("FROM blend_members WHERE blend = 'a@0'").pl()
    facts = connection.sql("SELECT sample_id, messages, source, task, licence FROM samples").pl()
    joined = members.lazy().join(facts.lazy().drop("messages"), on="sample_id").sort("position")
    told("Polars: join, sort, Parquet, without text", cpu(lambda: joined.collect().write_parquet(folder / "p.parquet")))
    joined = members.lazy().join(facts.lazy(), on="sample_id").sort("position")
    told("Polars: the same with messages as JSON", cpu(lambda: joined.collect().write_parquet(folder / "p.parquet")))
    small = facts.head(rows // 10).with_columns(pl.Series("position", np.random.default_rng(0).permutation(rows // 10)))
    small.write_parquet(folder / "rows.parquet")
    for peer in ("datasets", "streaming"):
        command = [python, str(PEER), peer, str(folder / "rows.parquet")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{peer:44} | failed: {done.stderr.strip().splitlines()[-1][:90]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        told(found["what"], FEW[peer] * found["cpu"], f"{found['cpu']:.2f} for a tenth of the rows")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--python", default=sys.executable)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, pool = folder / "m", samples(asked.rows + asked.rows // 2)
        for strata, size in grown(root, pool, asked.rows):
            print(f"a blend's growth of the file, {strata:6,} strata | {size:6.2f} | MB", flush=True)
        del pool
        with duckdb.connect(str(root / FILE), read_only=True) as connection:
            for what, query in ASKED.items():
                told(what, cpu(lambda query=query: connection.execute(query).fetchall()))
            for what, query in MEMBERS.items():
                out = str(folder / "out.parquet")
                told(f"SQL, COPY: {what}", cpu(lambda query=query, out=out: connection.execute(query.format(out=out))))
            with Manifest(root) as manifest:
                for layout in ("ids", "parquet", "mds", "messages"):
                    few = FEW.get(layout, 1)
                    ref = "a@0" if few == 1 else "s@0"
                    taken = cpu(lambda ref=ref, layout=layout: export(manifest, ref, folder / layout, layout))
                    note = f"{taken:.2f} for a tenth of the rows" if few > 1 else "with card and content id"
                    told(f"blendsmith export --format {layout}", few * taken, note)
            peers(connection, folder, asked.rows, asked.python)


if __name__ == "__main__":
    main()
