"""Ranks rows by a column of numbers: as odds, or the best first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from manifests.errors import UserError
from mixers.exponential import bits, keys

Keys = NDArray[np.uint64]
Ranked = tuple[NDArray[np.bool_], Keys]


@dataclass(frozen=True)
class Scores:
    """The column `column` of the pool, for the blend `blend`; rows without a value are refused or left out."""

    blend: str
    column: str
    unscored: str

    def odds(self, rows: pl.DataFrame, uniform: Keys) -> Ranked:
        """Return which rows have odds over 0, and keys whose lowest are a draw with those odds.

        Raises UserError for an unknown column, a value that is not finite and one under 0.
        """
        values, there = self._values(rows)
        if (values < 0).any():
            raise self._wrong("odds cannot be under 0", values[values < 0])
        there &= values > 0
        return there, keys(uniform[there], values[there])

    def highest(self, rows: pl.DataFrame, uniform: Keys) -> Ranked:
        """Return which rows have a score, and keys of which the highest score has the lowest."""
        values, there = self._values(rows)
        return there, bits(-values[there])

    def lowest(self, rows: pl.DataFrame, uniform: Keys) -> Ranked:
        """Return which rows have a score, and keys in the order of the scores."""
        values, there = self._values(rows)
        return there, bits(values[there])

    def places(self, rows: pl.DataFrame, *, lowest: bool) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return which rows have a score, and each row's place among them, 0..1: the share of scores below its own.

        Equal scores stand in the middle of their places; with `lowest` the lowest score has the highest place.
        """
        values, there = self._values(rows)
        line = np.sort(values[there])
        below, within = np.searchsorted(line, values, side="left"), np.searchsorted(line, values, side="right")
        share = (below + within) / (2 * max(1, line.size))
        return there, 1.0 - share if lowest else share

    def _values(self, rows: pl.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the column, 0 where it has no value, and where it has one."""
        if self.column not in rows.columns:
            numbers = [name for name, kind in rows.schema.items() if kind.is_numeric()]
            raise UserError(f"blend '{self.blend}' has an unknown score", value=self.column, options=numbers)
        if not rows.schema[self.column].is_numeric():
            raise UserError(f"blend '{self.blend}' needs a score that is a number", value=self.column)
        there = rows[self.column].is_not_null().to_numpy().copy()
        values = rows[self.column].fill_null(0).to_numpy().astype(np.float64)
        if not np.isfinite(values).all():
            raise self._wrong("scores that are not finite", values[~np.isfinite(values)])
        if self.unscored == "refuse" and not there.all():
            raise UserError(
                f"blend '{self.blend}': {int((~there).sum())} rows have no value of this score",
                value=self.column,
                remedy=f"set unscored: drop to leave them out, or where: {self.column} IS NOT NULL",
            )
        return values, there

    def _wrong(self, what: str, found: NDArray[np.float64]) -> UserError:
        return UserError(
            f"blend '{self.blend}': {what} ({found.size} rows of '{self.column}')",
            value=float(found[0]),
            remedy=f"leave such rows out, as in where: {self.column} >= 0",
        )
