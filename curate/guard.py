"""What keeps duplicate removal from taking too much: other numbers, other answers, a source that would vanish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from curate.jaccard import Pairs
from curate.text import Grams, Ints, grams_of, normalise, numbers
from manifests.errors import UserError

if TYPE_CHECKING:
    import polars as pl

AGREEMENT: Final = 0.5
"""Two answers to one prompt below this Jaccard similarity of word 3-grams are different answers."""
_NGRAM: Final = 3


def number_labels(texts: pl.Series, agree: bool) -> Ints | None:
    """Return a label per text, equal where the numbers are the same; None, for no guard, unless they must `agree`."""
    return numbers(texts) if agree else None


def jaccard_of(grams: Grams, row: Ints, other: Ints) -> NDArray[np.float64]:
    """Return the Jaccard similarity of the gram sets of `row[k]` and `other[k]`; two empty sets have 0."""
    wide = np.int64(grams.gram.max(initial=0)) + 1
    key = np.unique(grams.row.astype(np.int64) * wide + grams.gram)
    start = np.searchsorted(key, np.arange(grams.rows + 1) * wide)
    count = np.diff(start)
    pair = np.repeat(np.arange(len(row)), count[row])
    inner = np.arange(len(pair)) - np.repeat(np.cumsum(count[row]) - count[row], count[row])
    gram = key[start[row][pair] + inner] % wide
    place = np.minimum(np.searchsorted(key, wanted := other[pair] * wide + gram), max(len(key) - 1, 0))
    both = np.bincount(pair[key[place] == wanted], minlength=len(row))
    return np.asarray(both / np.maximum(count[row] + count[other] - both, 1), np.float64)


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of rows with their prompts: knows which pairs answer one prompt in different ways."""

    prompt: Ints
    """A label per row, equal where the prompts are, but for composition, case and white space."""
    answer: Ints
    """The same of the responses."""
    grams: Grams
    """Word 3-grams of the responses of those rows that share their prompt with another."""

    @classmethod
    def of(cls, samples: pl.DataFrame) -> Answers:
        """Return the answers of `samples`; only prompts that occur twice cost anything."""
        prompt, answer = (_labels(samples[column]) for column in ("prompt", "response"))
        shared = np.bincount(prompt, minlength=1)[prompt] > 1
        texts = samples["response"].zip_with(_mask(shared), samples["response"].clear(len(samples)))
        return cls(prompt, answer, grams_of(texts.fill_null(""), _NGRAM))

    def similarity(self, row: Ints, other: Ints) -> NDArray[np.float64]:
        """Return how similar the answers of rows that share a prompt are, 0 to 1; equal answers have 1."""
        return np.where(self.answer[row] == self.answer[other], 1.0, jaccard_of(self.grams, row, other))

    def agreeing(self, pairs: Iterable[Pairs], least: float) -> Iterator[Pairs]:
        """Yield the pairs without those that share a prompt and have answers below `least` in similarity."""
        for block in pairs:
            same = np.flatnonzero(self.prompt[block.later] == self.prompt[block.earlier])
            other = same[self.similarity(block.later[same], block.earlier[same]) < least]
            fit = np.ones(len(block.later), np.bool_)
            fit[other] = False
            yield Pairs(block.later[fit], block.earlier[fit], block.similarity[fit], block.upto)


def _labels(texts: pl.Series) -> Ints:
    return np.asarray(normalise(texts, case=True).rank("dense").to_numpy(), np.int64)


def _mask(values: NDArray[np.bool_]) -> pl.Series:
    import polars as pl

    return pl.Series(values)


def refuse_wipe_out(source: pl.Series, removed: pl.Series, most: float, what: str, remedy: str) -> None:
    """Raise UserError with every source's loss when one would lose more than the share `most` of its rows.

    `source` names the source of every row, `removed` that of every dropped row; `what` is the work, for the message,
    and `remedy` what to do besides raising `max_removed_share`.
    """
    import polars as pl

    lost = removed.to_frame("source").group_by("source").len("removed")
    loss = (
        source.to_frame("source")
        .group_by("source")
        .len("rows")
        .join(lost, on="source", how="left")
        .with_columns(pl.col("removed").fill_null(0))
        .with_columns(share=pl.col("removed") / pl.col("rows"))
        .sort(["share", "source"], descending=[True, False])
    )
    over = loss.filter(pl.col("share") > most)["source"].to_list()
    if over:
        table = "; ".join(f"{s}: {r} of {n} ({share:.1%})" for s, n, r, share in loss.iter_rows())
        raise UserError(
            f"{what} would take more than {most:.1%} of a source",
            value=over,
            remedy=f"loss by source: {table}\n  {remedy}, or raise `max_removed_share`",
        )
