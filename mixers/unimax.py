"""Draws as many rows from every stratum, but shows none of them too often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import draw, recipe

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.cells import Space
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class UniMax:
    """Every stratum gets the same budget until that would show its rows more than `max_epochs` times.

    Chung et al. (UniMax, ICLR 2023, arXiv:2304.09151): strata in order of size take the smaller of an equal share of
    what is left and their rows x N. In rows here, not characters.
    """

    kind: ClassVar[str] = "unimax"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = recipe.INERT

    name: recipe.Name
    rows: recipe.Rows = None
    tokens: recipe.Tokens = None
    share: recipe.Share = None
    where: recipe.Where = None
    seeds: recipe.Seeds = (0,)
    specialist_rows: recipe.SpecialistRows = None
    by: recipe.By = "source"
    max_epochs: recipe.Epochs = 4
    hallucination_budget: recipe.ErrorShare = None
    task_budgets: recipe.TaskBudgets = None
    over: recipe.Over = "drop"
    unjudged: recipe.Unjudged = "refuse"
    order: recipe.Order = "mixed"
    controls: recipe.Controls = ()
    encoder: recipe.Encoder = "minilm"
    cells: recipe.Cells = 64
    cell_seed: recipe.CellSeed = 0

    def __post_init__(self) -> None:
        """Refuse a recipe that does not say its size in exactly one unit."""
        recipe.check(self)

    @property
    def space(self) -> Space | None:
        """The coverage space that the pool's cells must come from, None when none is needed."""
        return recipe.space_of(self)

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        return draw.weighed(self, pool, seed, lambda counts: dict.fromkeys(counts, 1))
