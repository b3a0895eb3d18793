"""Measure the search by lists against brute force on vectors of the dedup corpus: cost and recall of pairs.

Run: python -m tests.benchmarks.semantic_search (--vectors FILE.npy | --data DIR [--encoder minilm] [--cache FILE])

`--vectors` holds unit rows (n, d); otherwise the texts of `dedup/corpus.parquet` are embedded. Costs are CPU-seconds,
plan included, of all pairs (`pairs`), and of the leaders' search, which drops rows as it goes (`leaders`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from curate.leader import leaders_of
from curate.neighbours import Index, rounded


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--cache", type=Path, default=Path("semantic_search.sqlite"))
    parser.add_argument("--thresholds", type=float, nargs="*", default=[0.9, 0.95])
    options = parser.parse_args()
    grid = rounded(np.load(options.vectors) if options.vectors else embedded(options))
    print(f"{len(grid):,} rows of {grid.shape[1]} dimensions")
    heads = ("threshold", "search", "pairs s", "leaders s", "pairs", "recall", "planned", "dropped")
    print("".join(f"{head:>11}" for head in heads))
    for threshold in options.thresholds:
        flat = run(grid, threshold, len(grid))
        lists = run(grid, threshold, 0)
        for found in (flat, lists):
            recall = np.isin(flat["pairs"], found["pairs"], assume_unique=True).mean()
            assert np.isin(found["pairs"], flat["pairs"], assume_unique=True).all()
            search = found["search"]
            print(
                f"{threshold:>11.2f}{f'{search.probes}/{search.lists}' if search.lists else 'flat':>11}"
                f"{found['seconds']:>11.2f}{found['leaders']:>11.2f}{len(found['pairs']):>11,}{recall:>11.4f}"
                f"{search.recall:>11.4f}{found['dropped']:>11,}",
                flush=True,
            )


def run(grid: np.ndarray, threshold: float, flat: int) -> dict:
    """Return the pairs (later times rows plus earlier) and CPU-seconds of one search, and of finding leaders."""
    began = time.process_time()
    index = Index(grid, threshold, flat=flat)
    planned = time.process_time() - began
    pairs = np.concatenate([block.later * len(grid) + block.earlier for block in index.pairs()])
    done = time.process_time()
    alive = np.ones(len(grid), bool)
    dropped = leaders_of(index.pairs(alive), alive)
    return {
        "search": index.search,
        "pairs": pairs,
        "seconds": done - began,
        "leaders": planned + time.process_time() - done,
        "dropped": len(dropped.row),
    }


def embedded(options: argparse.Namespace) -> np.ndarray:
    """Return the vectors of the corpus' texts, kept in the cache file."""
    import polars as pl

    from curate.embed import encode
    from manifests.component import Context
    from manifests.names import digest

    texts = pl.read_parquet(options.data / "dedup" / "corpus.parquet")["text"].to_list()
    return encode(texts, [digest(text) for text in texts], options.encoder, options.cache, Context(root=Path()))


if __name__ == "__main__":
    main()
