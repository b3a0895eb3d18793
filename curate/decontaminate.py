"""Drop training rows that hold evaluation text, say the same as it, or share a prompt or a document with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Final, Literal

import polars as pl
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate.overlap import Of, contained, near, overlaps, runs, same
from curate.step import decisions
from curate.text import keyed, whole
from manifests.component import COMPONENT, Context
from manifests.errors import UserError

REASON: Final = "overlaps eval"
REASONS: Final[Mapping[str, str]] = {
    "ngram": REASON,
    "containment": "contains eval",
    "exact": "same prompt as eval",
    "semantic": "means the same as eval",
    "group": "same group as eval",
}
"""What a dropped row's reason is, by the way in which it was found."""
Way = Literal["ngram", "containment", "exact", "semantic"]
_SHOWN: Final = 300
_FOUND: Final = {"sample_id": pl.String, "witness_id": pl.String, "share": pl.Float64, "detail": pl.String}


def _groups(groups: tuple[str, ...]) -> tuple[str, ...]:
    for group in groups:
        if group != "prompt" and not re.fullmatch(r"meta\.[\w-]+", group):
            remedy = "write prompt, or meta.KEY for a key that the sources keep"
            raise UserError("no such group", value=group, options=("prompt",), remedy=remedy)
    return groups


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Decontaminate:
    """Drops rows that hold the text of an eval row or stand in one group with it; the witness is that eval row.

    Ways (`by`), a row's reason being that of the first that finds it: `ngram` (it shares a word n-gram with an eval
    row; the similarity is the share of n-grams, see `of`), `containment` (it covers more than `over` of an eval row's
    words with shared n-grams), `exact` (the same prompt, word for word) and `semantic` (the prompts' vectors are near).
    The detail is the longest run of words that both share, or the group. Eval prompts too short for an n-gram, or
    nothing but boiler-plate, drop the rows with the same prompt under `ngram`.

    Whatever must not be trained on has the role eval, the test rows of a specialist set too: read them as a source of
    their own. Specialist rows are examined like others: a test row among them is the usual leak. Presets: Brown et al.
    2020 `{by: [ngram], ngram: 13}`; Tulu 3 `{by: [containment], ngram: 8, over: 0.5, max_eval_rows: null}`. Works in
    memory, without a server or the network.
    """

    kind: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("eval",)

    roles: tuple[str, ...] = ("generalist", "specialist")
    """Roles of the rows that are examined."""
    by: Annotated[tuple[Way, ...], Field(min_length=1)] = ("ngram",)
    """Ways in which eval text is looked for, in the order in which a row's reason is chosen."""
    ngram: Annotated[int, Field(ge=1, le=64)] = 13
    """Words in an n-gram, for `ngram` and `containment`. Fewer find more and more by chance."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Smallest share of n-grams for `ngram`; 0 means that any one is enough."""
    of: Of = "eval"
    """Whose n-grams `share` counts: the `eval` row's, or the examined `row`'s."""
    over: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of an eval row's words that a row must exceed for `containment`."""
    text: Literal["prompt", "both"] = "both"
    """Where n-grams are looked for: in the row's `prompt`, or in prompt and response (`both`)."""
    eval_text: Literal["prompt", "both"] = "prompt"
    """What is looked for: the eval row's `prompt`, or `both`, prompt and response."""
    max_eval_rows: Annotated[int, Field(ge=1)] | None = 10
    """N-grams in more eval rows than this are boiler-plate of their task and do not count; null counts all."""
    groups: Annotated[tuple[str, ...], AfterValidator(_groups)] = ()
    """Groups that may not be on both sides: `prompt` (the same words), `meta.KEY` (the same value, such as a document's
    id). Rows that share one with an eval row are dropped."""
    encoder: str = "minilm"
    """Encoder of the prompts for `semantic`: minilm, hash, or a sentence-transformers id or folder."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Smallest cosine of two prompts that mean the same, for `semantic`."""

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample dropped: by the first way that finds it, the eval row most like it, how and where.

        Of equally like eval rows the one with the smaller id is the witness.
        """
        samples, held_out = samples.sort("sample_id"), reference["eval"].sort("sample_id")
        ways: dict[str, Callable[[], pl.DataFrame]] = {
            "ngram": lambda: self._worded(samples, held_out, self._ngrams(samples, held_out)),
            "containment": lambda: self._worded(samples, held_out, self._contained(samples, held_out)),
            "exact": lambda: self._worded(samples, held_out, same(samples["prompt"], held_out["prompt"])),
            "semantic": lambda: _best(samples, held_out, self._near(samples, held_out, context)),
        }
        frames: list[tuple[str, pl.DataFrame]] = [(name, ways[name]()) for name in self.by]
        frames += [("group", _grouped(samples, held_out, group)) for group in self.groups]
        found = pl.concat(frame.with_columns(reason=pl.lit(REASONS[name])) for name, frame in frames)
        found = found.unique("sample_id", keep="first", maintain_order=True)
        return decisions(
            found["sample_id"],
            found["reason"],
            witness_id=found["witness_id"],
            similarity=found["share"],
            detail=found["detail"],
        )

    def _ngrams(self, samples: pl.DataFrame, held_out: pl.DataFrame) -> pl.DataFrame:
        return overlaps(
            keyed(samples, self.text),
            keyed(held_out, self.eval_text),
            self.ngram,
            share=self.share,
            of=self.of,
            max_eval_rows=self.max_eval_rows,
            prompts=samples["prompt"],
        )

    def _contained(self, samples: pl.DataFrame, held_out: pl.DataFrame) -> pl.DataFrame:
        texts = keyed(samples, self.text), keyed(held_out, self.eval_text)
        return contained(*texts, self.ngram, over=self.over, max_eval_rows=self.max_eval_rows)

    def _near(self, samples: pl.DataFrame, held_out: pl.DataFrame, context: Context) -> pl.DataFrame:
        from curate.embed import encode

        cache = context.root / "cache" / "embeddings.sqlite"
        train, theirs = (
            encode(frame["prompt"].to_list(), frame["content_id"].to_list(), self.encoder, cache, context)
            for frame in (samples, held_out)
        )
        return near(train, theirs, self.threshold)

    def _worded(self, samples: pl.DataFrame, held_out: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
        """Return the best pair of each sample with the words that both share."""
        best = _best(samples, held_out, pairs)
        rows = best.select("sample_id").join(samples, on="sample_id", maintain_order="left")
        theirs = best.select(sample_id="witness_id").join(held_out, on="sample_id", maintain_order="left")
        shared = runs(keyed(rows, self.text), keyed(theirs, self.eval_text), self.ngram)
        shared = pl.select(pl.coalesce(shared, whole(theirs["prompt"]))).to_series().str.slice(0, _SHOWN)
        return best.with_columns(detail=shared)


def _best(samples: pl.DataFrame, held_out: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return each sample's eval row of the largest share; both frames are ordered by sample id."""
    best = pairs.sort(["train", "share", "eval"], descending=[False, True, False])
    best = best.unique("train", keep="first", maintain_order=True)
    return pl.DataFrame(
        {
            "sample_id": samples["sample_id"].gather(best["train"]),
            "witness_id": held_out["sample_id"].gather(best["eval"]),
            "share": best["share"],
            "detail": pl.Series([None] * len(best), dtype=pl.String),
        },
        schema=_FOUND,
    )


def _grouped(samples: pl.DataFrame, held_out: pl.DataFrame, group: str) -> pl.DataFrame:
    """Return the samples that share the group's value with an eval row; of several, that of the smallest id."""
    mine = held_out.select(witness_id="sample_id", group=_value(held_out, group)).sort("witness_id")
    mine = mine.filter(pl.col("group") != "").unique("group", keep="first", maintain_order=True)
    theirs = samples.select("sample_id", group=_value(samples, group)).join(mine, on="group", maintain_order="left")
    detail = pl.lit(group) if group == "prompt" else pl.format(group + " = {}", pl.col("group").str.slice(0, _SHOWN))
    return theirs.select("sample_id", "witness_id", share=pl.lit(None, pl.Float64), detail=detail)


def _value(frame: pl.DataFrame, group: str) -> pl.Series:
    """Return each row's value of the group as text; null or empty where it has none."""
    if group == "prompt":
        return whole(frame["prompt"])
    return frame["meta"].str.json_path_match(f"$['{group.removeprefix('meta.')}']")
