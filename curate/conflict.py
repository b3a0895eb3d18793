"""Mark rows that answer one prompt in different ways: conflicts are kept, for a judge to settle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.guard import AGREEMENT, ANSWER_GRAM, jaccard_of, number_labels
from curate.jaccard import Sets
from curate.key import grams, parts, texts
from curate.leader import leaders
from curate.merit import Prefer, ranked, scorers
from curate.step import decisions
from curate.text import Ints, grams_of, normalise
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted

REASON: Final = "conflict"


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Conflict:
    """Keeps every row and remarks `conflict` on those whose prompt another row answers differently.

    Rows of one prompt are a group; its first row by merit is the witness of each row whose answer differs from its
    own, and is remarked on as well, without a witness. Prompts are one when they are equal but for composition, case
    and white space, or, with `prompt_similarity`, when that of their word 3-grams reaches it and their numbers are the
    same. Answers differ when the Jaccard similarity of their word 3-grams is below `agreement`, or, unless
    `numbers_agree` is off, when their numbers do.
    """

    kind: ClassVar[str] = "conflict"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    roles: tuple[str, ...] = ("generalist",)
    """Roles of the rows that are compared."""
    prompt_similarity: Annotated[float, Field(gt=0, le=1)] | None = None
    """Smallest Jaccard similarity of two prompts that are taken for one; null takes only equal ones."""
    system: bool = False
    """System turns are part of the prompt: the same prompt under another one is no conflict."""
    agreement: Annotated[float, Field(gt=0, le=1)] = AGREEMENT
    """Two answers below this Jaccard similarity of word 3-grams differ."""
    numbers_agree: bool = True
    """Two answers with other numbers differ, however similar they are."""
    prefer: Prefer = ("length",)
    """Which row is the first of its group: measures in the order in which they decide, as for `fuzzy`."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The scorers that `prefer` names."""
        return scorers(self.prefer)

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample in a conflict: kept, its group's first row, the similarity of the two answers."""
        rows = ranked(samples, self.prefer)
        first = self._first(rows, context)
        row = np.flatnonzero(first != np.arange(len(rows)))
        similarity = _similarity(rows["response"], row, first[row])
        differs = similarity < self.agreement
        said = number_labels(rows["response"], self.numbers_agree)
        if said is not None:
            differs |= said[row] != said[first[row]]
        row, similarity = row[differs], similarity[differs]
        ids, heads = rows["sample_id"], np.unique(first[row])
        witness = pl.concat([ids[first[row]], pl.Series([None], dtype=pl.String).new_from_index(0, len(heads))])
        values = pl.Series(similarity).append(pl.Series([None], dtype=pl.Float64).new_from_index(0, len(heads)))
        marked = pl.concat([ids[row], ids[heads]])
        return decisions(marked, REASON, kept=True, witness_id=witness, similarity=values)

    def _first(self, rows: pl.DataFrame, context: Context) -> Ints:
        """Return the place of the first row of each row's group, its own for the first."""
        if self.prompt_similarity is not None:
            return self._nearest(rows, self.prompt_similarity, context)
        prompts = [
            normalise(part, case=True).alias(f"part_{at}") for at, part in enumerate(parts(rows, "prompt", self.system))
        ]
        place = pl.DataFrame(prompts).with_row_index("place")
        names = [part.name for part in prompts]
        found = place.select(pl.col("place").cast(pl.Int64).first().over(names))
        return found.to_series().to_numpy()

    def _nearest(self, rows: pl.DataFrame, threshold: float, context: Context) -> Ints:
        sets = Sets.of(grams(rows, "prompt", self.system, ANSWER_GRAM))
        group = number_labels(texts(rows, "prompt", self.system), agree=True)

        def watch(done: int) -> None:
            """Tell how far the search is; raise Interrupted when the user asked to stop."""
            context.progress(done, len(rows))
            if context.stopping():
                raise Interrupted("stopped during the search for conflicts")

        found = leaders(sets, threshold, group=group, watch=watch)
        first = np.arange(len(rows))
        first[found.row] = found.leader
        return first


def _similarity(answers: pl.Series, row: Ints, first: Ints) -> NDArray[np.float64]:
    """Return how similar the answers `row[k]` and `first[k]` are, 1 when they are the same but for white space."""
    same = normalise(answers, case=True).rank("dense").to_numpy()
    return np.where(same[row] == same[first], 1.0, jaccard_of(grams_of(answers, ANSWER_GRAM), row, first))
