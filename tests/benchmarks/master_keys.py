"""How often a judge calls an answer correct that says nothing, text by text.

    python -m tests.benchmarks.master_keys --data FILE [--model DIR] [--steps N] [--probes 50]

FILE is judge_truthfulqa.parquet; the judge is that of `injections`: small, trained here when DIR holds none, served by
vLLM. It is asked through `Judge`, with one verdict and with votes, on questions that it never saw.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import polars as pl

from curate.judge import Judge
from curate.judges.vllm import Vllm
from curate.pair_calibration import wilson
from curate.probe import MASTER_KEYS, probes
from manifests.component import Context
from tests.benchmarks import small_judge
from tests.curate.judged import frame


def passed(judge: Judge, rows: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Return `response`, rows, and how many of them the judge calls correct, by response."""
    verdicts = judge.score(rows, Context(root=root)).verdicts
    assert verdicts is not None
    found = rows.select("sample_id", "response").join(verdicts, on="sample_id", validate="1:1")
    return found.group_by("response").agg(n=pl.len(), passed=(pl.col("label") == "correct").sum())


def shown(name: str, hits: int, n: int) -> str:
    """Return a line of the table."""
    low, high = wilson(hits, n)
    return f"  {name:<40}{hits:>5}/{n:<5}{hits / n:7.1%} [{float(low):.1%}, {float(high):.1%}]"


def main() -> None:
    """Parse the arguments, train where needed, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="judge_truthfulqa.parquet")
    parser.add_argument("--model", type=Path, help="folder of the small judge; trained there when it is not there yet")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--probes", type=int, default=50)
    given = parser.parse_args()
    seen, held = small_judge.rows(given.data)
    usual = frame(dict.fromkeys((question, answer) for question, answer, _ in held))
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or Path(folder) / "judge"
        if not (model / "config.json").exists():
            small_judge.train(model, seen, steps=given.steps)
        one = Judge(judge=Vllm(model=str(model), max_model_len=1024))
        print(f"measured with a small local judge, served by vLLM; held-out questions, at most {given.probes}")
        for name, judge in (("one verdict", one), ("3 votes", replace(one, votes=3))):
            found = passed(judge, probes(usual, given.probes), Path(folder))
            total = passed(judge, usual, Path(folder))
            print(f"{name}: called correct")
            print(shown("answers of the data", total["passed"].sum(), total["n"].sum()))
            print(shown("answers that say nothing", found["passed"].sum(), found["n"].sum()))
            by_text = {text: (hits, n) for text, n, hits in found.select("response", "n", "passed").iter_rows()}
            for text in MASTER_KEYS:
                print(shown(f"  {text!r}", *by_text[text]))


if __name__ == "__main__":
    main()
