"""Drop training rows that hold evaluation text: shared word n-grams, or the same short prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.step import decisions
from curate.text import Grams, Lexicon, keyed, whole
from manifests import schema
from manifests.component import COMPONENT, Context

REASON: Final = "overlaps eval"
OVERLAPS: Final[schema.Schema] = {"train": pl.Int64, "eval": pl.Int64, "share": pl.Float64}


def overlaps(
    train_texts: pl.Series,
    eval_texts: pl.Series,
    ngram: int = 13,
    *,
    share: float = 0.0,
    max_eval_rows: int | None = 10,
    prompts: pl.Series | None = None,
) -> pl.DataFrame:
    r"""Return every pair of a training and an evaluation text that overlap: `train`, `eval` (indices) and `share`.

    `share` is the part, over 0 and up to 1, of the evaluation text's distinct word n-grams that the training text
    holds; pairs below the argument `share` are left out. Words are `re.findall(r"\w+", text.lower())`. N-grams in more
    than `max_eval_rows` evaluation texts are boiler-plate and do not count (None: all count).

    An evaluation text without a counted n-gram, such as one of fewer than `ngram` words, overlaps, with share 1, the
    training texts whose words are exactly its own; `prompts` are the texts compared so (default: `train_texts`, row for
    row). Ordered by train, eval. Exact, without hashes. 13-grams: Brown et al., "Language Models are Few-Shot Learners"
    (NeurIPS 2020), appendix C.
    """
    lexicon = Lexicon.of(eval_texts, ngram)
    mine = _distinct(lexicon.grams(eval_texts)).rename({"row": "eval"})
    if max_eval_rows is not None:
        mine = mine.filter(pl.len().over("gram") <= max_eval_rows)
    counted = mine.group_by("eval").agg(total=pl.len())
    matched = (
        _distinct(lexicon.grams(train_texts))
        .rename({"row": "train"})
        .join(mine, on="gram")
        .group_by("train", "eval")
        .agg(matched=pl.len())
        .join(counted, on="eval")
        .select("train", "eval", share=pl.col("matched") / pl.col("total"))
        .filter(pl.col("share") >= share)
    )
    same = _same(train_texts if prompts is None else prompts, eval_texts, counted["eval"])
    return pl.concat([matched, same]).sort("train", "eval")


def _distinct(grams: Grams) -> pl.DataFrame:
    return pl.DataFrame({"row": grams.row, "gram": grams.gram}).unique()


def _same(train_texts: pl.Series, eval_texts: pl.Series, counted: pl.Series) -> pl.DataFrame:
    """Return the pairs with the same words, for the evaluation texts that are not in `counted` and have a word."""
    mine = pl.DataFrame({"words": whole(eval_texts)}).with_row_index("eval")
    mine = mine.cast({"eval": pl.Int64}).filter(~pl.col("eval").is_in(counted.implode()), pl.col("words") != "")
    theirs = pl.DataFrame({"words": whole(train_texts)}).with_row_index("train").cast({"train": pl.Int64})
    return theirs.join(mine, on="words").select("train", "eval", share=pl.lit(1.0))


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Decontaminate:
    """Drops rows that share a word n-gram with an eval row; the witness is the eval row that is most covered.

    Short eval prompts (fewer than `ngram` words, or nothing but boiler-plate) drop the rows with the same prompt, word
    for word. The similarity is the share of the eval row's n-grams that the row holds. Specialist rows are examined
    too: a test row in the specialist data is the usual leak. Works in memory, without a server or the network.
    """

    kind: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("eval",)

    roles: tuple[str, ...] = ("generalist", "specialist")
    """Roles of the rows that are examined."""
    ngram: Annotated[int, Field(ge=1, le=64)] = 13
    """Words in an n-gram. Fewer find more and more by chance."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Smallest share of an eval row's n-grams that a row must hold to be dropped; 0 means that any one is enough."""
    text: Literal["prompt", "both"] = "both"
    """Where eval text is looked for: in the row's `prompt`, or in prompt and response (`both`)."""
    eval_text: Literal["prompt", "both"] = "prompt"
    """What is looked for: the eval row's `prompt`, or `both`, prompt and response."""
    max_eval_rows: Annotated[int, Field(ge=1)] | None = 10
    """N-grams in more eval rows than this are boiler-plate of their task and do not count; null counts all."""

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample dropped: the eval row that it covers most (ties: the smaller id) and its share."""
        held_out = reference["eval"]
        found = overlaps(
            keyed(samples, self.text),
            keyed(held_out, self.eval_text),
            self.ngram,
            share=self.share,
            max_eval_rows=self.max_eval_rows,
            prompts=samples["prompt"],
        )
        found = found.with_columns(
            sample_id=samples["sample_id"].gather(found["train"]),
            witness_id=held_out["sample_id"].gather(found["eval"]),
        )
        best = found.sort(["sample_id", "share", "witness_id"], descending=[False, True, False])
        best = best.unique("sample_id", keep="first", maintain_order=True)
        return decisions(best["sample_id"], REASON, witness_id=best["witness_id"], similarity=best["share"])
