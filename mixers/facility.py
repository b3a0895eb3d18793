"""Draws the rows that stand for the most others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import draw, embedded, location, recipe
from mixers.score import Scores

if TYPE_CHECKING:
    import polars as pl

    from mixers.blend import Blend
    from mixers.mixer import Pool
    from mixers.score import Keys, Ranked


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Facility(embedded.Embedded):
    """Facility location: each row taken is the one that brings the rows of its block nearest to a row taken.

    The objective is the sum, over all generalist rows that pass `where`, of the best similarity (cosine, at least 0) to
    a row taken, and `quality` times the places of the rows taken by `score` (QDIT: Bukharin et al., 2311.14736); see
    `mixers.location`. Greedy takes the first eighth of each block, and the seed decides ties alone; a larger blend
    goes on as a plain draw. A hallucination budget drops rows from greedy's order. The note of its strata says what it
    covers, and a stratified draw of its size: the larger the blend, the less there is between them.
    """

    kind: ClassVar[str] = "facility"
    version: ClassVar[int] = 1

    by: recipe.By = ()
    score: str | None = None
    """Column of which a row of high value is preferred: a scorer's name, any number."""
    quality: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Similarity to other rows, in whole rows, that the best score is worth; the median score half as much."""
    lowest: bool = False
    """True to prefer the lowest scores, as of `p_error`."""
    unscored: Literal["refuse", "drop"] = "refuse"
    """Rows without a score: an error, or left out."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""

        def ranks(rows: pl.DataFrame, uniform: Keys) -> Ranked:
            """Return which rows have a score, if one is asked for, and keys in greedy's order."""
            there, worth = embedded.everyone(rows)
            if self.score is not None:
                there, places = Scores(self.name, self.score, self.unscored).places(rows, lowest=self.lowest)
                worth = np.floor(places * (self.quality * location.ONE)).astype(np.int64)
            return there, embedded.ranked(pool, self, rows.filter(there), uniform[there], worth[there])

        return embedded.compared(pool, self, seed, draw.weighed(self, pool, seed, dict, ranks))
