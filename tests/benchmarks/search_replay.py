"""What each search saves and gives away, replayed on full grids: simulated curves, and blends trained on real rows.

    python -m tests.benchmarks.search_replay [--repeats 200] [--data DIR --out DIR] [--draws 200]

Simulated: 16 blends (three sources in five amounts, and none) whose worth at the end follows a law of effective data;
richer blends learn more slowly, a little or much, so that rankings cross; 3 seeds x 100 examples; the truth is known.
Real: `--data` is a folder with `generalist_pool.parquet` (columns source, instruction, input, output). 8 blends of 100
rows of code with other code, Alpaca rows, or Alpaca rows whose answers were mixed up, 2 seeds, 90 steps of a tiny base
made from scratch, measured every 10 steps by log-likelihood per character of held-out rows; kept in `--out`, about
three CPU-minutes the first time. There the grid is resampled (seeds and examples with replacement), a search is
replayed on the sample and its choice is judged on the whole grid. Saved: share of the grid's training not done. Regret:
what the best blend is worth beyond the chosen one, in the metric's unit, as a share of the best one's worth, and of its
distance to the mean blend.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from trainers.paired import Array
from trainers.replay import Replay, replay
from trainers.search import Arms, Grid, Halving, Racing, Random, Search
from trainers.surrogate import OWN, ROWS, Surrogate

SOURCES, AMOUNTS, SPECIALIST = ("near", "far", "junk"), (50, 100, 200, 400, 800), 100
DECIDES = {"task": None, "metric": "loglik"}
Case = tuple[Arms, Mapping[int, Mapping[str, Array]], Mapping[str, float]]


def searches(amount: int, arms: int, seed: int) -> dict[str, Search]:
    ninth, quarter = amount // 9, max(2, arms // 4)
    return {
        "halving from 1/9, eta 3": Halving(rung=ninth, eta=3, **DECIDES),
        "racing, every 1/9": Racing(rung=ninth, **DECIDES),
        "racing, tolerance 0.02": Racing(rung=ninth, tolerance=0.02, **DECIDES),
        "surrogate, a quarter": Surrogate(start=max(2, quarter - 1), batch=1, runs=quarter, seed=seed, **DECIDES),
        "random, a quarter": Random(arms=quarter, seed=seed, **DECIDES),
        "grid": Grid(**DECIDES),
    }


def features(counts: Mapping[str, Mapping[str, int]]) -> tuple[Array, tuple[str, ...]]:
    """Return rows, logarithms and shares of each source, and their labels."""
    sources = sorted({source for one in counts.values() for source in one})
    rows = np.array([[one.get(source, 0) for source in sources] for one in counts.values()], dtype=float)
    wide = np.hstack([rows, np.log1p(rows), rows / rows.sum(axis=1, keepdims=True)])
    return wide, tuple(f"{kind}{source}" for kind in (ROWS, "log rows:", "share:") for source in sources)


def simulated(repeats: int, slower: float) -> Iterator[Case]:
    counts = {"none": {"specialist": SPECIALIST}} | {
        f"{source}-{n}": {"specialist": SPECIALIST, source: n} for source in SOURCES for n in AMOUNTS
    }
    x, labels = features(counts)
    assert OWN in labels
    amount = 900
    arms = Arms(tuple(counts), amount, x, labels)
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        worth = {"near": rng.uniform(0.05, 0.4), "far": rng.uniform(0.0, 0.1), "junk": rng.uniform(-0.06, 0.0)}
        decay, seeds, examples = rng.uniform(0.2, 0.5), 3, 100
        truth, speed = {}, {}
        for name, held in counts.items():
            effective = max(1.0, SPECIALIST + sum(worth.get(s, 0) * n for s, n in held.items()))
            truth[name] = -(1.0 + 6.0 * effective**-decay) + 0.01 * rng.normal()
            speed[name] = 1.5 + slower * np.log1p(sum(held.values()) - SPECIALIST) + 0.2 * slower * rng.normal()
        base = 0.5 * rng.normal(size=examples)
        of_seed = 0.02 * rng.normal(size=(len(counts), seeds, 1))
        of_example = 0.15 * rng.normal(size=(len(counts), 1, examples))
        grid = {}
        for at in range(100, amount + 1, 100):
            late = {name: 6.0 * speed[name] * (at**-0.5 - amount**-0.5) for name in counts}
            grid[at] = {
                name: truth[name]
                - late[name]
                + base
                + of_seed[i]
                + of_example[i]
                + 0.1 * np.random.default_rng([repeat, at, i]).normal(size=(seeds, examples))
                for i, name in enumerate(counts)
            }
        yield arms, grid, truth


def real(data: Path, out: Path) -> tuple[Arms, dict[int, dict[str, Array]]]:
    """Return the arms and the grid of the blends trained on real rows, made first where they are not in `out`."""
    import polars as pl

    from manifests.component import Context
    from trainers.evaluate import Model
    from trainers.full import Full
    from trainers.pause import Pausing
    from trainers.scratch import Scratch
    from trainers.tasks.loglik import Loglik
    from trainers.trainer import Example, Row

    pool = pl.read_parquet(data / "generalist_pool.parquet").filter(
        pl.col("output").str.len_bytes().is_between(10, 220) & (pl.col("instruction").str.len_bytes() < 160)
    )

    def of(source: str) -> list[tuple[str, str, str]]:
        found = pool.filter(pl.col("source") == source).sort("row_id").sample(fraction=1.0, shuffle=True, seed=1)
        return [
            (i, f"{a}\n{b}".strip(), o)
            for i, a, b, o in found.select("row_id", "instruction", "input", "output").rows()
        ]

    code, alpaca = of("codealpaca_2k"), of("alpaca")
    mixed = [(f"mixed-{i}", p, alpaca[n + 1001][2]) for n, (i, p, _) in enumerate(alpaca[1000:2000])]
    sources = {
        "alpaca": alpaca,
        "code": code[160:],
        "dolly": of("dolly_3k"),
        "gpteacher": of("gpteacher"),
        "mixed": mixed,
    }
    blends = [*((name, n) for name in ("alpaca", "code") for n in (50, 200, 800)), ("mixed", 800)]
    counts = {"none": {"specialist": 100}} | {f"{name}-{n}": {"specialist": 100, name: n} for name, n in blends}
    x, labels = features(counts)
    arms = Arms(tuple(counts), 90, x, labels)
    context = Context(out)
    base = Scratch(layers=2, width=48, heads=2, vocab=600, context=128, steps=60, batch_tokens=1024)
    folder = base.build([f"{p}\n{o}" for rows in sources.values() for _, p, o in rows[:200]], out / "base", context)
    task = Loglik(name="held-out", source="held-out")
    exam = [Example(i, (("user", p),), (o,)) for i, p, o in code[100:160]]
    trainer = Full(base="given", steps=90, lr=3e-3, batch_tokens=512, max_tokens=128)
    grid: dict[int, dict[str, Array]] = {at: {} for at in range(10, 91, 10)}
    for name, held in counts.items():
        taken = [("specialist", row) for row in code[:100]] + [
            ("generalist", row) for s, n in held.items() if s != "specialist" for row in sources[s][:n]
        ]
        rows = [Row(i, (("user", p), ("assistant", o)), 1.0, role) for role, (i, p, o) in taken]
        values: dict[int, list[list[float]]] = {at: [] for at in grid}
        for seed in (0, 1):
            after = None
            for at in grid:
                run = out / f"{name}@{seed}" / str(at)
                kept = run.with_suffix(".json")
                if not kept.exists():
                    trainer.fit(rows, folder, seed, run, Pausing(out, part=at, whole=90, after=after))
                    model = Model.load(run)
                    found = {m.example_id: m.value for m in task.measure(model, exam, context)}
                    model.close()
                    kept.write_text(json.dumps([found[one.example_id] for one in exam]))
                after = run
                values[at].append([np.nan if v is None else v for v in json.loads(kept.read_text())])
        for at, tables in grid.items():
            tables[name] = np.array(values[at], dtype=float)
    return arms, grid


def resampled(arms: Arms, grid: Mapping[int, Mapping[str, Array]], draws: int) -> Iterator[Case]:
    truth = {name: float(np.nanmean(table)) for name, table in grid[arms.amount].items()}
    seeds, examples = next(iter(grid[arms.amount].values())).shape
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        s, e = rng.integers(0, seeds, seeds), rng.integers(0, examples, examples)
        yield arms, {at: {n: t[s][:, e] for n, t in tables.items()} for at, tables in grid.items()}, truth


def table(cases: Callable[[], Iterator[Case]], title: str) -> None:
    found: dict[str, list[Replay]] = {}
    spent: dict[str, float] = {}
    for number, (arms, grid, truth) in enumerate(cases()):
        for name, search in searches(arms.amount, len(arms.names), number).items():
            began = time.process_time()
            found.setdefault(name, []).append(replay(search, arms, grid, truth=truth))
            spent[name] = spent.get(name, 0.0) + time.process_time() - began
    print(f"\n{title}, {len(found['grid'])} replays; mean with its 95 % interval")
    heads = ("saved %", "regret", "relative %", "of spread %", "best found %", "CPU ms")
    print(f"{'search':<28}" + "".join(f"{head:>20}" for head in heads))
    for name, all_of in found.items():
        figures = [
            shown([100 * one.saved for one in all_of], 1),
            shown([one.regret for one in all_of], 4),
            shown([100 * one.relative for one in all_of], 2),
            shown([100 * one.of_spread for one in all_of], 1),
            shown([100.0 * (one.regret == 0) for one in all_of], 0),
            f"{1000 * spent[name] / len(all_of):.0f}",
        ]
        print(f"{name:<28}" + "".join(f"{text:>20}" for text in figures))


def shown(values: list[float], digits: int) -> str:
    half = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return f"{np.mean(values):.{digits}f} ± {half:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    for slower, title in ((0.08, "rankings cross early"), (0.25, "rankings cross late")):
        table(lambda slower=slower: simulated(given.repeats, slower), f"Simulated curves, {title}")
    if given.data and given.out:
        began = time.process_time()
        arms, grid = real(given.data, given.out)
        print(f"\nReal rows: {time.process_time() - began:.0f} CPU-seconds for the grid (0 when it was kept)")
        ends = sorted(((float(np.nanmean(t)), n) for n, t in grid[arms.amount].items()), reverse=True)
        print("  ".join(f"{n} {v:.3f}" for v, n in ends))
        table(lambda: resampled(arms, grid, given.draws), "Real rows, resampled")


if __name__ == "__main__":
    main()
