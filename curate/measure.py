"""How well a number between 0 and 1 tells wrong rows from right ones: ranking, threshold and calibration statistics.

A label is true where the row is wrong; `p_error` is 0..1, more is worse. Statistics that a set cannot define (one class
only, no flagged row) are NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manifests.errors import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS: Final = 10
RECALLS: Final = (0.5, 0.8)
"""Shares of the wrong rows at which precision is told."""
NAMES: Final = (
    *("auroc", "average_precision", "balanced_accuracy", "precision", "recall", "f1"),
    *(f"precision_at_recall_{recall:.0%}".rstrip("%") for recall in RECALLS),
    *("brier", "ece"),
)
"""What `Ranked.measured` gives, in its order."""
_SLACK: Final = 1e-9


def auroc(labels: ArrayLike, p_error: ArrayLike) -> float:
    """Return the chance that a wrong row scores above a right one, 0..1, ties counting half; NaN for one class.

    Mann and Whitney's U over the number of pairs (Hanley and McNeil, Radiology 143, 1982).
    """
    wrong, p = arrays(labels, p_error)
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
    wrong, p = arrays(labels, p_error)
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
    wrong, p = arrays(labels, p_error)
    if wrong.all() or not wrong.any():
        return math.nan
    flagged = p >= threshold
    return float((flagged[wrong].mean() + (~flagged[~wrong]).mean()) / 2.0)


def precision_recall_f1(labels: ArrayLike, p_error: ArrayLike, threshold: float = 0.5) -> tuple[float, float, float]:
    """Return (precision, recall, F1) of flagging rows at `p_error >= threshold`, each 0..1.

    Precision is NaN when no row is flagged, recall when no row is wrong, F1 when neither is there.
    """
    wrong, p = arrays(labels, p_error)
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
    wrong, p = arrays(labels, p_error)
    return float(np.mean((p - wrong) ** 2)) if len(p) else math.nan


def ece(labels: ArrayLike, p_error: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error, 0..1, less is better.

    The mean over `bins` equal intervals of [0, 1], weighted by their rows, of the distance between the mean `p_error`
    and the share of wrong rows (Naeini, Cooper and Hauskrecht, AAAI 2015). An interval holds its lower end, the last
    holds both.
    """
    wrong, p = arrays(labels, p_error)
    if not len(p):
        return math.nan
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights=p - wrong, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def at_recall(labels: ArrayLike, p_error: ArrayLike, recall: float) -> tuple[float, float]:
    """Return (precision, threshold): the highest threshold that flags at least the share `recall` of the wrong rows.

    Both are NaN without a wrong row.
    """
    wrong, p = arrays(labels, p_error)
    if not wrong.any():
        return math.nan, math.nan
    ranked = Ranked.of(wrong, p)
    found, flagged = np.cumsum(ranked.wrong)[ranked.ends], ranked.ends + 1.0
    place = int(np.argmax(found >= recall * found[-1] - _SLACK))
    return float(found[place] / flagged[place]), float(ranked.p[ranked.ends[place]])


@dataclass(frozen=True, eq=False)
class Ranked:
    """Rows by falling `p_error`, sorted once, so that every resample of them costs a few sums."""

    order: Ints
    wrong: Floats
    p: Floats
    ends: Ints
    """Last place of each distinct value."""
    bin: Ints

    @classmethod
    def of(cls, labels: ArrayLike, p_error: ArrayLike) -> Ranked:
        """Sort the rows."""
        wrong, p = arrays(labels, p_error)
        order = np.argsort(-p, kind="stable")
        p = p[order]
        ends = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
        bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
        return cls(order, wrong[order].astype(np.float64), p, ends, bins)

    def measured(self, weights: Floats, threshold: float) -> Floats:
        """Return the statistics `NAMES` of rows that each count `weights` times (given in the order of the rows).

        With whole weights they are those of the rows repeated. Precision, recall, F1 and balanced accuracy flag rows
        at `p_error >= threshold`.
        """
        w = weights[self.order]
        tp, fp = np.cumsum(w * self.wrong)[self.ends], np.cumsum(w * (1.0 - self.wrong))[self.ends]
        positives, negatives = tp[-1], fp[-1]
        hits, alarms = _first(tp, fp, int(np.searchsorted(-self.p[self.ends], -threshold, side="right")))
        with np.errstate(divide="ignore", invalid="ignore"):
            precision, recall, silent = hits / (hits + alarms), hits / positives, 1.0 - alarms / negatives
            pairs = np.sum(np.diff(fp, prepend=0.0) * (tp - np.diff(tp, prepend=0.0) / 2.0))
            gains = np.diff(tp, prepend=0.0) * np.where(tp > 0.0, tp / (tp + fp), 0.0)
            at = [np.argmax(tp >= r * positives - _SLACK) for r in RECALLS]
            gaps = np.bincount(self.bin, weights=w * (self.p - self.wrong), minlength=BINS)
            return np.array([
                pairs / (positives * negatives),
                gains.sum() / positives,
                (recall + silent) / 2.0,
                precision,
                recall,
                2.0 * hits / (hits + alarms + positives),
                *((tp[i] / (tp[i] + fp[i])) if positives else math.nan for i in at),
                np.sum(w * (self.p - self.wrong) ** 2) / (positives + negatives),
                np.abs(gaps).sum() / (positives + negatives),
            ])  # fmt: skip


def _first(tp: Floats, fp: Floats, count: int) -> tuple[np.float64, np.float64]:
    return (tp[count - 1], fp[count - 1]) if count else (np.float64(0.0), np.float64(0.0))


def arrays(labels: ArrayLike, p_error: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Return both as columns of the same length; raise UserError when they are not, or a value is not 0..1."""
    wrong, p = np.asarray(labels, dtype=np.bool_), np.asarray(p_error, dtype=np.float64)
    if wrong.shape != p.shape or wrong.ndim != 1:
        raise UserError("labels and p_error must be two columns of the same length", value=(wrong.shape, p.shape))
    if not (np.isfinite(p).all() and (p >= 0.0).all() and (p <= 1.0).all()):
        raise UserError("p_error must be 0..1", value=p[~((p >= 0.0) & (p <= 1.0))][:3].tolist())
    return wrong, p
