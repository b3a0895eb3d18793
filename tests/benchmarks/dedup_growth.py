"""How the cost of near-duplicate removal grows: the corpus, and copies of it in which duplicates keep their share.

    python tests/benchmarks/dedup_growth.py --data DIR [--copies 1 5 18] [--threshold .7] [--memory 256] [--recall .99]

DIR/dedup/corpus.parquet gives 56,500 texts as their lower-case words. Copy k is the corpus with every word outside the
200 most frequent replaced by another one of like frequency, the same for all rows of the copy: the words of each range
of ranks (201 to 400, 401 to 800, ...) are permuted by a seed of the copy. So all similarities inside a copy are those
of the corpus, pair by pair; the vocabulary does not grow; n-grams of frequent words recur in all copies, others do not;
and rows of different copies are alike only by chance. All copies are shuffled together.

Each size is a process of its own that imports, reads, tokenises, joins and takes leaders, in the order of the file;
CPU seconds and peak memory are the whole process's. The exponent is the slope between one size and the one before.
With --recall, candidates come from MinHash bands; `removed` beside the exact run's shows what they miss.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMON = 200
THRESHOLD = 0.7


def make(corpus: str, out: str, copies: int) -> None:
    """Write the copies of the corpus, shuffled, as one column `text`."""
    import numpy as np
    import polars as pl

    from curate.text import words

    listed = words(pl.read_parquet(corpus, columns=["text"])["text"]).rename("word")
    frame = pl.DataFrame([listed]).with_row_index("row").explode("word", empty_as_null=True).drop_nulls("word")
    ranked = frame.group_by("word").len().sort(["len", "word"], descending=[True, False])["word"]
    code = frame["word"].cast(pl.Enum(ranked)).to_physical().to_numpy()
    parts = []
    for copy in range(copies):
        order = np.arange(len(ranked))
        first = COMMON
        while copy and first < len(ranked):
            order[first : 2 * first] = np.random.default_rng([copy, first]).permutation(order[first : 2 * first])
            first *= 2
        other = frame.select("row", word=ranked.gather(order[code]))
        parts.append(other.group_by("row", maintain_order=True).agg(pl.col("word").str.join(" ")).select(text="word"))
    pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=0).write_parquet(out)


def child(path: str, threshold: float, memory: float, recall: float) -> None:
    """Read, tokenise, join and take leaders; print the rows, the rows removed, and CPU seconds step by step."""
    import numpy as np
    import polars as pl

    from curate.jaccard import Sets, budget_of, similar_pairs
    from curate.leader import leaders_of
    from curate.minhash import Bands
    from curate.text import grams_of

    texts = pl.read_parquet(path)["text"]
    spent = [time.process_time()]
    grams = grams_of(texts, 3)
    spent.append(time.process_time())
    sets = Sets.of(grams)
    rows = len(texts)
    del grams, texts
    spent.append(time.process_time())
    alive = np.ones(rows, np.bool_)
    bands = Bands.of(threshold, recall) if recall < 1 else None
    pairs = similar_pairs(sets, threshold, alive=alive, budget=budget_of(memory), bands=bands)
    removed = len(leaders_of(pairs, alive).row)
    spent.append(time.process_time())
    steps = " ".join(f"{step:.1f}" for step in (spent[0], *np.diff(spent)))
    print(f"{rows} {removed} {steps}")


def main() -> None:
    """Make each size, measure it in a process of its own, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dedup/")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 5, 18], help="sizes, in corpora of 56,500 rows")
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    parser.add_argument("--memory", type=float, default=256, help="MB that a block of the join may take")
    parser.add_argument("--recall", type=float, default=1.0, help="below 1: MinHash bands for this recall")
    arguments = parser.parse_args()
    corpus = (arguments.data / "dedup" / "corpus.parquet").resolve()
    print("     rows  removed   CPU s  exponent  peak MB  bytes/row   load  grams   sets   join")
    before: tuple[int, float] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for copies in arguments.copies:
            path = f"{folder}/{copies}.parquet"
            _run("make", str(corpus), path, str(copies))
            options = (str(arguments.threshold), str(arguments.memory), str(arguments.recall))
            said, cpu, peak = _run("child", path, *options)
            rows, removed = int(said[0]), int(said[1])
            slope = math.log(cpu / before[1]) / math.log(rows / before[0]) if before else math.nan
            steps = " ".join(f"{float(step):6.1f}" for step in said[2:])
            each = peak * 2**20 / rows
            print(f"{rows:9} {removed:8} {cpu:7.1f} {slope:9.2f} {peak:8.0f} {each:10.0f} {steps}", flush=True)
            before = rows, cpu
            Path(path).unlink()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")


def _run(*arguments: str) -> tuple[list[str], float, float]:
    """Run this file as a child and return the words it printed, its CPU seconds and its peak MB."""
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, env=variables)
    assert process.stdout is not None
    said = process.stdout.read().split()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} gave {process.returncode}")
    return said, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    elif sys.argv[1:2] == ["child"]:
        child(sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
    else:
        main()
