"""What facility location costs and how much of a pool it covers, beside plain draws and the libraries that do it.

Run: python -m tests.benchmarks.facility [--rows 200000] [--data FOLDER --cache FILE] [--peers PYTHON]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.embed import encode
from manifests.component import Context
from manifests.names import digest, k64
from mixers import cells, location
from mixers.facility import Facility
from mixers.mixer import Pool
from mixers.nearest import Nearest
from mixers.proportional import Proportional
from mixers.stratified import Stratified
from tests.benchmarks.coverage_pool import gather

PEERS = Path(__file__).parent / "peers" / "facility.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="synthetic rows; 0 for none")
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--data", type=Path, help="folder of the shared data")
    parser.add_argument("--real", type=int, default=10_000, help="rows of the real pool, by sampling key; 0 for all")
    parser.add_argument("--cache", type=Path, default=Path("embeddings.sqlite"), help="embedding cache")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--peers", help="python of an environment with apricot-select and submodlib-py")
    options = parser.parse_args()
    if options.rows:
        speed(options.rows, options.cells)
    if options.data is not None:
        found, vectors = real(options.data, options.real, options.cache, options.encoder)
        report(found, vectors, options.cells, options.peers)


def speed(rows: int, count: int) -> None:
    """Print the CPU-seconds and peak memory of a tenth of `rows` rows in 400 clusters of d = 384."""
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(400, 384)).astype(np.float32)
    vectors = middles[rng.integers(0, 400, rows)] + 1.2 * rng.normal(size=(rows, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = pl.Series([digest(i) for i in range(rows)])
    started = time.process_time()
    everything = pool(pl.DataFrame({"sample_id": names}).with_columns(source=pl.lit("made")), vectors, count)
    cut = time.process_time()
    grid, cell = cells.rounded(vectors), everything.samples["cell"].to_numpy()
    blocks = location.blocks(grid, np.zeros(rows, dtype=np.int32), cell)
    location.order(grid, blocks, np.zeros(rows, dtype=np.int64))
    ordered = time.process_time()
    del grid
    blend = Facility(name="b", rows=rows // 10).blend(everything, 0, {})
    drawn = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{rows} rows, d = 384, {count} cells (largest {np.bincount(cell).max()}), blocks of {location.BLOCK} at most"
    )
    print(f"CPU-seconds: cells {cut - started:.2f}; greedy's order {ordered - cut:.2f}; whole blend of a tenth, with")
    print(f"  its control and the coverage of both, {drawn - ordered:.2f}; peak {peak:.2f} GB with the vectors")
    print(f"  ({vectors.nbytes / 2**30:.2f} GB); {blend.strata['note'][0]}")
    everything = dataclasses.replace(
        everything, target=everything.samples[:1000].with_columns(role=pl.lit("specialist"))
    )
    for pick in ("turns", "uniform"):
        started = time.process_time()
        Nearest(name="b", rows=rows // 100, neighbours=500, pick=pick).blend(everything, 0, {})
        print(f"nearest, {pick}: 1,000 examples x 500 neighbours, {time.process_time() - started:.2f} CPU-seconds")


def real(data: Path, rows: int, cache: Path, encoder: str) -> tuple[pl.DataFrame, Any]:
    """Return generalist rows of the shared pool and their vectors."""
    found = gather(data, rows, 1).filter(pl.col("role") == "generalist")
    ids = [digest(text) for text in found["prompt"]]
    return found, encode(found["prompt"].to_list(), ids, encoder, cache, Context(root=Path()))


def pool(rows: pl.DataFrame, vectors: Any, count: int) -> Pool:
    """Return a pool of generalist rows with their cells and vectors."""
    names = rows["sample_id"].to_list()
    cell = cells.assign(vectors, names, np.zeros(len(names), dtype=bool), count, 0)
    samples = rows.with_columns(
        pl.Series("k64", [k64(name) for name in names], dtype=pl.UInt64),
        pl.Series("cell", cell, dtype=pl.Int32),
        role=pl.lit("generalist"),
        task=pl.lit(None, pl.String),
        n_tokens=pl.lit(100, pl.Int32),
    )
    places = {name: place for place, name in enumerate(names)}
    return Pool(
        samples,
        samples.clear(),
        lambda predicate: frozenset(),
        vectors=lambda encoder, frame: vectors[[places[name] for name in frame["sample_id"]]],
    )


def report(rows: pl.DataFrame, vectors: Any, count: int, peers: str | None) -> None:
    """Print the coverage of all rows by draws of 1, 10, 20 and 50 % of them."""
    everything, grid = pool(rows, vectors, count), cells.rounded(vectors)
    place = {name: i for i, name in enumerate(rows["sample_id"])}
    recipes = {
        "random": lambda n: Proportional(name="b", rows=n, by=()),
        "stratified by source": lambda n: Stratified(name="b", rows=n),
        "stratified by cell": lambda n: Proportional(name="b", rows=n, by="cell"),
        "facility": lambda n: Facility(name="b", rows=n),
        "facility, by cell": lambda n: Facility(name="b", rows=n, by="cell"),
    }
    print(f"{rows.height} rows of the real pool, {count} cells: coverage, and CPU-seconds of the draw")
    print(f"{'':<28}" + "".join(f"{f'{share} %':>16}" for share in (1, 10, 20, 50)))
    for name, recipe in recipes.items():
        line = f"{name:<28}"
        for share in (1, 10, 20, 50):
            started = time.process_time()
            blend = recipe(rows.height * share // 100).blend(everything, 0, {})
            spent = time.process_time() - started
            drawn = grid[[place[i] for i in blend.members["sample_id"]]]
            line += f"{location.coverage(grid, drawn):>9.4f} {spent:>5.2f}s"
        print(line)
    for share in (1, 10) if peers else ():
        others(peers or "", vectors, grid, rows.height * share // 100)


def others(python: str, vectors: Any, grid: Any, rows: int) -> None:
    """Print what the libraries need for `rows` rows of all, compared each with each."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "vectors.npy"), vectors)
        done = subprocess.run(
            [python, str(PEERS), str(Path(folder, "vectors.npy")), str(rows)],
            capture_output=True,
            text=True,
            check=False,
        )
    for found in map(json.loads, done.stdout.splitlines()):
        if "missing" in found:
            print(f"{found['name']}: not run ({found['missing']})")
        else:
            covered = location.coverage(grid, grid[found["taken"]])
            print(f"{found['name']}, {rows} rows: coverage {covered:.4f}, {found['seconds']:.1f} CPU-seconds")
    if done.returncode:
        print(f"peers ended with {done.returncode}: {done.stderr.splitlines()[-1:]}")


if __name__ == "__main__":
    main()
