"""How well the generalist pool covers targets of different breadth, and whether the numbers rank broad above narrow.

Run: python -m tests.benchmarks.coverage_pool --data FOLDER [--encoder minilm] [--pool 4000] [--target 400]
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from curate.embed import encode
from manifests.component import Context
from manifests.names import digest, k64, sampling_key
from mixers import cells

LADDER = ("superni-all", "superni-question-answering", "superni-one-task")
"""Nested targets, broad to narrow."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the shared data")
    parser.add_argument("--cache", type=Path, default=Path("embeddings.sqlite"), help="embedding cache")
    parser.add_argument("--encoder", default="hash", help="minilm, hash, or a sentence-transformers id")
    parser.add_argument("--pool", type=int, default=0, help="generalist rows, 0 for all")
    parser.add_argument("--target", type=int, default=400, help="rows of each target")
    parser.add_argument("--cells", type=int, default=64)
    options = parser.parse_args()
    samples = gather(options.data, options.pool, options.target)
    started = time.process_time()
    ids = [digest(text) for text in samples["prompt"]]
    context = Context(root=Path())
    vectors = encode(samples["prompt"].to_list(), ids, options.encoder, options.cache, context)
    embedded = time.process_time()
    target = (samples["role"] == "eval").to_numpy()
    cell = cells.assign(vectors, samples["sample_id"].to_list(), target, options.cells, 0)
    clustered = time.process_time()
    found = cells.coverage(samples.with_columns(pl.Series("cell", cell)), vectors, options.cells)
    measured = time.process_time()
    report(found, options.encoder)
    print(
        f"CPU-seconds: embedding {embedded - started:.1f}, cells {clustered - embedded:.1f}, "
        f"coverage {measured - clustered:.1f}; {samples.height} rows"
    )


def gather(data: Path, pool: int, target: int) -> pl.DataFrame:
    """Return sample_id, source, role, task, prompt of the pool and of `target` rows of each target."""
    generalist = pl.read_parquet(data / "generalist_pool.parquet").select(
        "source", pl.concat_str("instruction", "input", separator="\n\n").alias("prompt")
    )
    tasks = pl.read_parquet(data / "superni_tasks.parquet").filter(~pl.col("sensitive"))
    superni = pl.read_parquet(data / "superni_instances.parquet").join(tasks, on="task")
    superni = superni.with_columns(prompt=pl.concat_str("definition", "input", separator="\n\n"))
    answering = superni.filter(pl.col("category") == "Question Answering")
    narrow = answering.filter(pl.col("task") == answering["task"].min())
    writing = pl.read_parquet(data / "writing_tasks.parquet").select(
        pl.concat_str(pl.col("task").str.replace_all("_", " "), pl.lit(":\n\n"), "source").alias("prompt")
    )
    question = pl.read_parquet(data / "closed_book_qa.parquet").select(prompt="question")
    parts = [
        _some(generalist, pool, "generalist"),
        _some(superni, target, "eval", LADDER[0]),
        _some(answering, target, "eval", LADDER[1]),
        _some(narrow, target, "eval", LADDER[2]),
        _some(writing, target, "eval", "writing-tasks"),
        _some(question, target, "eval", "closed-book-qa"),
    ]
    return pl.concat(parts).sort("sample_id")


def _some(rows: pl.DataFrame, count: int, role: str, source: str | None = None) -> pl.DataFrame:
    """Return `count` rows (0: all) by sampling key, the same for any order of `rows`."""
    if source is not None:
        rows = rows.with_columns(source=pl.lit(source))
    rows = rows.select("source", "prompt").sort("source", "prompt")
    ids = [digest([source, prompt, place]) for place, (source, prompt) in enumerate(rows.iter_rows())]
    keys = sampling_key(np.array([k64(i) for i in ids], dtype=np.uint64), 0)
    named = rows.with_columns(
        pl.Series("sample_id", ids), pl.Series("key", keys), role=pl.lit(role), task=pl.lit(None, pl.String)
    )
    chosen = named.sort("key").head(count) if count else named
    return chosen.select("sample_id", "source", "role", "task", "prompt")


def report(found: pl.DataFrame, encoder: str) -> None:
    """Print one line per target, and for each metric whether the ladder is ranked broad above narrow."""
    whole = found.filter(pl.col("source") == cells.POOL).pivot("metric", index="target", values="value")
    metrics = ["breadth", "cell_recall", "knn_recall", "overlap"]
    print(f"encoder {encoder}")
    print(f"{'target':<28}" + "".join(f"{metric:>13}" for metric in metrics))
    for row in whole.sort("breadth", descending=True).iter_rows(named=True):
        print(f"{row['target']:<28}" + "".join(f"{row[metric]:>13.3f}" for metric in metrics))
    values = {row["target"]: row for row in whole.iter_rows(named=True)}
    for metric in metrics:
        steps = [values[name][metric] for name in LADDER]
        ranked = all(a > b for a, b in pairwise(steps))
        print(f"{metric:<12} {' > '.join(LADDER)}: {'yes' if ranked else 'no'}")


if __name__ == "__main__":
    main()
