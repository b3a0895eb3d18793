"""Drop rows that nearly repeat a better row: exact Jaccard similarity of n-gram sets, and leaders in order of merit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from curate.duplicate import CACHE, Duplicates, TooManyPairs, dropped, gathered, placed, stored
from curate.guard import AGREEMENT, ANSWER_GRAM, SAME_ANSWER, agreeing, number_labels, refuse_wipe_out
from curate.index import COLUMNS, index_digest, with_index
from curate.jaccard import BUDGET, Pairs, Sets, budget_of, similar_pairs
from curate.key import Key, grams, texts
from curate.leader import leaders_of
from curate.merit import Prefer, ranked, scorers
from curate.minhash import Bands
from curate.tokens import Unit
from manifests.component import COMPONENT, Context, spec_of
from manifests.errors import Interrupted, UserError
from manifests.names import digest

REASON: Final = "near duplicate"
_REMEDY: Final = "raise `threshold`, set `max_shingle_rows` (templates), compare another `key`"
_SELECTION: Final = frozenset({"threshold", "prefer", "protect", "max_removed_share", "keep", "index", "roles"})


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Fuzzy:
    r"""Drops a row when a kept row is within `threshold` of it in Jaccard similarity of n-gram sets.

    Exact: no pair is missed (but see `recall`) and none is estimated. Rows are taken in order of merit; the most
    similar row kept before is the witness, and the similarity is theirs. Words are `re.findall(r"\w+", text.lower())`,
    digits included; a text of fewer than n words has the one n-gram of all its words; a text without words is a
    duplicate of nothing.
    """

    kind: ClassVar[str] = "fuzzy"
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ()
    inert: ClassVar[frozenset[str]] = frozenset({"memory"})
    paths: ClassVar[frozenset[str]] = frozenset({"index"})

    roles: tuple[str, ...] = ("generalist",)
    """Roles of the rows that are compared."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Smallest Jaccard similarity of two rows that are near duplicates."""
    ngram: Annotated[int, Field(ge=1, le=64)] = 3
    """Units in an n-gram."""
    unit: Unit = "word"
    """What an n-gram is made of: `word` or `char` (lower-case, white space as one space; six times the cost)."""
    key: Key = "both"
    """What is compared: `prompt`, `response`, `both` as one text, or `turns`, where no n-gram spans two turns.

    `prompt` also drops other answers to a similar prompt.
    """
    system: bool = False
    """Compare system turns too."""
    numbers_agree: bool = True
    """Two rows with other numbers in the compared text are not duplicates: `2 + 3` is another task than `2 + 4`."""
    prompts_agree: Annotated[float, Field(ge=0, le=1)] = AGREEMENT
    """Duplicates have prompts at least this similar (Jaccard of words), where the key is `both` or `turns`; 0: any."""
    answers_agree: Annotated[float, Field(ge=0, le=1)] = SAME_ANSWER
    """The same of answers, by word 3-grams; lower it when a lower `threshold` is to find more.

    Other answers to one prompt are conflicts, not duplicates: see the step `conflict`.
    """
    max_shingle_rows: Annotated[int, Field(ge=1)] | None = None
    """N-grams in more rows than this are ignored: the boiler-plate of templates and tool prompts. Null ignores none."""
    prefer: Prefer = ("length",)
    """Which row stays: `length`, `source`, `id`, `high SCORER`, `low meta.KEY`, in the order in which they decide."""
    protect: tuple[str, ...] = ()
    """Sources that lose no row; their rows are taken first."""
    max_removed_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Stop when a source would lose a larger share of its rows than this."""
    index: str | None = None
    """Index file (`curate.index.write_index`) of older rows: they come first, stay, and may be witnesses."""
    floor: Annotated[float, Field(gt=0, le=1)] | None = None
    """Store all pairs this similar in the manifest's folder: another threshold, order or size then costs little."""
    keep: Annotated[int, Field(ge=1)] | None = None
    """Rows to keep in all, instead of a `threshold`: the highest threshold from `floor` on that leaves no more."""
    recall: Annotated[float, Field(gt=0, lt=1)] | None = None
    """In pools of more than `exact_rows` rows, find this share of the pairs at the threshold, by MinHash bands; each is
    still verified. Null finds all, whatever the size."""
    exact_rows: Annotated[int, Field(ge=0)] = 1_000_000
    """Rows up to which every pair is found, whatever `recall` says."""
    memory: Annotated[int, Field(ge=1)] | None = None
    """Megabytes that a block of the comparison may take, beside the n-grams (about 4 kB a row); null for 200 or so."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.keep is not None and self.floor is None:
            raise UserError("`keep` needs a floor", value=self.keep, remedy="set `floor`, the lowest threshold allowed")
        if self.keep is None and self.floor is not None and self.floor > self.threshold:
            remedy = f"lower `floor` to {self.threshold:g} or less"
            raise UserError("the floor is above the threshold", value=self.floor, remedy=remedy)
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The scorers that `prefer` names."""
        return scorers(self.prefer)

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the index file's bytes, by hash."""
        return {"index": index_digest(self.index) if self.index else ""}

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample dropped; raise UserError when a source would lose more than it may."""
        rows = self._rows(samples)
        detail = None
        if self.keep is not None:
            found = self._held(rows, self.floor or self.threshold, context).reduced(self.keep)
            detail = f"threshold {found.threshold:.4g} leaves {found.kept} rows, {self.keep} asked for"
            followers = found.followers
        else:
            held = self._cached(rows, context)
            alive = np.ones(len(rows), np.bool_)
            followers = (
                held.followers
                if held is not None
                else leaders_of(
                    self._similar(rows, self.threshold, alive),
                    alive,
                    always=self._always(rows),
                    watch=lambda done: self._watch(done, len(rows), context),
                )
            )
        source = rows["source"]
        given = rows.filter("given")["source"]
        refuse_wipe_out(given, source[followers.row], self.max_removed_share, "near-duplicate removal", _REMEDY)
        return dropped(rows, followers, REASON, detail)

    def pairs(self, samples: pl.DataFrame, context: Context) -> Duplicates:
        """Return all pairs at the floor (without one, the threshold) with the leaders at the threshold.

        Its `rethreshold`, `reduced`, `frame`, `clusters` and `explain` need no text. Raises UserError beyond
        `duplicate.MAX_PAIRS` pairs.
        """
        return self._held(self._rows(samples), self.floor or self.threshold, context)

    def _rows(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Return the rows in order of merit, those of the index first, with `indexed` and `given`."""
        best = ranked(samples, self.prefer, self.protect)
        columns = [name for name in COLUMNS if name in best.columns and (name != "messages" or self.key == "turns")]
        if self.index is not None:
            return with_index(best, self.index)
        return best.select(*columns, indexed=pl.lit(value=False), given=pl.lit(value=True))

    def _always(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        return rows.select(pl.col("indexed") | pl.col("source").is_in(list(self.protect))).to_series().to_numpy()

    def _similar(self, rows: pl.DataFrame, threshold: float, alive: NDArray[np.bool_] | None) -> Iterator[Pairs]:
        """Yield the similar pairs that no guard forbids, as places in `rows`."""
        sets = Sets.of(grams(rows, self.key, self.system, self.ngram, self.unit), max_rows=self.max_shingle_rows)
        group = number_labels(texts(rows, self.key, self.system), self.numbers_agree)
        bands = Bands.of(threshold, self.recall) if self.recall is not None and len(rows) > self.exact_rows else None
        budget = BUDGET if self.memory is None else budget_of(self.memory)
        found = similar_pairs(sets, threshold, group=group, alive=alive, budget=budget, bands=bands)
        if self.key in {"both", "turns"}:
            for column, n, least in (("prompt", 1, self.prompts_agree), ("response", ANSWER_GRAM, self.answers_agree)):
                found = agreeing(found, rows[column], n, least) if least else found
        return found

    def _watch(self, done: int, total: int, context: Context) -> None:
        context.progress(done, total)
        if context.stopping():
            raise Interrupted("stopped during near-duplicate removal")

    def _cached(self, rows: pl.DataFrame, context: Context) -> Duplicates | None:
        """Return the stored pairs when a floor asks for them, None where there are too many to store."""
        if self.floor is None:
            return None
        try:
            return self._held(rows, self.floor, context)
        except TooManyPairs:
            return None

    def _held(self, rows: pl.DataFrame, floor: float, context: Context) -> Duplicates:
        """Return all pairs at the floor, from the cache or for it.

        They are stored by the content of the rows and what decides on similarity, as places in the order of content
        ids: neither the order of merit nor names of sources matter.
        """
        rows = rows.with_row_index("place")
        plain = rows.sort("content_id", "sample_id")
        what = {name: value for name, value in spec_of(self).items() if name not in _SELECTION}
        key = digest([what | {"floor": floor}, plain["content_id"].to_list()])

        def made() -> Pairs:
            """Return the pairs, found anew."""
            return gathered(self._similar(plain, floor, None), lambda done: self._watch(done, len(rows), context))

        found = placed(stored(context.root / CACHE / f"{key}.parquet", made), plain["place"].cast(pl.Int64).to_numpy())
        threshold = max(self.threshold, floor)
        return Duplicates(rows, found, floor, threshold, self._always(rows), REASON)
