"""Whether a blend's effect shows on a CPU: held-out NLL per character of three blends, three seeds each.

    python -m tests.benchmarks.effect [--seeds 3] [--steps 900]

The task is to reverse a word and put it into capitals; there are 100 specialist rows of it. Half of a blend's rows are
useful (reverse a word, put it into capitals, copy it), or useless (who lives where, at random), or there are none
beside the specialist rows. A model of 0.1M parameters that reads bytes learns each blend from nothing, on equal tokens;
what is compared are the same held-out words. A seed is another order and another draw of the generalist rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from manifests.component import Context
from manifests.names import digest
from trainers.compare import comparisons, leaderboard
from trainers.evaluate import Model
from trainers.full import Full
from trainers.loop import threads
from trainers.scratch import Scratch
from trainers.tasks.loglik import Loglik
from trainers.trainer import Example, Row

BASE = Scratch(layers=2, width=64, heads=2, vocab=261, context=64, steps=1, batch_tokens=64)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BLENDS = ("specialist only", "half useful", "half useless")
SPECIALIST, REPEATS, HELD_OUT = 100, 20, 200


def word(rng: np.random.Generator, low: int = 4, high: int = 8) -> str:
    """Draw a word."""
    return "".join(rng.choice(list(LETTERS), size=rng.integers(low, high + 1)))


def asked(rng: np.random.Generator) -> tuple[str, str]:
    """Draw a question of the task and its answer."""
    drawn = word(rng)
    return f"both {drawn}", drawn[::-1].upper()


def useful(rng: np.random.Generator) -> tuple[str, str]:
    """Draw a question about one of the skills that the task is made of."""
    drawn = word(rng)
    kinds = (("back", drawn[::-1]), ("caps", drawn.upper()), ("copy", drawn))
    verb, answer = kinds[rng.integers(len(kinds))]
    return f"{verb} {drawn}", answer


def useless(rng: np.random.Generator) -> tuple[str, str]:
    """Draw a question whose answer nobody can know."""
    return f"home {word(rng)}", word(rng)


def row(turns: tuple[str, str], role: str) -> Row:
    """Return a training row of a question and its answer."""
    question, answer = turns
    return Row(digest([question, answer]), (("user", question), ("assistant", answer)), role=role)


def blend(name: str, seed: int) -> list[Row]:
    """Return the rows of a blend: the same specialist rows in each, as many generalist rows as there are of them."""
    rng = np.random.default_rng(0)
    special = [row(asked(rng), "specialist") for _ in range(SPECIALIST)] * REPEATS
    rng = np.random.default_rng([1, seed])
    drawn = {"half useful": useful, "half useless": useless}.get(name)
    return special if drawn is None else special + [row(drawn(rng), "generalist") for _ in special]


def held_out() -> list[Example]:
    """Return the held-out questions, none of them a specialist row."""
    known = {r.messages[0][1] for r in blend(BLENDS[0], 0)}
    rng = np.random.default_rng(2)
    found = [(q, a) for q, a in (asked(rng) for _ in range(2 * HELD_OUT)) if q not in known][:HELD_OUT]
    return [Example(digest(q), (("user", q),), (a,)) for q, a in found]


def main() -> None:
    """Print a line for each run, then the blends with their intervals and what is between them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=900)
    options = parser.parse_args()
    task, examples, results = Loglik(name="both"), held_out(), []
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, threads(1):
        root = Path(folder)
        context = Context(root=root)
        texts = [" ".join(turn for _, turn in r.messages) for r in blend(BLENDS[1], 0)[:200]]
        base = BASE.build(texts, root / "base", context)
        trainer = Full(base=str(base), tokens=options.steps * 1024, batch_tokens=1024, max_tokens=64, lr=3e-3)
        for name in BLENDS:
            for seed in range(options.seeds):
                started = time.process_time()
                fitted = trainer.fit(blend(name, seed), base, seed, root / f"{name}-{seed}", context)
                model = Model.load(fitted.path)
                found = task.measure(model, examples, context)
                model.close()
                results += [(name, seed, "both", "nll", one.example_id, -one.value) for one in found]
                mean = sum(-one.value for one in found) / len(found)
                seconds = time.process_time() - started
                print(f"{name:16} seed {seed}: {mean:6.3f} NLL per character, {seconds:5.1f} CPU-s", flush=True)
    columns = ["blend", "seed", "task", "metric", "example_id", "value"]
    frame = pl.DataFrame(results, schema=columns, orient="row")
    print(f"\n{'blend':16} {'mean':>7} {'95 % interval':>18}")
    for one in leaderboard(frame).iter_rows(named=True):
        print(f"{one['blend']:16} {one['mean']:7.3f} {one['ci_low']:8.3f} .. {one['ci_high']:6.3f}")
    print("\ndifference (less is better)")
    for one in comparisons(frame).iter_rows(named=True):
        pair = f"{one['blend_a']} - {one['blend_b']}"
        print(
            f"{pair:32} {one['difference']:7.3f} {one['ci_low']:8.3f} .. {one['ci_high']:6.3f}, p {one['p_value']:.4f}"
        )
    print(f"\n{time.process_time() - began:.0f} CPU-seconds in all")


if __name__ == "__main__":
    main()
