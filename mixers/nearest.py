"""Draws the rows nearest to the target's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from manifests.names import sampling_key
from mixers import draw, embedded, recipe, tally
from mixers.exponential import keys
from mixers.target import stated

if TYPE_CHECKING:
    import polars as pl

    from mixers.blend import Blend
    from mixers.cells import Mask, Vectors
    from mixers.mixer import Pool
    from mixers.pick import Ints
    from mixers.score import Keys, Ranked

_CHUNK: Final = 128


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Nearest(embedded.Embedded):
    """The nearest rows of each of the target's examples, in turns or by chance; no other row is drawn.

    `turns`: example after example takes the nearest row that is not yet taken, round after round. `uniform`: by chance,
    the odds of a row being the number of examples that have it among their nearest (KNN-uniform of Liu, Karbasi and
    Rekatsinas, "TSDS: Data selection for task-specific model finetuning", NeurIPS 2024).
    """

    kind: ClassVar[str] = "nearest"
    version: ClassVar[int] = 1
    lacking: ClassVar[str] = tally.TARGET

    by: recipe.By = ()
    target: str | None = None
    """Source or task whose rows are the examples: a development set; without it all specialist rows."""
    examples: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """At most so many of the target's rows are asked, those of the lowest sampling keys."""
    neighbours: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Rows that each example names."""
    pick: Literal["turns", "uniform"] = "turns"
    """In turns, or by chance."""

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        target = stated(pool, self.name, self.target)
        target = target[embedded.line(target, sampling_key(target["k64"].to_numpy(), seed, "target"))[: self.examples]]
        sought = embedded.grid(pool, self, target)

        def ranks(rows: pl.DataFrame, uniform: Keys) -> Ranked:
            """Return which rows an example names, and keys by turn or by votes."""
            there = embedded.line(rows, uniform)
            found = near(sought, embedded.grid(pool, self, rows)[there], self.neighbours)
            place = np.full(rows.height, np.iinfo(np.int64).max, dtype=np.uint64)
            if self.pick == "turns":
                taken = turns(found)
                place[there[taken]] = np.arange(taken.size, dtype=np.uint64)
            else:
                votes = np.bincount(found.ravel(), minlength=rows.height)
                named = np.flatnonzero(votes)
                place[there[named]] = keys(uniform[there[named]], votes[named].astype(np.float64))
            drawable: Mask = np.zeros(rows.height, dtype=bool)
            drawable[there[np.unique(found)]] = True
            return drawable, place[drawable]

        named = "the specialist rows" if self.target is None else self.target
        return draw.weighed(self, pool, seed, dict, ranks, f"; near {named} ({target.height} rows)")


def near(examples: Vectors, rows: Vectors, count: int) -> Ints:
    """Return the places of the `count` rows most similar to each example, the first of equals first; (t, count).

    `examples` (t, d) and `rows` (n, d) are on `cells.rounded`'s grid, on which similarities are exact. Fewer than
    `count` when there are fewer rows.
    """
    count = min(count, len(rows))
    found = np.empty((len(examples), count), dtype=np.int64)
    if not count:
        return found
    for start in range(0, len(examples), _CHUNK):
        similarities = examples[start : start + _CHUNK] @ rows.T
        edges = np.partition(similarities, len(rows) - count, axis=1)[:, len(rows) - count]
        for place, (each, edge) in enumerate(zip(similarities, edges, strict=True), start):
            those = np.flatnonzero(each >= edge)
            found[place] = those[np.argsort(-each[those], kind="stable")[:count]]
    return found


def turns(found: Ints) -> Ints:
    """Return rows in the order in which examples take them, each in turn its nearest that is left; see `near`."""
    lists = [iter(each) for each in found.tolist()]
    taken: dict[int, None] = {}
    while lists:
        going = []
        for each in lists:
            row = next((row for row in each if row not in taken), None)
            if row is not None:
                taken[row] = None
                going.append(each)
        lists = going
    return np.fromiter(taken, dtype=np.int64, count=len(taken))
