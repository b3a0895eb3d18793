"""How many claims are false, by a recorded judge's count and corrected; and how often the intervals hold in simulation.

    python -m tests.benchmarks.prevalence --data DIR [--labels 400] [--draws 500]

DIR holds `judge_halueval2_claims.parquet` (HaluEval-2.0: claims with a human verdict and GPT-4's recorded one). This is
a recorded judge, replayed. The human labels look anchored on GPT-4's, so that its error rates are a lower bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from curate.guarantee import certify
from curate.prevalence import Estimate, Labelled, naive, prediction_powered, rogan_gladen


def claims(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, per claim with both verdicts, whether a human says false, GPT-4's word, and the number of its answer."""
    rows = pl.read_parquet(data / "judge_halueval2_claims.parquet")
    found = [
        (human == "false", said.split(",")[0].strip().lower(), i)
        for i, row in enumerate(rows.iter_rows(named=True))
        for human, said in zip(row["human"], row["gpt4"], strict=False)
        if human in ("true", "false") and said.split(",")[0].strip().lower() in ("true", "false", "unknown")
    ]
    return tuple(np.array(column) for column in zip(*found, strict=True))


def shown(estimate: Estimate) -> str:
    """Return an estimate as text."""
    if estimate.value is None:
        return f"refused: {estimate.note}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]  {estimate.note}"


def recorded(data: Path, labels: int, draws: int) -> None:
    """Print the table of the recorded judge under both readings of `unknown`."""
    wrong, said, answer = claims(data)
    print(f"{len(wrong):,} claims of {len(np.unique(answer)):,} answers; truly false: {wrong.mean():.3f}")
    for mapping, p in {
        "unknown is not false": (said == "false").astype(float),
        "unknown is false": (said != "true").astype(float),
    }.items():
        random = np.random.default_rng(0)
        held: dict[str, list[bool]] = {"rogan-gladen": [], "prediction-powered": []}
        values: dict[str, list[float]] = {name: [] for name in held}
        first: dict[str, Estimate] = {}
        for _ in range(draws):
            rows = random.choice(len(wrong), labels, replace=False)
            kept = Labelled(wrong[rows], p[rows], np.ones(labels), np.arange(labels))
            for name, found in (
                ("rogan-gladen", rogan_gladen(p >= 0.5, kept, 0.5)),
                ("prediction-powered", prediction_powered(p, kept)),
            ):
                first.setdefault(name, found)
                values[name].append(found.value)
                held[name].append(found.low <= wrong.mean() <= found.high)
        print(f"\n{mapping}:\n  naive               {shown(naive(p >= 0.5))}")
        for name, found in first.items():
            print(f"  {name:19s} {shown(found)}  ({labels} labels, seed 0)")
            print(f"  {'':19s} over {draws} draws: mean {np.mean(values[name]):.3f}, holds {np.mean(held[name]):.3f}")


def simulated(trials: int) -> None:
    """Print how often nominal 95 % intervals hold the truth, and promises are broken."""
    random = np.random.default_rng(1)
    methods: dict[str, Callable[[np.ndarray, Labelled], Estimate]] = {
        "naive": lambda p, _: naive(p >= 0.5),
        "rogan-gladen": lambda p, kept: rogan_gladen(p >= 0.5, kept, 0.5),
        "prediction-powered": prediction_powered,
    }
    print(
        f"\nsimulated, {trials} pools of 2,000 rows, sensitivity .8, specificity .9: share of intervals with the truth"
    )
    for share, labels in ((0.1, 200), (0.1, 400), (0.3, 100), (0.3, 400), (0.5, 200)):
        held = dict.fromkeys(methods, 0)
        for _ in range(trials):
            wrong = random.random(2000) < share
            flagged = np.where(wrong, random.random(2000) < 0.8, random.random(2000) < 0.1)
            p = np.where(flagged, 0.5 + 0.5 * random.random(2000), 0.5 * random.random(2000))
            rows = random.choice(2000, labels, replace=False)
            kept = Labelled(wrong[rows], p[rows], np.ones(labels), np.arange(labels))
            for name, method in methods.items():
                found = method(p, kept)
                held[name] += found.value is not None and found.low <= share <= found.high
        told = ", ".join(f"{name} {n / trials:.3f}" for name, n in held.items())
        print(f"  truth {share:.1f}, {labels} labels: {told}")


def promises(trials: int) -> None:
    """Print how often a certified threshold breaks its promise, beside the choice that only looks at the labels."""
    random = np.random.default_rng(2)
    cuts = np.linspace(0.0, 1.0, 101)
    truth = np.append(0.0, 0.6 * cuts[1:] ** 2 / 3.0)
    print(
        f"\nat most alpha of kept rows wrong, {trials} label sets: certified, broken (allowed delta), broken untested"
    )
    for labels, alpha, delta in ((150, 0.1, 0.1), (400, 0.1, 0.05), (400, 0.05, 0.1), (2000, 0.05, 0.05)):
        certified = broken = careless = 0
        for _ in range(trials):
            p = random.random(labels)
            wrong = random.random(labels) < 0.6 * p**2
            below = p[None, :] < cuts[:, None]
            members, errors = below.sum(axis=1), (below & wrong).sum(axis=1)
            place = certify(members, errors, alpha, delta).place
            certified += place is not None
            broken += place is not None and truth[place] > alpha
            careless += truth[np.flatnonzero(errors <= alpha * members)[-1]] > alpha
        high = stats.binomtest(broken, trials).proportion_ci(method="exact").high
        print(
            f"  {labels} labels, alpha {alpha}: {certified / trials:.3f},"
            f" {broken / trials:.3f} (delta {delta}, upper end {high:.3f}), {careless / trials:.3f}"
        )


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument("--draws", type=int, default=500)
    asked = parser.parse_args()
    recorded(asked.data, asked.labels, asked.draws)
    simulated(asked.draws)
    promises(asked.draws)


if __name__ == "__main__":
    main()
