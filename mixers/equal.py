"""Draws as many rows from every stratum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import draw, recipe

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Equal(recipe.Recipe):
    """Every stratum gives the same number of rows; one that has fewer gives all, and the others share the rest."""

    kind: ClassVar[str] = "equal"
    version: ClassVar[int] = 1

    by: recipe.By = "source"

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        return draw.weighed(self, pool, seed, lambda counts: dict.fromkeys(counts, 1))
