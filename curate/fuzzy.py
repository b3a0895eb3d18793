"""Drop rows that nearly repeat a better row: exact Jaccard similarity of n-gram sets, and leaders in order of merit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass as plain
from itertools import pairwise
from typing import Annotated, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.jaccard import Sets, similar_pairs
from curate.step import decisions
from curate.text import Key, Unit, grams_of, keyed, numbers
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted, UserError

REASON: Final = "near duplicate"


@plain(frozen=True, eq=False)
class Followers:
    """Rows that are within the threshold of a leader: `row[k]` of `leader[k]`, the most similar leader before it."""

    row: NDArray[np.int64]
    leader: NDArray[np.int64]
    similarity: NDArray[np.float64]


def leaders(
    sets: Sets,
    threshold: float,
    *,
    group: NDArray[np.int64] | None = None,
    always: NDArray[np.bool_] | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> Followers:
    """Return the rows to drop when rows are taken in order and kept unless similar to a row kept before.

    Leaders, not connected components: every dropped row is itself within the threshold of its leader, however long a
    chain of small edits is. Rows of different `group` are never similar; rows of `always` are kept whatever they are
    like; `watch` is called with the number of rows done. Of equally similar leaders the first is named.
    """
    alive = np.ones(len(sets), np.bool_)
    found: list[tuple[int, int, float]] = []
    for pairs in similar_pairs(sets, threshold, group=group, alive=alive):
        edges = np.flatnonzero(np.diff(pairs.later, prepend=-1, append=-1))
        for begin, end in pairwise(edges):
            row = int(pairs.later[begin])
            if always is not None and always[row]:
                continue
            kept = np.where(alive[pairs.earlier[begin:end]], pairs.similarity[begin:end], -1.0)
            best = int(np.argmax(kept))
            if kept[best] >= 0:
                alive[row] = False
                found.append((row, int(pairs.earlier[begin + best]), float(kept[best])))
        watch(pairs.upto)
    rows, lead, similarity = zip(*found, strict=True) if found else ((), (), ())
    return Followers(np.array(rows, np.int64), np.array(lead, np.int64), np.array(similarity, np.float64))


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Fuzzy:
    r"""Drops a row when a kept row is within `threshold` of it in Jaccard similarity of n-gram sets.

    Exact: no pair is missed and none is estimated. Rows are taken by length of response, longest first, then by sample
    id; the most similar row kept before is the witness, and the similarity is theirs. Words are
    `re.findall(r"\w+", text.lower())`; a row of fewer than n words has the one n-gram of all its words; a row without
    words is a duplicate of nothing. System turns are not compared.
    """

    kind: ClassVar[str] = "fuzzy"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    roles: tuple[str, ...] = ("generalist",)
    """Roles of the rows that are compared."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Smallest Jaccard similarity of two rows that are near duplicates."""
    ngram: Annotated[int, Field(ge=1, le=64)] = 3
    """Units in an n-gram."""
    unit: Unit = "word"
    """What an n-gram is made of: `word` or `char` (lower-case, white space as one space; six times the cost)."""
    key: Key = "both"
    """What is compared: `prompt`, `response`, or `both`. `prompt` also drops other answers to a similar prompt."""
    numbers_agree: bool = True
    """Two rows with other numbers in the compared text are not duplicates: `2 + 3` is another task than `2 + 4`."""
    max_shingle_rows: Annotated[int, Field(ge=1)] | None = None
    """N-grams in more rows than this are ignored: the boiler-plate of templates and tool prompts. Null ignores none."""
    max_removed_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Stop when a source would lose a larger share of its rows than this."""
    protect: tuple[str, ...] = ()
    """Sources that lose no row; their rows are taken first."""

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample dropped; raise UserError when a source would lose more than it may."""
        samples = samples.select("sample_id", "source", "prompt", "response").sort(
            pl.col("source").is_in(list(self.protect)),
            pl.col("response").str.len_chars(),
            pl.col("sample_id"),
            descending=[True, True, False],
        )
        texts = keyed(samples, self.key)
        sets = Sets.of(grams_of(texts, self.ngram, self.unit), max_rows=self.max_shingle_rows)

        def watch(done: int) -> None:
            context.progress(done, len(samples))
            if context.stopping():
                raise Interrupted("stopped during near-duplicate removal")

        found = leaders(
            sets,
            self.threshold,
            group=numbers(texts) if self.numbers_agree else None,
            always=samples["source"].is_in(list(self.protect)).to_numpy(),
            watch=watch,
        )
        self._refuse_wipe_out(samples["source"], samples["source"][found.row])
        ids, similarity = samples["sample_id"], pl.Series(found.similarity)
        return decisions(ids[found.row], REASON, witness_id=ids[found.leader], similarity=similarity)

    def _refuse_wipe_out(self, source: pl.Series, removed: pl.Series) -> None:
        """Raise UserError with every source's loss when one is over the limit."""
        loss = (
            source.to_frame()
            .group_by("source")
            .len("rows")
            .join(removed.to_frame().group_by("source").len("removed"), on="source", how="left")
            .with_columns(pl.col("removed").fill_null(0))
            .with_columns(share=pl.col("removed") / pl.col("rows"))
            .sort(["share", "source"], descending=[True, False])
        )
        over = loss.filter(pl.col("share") > self.max_removed_share)["source"].to_list()
        if over:
            table = "; ".join(f"{s}: {r} of {n} ({share:.1%})" for s, n, r, share in loss.iter_rows())
            raise UserError(
                f"near-duplicate removal would take more than {self.max_removed_share:.1%} of a source",
                value=over,
                remedy=f"loss by source: {table}\n  raise `threshold`, set `max_shingle_rows` (templates), compare "
                "another `key`, or raise `max_removed_share`",
            )
