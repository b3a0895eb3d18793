"""Draws the rows of the best score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import draw, recipe
from mixers.score import Scores

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.cells import Space
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Top:
    """The rows of highest `score`, or of lowest; equal scores in the order of the seed."""

    kind: ClassVar[str] = "top"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = recipe.INERT

    name: recipe.Name
    rows: recipe.Rows = None
    tokens: recipe.Tokens = None
    share: recipe.Share = None
    where: recipe.Where = None
    seeds: recipe.Seeds = (0,)
    specialist_rows: recipe.SpecialistRows = None
    by: recipe.By = ()
    score: str
    """Column to rank by: a scorer's name, `p_error`, `n_tokens`, any number."""
    lowest: bool = False
    """True for the lowest scores, as of `p_error`."""
    unscored: Literal["refuse", "drop"] = "refuse"
    """Rows without a score: an error, or left out."""
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
        scores = Scores(self.name, self.score, self.unscored)
        return draw.weighed(self, pool, seed, dict, ranks=scores.lowest if self.lowest else scores.highest)
