"""CPU-seconds of K adapters trained together against K runs one after the other, paired, and whether they are equal.

    python -m tests.benchmarks.bank_speed --data DIR [--sizes 1m,5m] [--adapters 16] [--steps 4] [--tokens 2048,512]
    python -m tests.benchmarks.bank_speed --data DIR --measure 8,32 [--sizes 1m,5m] [--adapters 16] [--new 32]

DIR holds `generalist_pool.parquet` (see `train_speed`). Each run has rows of its own: a third of the pool's first rows.
Both sides run in this process, on one thread, after a run that warms it up; `--tokens` are the positions of a step.
With `--measure` the runs are measured instead, on so many prompts, stacked and one model after the other, loading
included: greedy answers of `--new` tokens at most, and likelihoods of as many reference answers.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from manifests.component import Context
from tests.benchmarks.train_speed import SIZES, read
from trainers.bank.seats import examined
from trainers.bank.together import together
from trainers.evaluate import Model
from trainers.loop import threads
from trainers.lora import Lora
from trainers.run import Job
from trainers.trainer import Fitted, Row

LONGEST: Final = 200
"""Characters of a prompt or a reference answer that is measured on, at most."""


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


def measured(name: str, base: Path, rows: list[Row], options: argparse.Namespace, count: int) -> None:
    """Show CPU-seconds and wall seconds of measuring the runs stacked and apart, and how far their values differ."""
    root = base.parent / f"measured-{count}"
    folders = [fitted.path for fitted in together(made(base, rows, root, options, 512), options.adapters)]
    asked = [row for row in rows if len(row.messages[0][1]) < LONGEST][:count]
    prompts = [row.messages[:1] for row in asked]
    pairs = [(row.messages[:1], row.messages[1][1][:LONGEST]) for row in asked]
    verbs = {
        "generate": lambda number, model: model.generate(prompts, options.new),
        "loglik": lambda number, model: model.loglik(pairs),
    }
    for verb, exam in verbs.items():
        examined(folders[:1], exam)
        ways = {"alone": one_by_one, "stacked": examined}
        for _ in range(options.rounds):
            spent, found = {}, {}
            for way, work in ways.items():
                began, cpu = time.perf_counter(), time.process_time()
                found[way] = work(folders, exam)
                spent[way] = time.process_time() - cpu, time.perf_counter() - began
            (cpu, wall), (cpu_stacked, wall_stacked) = spent["alone"], spent["stacked"]
            print(
                f"  {name} {verb:>8} {count:4d} prompts, {len(folders)} adapters: {cpu:6.1f} alone, "
                f"{cpu_stacked:6.1f} stacked CPU-s, {cpu / cpu_stacked:.2f}x; {wall:6.1f} and {wall_stacked:6.1f} s, "
                f"{wall / wall_stacked:.2f}x; {agreement(verb, found['alone'], found['stacked'])}",
                flush=True,
            )


def one_by_one(folders: list[Path], exam: Callable[[int, Any], Any]) -> list[Any]:
    found = []
    for number, folder in enumerate(folders):
        model = Model.load(folder)
        found.append(exam(number, model))
        model.close()
    return found


def agreement(verb: str, alone: list[Any], stacked: list[Any]) -> str:
    pairs = [(a, b) for one, two in zip(alone, stacked, strict=True) for a, b in zip(one, two, strict=True)]
    if verb == "generate":
        return f"{sum(a == b for a, b in pairs)} of {len(pairs)} answers equal"
    return f"totals differ by {max(abs(a.total - b.total) for a, b in pairs if a is not None):.1e} at most"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sizes", default="1m,5m")
    parser.add_argument("--adapters", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--tokens", default="2048,512")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=900)
    parser.add_argument("--measure", default="", help="prompts to measure on, as in 8,32; nothing is timed in training")
    parser.add_argument("--new", type=int, default=32)
    options = parser.parse_args()
    plain = read(options.data, "alpaca", options.rows)
    rows = [Row(f"{n:032x}", (("user", row["prompt"]), ("assistant", row["answer"]))) for n, row in enumerate(plain)]
    texts = [f"{row['prompt']}\n{row['answer']}" for row in plain]
    with tempfile.TemporaryDirectory() as folder, threads(1):
        root = Path(folder)
        for name in options.sizes.split(","):
            base = SIZES[name].build(texts, root / name / "base", Context(root=root))
            for count in filter(None, options.measure.split(",")):
                measured(name, base, rows, options, int(count))
            for tokens in options.tokens.split(",") if not options.measure else ():
                compare(name, base, rows, options, int(tokens))


if __name__ == "__main__":
    main()
