"""CPU-seconds of K adapters trained together against K runs one after the other, paired, and whether they are equal.

    python -m tests.benchmarks.bank_speed --data DIR [--sizes 1m,5m] [--adapters 16] [--steps 4] [--tokens 2048,512]

DIR holds `generalist_pool.parquet` (see `train_speed`). Each run has rows of its own: a third of the pool's first rows.
Both sides run in this process, on one thread, after a run that warms it up; `--tokens` are the positions of a step.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from manifests.component import Context
from tests.benchmarks.train_speed import SIZES, read
from trainers.bank.together import together
from trainers.loop import threads
from trainers.lora import Lora
from trainers.run import Job
from trainers.trainer import Fitted, Row


def made(base: Path, rows: list[Row], out: Path, options: argparse.Namespace, tokens: int) -> list[Job]:
    trainer = Lora(base=str(base), steps=options.steps, batch_tokens=tokens, max_tokens=min(tokens, 256))
    context = Context(root=out)
    return [
        Job(
            trainer,
            [row for n, row in enumerate(rows) if (n + run) % 3 == 0 or n % 16 == run],
            base,
            run,
            out / str(run),
            context,
        )
        for run in range(options.adapters)
    ]


def spent(work: Callable[[], list[Fitted]], out: Path) -> tuple[float, list[Fitted]]:
    """Return the CPU-seconds that `work` took and its runs, whose folder is removed."""
    started = time.process_time()
    found = work()
    seconds = time.process_time() - started
    shutil.rmtree(out)
    return seconds, found


def apart(jobs: list[Job]) -> list[Fitted]:
    return [job.trainer.fit(job.rows, job.base, job.seed, job.out, job.context) for job in jobs]


def compare(name: str, base: Path, rows: list[Row], options: argparse.Namespace, tokens: int) -> None:
    out = base.parent / "runs"
    apart(made(base, rows, out, options, tokens)[:1])
    shutil.rmtree(out)
    pairs = []
    for _ in range(options.rounds):
        alone, runs = spent(lambda: apart(made(base, rows, out, options, tokens)), out)
        stacked, same = spent(lambda: together(made(base, rows, out, options, tokens), options.adapters), out)
        equal = [run.content_id for run in runs] == [run.content_id for run in same]
        pairs.append((alone, stacked))
        total = sum(run.tokens for run in runs)
        print(
            f"  {name} {tokens:5d} positions a step: {alone:7.1f} alone, {stacked:7.1f} together CPU-s, "
            f"{total / alone:6.0f} and {total / stacked:6.0f} tokens per CPU-second, "
            f"{alone / stacked:.2f}x, {'equal to the last bit' if equal else 'DIFFERENT'}",
            flush=True,
        )
    print(f"  {name} {tokens:5d}: median {statistics.median(a / b for a, b in pairs):.2f}x", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sizes", default="1m,5m")
    parser.add_argument("--adapters", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--tokens", default="2048,512")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=900)
    options = parser.parse_args()
    rows, texts = read(options.data, options.rows)
    with tempfile.TemporaryDirectory() as folder, threads(1):
        root = Path(folder)
        for name in options.sizes.split(","):
            base = SIZES[name].build(texts, root / name / "base", Context(root=root))
            for tokens in options.tokens.split(","):
                compare(name, base, rows, options, int(tokens))


if __name__ == "__main__":
    main()
