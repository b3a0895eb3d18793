"""Which similarity means the same, from pairs that people labelled: precision and recall by threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from manifests.errors import UserError

CONFIDENCE: Final = 1.959964
"""Standard normal quantile of two-sided 95 %."""

Floats = NDArray[np.float64]


def wilson(hits: ArrayLike, total: ArrayLike) -> tuple[Floats, Floats]:
    """Return the ends of the 95 % intervals of `hits / total`, 0..1 (Wilson, JASA 22, 1927); 0 and 1 of nothing."""
    n = np.asarray(total, np.float64)
    many = np.maximum(n, 1)
    share, z2 = np.asarray(hits, np.float64) / many, CONFIDENCE**2
    centre = (share + z2 / (2 * many)) / (1 + z2 / many)
    half = CONFIDENCE / (1 + z2 / many) * np.sqrt(share * (1 - share) / many + z2 / (4 * many * many))
    return np.where(n > 0, np.maximum(centre - half, 0), 0.0), np.where(n > 0, np.minimum(centre + half, 1), 1.0)


def table(similarity: ArrayLike, label: ArrayLike, thresholds: Sequence[float]) -> pl.DataFrame:
    """Return a row per threshold: `threshold`, `pairs` at or above it, `precision`, `recall`, `f1` and 95 % intervals.

    A label is 1 where the pair means the same. Precision is null when no pair reaches the threshold, recall when no
    pair means the same.
    """
    value, same = _checked(similarity, label)
    at = np.asarray(thresholds, np.float64)
    found = np.array([(value >= t).sum() for t in at], np.int64)
    hits = np.array([same[value >= t].sum() for t in at], np.int64)
    total = int(same.sum())
    (low, high), (r_low, r_high) = wilson(hits, found), wilson(hits, np.full(len(at), total))
    frame = pl.DataFrame({"threshold": at, "pairs": found, "hits": hits})
    return frame.select(
        "threshold",
        "pairs",
        pl.when(pl.col("pairs") > 0).then(pl.col("hits") / pl.col("pairs")).alias("precision"),
        pl.Series("precision_low", low),
        pl.Series("precision_high", high),
        pl.when(pl.lit(total) > 0).then(pl.col("hits") / total).alias("recall"),
        pl.Series("recall_low", r_low),
        pl.Series("recall_high", r_high),
        pl.when(pl.col("pairs") + total > 0).then(2 * pl.col("hits") / (pl.col("pairs") + total)).alias("f1"),
    )


def threshold_for(similarity: ArrayLike, label: ArrayLike, precision: float) -> float:
    """Return the lowest similarity from which on pairs mean the same with at least this `precision`, 0 < precision < 1.

    Certified, not estimated: the lower end of Wilson's 95 % interval reaches the precision there. (One threshold is
    chosen among many, so the true confidence is somewhat lower.) Raises UserError when no threshold can be certified,
    with how many labelled pairs that takes at the least.
    """
    value, same = _checked(similarity, label)
    order = np.argsort(-value, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(value[order])), len(order) - 1) if len(order) else np.empty(0, np.int64)
    hits = np.cumsum(same[order])[ends]
    low, _ = wilson(hits, ends + 1)
    good = np.flatnonzero(low >= precision)
    if not len(good):
        least = int(np.ceil(CONFIDENCE**2 * precision / (1 - precision)))
        best = float(low.max(initial=0.0))
        raise UserError(
            f"the labelled pairs cannot certify a precision of {precision:g}; the best lower bound is {best:.3f}",
            value=f"{len(value)} pairs, {int(same.sum())} of them the same",
            remedy=f"label more pairs ({least} faultless ones above the threshold at the least), or ask for less",
        )
    return float(value[order][ends[good[-1]]])


def labelled(path: Path) -> pl.DataFrame:
    """Return the pairs of a Parquet or JSON-lines file: `text1`, `text2` and `label` (1 the same, 0 not).

    Rows where one of the three is null are left out. Raises UserError when the file cannot be read, lacks a column, or
    has values of another type.
    """
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path)
        absent = {"text1", "text2", "label"} - set(frame.columns)
        if absent:
            raise UserError("the labelled pairs lack columns", value=sorted(absent), options=frame.columns)
        wanted = (pl.col("text1", "text2").cast(pl.String), pl.col("label").cast(pl.Float64))
        return frame.select(*wanted).drop_nulls()
    except (OSError, pl.exceptions.PolarsError) as fault:
        raise UserError(f"the labelled pairs cannot be read ({fault})", value=str(path)) from None


def _checked(similarity: ArrayLike, label: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    value, marks = np.asarray(similarity, np.float64), np.asarray(label, np.float64)
    if value.shape != marks.shape or value.ndim != 1:
        raise UserError("similarities and labels differ in number", value=(value.shape, marks.shape))
    if not np.isfinite(value).all() or not np.isin(marks, (0.0, 1.0)).all():
        raise UserError("similarities must be finite, labels 0 or 1", value=sorted(set(marks[:1000].tolist()))[:5])
    return value, marks == 1.0
