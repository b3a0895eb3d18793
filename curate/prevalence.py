"""How many rows of a pool are wrong: the judge's count, corrected by what labels say of its errors.

The judge's own count is as wrong as the judge. Two corrections, each with a 95 % interval: by sensitivity and
specificity (Rogan and Gladen 1978), and prediction-powered inference, which needs no threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.measure import Floats, Ints

Z: Final = 1.959963984540054
_LEAST_YOUDEN: Final = 0.05
"""Sensitivity plus specificity minus 1 below which a judge tells too little to be corrected."""


@dataclass(frozen=True)
class Estimate:
    """A share of wrong rows, 0..1, with its 95 % interval; `value` is None where `note` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    note: str = ""


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled rows of a pool: truth, the judge's number, and how many rows of the pool each stands for.

    `weight` is one over the chance that the row was drawn to be labelled; equal for a plain random draw.
    """

    wrong: NDArray[np.bool_]
    p: Floats
    weight: Floats
    group: Ints
    """Number of the row's group (its prompt), 0..: rows of one group are not independent."""

    @property
    def equal(self) -> bool:
        """Whether every row had the same chance to be drawn."""
        return bool(len(self.weight) == 0 or np.ptp(self.weight) <= 1e-9 * self.weight.max())


def naive(flagged: NDArray[np.bool_]) -> Estimate:
    """Return the share of flagged rows, with the interval of Wilson (1927): what the judge alone would say."""
    n = len(flagged)
    if not n:
        return Estimate(None, note="no row has a number")
    share, room = float(flagged.mean()), Z * Z / n
    centre = (share + room / 2.0) / (1.0 + room)
    half = Z * math.sqrt(share * (1.0 - share) / n + room / (4.0 * n)) / (1.0 + room)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def rogan_gladen(flagged: NDArray[np.bool_], labelled: Labelled, threshold: float) -> Estimate:
    """Return (share flagged + specificity - 1) / (sensitivity + specificity - 1), cut to 0..1.

    `flagged` are the rows of the pool. The interval carries the uncertainty of the pool's share and of both error
    rates (Lang and Reiczigel 2014; on judges, arXiv 2511.21140). Rows drawn with unequal chances are weighted and, like
    rows of one prompt, count as fewer (Kish 1965). None when a class has no label or the judge tells the classes hardly
    apart.
    """
    marked = labelled.p >= threshold
    right, found = _share(labelled, ~labelled.wrong, ~marked), _share(labelled, labelled.wrong, marked)
    if right is None or found is None:
        return Estimate(None, n=len(marked), note="the labels hold one class only")
    (specificity, m0), (sensitivity, m1), n = right, found, len(flagged)
    share = float(flagged.mean())
    if sensitivity + specificity - 1.0 < _LEAST_YOUDEN:
        note = f"sensitivity {sensitivity:.3f} and specificity {specificity:.3f}: the judge hardly tells them apart"
        return Estimate(None, n=len(marked), note=note)
    value = (share + specificity - 1.0) / (sensitivity + specificity - 1.0)
    n_, m0_, m1_ = n + Z * Z, m0 + 2.0, m1 + 2.0
    p_, sp, se = (n * share + Z * Z / 2.0) / n_, (m0 * specificity + 1.0) / m0_, (m1 * sensitivity + 1.0) / m1_
    youden = max(se + sp - 1.0, _LEAST_YOUDEN)
    theta = (p_ + sp - 1.0) / youden
    v0, v1 = sp * (1.0 - sp) / m0_, se * (1.0 - se) / m1_
    shift = 2.0 * Z * Z * (theta * v1 - (1.0 - theta) * v0)
    half = Z * math.sqrt(p_ * (1.0 - p_) / n_ + (1.0 - theta) ** 2 * v0 + theta**2 * v1) / youden
    note = f"sensitivity {sensitivity:.3f}, specificity {specificity:.3f}"
    return Estimate(_cut(value), _cut(theta + shift - half), _cut(theta + shift + half), len(marked), note)


def prediction_powered(pool: Floats, labelled: Labelled) -> Estimate:
    """Return the mean of the judge's numbers, corrected by their mean error on the labelled rows.

    `pool` holds the numbers of all rows, the labelled ones among them. The numbers count by a factor `lambda` that
    makes the interval shortest (PPI++, Angelopoulos, Duchi and Zrnic 2023): a judge that says nothing leaves the plain
    mean of the labels. Labelled rows drawn with unequal chances are weighted by one over them (Horvitz and Thompson
    1952, normalised); rows of a group err together.
    """
    n, rest = len(labelled.p), len(pool) - len(labelled.p)
    if n < 3:
        return Estimate(None, n=n, note="fewer than three labelled rows")
    y, f, w = labelled.wrong.astype(np.float64), labelled.p, labelled.weight / labelled.weight.sum()
    others = (float(pool.sum()) - float(f.sum())) / rest if rest > 0 and labelled.equal else float(pool.mean())
    spread = float(pool.var())
    room = 1.0 + n / rest if rest > 0 else math.inf
    centred = f - w @ f
    factor = float(np.clip((w @ (centred * (y - w @ y))) / (room * spread), 0.0, 1.0)) if spread > 0.0 else 0.0
    apart = y - factor * f
    mean = float(w @ apart)
    groups = len(np.unique(labelled.group))
    if groups < 3:
        return Estimate(None, n=n, note="the labelled rows are of fewer than three prompts")
    error = _variance(w * (apart - mean), labelled.group) * groups / (groups - 2.0)  # the mean and lambda are fitted
    value = factor * others + mean
    half = _t(groups - 2) * math.sqrt(error + (factor**2 * spread / rest if rest > 0 else 0.0))
    return Estimate(_cut(value), _cut(value - half), _cut(value + half), n, f"lambda {factor:.3f}")


def _share(labelled: Labelled, rows: NDArray[np.bool_], marked: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return the weighted share of `rows` that is marked and how many independent rows it is worth; None without."""
    if not rows.any():
        return None
    w = labelled.weight[rows] / labelled.weight[rows].sum()
    share = float(w @ marked[rows])
    worth = 1.0 / float(w @ w)
    spread = _variance(w * (marked[rows] - share), labelled.group[rows])
    return share, min(worth, share * (1.0 - share) / spread) if spread > 0.0 else worth


def _variance(parts: Floats, group: Ints) -> float:
    """Return the sum of the squared totals of the groups."""
    totals = np.bincount(group, weights=parts)
    return float(totals @ totals)


def _cut(value: float) -> float:
    return min(1.0, max(0.0, value))


def _t(freedom: float) -> float:
    """Return the 97.5 % point of Student's t, by Hill's series (Abramowitz and Stegun 26.7.5)."""
    z2 = Z * Z
    first = (z2 + 1.0) / 4.0
    second = (5.0 * z2 * z2 + 16.0 * z2 + 3.0) / 96.0
    third = (3.0 * z2**3 + 19.0 * z2**2 + 17.0 * z2 - 15.0) / 384.0
    return Z * (1.0 + first / freedom + second / freedom**2 + third / freedom**3)
