"""The conformance matrix: engines by threads by orders of rows; every cell must give the recorded content ids.

    python -m tests.benchmarks.conformance [--python PATH ...]

Each PATH is another interpreter, with another DuckDB, that draws the same vectors in SQL; it needs duckdb alone. One
process a cell. Recipes are all kinds of `MIXERS`, on a pool of 1,387 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from tests.benchmarks.gates import ROOT
from tests.conformance import plain, recipes

THREADS = (1, 2, 4)
SHUFFLES = (None, 11)


def asked(command: list[str], threads: int) -> dict:
    """Return what a process of the engine prints."""
    told = {**os.environ, "POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def engines(pythons: list[str]) -> list[tuple[str, object]]:
    """Return each engine's name and, for threads and a shuffle, the command that draws its vectors."""

    def module(name: str, option: str = "") -> object:
        return lambda threads, shuffle: [
            *(sys.executable, "-m", f"tests.conformance.{name}"),
            *([] if shuffle is None else [f"{option}{shuffle}"]),
        ]

    def sql(python: str) -> object:
        return lambda threads, shuffle: [
            *(python, "tests/conformance/sql.py", str(threads)),
            *([] if shuffle is None else [str(shuffle)]),
        ]

    return [
        ("mixers (numpy", module("arrays")),
        ("expressions (polars", module("expressions")),
        *[("SQL (duckdb", sql(python)) for python in [sys.executable, *pythons]],
        ("recipes (numpy", module("recipes", "--shuffle=")),
    ]


def main() -> None:
    """Print a line a cell, and whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", default=[], help="another interpreter, with another DuckDB")
    given = parser.parse_args()
    draws = {vector["name"]: vector["content_id"] for vector in plain.vectors("draw")}
    kinds = {kind: held["blends"] for kind, held in recipes.recorded().items()}
    cells, wrong = 0, []
    print("engine                      | threads | rows as they are | rows shuffled")
    for name, command in engines(given.python):
        expected = kinds if name.startswith("recipes") else draws
        for threads in THREADS:
            line, version = [], ""
            for shuffle in SHUFFLES:
                told = asked(command(threads, shuffle), threads)
                version, agreed = told["version"], {n for n, i in told["ids"].items() if expected.get(n) == i}
                wrong += [(name, threads, shuffle, lost) for lost in sorted(set(expected) - agreed)]
                cells += len(expected)
                line.append(f"{len(agreed)} of {len(expected)}")
            print(f"{f'{name} {version})':27} | {threads:7} | {line[0]:>16} | {line[1]:>13}", flush=True)
    print(f"{cells - len(wrong)} of {cells} content ids are the recorded ones")
    if wrong:
        sys.exit("\n".join(str(cell) for cell in wrong))


if __name__ == "__main__":
    main()
