"""Draws every stratum in its proportion: the control that learned mixes seldom beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import draw, recipe

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.cells import Space
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Stratified:
    """Every stratum of all the columns of `by` gives rows in proportion to what it holds behind the gate.

    The control to beat: Aioli (Chen et al., 2024) found no learned mixing method that does so consistently.
    """

    kind: ClassVar[str] = "stratified"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = recipe.INERT

    name: recipe.Name
    rows: recipe.Rows = None
    tokens: recipe.Tokens = None
    share: recipe.Share = None
    where: recipe.Where = None
    seeds: recipe.Seeds = (0,)
    specialist_rows: recipe.SpecialistRows = None
    by: recipe.By = ("source", "task")
    least_rows: Annotated[int, Field(ge=0)] = 1
    """Rows that each stratum gives before proportions count, as far as it has them."""
    max_epochs: recipe.Epochs = 1
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
        return draw.weighed(self, pool, seed, dict)
