"""Near-duplicate removal on the corpus of planted duplicates against its bars: cost of whole processes, and quality.

    python -m tests.benchmarks.dedup_corpus --data DIR [--repeats 3]

DIR/dedup holds corpus.parquet, planted.parquet and pairs_w3.parquet (all pairs of word 3-gram Jaccard >= .5, by brute
force). Each run is a process of its own that imports, reads the parquet file, tokenises, joins, takes leaders and
writes its answer; CPU seconds are user and system of that process, the least of the repeats (the machine's other load
only adds), the peak is the largest resident memory. The columns are those of dedup_peers.py, and three more. better: of
the planted rows at >= .7 to their original of which one of the two stays, how often that of the higher score, to two
digits; a row that gave way to a third, still better one counts against. led: share of the removed rows whose witness
has no lower score. lost: rows with another answer to the same prompt that are removed for whatever witness. A bar that
is missed is named and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.dedup_peers import BEST, Run, cost, heading, line, measure, quality

GUARDS = "max_shingle_rows=200"
SCRIPT = "blendsmith_fuzzy.py"
ROWS = 56_500
TEXT_ALONE = ("prompts_agree=0", "answers_agree=0", BEST)
BOTH = {"number_merged": 0, "tool_removed": 0.07, "short_lost": 0}
RUNS = (
    (Run("all pairs of the join", "", SCRIPT, ("pairs",), quick=True), {"precision": 1.0, "recall": 1.0}),
    (
        Run("fuzzy, text alone", "", SCRIPT, ("numbers_agree=false", *TEXT_ALONE), quick=True),
        {"cpu_min": 4.5, "peak_mb": 600, "unjust": 0, "left": 0, "better": 0.95, "led": 1.0},
    ),
    (Run("fuzzy, numbers and cap", "", SCRIPT, (GUARDS, *TEXT_ALONE), quick=True), {"led": 1.0, **BOTH}),
    (Run("fuzzy, all guards", "", SCRIPT, (GUARDS, BEST), quick=True), {"led": 1.0, "same_prompt_lost": 0, **BOTH}),
)
AT_LEAST = frozenset({"precision", "recall", "better", "led"})
MORE = (("better", "6.2f"), ("led", "6.3f"), ("same_prompt_lost", "6.0f"))
FLOOR = (
    ("import polars and numpy", "import polars, numpy"),
    ("... and curate.fuzzy", "import polars, numpy, curate.fuzzy"),
    ("... and read the file", "import polars, numpy, curate.fuzzy, sys; polars.read_parquet(sys.argv[1])"),
)


def missed(found: dict[str, object], bars: dict[str, float]) -> list[str]:
    """Return the bars that the figures miss, in words."""
    wrong = []
    for name, bar in bars.items():
        figure = float(str(found[name]))
        if figure < bar if name in AT_LEAST else figure > bar:
            wrong.append(f"{name} is {figure:.4g}, the bar {bar:.4g}")
    return wrong


def order_of_merit(work: Path, data: Path) -> dict[str, float]:
    """Return how often the better row of a planted pair stays, and how often a witness is no worse than its row."""
    import numpy as np
    import polars as pl

    score = pl.read_parquet(data / "dedup" / "corpus.parquet", columns=["score"])["score"].to_numpy()
    kind = pl.read_parquet(data / "dedup" / "corpus.parquet", columns=["kind"])["kind"].to_numpy()
    planted = pl.read_parquet(data / "dedup" / "planted.parquet").select("id", "parent").cast(pl.Int64)
    truth = pl.read_parquet(data / "dedup" / "pairs_w3.parquet").filter(pl.col("jac") >= np.float32(0.7))
    near = planted.with_columns(i=pl.min_horizontal("id", "parent"), j=pl.max_horizontal("id", "parent")).join(
        truth.select(pl.col("i", "j").cast(pl.Int64)), on=["i", "j"]
    )
    cluster = np.fromfile(work / "out" / "cluster", np.int32).astype(np.int64)
    stays = cluster == np.arange(len(cluster))
    child, parent = near["id"].to_numpy(), near["parent"].to_numpy()
    one = (stays[child] != stays[parent]) & ~np.isin(kind[child], ["hardneg_num", "same_prompt"])
    right = stays[child] == (score[child] > score[parent])
    led = score[cluster[~stays]] >= score[~stays]
    return {"better": round(float(right[one].mean()), 2), "led": float(led.mean())}


def main() -> int:
    """Measure, judge and print; return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dedup/")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    corpus = (arguments.data / "dedup" / "corpus.parquet").resolve()
    python = Path(sys.executable)
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, code in FLOOR:
            command = [sys.executable, "-c", code, str(corpus)]
            seconds = min(cost(command, Path(folder, "log"))["cpu"] for _ in range(arguments.repeats))
            print(f"{name:30} {seconds:6.2f} CPU s")
        print(f"\n{heading()} better    led   lost  rows/CPU-s")
        for number, (run, bars) in enumerate(RUNS):
            work = Path(folder, str(number))
            work.mkdir()
            try:
                costs = measure(run, python, corpus, work, repeats=arguments.repeats, model=None)
            except (RuntimeError, subprocess.SubprocessError) as error:
                failures.append(f"{run.name}: {error}")
                continue
            found: dict[str, object] = {**costs, **quality(work, arguments.data)}
            if "cluster" in os.listdir(work / "out"):
                found |= order_of_merit(work, arguments.data)
            more = " ".join(f"{found.get(name, float('nan')):{form}}" for name, form in MORE)
            print(f"{line(run.name, '', found)} {more} {ROWS / float(str(found['cpu_min'])):9.0f}", flush=True)
            failures += [f"{run.name}: {words}" for words in missed(found, bars)]
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")
    print("\n".join(failures) or "every bar is met")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
