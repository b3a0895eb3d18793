"""Hallucination budgets: how much expected error a stratum may carry, and what is dropped or weighs less for it.

Probabilities are whole numbers of millionths of two (2^-20), rounded up, allowances rounded down: no budget is passed
by rounding, and the same rows are dropped on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
ONE: Final = 1 << 20
"""Probability or weight 1, as a whole number."""


def units(p_error: NDArray[np.float64]) -> Ints:
    """Return probabilities 0..1 in whole units, rounded up."""
    return np.ceil(p_error * ONE).astype(np.int64)


@dataclass(frozen=True)
class Kept:
    """What a budget leaves: `within` marks the rows, `order` their places in the order of draw, group by group."""

    within: NDArray[np.bool_]
    order: Ints
    natural: Ints
    """The same places in the order in which they stood before."""


def keep(groups: Ints, errors: Ints, allowance: Ints, line: Ints) -> Kept:
    """Drop the worst rows of each group until its mean error is within its allowance, and order the rest.

    `groups` (0..n-1) and `errors` (whole units) are of each row, `allowance` of each group; `line` holds the rows'
    places in the order of (group, key). Within a group the rows stay in line, but a row worse than the allowance waits
    until better rows before it have left room for it: so the first m rows of a group are within its budget for every m,
    and so is a smaller blend of the same seed. About 0.3 microseconds a row.
    """
    within = _affordable(groups, errors, allowance, line)
    natural = line[within[line]]
    group, spare = groups[natural], allowance[groups[natural]] - errors[natural]
    good = spare >= 0
    sizes = np.bincount(group[good], minlength=allowance.size)
    start = np.cumsum(sizes) - sizes
    before: Ints = np.cumsum(good) - good  # good rows before each row, of all groups
    credit = np.cumsum(spare[good])
    owing = np.flatnonzero(~good)
    debt = np.cumsum(-spare[owing])
    debts = np.bincount(group[owing], weights=-spare[owing], minlength=allowance.size).astype(np.int64)
    debt -= (np.cumsum(debts) - debts)[group[owing]]
    base = np.concatenate([[0], credit])[start[group[owing]]]
    paid = np.searchsorted(credit, base + debt, side="left") + 1
    place = before.copy()
    place[owing] = np.maximum(before[owing], paid)
    order = natural[np.lexsort((good, place, group))]
    return Kept(within, order, natural)


def _affordable(groups: Ints, errors: Ints, allowance: Ints, line: Ints) -> NDArray[np.bool_]:
    """Mark the rows of least error of each group, as many as have a mean within its allowance; ties stay in line."""
    worst_last = line[np.lexsort((errors[line], groups[line]))]
    group = groups[worst_last]
    over = np.cumsum(errors[worst_last] - allowance[group])
    sizes = np.bincount(group, minlength=allowance.size)
    start = np.cumsum(sizes) - sizes
    base = np.concatenate([[0], over])[start[group]]
    within = np.zeros(groups.size, dtype=bool)
    within[worst_last] = over - base <= 0
    return within


def lower(groups: Ints, errors: Ints, allowance: Ints, repeats: Ints) -> NDArray[np.float64]:
    """Return the loss weights, 0..1 in whole units of 2^-20, that bring each group within its allowance.

    No row may bring more expected error than its group's bound c: weight min(1, c / p). c is the largest for which
    sum(repeats x weight x p) <= allowance x sum(repeats); it is never under the allowance, so no weight is 0.
    """
    weights = np.ones(groups.size, dtype=np.float64)
    order = np.lexsort((errors, groups))
    edges = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
    for begin, end in pairwise(edges.tolist()):
        rows = order[begin:end]
        error, times = errors[rows], repeats[rows]
        room = int(allowance[groups[rows[0]]]) * int(times.sum())
        mass = np.cumsum(error * times)
        if mass[-1] <= room:
            continue
        ahead, behind = mass - error * times, times.sum() - (np.cumsum(times) - times)
        bound = (room - ahead) // behind  # if this row and all worse ones were at the bound
        first = int(np.flatnonzero(bound < error)[0])
        worse = rows[first:]
        weights[worse] = np.maximum(1, int(bound[first]) * ONE // errors[worse]) / ONE
    return weights
