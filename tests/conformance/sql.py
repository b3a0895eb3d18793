"""Draws the vectors in DuckDB alone: `PYTHON tests/conformance/sql.py THREADS [SHUFFLE [NAME ...]]`.

Needs duckdb and the standard library, so that any interpreter with any DuckDB can run it.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from pathlib import Path

import duckdb

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.conformance import plain


def draw(vector, threads=1, shuffle=None):
    """Return the blend's rows (sample id, role, repeats), in training order."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute(f"SET threads = {int(threads)}")
        connection.execute(plain.SQL.read_text("utf-8"))
        path = Path(folder) / "pool.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(plain.pool(vector, shuffle))
        columns = "{'sample_id': 'VARCHAR', 'stratum': 'VARCHAR', 'role': 'VARCHAR', 'odds': 'DOUBLE'}"
        connection.execute(f"INSERT INTO pool FROM read_csv(?, header = false, columns = {columns})", [str(path)])
        connection.executemany("INSERT INTO quotas VALUES (?, ?)", list(vector["quotas"].items()))
        seeds = [plain.seed64(vector["seed"], purpose) for purpose in plain.PURPOSES]
        connection.execute("INSERT INTO seeds VALUES (?, ?, ?)", seeds)
        return connection.execute("SELECT sample_id, role, repeats FROM members ORDER BY position").fetchall()


def keys(vectors):
    """Return the sampling keys of (k64, seed, purpose)."""
    with duckdb.connect() as connection:
        connection.execute(plain.SQL.read_text("utf-8"))
        wanted = [(int(v["k64"], 16), plain.seed64(v["seed"], v["purpose"])) for v in vectors]
        return [connection.execute("SELECT sampling_key(?, ?)", pair).fetchone()[0] for pair in wanted]


def main():
    """Print DuckDB's version and the content id of each vector, as JSON."""
    threads, shuffle = int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else None
    found = {v["name"]: plain.content_id(draw(v, threads, shuffle)) for v in plain.chosen(sys.argv[3:])}
    sys.stdout.write(json.dumps({"version": duckdb.__version__, "ids": found}) + "\n")


if __name__ == "__main__":
    main()
