"""The same rows judged by one engine, by two side by side, and by the workers of Ray: verdicts and what they cost.

    python -m tests.benchmarks.judge_shards [--rows 4000]

Each run is a process of its own with a cache of its own, on a tiny model that is trained here; its seconds hold the
start of every engine. `killed` sends SIGKILL to the first Ray worker whose engine is loaded. CPU seconds are those of
all processes, looked at four times a second. The last lines show the prefix cache: eight questions about each long
text, in the order of the texts and in a random one; the cache of so small a model holds them all either way.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from curate.judge import Judge
from curate.judges import Call, Menu
from curate.judges.vllm import Vllm
from manifests.component import Context, Inline
from manifests.engine import Ray
from tests.curate import tiny_model
from tests.curate.judged import frame

RUNS = ("1 engine", "2 replicas", "ray, 2 workers", "ray, 2 workers, killed")
WORKER = "curate.judges.vllm_worker"
LOADED = 8.0
"""CPU seconds of an engine that has been loaded, about."""


def one(name: str, model: str, rows: int, root: Path) -> None:
    """Judge the rows as `name` says, write their scores, print the wall seconds."""
    samples = frame((question, answer) for question, answer, _ in tiny_model.rows(rows, seed=77))
    engine = Vllm(model=model, max_model_len=256, replicas=2 if name == "2 replicas" else 1)
    opener = Ray(workers=2).open() if name.startswith("ray") else nullcontext(Inline())
    begun = time.monotonic()
    with opener as where:
        found = Judge(judge=engine, prompt="plain").score(samples, Context(root=root, engine=where)).scores
    found.write_parquet(root / "scores.parquet")
    print(time.monotonic() - begun)


def measured(name: str, model: str, rows: int, root: Path) -> dict[str, Any]:
    """Run `one` in a process; return its scores, seconds, CPU seconds and how many workers were killed."""
    root.mkdir()
    command = [sys.executable, "-m", "tests.benchmarks.judge_shards", "--one", name, "--model", model]
    process = subprocess.Popen([*command, "--rows", str(rows), "--root", str(root)], stdout=subprocess.PIPE, text=True)
    used: dict[int, float] = {}
    killed = 0
    while process.poll() is None:
        time.sleep(0.25)
        for child in psutil.Process().children(recursive=True):
            try:
                used[child.pid] = sum(child.cpu_times()[:2])
                if name.endswith("killed") and not killed and WORKER in child.cmdline() and used[child.pid] > LOADED:
                    os.kill(child.ppid(), signal.SIGKILL)
                    killed += 1
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
    output = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, name
    return {
        "scores": pl.read_parquet(root / "scores.parquet").sort("sample_id"),
        "wall": float(output.splitlines()[-1]),
        "cpu": sum(used.values()),
        "killed": killed,
    }


def prefixes(model: str, root: Path) -> None:
    """Print the share of prompt tokens that the prefix cache held, for two orders of the same calls."""
    chance = random.Random(3)
    menu = Menu(tiny_model.LABELS, "\nVerdict:")
    texts = [" ".join(chance.choices(tiny_model.WORDS, k=170)) for _ in range(120)]
    calls = [
        Call(f"{i}-{j}", f"{text}\nQuestion {j}: {tiny_model.WORDS[j]}?\nVerdict:", f"s{i}", f"c{i}")
        for i, text in enumerate(texts)
        for j in range(8)
    ]
    mixed = random.Random(4).sample(calls, len(calls))
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for order, asked in (("by text", calls), ("at random", mixed)):
        with Vllm(model=model, max_model_len=512, chunk=64).open([menu], Context(root=root)) as session:
            next(iter(session.ask(calls[:1], menu)))
            replies = [reply for batch in session.ask(asked, menu) for reply in batch]
        found[order] = {reply.key: reply.probabilities or () for reply in replies}
        held = sum(reply.tokens_cached for reply in replies) / sum(reply.tokens_in for reply in replies)
        print(f"prefix cache, calls {order}: {held:.1%} of the prompts' tokens held")
    one, two = found.values()
    print(f"largest difference of a probability: {max(abs(one[key][0] - two[key][0]) for key in one):.1e}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run every way, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    for hidden in ("--one", "--model", "--root"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.one:
        one(given.one, given.model, given.rows, Path(given.root))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = str(tiny_model.build(Path(folder) / "model"))
        print(f"{'':<24}{'wall s':>8}{'CPU s':>8}{'killed':>8}{'verdicts':>10}{'most apart':>12}")
        first: pl.DataFrame | None = None
        for i, name in enumerate(RUNS):
            found = measured(name, model, given.rows, Path(folder) / str(i))
            scores = found["scores"]
            first = scores if first is None else first
            same = (scores["value"] >= 0.5) == (first["value"] >= 0.5)
            keys = scores.select("sample_id", "status", "key").equals(first.select("sample_id", "status", "key"))
            apart = (scores["value"] - first["value"]).abs().max()
            print(
                f"{name:<24}{found['wall']:>8.1f}{found['cpu']:>8.1f}{found['killed']:>8}"
                f"{'the same' if keys and same.all() else 'OTHERS':>10}{apart:>12.1e}",
                flush=True,
            )
        prefixes(model, Path(folder))


if __name__ == "__main__":
    main()
