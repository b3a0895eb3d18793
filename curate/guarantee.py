"""Promises about a threshold that hold with a stated probability, and a refusal where the labels are too few.

A promise is of the form "of these rows, at most a share `alpha` is in error". Labelled rows must be drawn at random
from the rows that the promise is about, one per group of rows that are not independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from curate.measure import Floats, Ints

STARTS: Final = 5
"""Places at which testing begins; each has an equal part of the allowed risk."""
GRID: Final = 200
"""Most thresholds that are tried."""
MOST: Final = 1_000_000
"""Beyond so many labels, none is said to be enough."""
ABOVE: Final = math.nextafter(1.0, 2.0)
"""The threshold that no number reaches."""


@dataclass(frozen=True)
class Certificate:
    """What was certified: a place in the sequence of thresholds, or None and the reason.

    `errors` of `members` labelled rows are in error there; `bound` is the upper end that held. In a refusal they are
    those of the threshold that came nearest, and `needed` is the number of labels that would do at its observed rate,
    None when no number would.
    """

    place: int | None
    members: int = 0
    errors: int = 0
    bound: float | None = None
    needed: int | None = None
    reason: str = ""


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return P(at most k of n), each with probability `p`."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    last = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
    i = np.arange(k, 0, -1)
    steps = np.log(i) - np.log(n - i + 1.0) + math.log1p(-p) - math.log(p)  # of each term to the one before it
    terms = last + np.concatenate([[0.0], np.cumsum(steps)])
    top = float(terms.max())
    return float(min(1.0, math.exp(top) * np.exp(terms - top).sum()))


def upper(k: int, n: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper limit of a share of which k of n were seen (Clopper and Pearson 1934); 1 for n = 0.

    The largest share under which so few are seen with a probability of at least 1 - `confidence`.
    """
    if k >= n:
        return 1.0
    low, high = k / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if binomial_cdf(k, n, middle) > 1.0 - confidence else (low, middle)
    return high


def interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval of a share of which k of n were seen (Clopper and Pearson 1934)."""
    side = 1.0 - (1.0 - confidence) / 2.0
    return 1.0 - upper(n - k, n, side), upper(k, n, side)


def least(alpha: float, delta: float) -> int:
    """Return how many rows without an error certify a share of at most `alpha` with probability 1 - `delta`."""
    return max(1, math.ceil(math.log(delta) / math.log1p(-alpha) - 1e-9)) if alpha < 1.0 else 1


def certify(members: Ints, errors: Ints, alpha: float, delta: float) -> Certificate:
    """Return the last threshold of a sequence at which at most a share `alpha` of the members is in error.

    `members` and `errors` count the labelled rows at each threshold, from the strictest one to the most lenient, so
    that `members` never falls; the sequence may depend on the rows' numbers, not on their labels. Each threshold is
    tested by the exact binomial test, from at most `STARTS` places on, each until its first failure and with an equal
    part of `delta`: the chance of certifying any threshold that breaks the promise is at most `delta` (fixed-sequence
    testing with several starts: Learn then Test, Angelopoulos et al. 2021).
    """
    most = int(members.max(initial=0))
    fewest = least(alpha, delta / STARTS)
    if most < fewest:
        reason = f"{most} labelled rows, and even without an error {fewest} are needed"
        return Certificate(None, most, int(errors[members.argmax()]) if most else 0, needed=fewest, reason=reason)
    starts = sorted({int(np.argmax(members >= size)) for size in np.geomspace(fewest, most, STARTS).astype(int)})
    risk = delta / len(starts)
    best: int | None = None
    for start in starts:
        place = start
        while place < len(members) and binomial_cdf(int(errors[place]), int(members[place]), alpha) <= risk:
            best = place if best is None else max(best, place)
            place += 1
    if best is not None:
        n, k = int(members[best]), int(errors[best])
        return Certificate(best, n, k, upper(k, n, 1.0 - risk))
    return _refused(members, errors, alpha, risk, fewest)


def _refused(members: Ints, errors: Ints, alpha: float, risk: float, fewest: int) -> Certificate:
    """Return the refusal, with the labels that the most hopeful threshold would need at its observed rate."""
    most = int(members.max())
    found: tuple[int, int] | None = None
    for place in np.flatnonzero(members >= min(fewest, most)):
        n, k = int(members[place]), int(errors[place])
        wanted = labels_needed((k + 0.5) / (n + 1.0), alpha, risk)
        if wanted is not None:
            total = math.ceil(wanted * most / n)
            found = min(found or (total, int(place)), (total, int(place)))
    if found is None:
        place = int(np.argmin(np.where(members >= min(fewest, most), errors / np.maximum(members, 1), np.inf)))
        n, k = int(members[place]), int(errors[place])
        reason = f"at its best threshold {k} of {n} labelled rows are in error, and no number of labels would change it"
        return Certificate(None, n, k, upper(k, n, 1.0 - risk), reason=reason)
    n, k = int(members[found[1]]), int(errors[found[1]])
    reason = f"{k} of {n} labelled rows are in error; about {found[0]} labels would be needed, there are {most}"
    return Certificate(None, n, k, upper(k, n, 1.0 - risk), found[0], reason)


def labels_needed(rate: float, alpha: float, risk: float) -> int | None:
    """Return the fewest members that would certify `alpha` when a share `rate` of them is in error; None for none."""
    if rate >= alpha or alpha * (1.0 - alpha) / (alpha - rate) ** 2 > MOST:
        return None
    high = least(alpha, risk)
    while binomial_cdf(math.floor(rate * high), high, alpha) > risk:
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binomial_cdf(math.floor(rate * middle), middle, alpha) <= risk else (middle, high)
    return high


def thresholds(p: Floats, most: int = GRID) -> Floats:
    """Return rising thresholds that cut the numbers into parts of about equal size, then `ABOVE`."""
    values = np.unique(p)
    if len(values) > most:
        values = np.unique(np.quantile(p, np.linspace(0.0, 1.0, most), method="lower"))
    return np.append(values, ABOVE)
