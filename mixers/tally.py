"""The account of a draw: requested and taken, what limited it, expected errors; and the tokens that rows cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from manifests import schema

if TYPE_CHECKING:
    from mixers.pick import Ints
    from mixers.recipe import Terms
    from mixers.supply import Supply

BUDGET: Final = "hallucination budget"
UNJUDGED: Final = "unjudged"
TARGET: Final = "target"


def gates(supply: Supply, lacking: str) -> Iterator[tuple[str, int]]:
    """Yield each gate of a supply with the rows it took away, for messages; `lacking` as in `Terms`."""
    yield "`where`", int((supply.before - supply.gated).sum())
    ranked = "the target (neighbours)" if lacking == TARGET else "rows without verdict or score"
    yield ranked, int((supply.gated - supply.judged).sum())
    yield "the hallucination budget", int((supply.judged - supply.counts).sum())


@dataclass(frozen=True)
class Account:
    """What was taken from a supply: rows with stratum, repeats, loss weight and p_error (NaN where not judged)."""

    supply: Supply
    terms: Terms
    epochs: int
    codes: NDArray[np.int32]
    repeats: Ints
    weights: NDArray[np.float64]
    probability: NDArray[np.float64]

    def lines(self, requested: NDArray[np.float64], taken: Ints) -> pl.DataFrame:
        """Return one line of `schema.STRATA` a stratum."""
        names, size = self.supply.names, len(self.supply.names)
        counts, judged = self.supply.counts, ~np.isnan(self.probability)
        rows = np.bincount(self.codes, minlength=size)
        often = np.maximum(1, -(-taken // np.maximum(counts, 1)))
        errors = np.where(judged, self.probability, 0.0) * self.weights * self.repeats
        mass = np.bincount(self.codes, weights=errors, minlength=size)
        known = np.bincount(self.codes[judged], minlength=size) > 0
        numbers = np.stack([self.supply.clean, self.supply.before, self.supply.gated, self.supply.judged, counts])
        chains = numbers.T.tolist()
        limits = [self._limit(*row) for row in zip(requested.tolist(), taken.tolist(), chains, strict=True)]
        columns = {
            "stratum": names,
            "available": counts,
            "requested": requested,
            "taken": taken,
            "repeats": often.astype(np.int32),
            "limited_by": limits,
            "samples": rows,
            "error_mass": [m if k else None for m, k in zip(mass.tolist(), known.tolist(), strict=True)],
            "note": self._notes(rows, judged, size),
        }
        return schema.frame(columns, schema.STRATA)

    def _limit(self, requested: float, taken: int, chain: list[int]) -> str | None:
        """Return what kept `taken` under `requested`, or None: the first gate without which there was enough."""
        clean, before, gated, judged, available = chain
        gone = (
            (judged, BUDGET),
            (gated, UNJUDGED if self.terms.gated else self.terms.lacking),
            (before, "where"),
            (clean, "contamination"),
        )
        if not available and available < before:
            return next(cause for count, cause in gone if count > available)
        if taken == available * self.epochs < requested:
            enough = (cause for count, cause in gone if count > available and count * self.epochs >= requested)
            return next(enough, "epoch cap" if self.epochs > 1 and available else "supply")
        return "rounding" if requested > 0 and not taken else None

    def _notes(self, rows: Ints, judged: NDArray[np.bool_], size: int) -> list[str | None]:
        """Return what a budget did in each stratum, in words; None where it did nothing."""
        if not self.terms.gated or self.supply.allowance is None:
            return [None] * size
        left_out = self.supply.gated - self.supply.judged
        dropped = self.supply.judged - self.supply.counts
        unjudged = rows - np.bincount(self.codes[judged], minlength=size)
        lowered = np.bincount(self.codes[self.weights < 1], minlength=size)
        parts = (
            (left_out, "not judged, left out"),
            (dropped, "dropped for the budget"),
            (unjudged, "not judged, counted as at the budget"),
            (lowered, "weigh less for the budget"),
        )
        said = [[f"{int(n[i])} {words}" for n, words in parts if n[i]] for i in range(size)]
        return ["; ".join(line) or None for line in said]


@dataclass(frozen=True)
class Purse:
    """Tokens of a supply's rows, and how many rows they buy."""

    supply: Supply
    tokens: Ints

    def expected(self, quotas: Ints) -> float:
        """Return the tokens of `quotas` rows of each stratum at its mean; exact for whole strata."""
        counts = np.maximum(self.supply.counts, 1)
        return float((self._totals / counts * quotas).sum())

    @cached_property
    def _totals(self) -> NDArray[np.float64]:
        totals = np.bincount(self.supply.line.codes, weights=self.tokens, minlength=len(self.supply.names))
        return totals.astype(np.float64)

    def within(self, budget: int, quotas: Callable[[int], Ints], supply: int) -> int:
        """Return the most rows, at most `supply`, whose tokens are within the budget; `quotas` divides a total.

        Only as many rows are put in line as the mean row says will be needed, and some more.
        """
        guess = _last(lambda n: self.expected(quotas(n)), budget, supply)
        most = min(supply, guess + guess // 64 + 1024)
        cost = self._cost(quotas(most))
        while most < supply and cost(quotas(most)) <= budget:
            most = min(supply, most + most // 4 + 1024)
            cost = self._cost(quotas(most))
        return _last(lambda n: cost(quotas(n)), budget, most)

    def _cost(self, most: Ints) -> Callable[[Ints], int]:
        """Return the tokens of any number of rows of each stratum up to `most`."""
        counts = self.supply.counts
        held = np.minimum(most, counts)
        places = self.supply.line.first(held)
        ahead = np.concatenate([[0], np.cumsum(self.tokens[places])])
        start = np.cumsum(held) - held
        whole = ahead[start + held] - ahead[start]

        def cost(rows: Ints) -> int:
            """Return the tokens of so many rows of each stratum, repeats counted."""
            often, rest = np.divmod(rows, np.maximum(counts, 1))
            return int((often * whole + ahead[start + rest] - ahead[start]).sum())

        return cost


def _last(cost: Callable[[int], float], budget: float, most: int) -> int:
    """Return the greatest n, 0..most, with cost(n) <= budget; `cost` grows with n, about in proportion to it."""
    low, high = 0, most + 1  # cost(low) is within the budget, cost(high) is not or does not exist
    spent, over = 0.0, float("inf")
    turn = 0
    while high - low > 1:
        turn += 1
        near = low + 1 + int((budget - spent) * (high - low) / (over - spent)) if math.isfinite(over) else most
        middle = min(max(near, low + 1), high - 1) if turn % 3 else (low + high) // 2
        found = cost(middle)
        if found <= budget:
            low, spent = middle, found
        else:
            high, over = middle, found
    return low
