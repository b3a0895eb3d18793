"""Compare the near-duplicate join with an independent exhaustive one, and with the published pairs of the corpus.

    python tests/benchmarks/fuzzy_exactness.py --data DIR [--rows 5000] [--corpus]

The reference tokenises with Python's `re`, numbers grams of tuples with a dict and multiplies sparse matrices; nothing
of `curate` takes part in it.
"""

from __future__ import annotations

import argparse
import re
import resource
import time
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from curate.jaccard import Sets, similar_pairs
from curate.leader import leaders
from curate.text import grams_of

Found = dict[tuple[int, int], float]


def reference(texts: list[str], threshold: float, n: int = 3) -> Found:
    """Return every pair (i < j) with its similarity, by multiplying the whole incidence matrix with itself."""
    numbers: dict[tuple[str, ...], int] = {}
    row, column = [], []
    for i, text in enumerate(texts):
        words = re.findall(r"\w+", text.lower())
        grams = {tuple(words[k : k + n]) for k in range(len(words) - n + 1)} or ({tuple(words)} if words else set())
        for gram in grams:
            row.append(i)
            column.append(numbers.setdefault(gram, len(numbers)))
    matrix = sparse.coo_matrix((np.ones(len(row), np.int32), (row, column)), (len(texts), len(numbers))).tocsr()
    size = matrix.getnnz(axis=1)
    both = sparse.triu(matrix @ matrix.T, k=1).tocoo()
    similarity = both.data / (size[both.row] + size[both.col] - both.data)
    keep = similarity >= threshold
    pairs = zip(both.row[keep].tolist(), both.col[keep].tolist(), strict=True)
    return dict(zip(pairs, similarity[keep].tolist(), strict=True))


def ours(texts: pl.Series, threshold: float, n: int = 3) -> pl.DataFrame:
    """Return the pairs of the join: i < j and the similarity s."""
    blocks = list(similar_pairs(Sets.of(grams_of(texts, n)), threshold))
    return pl.DataFrame(
        {
            "i": np.concatenate([b.earlier for b in blocks]),
            "j": np.concatenate([b.later for b in blocks]),
            "s": np.concatenate([b.similarity for b in blocks]),
        }
    )


def against_brute_force(data: Path, rows: int) -> None:
    """Print recall and precision over rows of the pool, where duplicates are rare, and of the corpus."""
    pool = pl.read_parquet(data / "generalist_pool.parquet").sample(rows, seed=0)
    texts = {"pool": pool.select(pl.concat_str("instruction", "input", "output", separator="\n"))["instruction"]}
    texts["corpus"] = pl.read_parquet(data / "dedup/corpus.parquet", n_rows=rows, columns=["text"])["text"]
    print("texts    rows  threshold   true  found  recall precision  largest difference")
    for name, column in texts.items():
        truth = reference(column.to_list(), 0.5)
        for threshold in (0.5, 0.7, 0.8):
            wanted = {pair: s for pair, s in truth.items() if s >= threshold}
            found = {(i, j): s for i, j, s in ours(column, threshold).iter_rows()}
            right = wanted.keys() & found.keys()
            difference = max((abs(wanted[p] - found[p]) for p in right), default=0.0)
            scores = f"{_share(len(right), len(wanted))}  {_share(len(right), len(found)):>8}  {difference:.1e}"
            print(f"{name:7} {len(column):5}  {threshold:9}  {len(wanted):5}  {len(found):5}  {scores}")


def _share(part: int, total: int) -> str:
    return f"{part / total:6.4f}" if total else "     -"


def against_corpus(data: Path) -> None:
    """Print the same against all published pairs, with the cost, and what leaders leave."""
    texts = pl.read_parquet(data / "dedup/corpus.parquet", columns=["text"])["text"]
    truth = pl.read_parquet(data / "dedup/pairs_w3.parquet")
    print("\ncorpus   rows  threshold      true     found  recall precision  CPU s  rows/CPU-s  peak MB")
    for threshold in (0.8, 0.7, 0.5):
        start = time.process_time()
        found = ours(texts, threshold)
        cpu = time.process_time() - start
        wanted = truth.filter(pl.col("jac") >= np.float32(threshold))
        right = len(found.join(wanted.cast({"i": pl.Int64, "j": pl.Int64}), on=["i", "j"]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        scores = (
            f"{right / len(wanted):6.4f}  {right / len(found):8.4f}  {cpu:5.1f}  {len(texts) / cpu:10.0f}  {peak:7.0f}"
        )
        print(f"{len(texts):13}  {threshold:9}  {len(wanted):8}  {len(found):8}  {scores}")
    print("\nleaders  threshold  removed  without a kept row in reach  similar pairs left")
    for threshold in (0.8, 0.7, 0.5):
        dropped = leaders(Sets.of(grams_of(texts, 3)), threshold)
        gone = pl.Series(dropped.row)
        left = truth.filter(
            pl.col("jac") >= np.float32(threshold),
            ~pl.col("i").is_in(gone.implode()),
            ~pl.col("j").is_in(gone.implode()),
        )
        unjust = int(np.isin(dropped.leader, dropped.row).sum() + (dropped.similarity < threshold).sum())
        print(f"{threshold:18}  {len(gone):7}  {unjust:27}  {len(left):18}")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with generalist_pool.parquet and dedup/")
    parser.add_argument("--rows", type=int, default=5000, help="rows compared exhaustively")
    parser.add_argument("--corpus", action="store_true", help="also compare with dedup/pairs_w3.parquet")
    arguments = parser.parse_args()
    against_brute_force(arguments.data, arguments.rows)
    if arguments.corpus:
        against_corpus(arguments.data)


if __name__ == "__main__":
    main()
