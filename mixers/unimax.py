"""Draws as many rows from every stratum, but shows none of them too often."""

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
class UniMax(recipe.Recipe):
    """Every stratum gets the same budget until that would show its rows more than `max_epochs` times.

    Chung et al. (UniMax, ICLR 2023, arXiv:2304.09151): strata in order of size take the smaller of an equal share of
    what is left and their rows x N. In rows here, not characters.
    """

    kind: ClassVar[str] = "unimax"
    version: ClassVar[int] = 1

    by: recipe.By = "source"
    max_epochs: recipe.Epochs = 4

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        return draw.weighed(self, pool, seed, lambda counts: dict.fromkeys(counts, 1))
