"""Draws rows without replacement, with odds in proportion to a score."""

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
class Weighted(recipe.Recipe):
    """Row by row without replacement, the odds of each in proportion to `score` among those left; 0 is never drawn.

    Strata, when there are any, give rows in proportion to what they hold. Efraimidis and Spirakis (IPL 2006);
    see `mixers.exponential`.
    """

    kind: ClassVar[str] = "weighted"
    version: ClassVar[int] = 1

    by: recipe.By = ()
    score: str
    """Column with the odds: a scorer's name, `n_tokens`, any number >= 0."""
    unscored: Literal["refuse", "drop"] = "refuse"
    """Rows without a score: an error, or left out."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        return draw.weighed(self, pool, seed, dict, ranks=Scores(self.name, self.score, self.unscored).odds)
