"""The rows that say what a recipe's target looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from manifests.errors import UserError
from manifests.tasks import wider, within

if TYPE_CHECKING:
    from mixers.mixer import Pool


def stated(pool: Pool, blend: str, name: str | None) -> pl.DataFrame:
    """Return the specialist or eval rows of source or task `name`, or of its parts; all specialist rows without one.

    Raises UserError when there are none; `blend` is named in it.
    """
    if name is None:
        found = pool.target.filter(pl.col("role") == "specialist")
        if found.is_empty():
            raise UserError(
                f"blend '{blend}' has no target: there are no specialist rows",
                value=name,
                remedy="set target: to a source or task, or add a source with role: specialist",
            )
        return found
    found = pool.target.filter((pl.col("source") == name) | within(name))
    if found.is_empty():
        names = sorted({*pool.target["source"], *wider(pool.target["task"].drop_nulls())})
        raise UserError(
            f"blend '{blend}' has a target that is no source or task of specialist or eval rows",
            value=name,
            options=names,
            remedy=f"targets: {', '.join(names) or 'none'}",
        )
    return found
