"""Where training text holds evaluation text: shared word n-grams, covered words, the same words, near vectors.

Pure functions over texts and vectors; every answer is a frame of pairs (`OVERLAPS`), exact and without hashes.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.text import Grams, Lexicon, whole, words
from manifests import schema

Of = Literal["eval", "row"]
OVERLAPS: Final[schema.Schema] = {"train": pl.Int64, "eval": pl.Int64, "share": pl.Float64}
CELLS: Final = 8_000_000
"""Cosines in memory at once."""


def overlaps(
    train_texts: pl.Series,
    eval_texts: pl.Series,
    ngram: int = 13,
    *,
    share: float = 0.0,
    of: Of = "eval",
    max_eval_rows: int | None = 10,
    prompts: pl.Series | None = None,
) -> pl.DataFrame:
    r"""Return every pair of a training and an evaluation text that overlap: `train`, `eval` (indices) and `share`.

    `share` is the part, over 0 and up to 1, of the evaluation text's distinct word n-grams that the training text
    holds (`of="eval"`), or of the places of n-grams in the training text that the evaluation text holds (`of="row"`);
    pairs below the argument `share` are left out. Words are `re.findall(r"\w+", text.lower())`. N-grams in more than
    `max_eval_rows` evaluation texts are boiler-plate and do not count (None: all count).

    An evaluation text without a counted n-gram, such as one of fewer than `ngram` words, overlaps, with share 1, the
    training texts whose words are exactly its own; `prompts` are the texts compared so (default: `train_texts`, row for
    row). Ordered by train, eval. 13-grams: Brown et al., "Language Models are Few-Shot Learners" (NeurIPS 2020),
    appendix C.
    """
    lexicon = Lexicon.of(eval_texts, ngram)
    mine = _counted(_frame(lexicon.grams(eval_texts)).unique(), max_eval_rows)
    mine = mine.rename({"row": "eval"})
    theirs = _frame(lexicon.grams(train_texts)).rename({"row": "train"})
    if of == "eval":
        theirs = theirs.unique()
        total, side = mine.group_by("eval").agg(total=pl.len()), "eval"
    else:
        total, side = _rooms(train_texts, ngram), "train"
    pairs = (
        theirs.join(mine, on="gram")
        .group_by("train", "eval")
        .agg(matched=pl.len())
        .join(total, on=side)
        .sort("train", "eval")
    )
    matched = _shares(pairs, "matched").filter(pl.col("share") >= share)
    alone = same(train_texts if prompts is None else prompts, eval_texts, besides=mine["eval"])
    return pl.concat([matched, alone]).sort("train", "eval")


def contained(
    train_texts: pl.Series, eval_texts: pl.Series, ngram: int = 8, *, over: float = 0.5, max_eval_rows: int | None = 10
) -> pl.DataFrame:
    """Return the pairs in which the training text covers more than `over` of the evaluation text's words.

    A word is covered when it lies in an n-gram that the training text holds too; the share is of the words that lie in
    counted n-grams (all words of a text of n or more, but for boiler-plate as in `overlaps`). Texts of fewer than n
    words are in no pair. Ordered by train, eval. The rule of Lambert et al., "Tulu 3" (2024, arXiv 2411.15124), section
    3.2, with 8-grams, a bound of one half and `max_eval_rows=None`.
    """
    lexicon = Lexicon.of(eval_texts, ngram)
    mine = _counted(_placed(lexicon.grams(eval_texts)), max_eval_rows).rename({"row": "eval"})
    theirs = _frame(lexicon.grams(train_texts)).rename({"row": "train"}).unique()
    total = _covered(mine, ["eval"], ngram).rename({"covered": "total"})
    pairs = _covered(theirs.join(mine, on="gram"), ["train", "eval"], ngram).join(total, on="eval")
    return _shares(pairs.sort("train", "eval"), "covered").filter(pl.col("share") > over)


def same(train_texts: pl.Series, eval_texts: pl.Series, *, besides: pl.Series | None = None) -> pl.DataFrame:
    """Return the pairs that have the same words in the same order, with share 1; texts without a word are in none.

    Evaluation texts whose index is in `besides` are left out. Ordered by train, eval.
    """
    mine = pl.DataFrame({"words": whole(eval_texts)}).with_row_index("eval").cast({"eval": pl.Int64})
    mine = mine.filter(pl.col("words") != "")
    if besides is not None:
        mine = mine.filter(~pl.col("eval").is_in(besides.implode()))
    theirs = pl.DataFrame({"words": whole(train_texts)}).with_row_index("train").cast({"train": pl.Int64})
    return theirs.join(mine, on="words").select("train", "eval", share=pl.lit(1.0)).sort("train", "eval")


def near(train: NDArray[np.float32], held_out: NDArray[np.float32], threshold: float) -> pl.DataFrame:
    """Return each training vector's nearest evaluation vector where their cosine is at least `threshold`.

    Both are unit rows, shape (n, d) and (m, d); of equally near ones the first counts. `share` is the cosine to five
    decimals. Costs n * m * d multiplications; exact.
    """
    found: list[tuple[int, int, float]] = []
    block = max(1, CELLS // max(len(held_out), 1))
    for begin in range(0, len(train) if len(held_out) else 0, block):
        cosine = np.round(train[begin : begin + block] @ held_out.T, 5)
        best = cosine.argmax(axis=1)
        value = cosine[np.arange(len(best)), best]
        found += [(begin + int(i), int(best[i]), round(float(value[i]), 5)) for i in np.flatnonzero(value >= threshold)]
    return pl.DataFrame(found, schema=dict(OVERLAPS), orient="row")


def runs(train_texts: pl.Series, eval_texts: pl.Series, ngram: int) -> pl.Series:
    """Return the longest run of words, `ngram` or more, that the texts of each pair share; null where there is none.

    The k-th texts of both are a pair. Of equally long runs it is the first of the training text. Where an evaluation
    text says an n-gram twice, only the first place counts, so that the work is linear in the words.
    """
    lexicon = Lexicon.of(pl.concat([train_texts.rename("t"), eval_texts.rename("t")]), ngram)
    theirs, mine = _placed(lexicon.grams(train_texts)), _placed(lexicon.grams(eval_texts))
    mine = mine.unique(["row", "gram"], keep="first", maintain_order=True)
    run = (
        theirs.join(mine, on=["row", "gram"], suffix="_eval")
        .with_columns(diagonal=pl.col("place") - pl.col("place_eval"))
        .sort("row", "diagonal", "place")
        .with_columns(run=pl.col("place") - pl.int_range(pl.len()).over("row", "diagonal"))
        .group_by("row", "diagonal", "run")
        .agg(begin=pl.col("place").min(), length=pl.len().cast(pl.Int64) + ngram - 1)
        .sort(["row", "length", "begin"], descending=[False, True, False])
        .unique("row", keep="first", maintain_order=True)
    )
    listed = pl.DataFrame({"words": words(train_texts)}).with_row_index("row").cast({"row": pl.Int64})
    joined = listed.join(run, on="row", how="left", maintain_order="left")
    return joined.select(pl.col("words").list.slice(pl.col("begin"), pl.col("length")).list.join(" "))["words"]


def _frame(grams: Grams) -> pl.DataFrame:
    return pl.DataFrame({"row": grams.row, "gram": grams.gram}).cast({"row": pl.Int64, "gram": pl.Int64})


def _placed(grams: Grams) -> pl.DataFrame:
    """Return the grams with their place in the row, counted from 0 among those that the lexicon knows."""
    first = np.searchsorted(grams.row, np.arange(grams.rows))
    return _frame(grams).with_columns(place=pl.Series(np.arange(len(grams.row)) - first[grams.row], dtype=pl.Int64))


def _counted(mine: pl.DataFrame, max_eval_rows: int | None) -> pl.DataFrame:
    if max_eval_rows is None:
        return mine
    return mine.filter(pl.col("row").n_unique().over("gram") <= max_eval_rows)


def _shares(pairs: pl.DataFrame, part: str) -> pl.DataFrame:
    """Return the pairs with `part` over `total` as their share.

    By NumPy: Polars divides by a column of one value in another way, so that a share's last bit would depend on the
    other rows.
    """
    share = pairs[part].to_numpy().astype(np.float64) / pairs["total"].to_numpy().astype(np.float64)
    return pairs.select("train", "eval", share=pl.Series(share, dtype=pl.Float64))


def _covered(grams: pl.DataFrame, keys: list[str], n: int) -> pl.DataFrame:
    """Return how many words the n-grams at `place` cover together, per `keys`."""
    step = (pl.col("place").shift(-1) - pl.col("place")).over(keys)
    ordered = grams.select(*keys, "place").unique().sort(*keys, "place")
    return (
        ordered.with_columns(step=step.fill_null(n).clip(upper_bound=n))
        .group_by(keys)
        .agg(covered=pl.col("step").sum())
    )


def _rooms(texts: pl.Series, n: int) -> pl.DataFrame:
    """Return how many n-grams each text has, `train` being its index."""
    total = words(texts).list.len().cast(pl.Int64) - n + 1
    return pl.DataFrame({"train": pl.int_range(len(texts), eager=True), "total": total})
