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
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Stratified(recipe.Recipe):
    """Every stratum of all the columns of `by` gives rows in proportion to what it holds behind the gate.

    The control to beat: Aioli (Chen et al., 2024) found no learned mixing method that does so consistently.
    """

    kind: ClassVar[str] = "stratified"
    version: ClassVar[int] = 1

    by: recipe.By = ("source", "task")
    least_rows: Annotated[int, Field(ge=0)] = 1
    """Rows that each stratum gives before proportions count, as far as it has them."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        return draw.weighed(self, pool, seed, dict)
