"""Verified pairs of similar rows and the leaders among them: other thresholds and sizes without another comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.jaccard import Pairs
from curate.leader import Followers, leaders_of
from curate.step import decisions
from manifests.atomic import replacing
from manifests.errors import UserError

CACHE: Final = Path("cache") / "pairs"
MAX_PAIRS: Final = 5_000_000
"""Pairs that are held and stored at most: 24 bytes each in memory, and a few copies."""


class TooManyPairs(UserError):  # noqa: N818 - says what there is
    """There are more pairs at the floor than are held."""


@dataclass(frozen=True, eq=False)
class Duplicates:
    """All pairs of rows at least `floor` similar, and which rows fall to a leader at `threshold`."""

    rows: pl.DataFrame
    """The rows in order of merit: `sample_id`; `given`, false for rows of an index that are no samples here."""
    pairs: Pairs
    """Places in `rows`: later, earlier and their similarity, ordered by later, then earlier; each pair once."""
    floor: float
    threshold: float
    always: NDArray[np.bool_]
    """Rows that are never dropped, shape (rows,)."""
    reason: str
    """The reason of the decisions."""

    @cached_property
    def followers(self) -> Followers:
        """The rows that are dropped, with their leaders."""
        fit = self.pairs.similarity >= self.threshold
        within = Pairs(self.pairs.later[fit], self.pairs.earlier[fit], self.pairs.similarity[fit], len(self.rows))
        return leaders_of([within], np.ones(len(self.rows), np.bool_), always=self.always)

    @property
    def kept(self) -> int:
        """How many of the given rows stay."""
        return int(self.rows["given"].sum()) - len(self.followers.row)

    def rethreshold(self, threshold: float) -> Duplicates:
        """Return the same pairs at another threshold, from `floor` to 1; the texts are not needed."""
        if not self.floor <= threshold <= 1:
            remedy = "pairs below the floor are not known: compare again with a lower `floor`"
            raise UserError(f"the threshold must lie between {self.floor:g} and 1", value=threshold, remedy=remedy)
        return replace(self, threshold=threshold)

    def reduced(self, keep: int) -> Duplicates:
        """Return the same pairs at the highest threshold at which at most `keep` of the given rows stay.

        Found by bisection over the similarities that occur: at the next higher of them more than `keep` rows stay.
        (The count need not rise steadily with the threshold, so another one further up may also reach the target.)
        Raises UserError when even the floor leaves more.
        """
        levels = np.unique(np.append(self.pairs.similarity, (self.floor, 1.0)))
        best = self.rethreshold(float(levels[0]))
        if best.kept > keep:
            raise UserError(
                f"{best.kept} rows stay at the floor {self.floor:g}, more than the size asked for",
                value=keep,
                remedy=f"lower `floor`, or ask for {best.kept} rows or more",
            )
        low, high = 0, len(levels)
        while high - low > 1:
            middle = (low + high) // 2
            tried = self.rethreshold(float(levels[middle]))
            if tried.kept <= keep:
                low, best = middle, tried
            else:
                high = middle
        return best

    def decisions(self, detail: str | None = None) -> pl.DataFrame:
        """Return `schema.DECISIONS` rows for the dropped ones; see `dropped`."""
        return dropped(self.rows, self.followers, self.reason, detail)

    def frame(self) -> pl.DataFrame:
        """Return the pairs at the threshold: `sample_id`, `witness_id` (of more merit) and `similarity`, by merit."""
        ids, fit = self.rows["sample_id"], self.pairs.similarity >= self.threshold
        later, earlier = ids[self.pairs.later[fit]], ids[self.pairs.earlier[fit]]
        values = pl.Series("similarity", self.pairs.similarity[fit])
        return pl.DataFrame([later.alias("sample_id"), earlier.alias("witness_id"), values])

    def clusters(self) -> pl.DataFrame:
        """Return `leader_id` and the list `follower_ids` of each leader with followers, most followers first."""
        ids = self.rows["sample_id"]
        found = pl.DataFrame([ids[self.followers.leader].alias("leader_id"), ids[self.followers.row].alias("follower")])
        grouped = found.group_by("leader_id").agg(follower_ids=pl.col("follower").sort())
        return grouped.sort(-pl.col("follower_ids").list.len().cast(pl.Int64), "leader_id")

    def explain(self, sample_id: str) -> str:
        """Return what became of a row and why, in one sentence; raise UserError when there is no such row."""
        ids, found = self.rows["sample_id"], self.followers
        place = ids.index_of(sample_id)
        if place is None:
            raise UserError("no such row among those compared", value=sample_id)
        mine = np.flatnonzero(found.row == place)
        if len(mine):
            similarity, leader = float(found.similarity[mine[0]]), ids[int(found.leader[mine[0]])]
            return f"dropped: {similarity:.4f} similar to {leader}, the most similar row kept before it"
        led = int((found.leader == place).sum())
        if self.always[place]:
            return f"kept whatever it is like; {led} rows were dropped for it"
        return f"kept: no row kept before it reaches {self.threshold:g}; {led} rows were dropped for it"


def dropped(rows: pl.DataFrame, found: Followers, reason: str, detail: str | None = None) -> pl.DataFrame:
    """Return `schema.DECISIONS` for the followers among `rows` (`sample_id`, `source`, `given`) in order of merit.

    `detail` is said of every row, and that the witness is a row of the index where it is one that is not given here.
    """
    ids = rows["sample_id"]
    lead = rows[found.leader]
    said: pl.Expr = pl.when(~pl.col("given")).then(pl.format("the witness is a row of the index, source {}", "source"))
    if detail is not None:
        said = pl.concat_str(pl.lit(detail), said, separator="; ", ignore_nulls=True)
    similarity = pl.Series(found.similarity)
    return decisions(
        ids[found.row],
        reason,
        witness_id=lead["sample_id"],
        similarity=similarity,
        detail=lead.select(said).to_series(),
    )


def gathered(blocks: Iterable[Pairs], watch: Callable[[int], None]) -> Pairs:
    """Return the blocks as one; raise TooManyPairs beyond `MAX_PAIRS`. `watch` is called with the rows done."""
    later, earlier, similarity = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float64)]
    total = upto = 0
    for block in blocks:
        total, upto = total + len(block.later), block.upto
        if total > MAX_PAIRS:
            remedy = "raise `floor`, or set `max_shingle_rows` so that the boiler-plate of templates does not count"
            raise TooManyPairs("more pairs are similar than can be held", value=total, remedy=remedy)
        later.append(block.later)
        earlier.append(block.earlier)
        similarity.append(block.similarity)
        watch(upto)
    return Pairs(np.concatenate(later), np.concatenate(earlier), np.concatenate(similarity), upto)


def placed(pairs: Pairs, place: NDArray[np.int64]) -> Pairs:
    """Return the pairs with every row r called `place[r]` (a permutation), in their new order."""
    one, other = place[pairs.later], place[pairs.earlier]
    later, earlier = np.maximum(one, other), np.minimum(one, other)
    order = np.lexsort((earlier, later))
    return Pairs(later[order], earlier[order], pairs.similarity[order], len(place))


def stored(file: Path, made: Callable[[], Pairs]) -> Pairs:
    """Return the pairs that `file` holds; when there is no such file, those of `made()`, and write it in one step."""
    if not file.is_file():
        pairs = made()
        columns = {"later": pairs.later, "earlier": pairs.earlier, "similarity": pairs.similarity}
        frame = pl.DataFrame(columns).cast({"later": pl.Int32, "earlier": pl.Int32})
        with replacing(file) as temporary:
            frame.write_parquet(temporary, compression="zstd")
        return pairs
    frame = pl.read_parquet(file)
    wide = frame.cast({"later": pl.Int64, "earlier": pl.Int64})
    return Pairs(wide["later"].to_numpy(), wide["earlier"].to_numpy(), wide["similarity"].to_numpy(), 0)
