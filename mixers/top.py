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
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Top(recipe.Recipe):
    """The rows of highest `score`, or of lowest; equal scores in the order of the seed."""

    kind: ClassVar[str] = "top"
    version: ClassVar[int] = 1

    by: recipe.By = ()
    score: str
    """Column to rank by: a scorer's name, `p_error`, `n_tokens`, any number."""
    lowest: bool = False
    """True for the lowest scores, as of `p_error`."""
    unscored: Literal["refuse", "drop"] = "refuse"
    """Rows without a score: an error, or left out."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        scores = Scores(self.name, self.score, self.unscored)
        return draw.weighed(self, pool, seed, dict, ranks=scores.lowest if self.lowest else scores.highest)
