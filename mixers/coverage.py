"""Draws the generalist rows that the target task needs and the specialist rows do not give."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from manifests.errors import UserError
from mixers import draw, recipe
from mixers.cells import Space
from mixers.place import assemble
from mixers.quota import Fill, whole
from mixers.supply import generalists
from mixers.target import stated

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import Pool

GENERALITY: Final = Fraction(1, 20)
"""Part of the weights that always follows the pool, so that no region of it is shut out."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Coverage(recipe.Recipe):
    """Fills the target's cells to one level, counting what the specialist rows already give.

    The target's share of each cell is what a blend should look like there. Generalist rows go first to the cells in
    which the specialist rows fall furthest short of it, and, those being level, to all in the target's proportions; an
    empty cell leaves its part to the others. So no weight depends on the size, and a smaller blend of a seed is a
    subset of a larger one.
    """

    kind: ClassVar[str] = "coverage"
    version: ClassVar[int] = 1

    rows: Annotated[int, Field(ge=0)] | None = None
    """Generalist rows; 0 gives a blend of specialist rows only."""
    target: str | None = None
    """Source or task whose rows say what the target looks like: a development set; without it all specialist rows."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """0 follows the pool, 1 the target's need (a twentieth still follows the pool)."""

    @property
    def space(self) -> Space:
        """The coverage space that the cells of pool and target must come from."""
        return Space(self.encoder, self.cells, self.cell_seed)

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        specialist = draw.specialists(pool, self, seed)
        target = _counts(stated(pool, self.name, self.target))
        terms = recipe.Terms.of(self, by="cell")
        supply = generalists(pool, terms, seed).widened(tuple(target))
        given = _counts(pool.samples[specialist.rows])
        sampler = draw.Draw(terms, pool)
        fill, reasons = self._fill(supply.available, target, given, self.max_epochs)
        generalist = draw.sized(sampler, self, supply, fill, (specialist.shown, reasons))
        return assemble(self, seed, pool, [generalist, specialist])

    def _fill(
        self, available: Mapping[str, int], target: Mapping[str, int], given: Mapping[str, int], epochs: int
    ) -> tuple[Fill, dict[str, str]]:
        """Return what is asked of each cell, and each cell's reason."""
        pull = Fraction(str(self.strength)) * (1 - GENERALITY)
        asked = {name: Fraction(target.get(name, 0), max(1, sum(target.values()))) for name in available}
        stock = {name: Fraction(n, max(1, sum(available.values()))) for name, n in available.items()}
        held = {name: Fraction(given.get(name, 0)) for name in available}
        weights = whole({name: pull * asked[name] + (1 - pull) * stock[name] for name in available})
        caps = {name: n * epochs for name, n in available.items()}
        fill = Fill(weights, caps, {name: int(pull * n) for name, n in held.items()}, least=0)
        rows = max(1, sum(given.values()))
        reasons = {
            name: f"{name}: target {float(asked[name]):.4f}, specialist {float(held[name] / rows):.4f}, "
            f"pool {float(stock[name]):.4f}"
            for name in available
        }
        return fill, reasons


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    """Return the number of rows per cell, by stratum name; rows without a cell are an error."""
    if rows["cell"].null_count():
        raise UserError(
            "target or specialist rows without a coverage cell",
            value=rows["cell"].null_count(),
            remedy="the pool must hold the cells of the recipe's `space`",
        )
    return {f"cell:{cell}": n for cell, n in rows.group_by("cell").len().iter_rows()}
