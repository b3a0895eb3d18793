"""Run each dropping step over the generalist pool: rows in and kept, drops by reason, CPU seconds, peak memory.

    python tests/benchmarks/curate_pool.py --data DIR

Each step sees the whole pool and runs in a process of its own, so that the peak is its own; the memory of the samples
alone is shown as `idle MB`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import polars as pl

from curate.decontaminate import Decontaminate
from curate.exact import Exact
from curate.fuzzy import Fuzzy
from curate.rules import RULES, Rules
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.step import Step
from manifests.component import Context

STEPS: dict[str, Callable[[], Step]] = {
    "exact": Exact,
    "exact prompt": lambda: Exact(key="prompt"),
    "fuzzy .8": Fuzzy,
    "fuzzy .5": lambda: Fuzzy(threshold=0.5),
    "fuzzy .8 prompt": lambda: Fuzzy(key="prompt"),
    "fuzzy .8 char 9": lambda: Fuzzy(unit="char", ngram=9),
    "rules": Rules,
    "decontaminate": Decontaminate,
    "decontaminate 8": lambda: Decontaminate(ngram=8),
}


def pool(data: Path) -> pl.DataFrame:
    """Return the pool as samples: the prompt is the instruction, a blank line and the input if there is one."""
    table = pl.read_parquet(data / "generalist_pool.parquet")
    pairs = table.select(
        "source",
        pl.concat_str("instruction", pl.col("input").replace("", None), separator="\n\n", ignore_nulls=True),
        "output",
    )
    return samples_frame(samples(pairs.iter_rows(), "generalist"))


def held_out(data: Path) -> pl.DataFrame:
    """Return the evaluation prompts and the dev and test rows of the skill tasks as samples."""
    prompts = pl.read_parquet(data / "eval_prompts.parquet").select("set", "prompt", answer=pl.lit("-"))
    tasks = pl.read_parquet(data / "skill_tasks.parquet").filter(pl.col("split") != "train")
    questions = tasks.select(
        "dataset", pl.concat_str("context", "question", separator="\n\n", ignore_nulls=True), answer=pl.lit("-")
    )
    return samples_frame(samples([*prompts.iter_rows(), *questions.iter_rows()], "eval"))


def samples(rows: Iterable[tuple[str, str, str]], role: str) -> Iterator[Sample]:
    """Yield a sample per (source, prompt, answer)."""
    seen: dict[tuple[str, str], int] = {}
    for source, prompt, answer in rows:
        messages = (Message("user", prompt), Message("assistant", answer))
        key = content_id(messages)
        seen[key, source] = seen.get((key, source), -1) + 1
        yield Sample(sample_id(key, source, seen[key, source]), key, source, role, messages)


def peak() -> float:
    """Return this process's largest resident memory so far in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(name: str, folder: Path) -> None:
    """Run one step on the stored frames and print its figures as JSON."""
    frame, reference = (pl.read_parquet(folder / f"{part}.parquet") for part in ("pool", "eval"))
    step, idle, cpu, wall = STEPS[name](), peak(), time.process_time(), time.perf_counter()
    decisions = step.decide(frame, {"eval": reference}, Context(root=folder))
    figures = {"idle": idle, "peak": peak(), "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    reasons = decisions.group_by("kept", "reason").len().sort("kept", "len", "reason", descending=[False, True, False])
    figures |= {"in": len(frame), "dropped": int((~decisions["kept"]).sum()), "reasons": reasons.rows()}
    if isinstance(step, Rules):
        figures["hits"] = step.hits(frame).select(list(RULES)).sum().row(0, named=True)
    print(json.dumps(figures))


def table(folder: Path) -> None:
    """Run every step in its own process and print one line each, then the reasons."""
    print("step                   in   kept  dropped  CPU s  wall s  rows/CPU-s  idle MB  peak MB")
    details = []
    for name in STEPS:
        command = [sys.executable, __file__, "--data", str(folder), "--step", name]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        kept, rate = found["in"] - found["dropped"], found["in"] / found["cpu"]
        cost = f"{found['cpu']:5.1f}  {found['wall']:6.1f}  {rate:10.0f}  {found['idle']:7.0f}  {found['peak']:7.0f}"
        print(f"{name:18} {found['in']:6} {kept:6}  {found['dropped']:7}  {cost}", flush=True)
        details += [f"{name:18} {'kept' if k else 'dropped':8} {n:6}  {reason}" for k, reason, n in found["reasons"]]
        details += [f"{name:18} all hits {n:6}  {rule}" for rule, n in found.get("hits", {}).items()]
    print("", *details, sep="\n")


def main() -> None:
    """Build the frames once, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with generalist_pool.parquet and the eval files"
    )
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run(arguments.step, arguments.data)
        return
    with tempfile.TemporaryDirectory() as folder:
        pool(arguments.data).write_parquet(Path(folder, "pool.parquet"))
        held_out(arguments.data).write_parquet(Path(folder, "eval.parquet"))
        table(Path(folder))


if __name__ == "__main__":
    main()
