"""How many rows each stratum gives: exact, capped, and never fewer when more are asked for.

Strata fill like vessels under one rising level: at level L a stratum is given L x weight rows, less what it holds
already, at least `least` and at most its cap; a full one leaves its share to the others. Rounding to whole rows keeps
every stratum within one row of that exact amount at every total, as the largest-remainder method does. Unlike that
method it never takes a row back when the total grows (the Alabama paradox: Balinski and Young, "Fair Representation",
1982), which is what makes a budget of 500 a subset of 1,000. Row i of a stratum may be given from the first total at
which its exact amount passes i - 1, and must be given by the total at which it reaches i; serving the earliest deadline
first meets them all (Baruah et al., "Proportionate Progress", Algorithmica 1996). All arithmetic is on Python integers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heappop, heappush
from itertools import islice

from manifests.errors import UserError


@dataclass(frozen=True)
class Fill:
    """What is asked of each stratum.

    `weights` are whole numbers >= 0, `caps` the rows each stratum can give, `held` the rows it has without this draw
    (0 where absent). `least` rows (0 or 1) are given to each stratum with weight and supply before proportions count.
    Strata of weight 0 give nothing.
    """

    weights: Mapping[str, int]
    caps: Mapping[str, int]
    held: Mapping[str, int] = field(default_factory=dict)
    least: int = 1

    @property
    def supply(self) -> int:
        """Rows that can be given in all: the caps of the strata that have weight."""
        return sum(self.caps.get(name, 0) for name, weight in self.weights.items() if weight > 0)


@dataclass(frozen=True)
class _Stratum:
    name: str
    weight: int
    cap: int
    held: int


class _Level:
    """Total rows given as a function of the level: piecewise linear, `constant + level * slope`."""

    def __init__(self, strata: list[_Stratum], least: int) -> None:
        events = [(Fraction(least + s.held, s.weight), s.weight, -(least + s.held)) for s in strata if s.cap > least]
        events += [(Fraction(s.cap + s.held, s.weight), -s.weight, s.cap + s.held) for s in strata if s.cap > least]
        events.sort()
        self.breaks = [(level.numerator, level.denominator) for level, _, _ in events]
        self.lines = [(sum(min(least, s.cap) for s in strata), 0)]
        for _, slope, constant in events:
            last = self.lines[-1]
            self.lines.append((last[0] + constant, last[1] + slope))
        self.at: dict[str, int] = {}

    def window(self, stratum: _Stratum, row: int) -> tuple[int, int]:
        """Return (last total before, first total at) which the stratum's exact amount reaches `row` rows."""
        level, piece = row + stratum.held, self.at.get(stratum.name, 0)
        while piece < len(self.breaks) and self.breaks[piece][0] * stratum.weight <= level * self.breaks[piece][1]:
            piece += 1
        self.at[stratum.name] = piece
        constant, slope = self.lines[piece]
        whole, rest = divmod(level * slope, stratum.weight)
        return constant + whole, constant + whole + (rest > 0)


def sequence(fill: Fill) -> Iterator[str]:
    """Give the strata's names in the order in which rows are granted, until every stratum is empty.

    The first n names, counted, are the quotas of a total of n; ties go to the stratum first in name order. Costs
    about 5 microseconds a row.
    """
    strata = [
        _Stratum(name, weight, fill.caps.get(name, 0), fill.held.get(name, 0))
        for name, weight in sorted(fill.weights.items())
        if weight > 0 and fill.caps.get(name, 0) > 0
    ]
    given = 0
    if fill.least:
        for s in sorted(strata, key=lambda s: (Fraction(1 + s.held, s.weight), s.name)):
            given += 1
            yield s.name
    level, by_name = _Level(strata, fill.least), {s.name: s for s in strata}
    waiting: list[tuple[int, str, int]] = []  # (first total, stratum, row)
    ready: list[tuple[int, str, int, int]] = []  # (last total, stratum, row, first total of the next row)
    for s in strata:
        if s.cap > fill.least:
            heappush(waiting, (level.window(s, fill.least)[0] + 1, s.name, fill.least + 1))
    while ready or waiting:
        given += 1
        while waiting and waiting[0][0] <= given:
            _, name, row = heappop(waiting)
            before, by = level.window(by_name[name], row)
            heappush(ready, (by, name, row, before + 1))
        _, name, row, following = heappop(ready)
        yield name
        if row < by_name[name].cap:
            heappush(waiting, (following, name, row + 1))


def apportion(total: int, fill: Fill) -> dict[str, int]:
    """Return the rows of each stratum: sum `total` exactly, caps kept, no stratum shrinks when `total` grows.

    Raises UserError when `total` is negative or over the supply.
    """
    if not 0 <= total <= fill.supply:
        raise UserError("rows asked for are not within the supply", value=total, remedy=f"0 to {fill.supply}")
    counts = Counter(islice(sequence(fill), total))
    return {name: counts[name] for name in fill.weights}


def requests(total: int, fill: Fill) -> dict[str, float]:
    """Return the rows that weights and holdings ask of each stratum, before caps, floors and rounding; sum `total`."""
    strata = sorted((Fraction(fill.held.get(n, 0), w), n, w) for n, w in fill.weights.items() if w > 0)
    weight, held, level = 0, 0, Fraction(0)
    for begins, name, own in strata:
        if weight and begins >= level:
            break
        weight, held = weight + own, held + fill.held.get(name, 0)
        level = Fraction(total + held, weight)
    return {name: float(max(Fraction(0), level * w - fill.held.get(name, 0))) for name, w in fill.weights.items()}


def whole(weights: Mapping[str, Fraction]) -> dict[str, int]:
    """Return the weights as whole numbers in the same proportions, exactly."""
    scale = math.lcm(*(w.denominator for w in weights.values())) if weights else 1
    return {name: int(w * scale) for name, w in weights.items()}


def tempered(counts: Mapping[str, int], temperature: float) -> dict[str, int]:
    """Return weights proportional to count^(1/temperature), in whole millionths; exact at temperature 1.

    Temperature 1 keeps the pool's proportions, higher ones even them out (Raffel et al., T5, JMLR 2020, section 3.5.2).
    """
    if temperature == 1.0:
        return dict(counts)
    return {name: max(1, round(n ** (1 / temperature) * 1_000_000)) if n else 0 for name, n in counts.items()}
