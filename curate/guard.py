"""What keeps duplicate removal from taking too much: other numbers, other answers, a source that would vanish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from curate.jaccard import Pairs
from curate.text import Grams, Ints, grams_of, numbers
from manifests.errors import UserError

if TYPE_CHECKING:
    import polars as pl

AGREEMENT: Final = 0.5
"""Two answers to one prompt below this Jaccard similarity of word 3-grams are different answers."""
SAME_ANSWER: Final = 0.8
"""From this similarity on, two answers are taken for one: at 0.5, 6 of 55 drops read were wrong, at 0.8 2 of 39."""
ANSWER_GRAM: Final = 3
"""Words in the n-grams by which answers are compared."""


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


def agreeing(pairs: Iterable[Pairs], texts: pl.Series, n: int, least: float) -> Iterator[Pairs]:
    """Yield the pairs without those whose `texts` (one per row) are below `least` in Jaccard of word n-grams.

    Texts without a word agree when they are equal.
    """
    for block in pairs:
        rows, place = np.unique(np.concatenate((block.later, block.earlier)), return_inverse=True)
        later, earlier = place[: len(block.later)], place[len(block.later) :]
        said = texts[rows].str.strip_chars()
        similarity = jaccard_of(grams_of(said, n), later, earlier)
        apart = np.flatnonzero(similarity < least)
        similarity[apart] += (said[later[apart]] == said[earlier[apart]]).to_numpy()
        fit = similarity >= least
        yield Pairs(block.later[fit], block.earlier[fit], block.similarity[fit], block.upto)


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
