"""How well judges that are trained here tell wrong rows, beside the floors that they must beat; prompts held out.

    python -m tests.benchmarks.local_judge --data DIR --cache DIR [--sets halueval truthfulqa] [--seed 1] [--epochs 2]

Every row is judged by models that saw no row of its prompt. Intervals are 95 % by drawing prompts again; the last
column is the paired difference in AUROC to TF-IDF with logistic regression. CPU-seconds count what is not in the cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.calibrate import auroc, average_precision, bootstrap_ci, brier, ece
from curate.classifier import Classifier, taught
from curate.local import Local
from curate.sample import samples_frame
from manifests.component import Context
from tests.curate.judged import sample

SETS = {
    "halueval": ("judge_halueval_general.parquet", "query", "response", pl.col("hallucination")),
    "truthfulqa": ("judge_truthfulqa.parquet", "question", "answer", ~pl.col("true")),
}
Judged = NDArray[np.float64]


def samples_of(data: Path, name: str) -> pl.DataFrame:
    """Return the set as samples with `wrong` in their meta; equal rows are kept apart."""
    file, prompt, response, wrong = SETS[name]
    frame = pl.read_parquet(data / file).select(
        pl.col(prompt).alias("p"), pl.col(response).alias("r"), wrong.alias("w")
    )
    return samples_frame(sample(p, r, i, wrong=w) for i, (p, r, w) in enumerate(frame.iter_rows()))


def floors(rows: pl.DataFrame, wrong: NDArray[np.bool_], fold: NDArray[np.int64]) -> dict[str, Callable[[], Judged]]:
    """Return the baselines by name: each gives P(wrong) per row out of fold."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def by_fold(texts: list[str] | NDArray[np.float64], make: Callable[[], object]) -> Judged:
        found = np.zeros(len(wrong))
        for k in np.unique(fold):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            pick = (lambda at: [texts[i] for i in at]) if isinstance(texts, list) else (lambda at: texts[at])
            found[test] = make().fit(pick(train), wrong[train]).predict_proba(pick(test))[:, 1]
        return found

    def words() -> object:
        return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LogisticRegression())

    length = np.log1p(rows["response"].str.len_chars().to_numpy().astype(float))[:, None]
    whole = [f"{p}\n{r}" for p, r in zip(rows["prompt"], rows["response"], strict=True)]
    return {
        "majority": lambda: np.full(len(wrong), wrong.mean()),
        "length only": lambda: by_fold(length, LogisticRegression),
        "query only": lambda: by_fold(rows["prompt"].to_list(), words),
        "tf-idf + LR": lambda: by_fold(whole, words),
    }


def gain(wrong: NDArray[np.bool_], p: Judged, floor: Judged, group: NDArray[np.int64], seed: int) -> str:
    """Return the difference in AUROC to the floor with its paired interval."""
    chance = np.random.default_rng(seed)
    _, place = np.unique(group, return_inverse=True)
    order = np.argsort(place, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(place[order])) + 1)
    found = []
    for _ in range(500):
        rows = np.concatenate([parts[i] for i in chance.integers(len(parts), size=len(parts))])
        found.append(auroc(wrong[rows], p[rows]) - auroc(wrong[rows], floor[rows]))
    low, high = np.quantile(found, (0.025, 0.975))
    return f"{auroc(wrong, p) - auroc(wrong, floor):+.3f} [{low:+.3f}, {high:+.3f}]"


def report(name: str, asked: argparse.Namespace) -> None:
    """Print the table of a set."""
    samples = samples_of(asked.data, name)
    rows, labels = taught(samples, {}, "wrong", asked.folds, asked.seed)
    wrong, group = labels.true, labels.group
    context = Context(asked.cache)

    def scorer(made: Classifier | Local) -> Callable[[], Judged]:
        def judged() -> Judged:
            return made.score(samples, context).scores.sort("sample_id")["value"].to_numpy()

        return judged

    judges = floors(rows, wrong, labels.fold)
    judges["classifier"] = scorer(Classifier(label="wrong", seed=asked.seed, better="low"))
    judges["local"] = scorer(Local(label="wrong", seed=asked.seed, folds=asked.folds, epochs=asked.epochs))
    prompts = len(np.unique(group))
    print(f"\n{name}: {len(wrong)} rows, {prompts} prompts, {wrong.mean():.1%} wrong, seed {asked.seed}")
    floor: Judged | None = None
    told: dict[str, Judged] = {}
    for judge, give in judges.items():
        begun = time.process_time()
        told[judge] = p = give()
        spent = time.process_time() - begun
        floor = p if judge == "tf-idf + LR" else floor
        low, high = bootstrap_ci(auroc, wrong, p, group, 0, 500) or (np.nan, np.nan)
        beside = "" if floor is None else gain(wrong, p, floor, group, 0)
        print(
            f"{judge:12} AUROC {auroc(wrong, p):.3f} [{low:.3f}, {high:.3f}]  AP {average_precision(wrong, p):.3f}  "
            f"Brier {brier(wrong, p):.3f}  ECE {ece(wrong, p):.3f}  CPU {spent:5.0f} s  {beside}",
            flush=True,
        )


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=sorted(SETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    asked = parser.parse_args()
    for name in asked.sets:
        report(name, asked)


if __name__ == "__main__":
    main()
