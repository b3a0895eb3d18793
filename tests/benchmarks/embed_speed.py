"""Measure each encoder mode against sentence-transformers' own `encode`: speed and agreement on rows of the pool.

Run: python -m tests.benchmarks.embed_speed --data DIR [--rows 2000] [--encoders minilm minilm-bf16 minilm-static hash]

Columns: rows per CPU-second (model loading apart), the quotient to plain `encode`, mean and least cosine to its vectors
where the dimensions agree, and the share of rows whose nearest other row is the same (`same`), or has a cosine within
0.00001 of the nearest's (`tied`), by the reference vectors.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl

from curate import encoder


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--encoders", nargs="*", default=list(encoder.ENCODERS))
    options = parser.parse_args()
    pool = pl.read_parquet(options.data / "generalist_pool.parquet").sample(options.rows, seed=1)
    joined = pl.concat_str(pl.col("instruction", "input", "output").fill_null(""), separator="\n")
    texts = pool.select(joined.alias("text"))["text"].to_list()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    texts = [texts[i] for i in order]
    model = encoder.sentence_model("minilm")
    encoder.plain(model, texts[:32], 32)
    began = time.process_time()
    reference = encoder.plain(model, texts, 32)
    base = time.process_time() - began
    print(f"{len(texts):,} rows, {sum(map(len, texts)):,} characters, prompt, input and answer as one text")
    heads = ("load s", "CPU s", "rows/s", "x", "cos mean", "least", "same", "tied")
    print(f"{'encoder':<24}" + "".join(f"{h:>{w}}" for h, w in zip(heads, (8, 8, 8, 7, 11, 10, 8, 8), strict=True)))
    print(f"{'sentence-transformers':<24}{'':>8}{base:8.1f}{len(texts) / base:8.0f}{1:7.2f}", flush=True)
    for name in options.encoders:
        began = time.process_time()
        encoder.embedded(name, 32, texts[:2])
        loaded = time.process_time()
        found = np.concatenate([encoder.embedded(name, 32, texts[i : i + 512]) for i in range(0, len(texts), 512)])
        spent = time.process_time() - loaded
        cosine = (found * reference).sum(axis=1) if found.shape == reference.shape else np.array([np.nan])
        same, tied = agreement(reference, found)
        print(
            f"{name:<24}{loaded - began:8.1f}{spent:8.1f}{len(texts) / spent:8.0f}{base / spent:7.2f}"
            f"{cosine.mean():11.6f}{cosine.min():10.6f}{same:8.4f}{tied:8.4f}",
            flush=True,
        )


def agreement(reference: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Return the shares of rows whose nearest other row is the same, or as near by the reference."""
    theirs, ours = reference @ reference.T, found @ found.T
    for alike in (theirs, ours):
        np.fill_diagonal(alike, -2)
    best, chosen = theirs.argmax(axis=1), ours.argmax(axis=1)
    rows = np.arange(len(reference))
    return float((best == chosen).mean()), float((theirs[rows, chosen] >= theirs[rows, best] - 1e-5).mean())


if __name__ == "__main__":
    main()
