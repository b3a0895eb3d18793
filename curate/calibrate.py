"""A judge on trial: its numbers against labelled rows, each statistic with an interval, beside simpler predictors.

A label is true where the row is wrong; `p_error` is 0..1, more is worse. Statistics that a set cannot define (one class
only, no flagged row) are None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.bootstrap import RESAMPLES, bootstrap_ci, draws, grouped, percentile
from curate.measure import (
    NAMES,
    RECALLS,
    Floats,
    Ranked,
    at_recall,
    auroc,
    average_precision,
    balanced_accuracy,
    brier,
    ece,
    precision_recall_f1,
)
from manifests.errors import UserError

__all__ = [
    "RESAMPLES",
    "Rival",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "bootstrap_ci",
    "brier",
    "ece",
    "evaluate",
    "labelled",
    "precision_recall_f1",
    "rivals",
]
COMPARED: Final = ("auroc", "average_precision")
"""Statistics whose difference from the best rival is told; they need no threshold."""

Measured = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Rival:
    """A simpler predictor of the same rows: its number per row, and the threshold that it flags from."""

    name: str
    p_error: Floats
    threshold: float


def evaluate(
    labels: Sequence[bool] | NDArray[np.bool_],
    p_error: Sequence[float | None] | NDArray[np.float64],
    status: Sequence[str],
    groups: Sequence[str] | None = None,
    threshold: float = 0.5,
    seed: int = 0,
    n: int = RESAMPLES,
) -> dict[str, Any]:
    """Return what `judge eval` shows: counts, and for each statistic its value and 95 % interval.

    `n` rows, `n_scored` with status ok, `base_rate` of wrong rows among all, `threshold`, `seed`, and `metrics`: name
    to {value, low, high} for the statistics of `measure.NAMES` (over the scored rows) and abstain_rate, fail_rate (over
    all rows); None where undefined. Those at a recall also have `threshold`, the one they are reached at. ECE is biased
    upwards, and once more in the resamples: its interval may lie above its value. Raise UserError for no rows.
    """
    wrong, states, scored = _checked(labels, p_error, status)
    p = np.asarray([p_error[i] for i in np.flatnonzero(scored)], dtype=np.float64)
    names = None if groups is None else np.asarray(groups)
    metrics: dict[str, Measured] = _resampled(
        wrong[scored], [(p, threshold)], None if names is None else names[scored], seed, n
    )[0]
    for recall in RECALLS:
        at = at_recall(wrong[scored], p, recall)[1]
        metrics[f"precision_at_recall_{round(100 * recall)}"]["threshold"] = at if math.isfinite(at) else None
    for name, state in (("abstain_rate", "abstained"), ("fail_rate", "failed")):
        share = (states == state).astype(np.float64)
        low, high = bootstrap_ci(lambda _, x: float(x.mean()), wrong, share, names, seed, n) or (None, None)
        metrics[name] = {"value": float(share.mean()), "low": low, "high": high}
    return {
        "n": len(wrong),
        "n_scored": int(scored.sum()),
        "base_rate": float(wrong.mean()),
        "threshold": threshold,
        "seed": seed,
        "metrics": metrics,
    }


def rivals(
    labels: NDArray[np.bool_],
    p_error: Floats,
    others: Sequence[Rival],
    groups: Sequence[str] | None = None,
    seed: int = 0,
    n: int = RESAMPLES,
) -> dict[str, Any]:
    """Return how simpler predictors do on the same rows, and how far the judge is ahead of the best of them.

    `baselines`: name to the statistics of `measure.NAMES`; `difference`: for each of `COMPARED`, the judge's value
    minus that of the rival with the highest one, with its 95 % interval over the same resamples, and `against`, its
    name. Choosing the best rival on these rows is to the judge's disadvantage.
    """
    columns = [(p_error, 0.5), *((rival.p_error, rival.threshold) for rival in others)]
    samples = _samples(labels, columns, None if groups is None else np.asarray(groups), seed, n)
    found: dict[str, Any] = {"baselines": {}, "difference": {}}
    for i, rival in enumerate(others, 1):
        found["baselines"][rival.name] = _named(samples[i])
    for name in COMPARED:
        place = NAMES.index(name)
        best = max(range(1, len(columns)), key=lambda i: (np.nan_to_num(samples[i, 0, place], nan=-1.0), -i), default=0)
        if best:
            apart = _named((samples[0] - samples[best])[:, [place]], (name,))[name]
            found["difference"][name] = {**apart, "against": others[best - 1].name}
    return found


def labelled(samples: pl.DataFrame, meta_key: str) -> pl.Series:
    """Return the Boolean column of `meta_key` in the samples' meta JSON, null where a row lacks it.

    `meta_key` may be written with or without the prefix `meta.`; true means that the row is wrong. Raise UserError when
    a value is not true or false, and when no row has the key.
    """
    key = meta_key.removeprefix("meta.")
    found: list[bool | None] = []
    keys: set[str] = set()
    for sample_id, text in zip(samples["sample_id"], samples["meta"], strict=True):
        meta: dict[str, Any] = json.loads(text or "{}")
        keys.update(meta)
        value = meta.get(key)
        if value is not None and not isinstance(value, bool):
            raise UserError(f"meta.{key} must be true or false", where=f"sample {sample_id}", value=value)
        found.append(value)
    if all(value is None for value in found):
        raise UserError("no sample has this label in its meta", value=key, options=sorted(keys))
    return pl.Series(key, found, dtype=pl.Boolean)


def _checked(
    labels: Sequence[bool] | NDArray[np.bool_], p_error: Sequence[float | None] | Floats, status: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.str_], NDArray[np.bool_]]:
    wrong = np.asarray(labels, dtype=np.bool_)
    states = np.asarray(status, dtype=np.str_)
    if not len(wrong) or not len(wrong) == len(states) == len(p_error):
        sizes = (len(wrong), len(p_error), len(states))
        raise UserError("labels, p_error and status must have the same length, at least 1", value=sizes)
    return wrong, states, states == "ok"


def _resampled(
    wrong: NDArray[np.bool_],
    columns: Sequence[tuple[Floats, float]],
    groups: NDArray[Any] | None,
    seed: int,
    n: int,
) -> list[dict[str, Measured]]:
    """Return the statistics of each (values, threshold) with their intervals, None where undefined."""
    return [_named(part) for part in _samples(wrong, columns, groups, seed, n)]


def _samples(
    wrong: NDArray[np.bool_],
    columns: Sequence[tuple[Floats, float]],
    groups: NDArray[Any] | None,
    seed: int,
    n: int,
) -> NDArray[np.float64]:
    """Return the statistics of each (values, threshold) over all rows, then over `n` resamples: (columns, 1 + n, m)."""
    found = np.full((len(columns), 1 + n, len(NAMES)), np.nan)
    if not len(wrong):
        return found
    ranked = [(Ranked.of(wrong, p), threshold) for p, threshold in columns]
    index = grouped(wrong, columns[0][0], groups)
    for i, (rows, threshold) in enumerate(ranked):
        found[i, 0] = rows.measured(np.ones(len(wrong)), threshold)
    for j, times in enumerate(draws(index, seed, n), 1):
        weights = times.astype(np.float64)
        for i, (rows, threshold) in enumerate(ranked):
            found[i, j] = rows.measured(weights, threshold)
    return found


def _named(samples: NDArray[np.float64], names: Sequence[str] = NAMES) -> dict[str, Measured]:
    """Return statistics by name: the first row is the value, the rest are its resamples."""
    found: dict[str, Measured] = {}
    for name, column in zip(names, samples.T, strict=True):
        value = float(column[0])
        low, high = (percentile(column[1:]) if math.isfinite(value) else None) or (None, None)
        found[name] = {"value": value if math.isfinite(value) else None, "low": low, "high": high}
    return found
