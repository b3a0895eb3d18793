"""How good a judge is, against labelled rows: ranking, threshold and calibration, each with an interval.

A label is true where the row is wrong; `p_error` is 0..1, more is worse. Statistics that a set cannot define (one class
only, no flagged row) are NaN, and None in `evaluate`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from manifests.errors import UserError
from manifests.names import seed64

BINS: Final = 10
RESAMPLES: Final = 1000
_LEAST_DEFINED: Final = 0.5
"""Share of resamples in which a statistic must be defined for an interval to be given."""

Statistic = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]


def auroc(labels: ArrayLike, p_error: ArrayLike) -> float:
    """Return the chance that a wrong row scores above a right one, 0..1, ties counting half; NaN for one class.

    Mann and Whitney's U over the number of pairs (Hanley and McNeil, Radiology 143, 1982).
    """
    wrong, p = _arrays(labels, p_error)
    positives, negatives = int(wrong.sum()), int((~wrong).sum())
    if not positives or not negatives:
        return math.nan
    _, index, counts = np.unique(p, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2.0)[index]
    return float((ranks[wrong].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def average_precision(labels: ArrayLike, p_error: ArrayLike) -> float:
    """Return the sum of precision times the gain in recall over falling thresholds, 0..1; NaN without a wrong row.

    Ties share one threshold; no interpolation (Davis and Goadrich, ICML 2006, on why not).
    """
    wrong, p = _arrays(labels, p_error)
    if not wrong.any():
        return math.nan
    order = np.argsort(-p, kind="stable")
    p, hits = p[order], np.cumsum(wrong[order])
    ends = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
    found = hits[ends]
    gains = np.diff(found, prepend=0) / hits[-1]
    return float(np.sum(gains * found / (ends + 1.0)))


def balanced_accuracy(labels: ArrayLike, p_error: ArrayLike, threshold: float = 0.5) -> float:
    """Return the mean of the shares of wrong rows flagged and right rows not flagged, 0..1; NaN for one class."""
    wrong, p = _arrays(labels, p_error)
    if wrong.all() or not wrong.any():
        return math.nan
    flagged = p >= threshold
    return float((flagged[wrong].mean() + (~flagged[~wrong]).mean()) / 2.0)


def precision_recall_f1(labels: ArrayLike, p_error: ArrayLike, threshold: float = 0.5) -> tuple[float, float, float]:
    """Return (precision, recall, F1) of flagging rows at `p_error >= threshold`, each 0..1.

    Precision is NaN when no row is flagged, recall when no row is wrong, F1 when neither is there.
    """
    wrong, p = _arrays(labels, p_error)
    flagged = p >= threshold
    hits, n_flagged, n_wrong = int((flagged & wrong).sum()), int(flagged.sum()), int(wrong.sum())
    both = n_flagged + n_wrong
    return (
        hits / n_flagged if n_flagged else math.nan,
        hits / n_wrong if n_wrong else math.nan,
        2.0 * hits / both if both else math.nan,
    )


def brier(labels: ArrayLike, p_error: ArrayLike) -> float:
    """Return the mean squared distance of `p_error` from the label, 0..1, less is better (Brier, 1950)."""
    wrong, p = _arrays(labels, p_error)
    return float(np.mean((p - wrong) ** 2)) if len(p) else math.nan


def ece(labels: ArrayLike, p_error: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error, 0..1, less is better.

    The mean over `bins` equal intervals of [0, 1], weighted by their rows, of the distance between the mean `p_error`
    and the share of wrong rows (Naeini, Cooper and Hauskrecht, AAAI 2015). An interval holds its lower end, the last
    holds both.
    """
    wrong, p = _arrays(labels, p_error)
    if not len(p):
        return math.nan
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights=p - wrong, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def bootstrap_ci(
    statistic: Statistic,
    labels: ArrayLike,
    p_error: ArrayLike,
    groups: ArrayLike | None,
    seed: int,
    n: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of `statistic` when whole groups are drawn again, `n` times.

    Rows of a group (answers to one prompt) stay together, since they are not independent; None makes each row a group.
    The result depends on the seed and the groups' names, not on the order of rows. None when fewer than half of the
    resamples define the statistic. Costs `n` evaluations.
    """
    wrong, p = _arrays(labels, p_error)
    if not len(p):
        return None
    index = np.zeros(len(p), np.int64) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    order = np.lexsort((p, wrong, index))
    wrong, p, index = wrong[order], p[order], index[order]
    starts = np.arange(len(p)) if groups is None else np.flatnonzero(np.diff(index, prepend=-1))
    sizes = np.diff(starts, append=len(p))
    random = np.random.default_rng(seed64(seed, "bootstrap"))
    values = np.empty(n)
    for i in range(n):
        rows = _rows(starts, sizes, random.integers(len(starts), size=len(starts)))
        values[i] = statistic(wrong[rows], p[rows])
    defined = values[np.isfinite(values)]
    if len(defined) < _LEAST_DEFINED * n:
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)


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
    to {value, low, high} for auroc, average_precision, balanced_accuracy, precision, recall, f1, brier, ece (over the
    scored rows) and abstain_rate, fail_rate (over all rows); None where undefined. ECE is biased upwards, and once more
    in the resamples: its interval may lie above its value. Raise UserError for no rows.
    """
    wrong = np.asarray(labels, dtype=np.bool_)
    states = np.asarray(status, dtype=np.str_)
    if not len(wrong) or not len(wrong) == len(states) == len(p_error):
        sizes = (len(wrong), len(p_error), len(states))
        raise UserError("labels, p_error and status must have the same length, at least 1", value=sizes)
    scored = states == "ok"
    p = np.asarray([p_error[i] for i in np.flatnonzero(scored)], dtype=np.float64)
    names = None if groups is None else np.asarray(groups)
    metrics = {
        name: _measured(function, wrong[scored], p, None if names is None else names[scored], seed, n)
        for name, function in _statistics(threshold).items()
    }
    for name, state in (("abstain_rate", "abstained"), ("fail_rate", "failed")):
        share = (states == state).astype(np.float64)
        metrics[name] = _measured(lambda _, x: float(x.mean()), wrong, share, names, seed, n)
    return {
        "n": len(wrong),
        "n_scored": int(scored.sum()),
        "base_rate": float(wrong.mean()),
        "threshold": threshold,
        "seed": seed,
        "metrics": metrics,
    }


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


def _statistics(threshold: float) -> Mapping[str, Statistic]:
    return {
        "auroc": auroc,
        "average_precision": average_precision,
        "balanced_accuracy": lambda y, p: balanced_accuracy(y, p, threshold),
        "precision": lambda y, p: precision_recall_f1(y, p, threshold)[0],
        "recall": lambda y, p: precision_recall_f1(y, p, threshold)[1],
        "f1": lambda y, p: precision_recall_f1(y, p, threshold)[2],
        "brier": brier,
        "ece": ece,
    }


def _measured(
    statistic: Statistic,
    wrong: NDArray[np.bool_],
    p: NDArray[np.float64],
    groups: NDArray[Any] | None,
    seed: int,
    n: int,
) -> dict[str, float | None]:
    value = statistic(wrong, p) if len(p) else math.nan
    interval = bootstrap_ci(statistic, wrong, p, groups, seed, n) if math.isfinite(value) else None
    low, high = interval or (None, None)
    return {"value": value if math.isfinite(value) else None, "low": low, "high": high}


def _rows(starts: NDArray[np.int64], sizes: NDArray[np.int64], drawn: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row numbers of the groups drawn, group after group."""
    taken = sizes[drawn]
    ends = np.cumsum(taken)
    rows: NDArray[np.int64] = np.arange(ends[-1]) + np.repeat(starts[drawn] - (ends - taken), taken)
    return rows


def _arrays(labels: ArrayLike, p_error: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    wrong, p = np.asarray(labels, dtype=np.bool_), np.asarray(p_error, dtype=np.float64)
    if wrong.shape != p.shape or wrong.ndim != 1:
        raise UserError("labels and p_error must be two columns of the same length", value=(wrong.shape, p.shape))
    if not (np.isfinite(p).all() and (p >= 0.0).all() and (p <= 1.0).all()):
        raise UserError("p_error must be 0..1", value=p[~((p >= 0.0) & (p <= 1.0))][:3].tolist())
    return wrong, p
