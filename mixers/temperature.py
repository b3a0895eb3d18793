"""Draws generalist rows by tempered proportions."""

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
class Temperature(recipe.Recipe):
    """Every stratum weighs n^(1/T), n its rows behind the gate: between the pool's proportions and equal.

    Raffel et al. (T5, JMLR 2020, section 3.5.2), with their artificial limit on the size of a data set.
    """

    kind: ClassVar[str] = "temperature"
    version: ClassVar[int] = 1

    by: recipe.By = "source"
    temperature: Annotated[float, Field(ge=1)] = 2.0
    """T: 1 keeps the pool's proportions, higher ones even them out."""
    cap: Annotated[int, Field(ge=1)] | None = None
    """A stratum counts as at most so many rows."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        most = self.cap
        return draw.weighed(
            self,
            pool,
            seed,
            lambda counts: tempered({name: min(n, most or n) for name, n in counts.items()}, self.temperature),
        )
