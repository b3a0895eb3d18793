"""Weighs strata by how much they have in common with the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import cells as mixing
from mixers import draw, embedded, recipe

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Leverage(embedded.Embedded):
    """Every stratum weighs 1 / leverage: one whose centre is like the others' weighs most, whatever its size.

    After Xie, Tonin and Cevher, "Chameleon: A flexible data-mixing framework" (2505.24844), which takes the scores of
    kernel ridge regression over domain embeddings. Here the embeddings are the means of the rows' vectors, not a proxy
    model's, and weights are in proportion to 1 / leverage rather than to its exponential.
    """

    kind: ClassVar[str] = "leverage"
    version: ClassVar[int] = 1

    by: recipe.By = "source"
    favour: Literal["shared", "distinct"] = "shared"
    """`shared`: weights 1 / leverage; `distinct`: weights in proportion to leverage, most for what is like no other."""
    ridge: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    """Added to each stratum's similarity with itself, which is 1; a higher number weighs more evenly."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        names, middles = embedded.centres(pool, self)
        scores = leverages((middles @ middles.T).astype(np.float64) / mixing.SCALE**2, self.ridge)
        wanted = np.maximum(scores, 1e-6)
        weights = dict(zip(names, embedded.shares(1.0 / wanted if self.favour == "shared" else wanted), strict=True))
        return draw.weighed(self, pool, seed, lambda counts: {name: weights[name] for name in counts})


def leverages(kernel: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return the ridge leverages, 0..1: the diagonal of K (K + ridge I)^-1 for a kernel K (n, n), ridge > 0.

    The inverse is swept out one row after the other by single products and differences, which every machine rounds
    alike, as it does not a library's; 1,000 strata take about 2 s.
    """
    inverse = kernel + ridge * np.eye(len(kernel))
    for k in range(len(kernel)):
        pivot, column = inverse[k, k], inverse[:, k].copy()
        row = inverse[k] / pivot
        inverse -= np.multiply.outer(column, row)
        inverse[k], inverse[:, k] = row, -column / pivot
        inverse[k, k] = 1.0 / pivot
    return np.asarray(1.0 - ridge * inverse.diagonal(), dtype=np.float64)
