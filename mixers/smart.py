"""Weighs tasks by what each adds to those before it, and draws the rows that stand for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import draw, embedded, location, recipe

if TYPE_CHECKING:
    import polars as pl

    from mixers.blend import Blend
    from mixers.mixer import Pool
    from mixers.score import Keys, Ranked

_LIKE: Final = 5
_APART: Final = 2
"""Graph cut with lambda 2/5, in whole numbers: five parts of likeness to all, less two of likeness to those taken."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Smart(embedded.Embedded):
    """A task weighs what it adds, by a graph cut over the tasks' centres, when greedy takes it; rows by `facility`.

    After Renduchintala, Bhatia and Ramakrishnan, "SMART: Submodular data mixture strategy for instruction tuning" (ACL
    2024): a task that is like many tasks weighs more, one that is like those already taken less. The paper puts the
    gains through a Taylor softmax; here a weight is the gain itself, which no number of tasks makes steeper.
    """

    kind: ClassVar[str] = "smart"
    version: ClassVar[int] = 1

    by: recipe.By = "task"

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        names, middles = embedded.centres(pool, self)
        gains = graph_cut(location.similarity(middles, middles).astype(np.int64))
        weights = dict(zip(names, embedded.shares(np.maximum(gains, 1).astype(np.float64)), strict=True))

        def ranks(rows: pl.DataFrame, uniform: Keys) -> Ranked:
            """Return every row, with keys in greedy's order."""
            there, worth = embedded.everyone(rows)
            return there, embedded.ranked(pool, self, rows, uniform, worth)

        blend = draw.weighed(self, pool, seed, lambda counts: {name: weights[name] for name in counts}, ranks)
        return embedded.compared(pool, self, seed, blend)


def graph_cut(similarities: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what each of n things adds when greedy takes it, the first of equals first; all are taken.

    The worth of things S is 5 x the sum of all similarities to them - 2 x the sum of those among them; it is monotone.
    """
    gains = _LIKE * similarities.sum(axis=0) - _APART * similarities.diagonal()
    added, left = gains.copy(), np.ones(len(gains), dtype=bool)
    for _ in range(len(gains)):
        taken = int(np.where(left, gains, np.iinfo(np.int64).min).argmax())
        added[taken], left[taken] = gains[taken], False
        gains -= 2 * _APART * similarities[taken]
    return np.asarray(added, dtype=np.int64)
