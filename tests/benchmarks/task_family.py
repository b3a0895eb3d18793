"""Adapters made from instructions that were never seen, on a family of tasks whose parts are known: every control.

    python -m tests.benchmarks.task_family [--seeds 0,1,2] [--steps 800] [--arms controls;fusion] [--out DIR]

72 tasks: of six letters take that of a field (6), in a case (2), and put a sign behind it (6), as `3 upper !`. Twelve
combinations are held out; each field, case, sign and each pair of them is seen. Per seed: a base of 0.1M parameters
that has learnt the 60 seen tasks with the instruction in the prompt; then every arm on the same rows. The score is
exact match on 240 rows of the held-out tasks; chance is 1 in 72. The interval is Student's over the seeds, 95 %. Runs
that `--out` holds are used again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests.component import Context
from trainers.evaluate import Model, load_tokenizer
from trainers.full import Full
from trainers.hypernet.cost import share
from trainers.hypernet.hypernet import Hypernet
from trainers.hypernet.instruction import prefix_ids
from trainers.render import Renderer
from trainers.scratch import Scratch
from trainers.student import critical
from trainers.trainer import HELD_OUT, Row

FIELDS = ("abcd", "efgh", "ijkl", "mnop", "qrst", "uvwx")
CASES = ("lower", "upper")
SIGNS = "!?*+-="
Combination = tuple[int, int, int]
ALL: tuple[Combination, ...] = tuple((f, c, s) for f in range(6) for c in range(2) for s in range(6))
UNSEEN = tuple(one for one in ALL if (one[0] + 3 * one[1] + one[2]) % 6 == 0)
SEEN = tuple(one for one in ALL if one not in UNSEEN)

CONTROLS: dict[str, dict[str, Any]] = {
    "generated": {},
    "no adapter": {"method": "none"},
    "instruction in prompt, prefix kept": {"method": "prompt"},
    "multi-task LoRA, instruction in prompt": {"method": "multi-task"},
    "nearest task's LoRA": {"method": "nearest"},
    "mean LoRA": {"method": "mean"},
    "own LoRA (ceiling)": {"method": "own", "unseen": "unseen"},
    "generated, shuffled instructions": {"instructions": "shuffled"},
    "generated, random instructions": {"instructions": "random"},
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "fusion": {"fusion": True},
    "ce alone": {"kl": 0.0, "match": 0.0},
    "no ce": {"ce": 0.0},
    "no kl": {"kl": 0.0},
    "no match": {"match": 0.0},
    "match alone": {"ce": 0.0, "kl": 0.0},
    "scaled form": {"form": "scaled", "rank": 8},
    "rank 1": {"rank": 1},
    "rank 8": {"rank": 8},
    "15 tasks": {"meta_tasks": 15},
    "30 tasks": {"meta_tasks": 30},
}


def instruction(one: Combination) -> str:
    return f"{one[0] + 1} {CASES[one[1]]} {SIGNS[one[2]]}"


def answer(one: Combination, word: str) -> str:
    letter = word[one[0]]
    return (letter.upper() if one[1] else letter) + SIGNS[one[2]]


def rows(
    tasks: Sequence[Combination], count: int, seed: int, shown: float = 1.0, role: str = "specialist"
) -> list[Row]:
    """Return `count` rows, the tasks by turns; a share `shown` of them has its instruction."""
    drawn, found = random.Random(seed), []
    for n in range(count):
        one = tasks[n % len(tasks)]
        word = "".join(drawn.choice(field) for field in FIELDS)
        turns = (("user", word), ("assistant", answer(one, word)))
        system = (("system", instruction(one)),) if drawn.random() < shown else ()
        found.append(Row(f"{seed}-{n:06d}", (*system, *turns), 1.0, role))
    return found


def base_of(out: Path, seed: int, steps: int = 800) -> Path:
    """Return a base that knows the seen tasks by their instructions, and what answers look like without them."""
    context = Context(root=out)
    texts = ["\n".join(text for _, text in row.messages[1:]) for row in rows(SEEN, 200, 1)]
    scratch = Scratch(layers=2, width=64, heads=4, vocab=261, context=64, steps=5, batch_tokens=512, seed=seed)
    empty = scratch.build(texts, out / "scratch", context)
    full = Full(base=str(empty), steps=steps, lr=3e-3, batch_tokens=1024, max_tokens=64)
    return full.fit(rows(SEEN, 20_000, 2, 0.7), empty, seed, out / "base", context).path


def hypernet(base: Path, steps: int, **changes: Any) -> Hypernet:
    settings: dict[str, Any] = {"steps": steps, "max_tokens": 32, "instruction_tokens": 32, "teacher_tokens": 256}
    return Hypernet(base=str(base), **{**settings, **changes})


def matched(model: Any, tasks: Sequence[Combination], count: int = 240) -> float:
    """Return the share of `count` new rows whose answer is right to the character."""
    asked = rows(tasks, count, 99)
    found = model.generate([row.messages[:-1] for row in asked], 4)
    return sum(got == row.messages[-1][1] for got, row in zip(found, asked, strict=True)) / count


def material() -> list[Row]:
    """Return 64 rows of each seen task, and of each unseen one for the ceiling alone."""
    return rows(SEEN, 60 * 64, 5) + rows(UNSEEN, 12 * 64, 6, role=HELD_OUT)


def one_seed(out: Path, seed: int, steps: int, arms: dict[str, dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return (exact match on unseen tasks, CPU-seconds) of every arm."""
    base, found = base_of(out, seed), {}
    for name, changes in arms.items():
        started = time.process_time()
        made = hypernet(base, steps, **changes)
        run = made.fit(material(), base, seed, out / name.replace(" ", "-"), Context(root=out))
        model = Model.load(run.path)
        found[name] = (matched(model, UNSEEN), time.process_time() - started)
        print(f"  seed {seed}: {name}: {found[name][0]:.3f}, {found[name][1]:.0f} CPU-s", flush=True)
    return found


def interval(values: Sequence[float]) -> str:
    """Return the mean and its 95 % interval (Student's t over the seeds)."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    half = critical(0.05, [(1.0, len(values) - 1)]) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.3f} [{max(0, mean - half):.3f}, {min(1, mean + half):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--arms", help="names with ; between; `controls` and `ablations` stand for theirs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    every = {**CONTROLS, **ABLATIONS}
    named = [name.strip() for name in (options.arms or "controls;ablations").split(";")]
    groups = {"controls": CONTROLS, "ablations": ABLATIONS}
    arms = {name: every[name] for part in named for name in groups.get(part, {part: None})}
    seeds = [int(seed) for seed in options.seeds.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        found = [one_seed(out / str(seed), seed, options.steps, arms) for seed in seeds]
        renderer = Renderer(load_tokenizer(out / str(seeds[0]) / "base"))
    print(f"\nexact match on {len(UNSEEN)} unseen tasks, {len(seeds)} seeds, {options.steps} steps; chance 0.014")
    for name in arms:
        values = [one[name][0] for one in found]
        print(f"  {name:40s} {interval(values):24s} {', '.join(f'{value:.3f}' for value in values)}")
    text, word = instruction(UNSEEN[0]), rows(UNSEEN, 1, 99)[0].messages[1:-1]
    long, short = len(prefix_ids(renderer, text)), len(renderer.prompt(word))
    for count in (1, 10, 100):
        print(f"  operations, instruction once : in every prompt, {count} inputs: {share(long, short, count):.2f}")


if __name__ == "__main__":
    main()
