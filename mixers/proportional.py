"""Draws generalist rows in the pool's own proportions, or evened out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import draw, recipe
from mixers.quota import tempered

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Proportional(recipe.Recipe):
    """Every stratum gives rows in proportion to what it holds behind the gate: the control for any other mix."""

    kind: ClassVar[str] = "proportional"
    version: ClassVar[int] = 1

    by: recipe.By = "source"
    temperature: Annotated[float, Field(ge=1)] = 1.0
    """Weights are count^(1/temperature): 1 keeps the pool's proportions, higher ones even them out."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        return draw.weighed(self, pool, seed, lambda counts: tempered(counts, self.temperature))
