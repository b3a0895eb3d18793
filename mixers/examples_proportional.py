"""Draws generalist rows in proportion to sizes that are cut at a cap."""

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
class ExamplesProportional(recipe.Recipe):
    """Every stratum weighs its rows behind the gate, at most `cap`: large ones no longer drown the small.

    Raffel et al. (T5, JMLR 2020, section 3.5.2): r_m = min(e_m, K) / sum of min(e_n, K).
    """

    kind: ClassVar[str] = "examples_proportional"
    version: ClassVar[int] = 1

    by: recipe.By = "source"
    cap: Annotated[int, Field(ge=1)]
    """K: a stratum counts as at most so many rows."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        return draw.weighed(self, pool, seed, lambda counts: {name: min(n, self.cap) for name, n in counts.items()})
