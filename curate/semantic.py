"""Drop rows that mean the same as a better row: cosine of sentence vectors, guards, and leaders in order of merit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from curate.embed import encode, text_ids
from curate.guard import AGREEMENT, ANSWER_GRAM, agreeing, number_labels, refuse_wipe_out
from curate.jaccard import Pairs
from curate.leader import leaders_of
from curate.merit import Prefer, ranked, scorers
from curate.neighbours import Index, Search, cosines, lengths, rounded
from curate.pair_calibration import labelled, threshold_for
from curate.step import decisions
from curate.text import Key, keyed, normalise
from manifests.atomic import replacing
from manifests.component import COMPONENT, Context, spec_of
from manifests.errors import Interrupted, UserError
from manifests.names import canonical_json, digest, digest_bytes

REASON: Final = "semantic duplicate"
RECORDS: Final = Path("cache") / "semantic"
_REMEDY: Final = "raise `threshold`, set `min_jaccard`, compare another `key`"


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Semantic:
    """Drops a row when a kept row is within `threshold` of it in cosine of their sentence vectors.

    Rows are taken in order of merit; the most similar row kept before is the witness, and the similarity is theirs,
    computed exactly on vectors rounded to 1/2048. Vectors know little of numbers: without `numbers_agree` a cosine of
    0.9 merges most rows that differ only in numbers. Up to 10,000 rows every pair is compared; beyond, an inverted
    index finds the wanted `recall` of neighbours, measured on 500 of the rows at hand. What was measured stands in
    `cache/semantic/KEY.json` of the manifest's folder and in the drops' detail.
    """

    kind: ClassVar[str] = "semantic"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()
    paths: ClassVar[frozenset[str]] = frozenset({"pairs"})

    roles: tuple[str, ...] = ("generalist",)
    """Roles of the rows that are compared."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Smallest cosine of two rows that mean the same; another encoder needs another one."""
    pairs: str | None = None
    """File of labelled pairs (Parquet or JSON lines: `text1`, `text2`, `label` 1 or 0) that chooses the threshold."""
    precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    """With `pairs`: the precision that the threshold must reach on them, by the lower end of its 95 % interval."""
    encoder: str = "minilm"
    """Encoder of the texts: minilm, minilm-bf16, minilm-static, hash, or a sentence-transformers id or folder."""
    key: Key = "both"
    """What is compared: `prompt`, `response`, or `both`. `prompt` also drops other answers to a similar prompt."""
    numbers_agree: bool = True
    """Two rows with other numbers in the compared text are not duplicates: `2 + 3` is another task than `2 + 4`."""
    answers_agree: Annotated[float, Field(ge=0, le=1)] = AGREEMENT
    """Two rows with one prompt are duplicates only if their answers are this similar (word 3-grams); 0 asks nothing.

    Only where the key is `both`: other answers to one prompt are conflicts (the step `conflict`).
    """
    min_jaccard: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Smallest Jaccard similarity of the sets of words that two duplicates have; 0 asks nothing."""
    recall: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of the neighbours that the search has to find in large pools."""
    prefer: Prefer = ("length",)
    """Which row stays: `length`, `source`, `id`, `high SCORER`, `low meta.KEY`, in the order in which they decide."""
    protect: tuple[str, ...] = ()
    """Sources that lose no row; their rows are taken first."""
    max_removed_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Stop when a source would lose a larger share of its rows than this."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.pairs is None) != (self.precision is None):
            remedy = "set both, or neither and a `threshold`"
            raise UserError("`pairs` and `precision` go together", value=self.pairs or self.precision, remedy=remedy)
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The scorers that `prefer` names."""
        return scorers(self.prefer)

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the encoder's weights and the labelled pairs, by hash."""
        from curate.encoder import identity

        return {"encoder": identity(self.encoder), "pairs": digest_bytes(_bytes(self.pairs)) if self.pairs else ""}

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample dropped; raise UserError when a source would lose more than it may."""
        rows = ranked(samples, self.prefer, self.protect)
        texts = keyed(rows, self.key)
        vectors = self._encoded(texts.to_list(), text_ids(rows["content_id"].to_list(), self.key), context)
        threshold = self._threshold(context)
        index = Index(rounded(vectors), threshold, recall=self.recall)
        alive = np.ones(len(rows), np.bool_)

        def watch(done: int) -> None:
            """Tell how far the search is; raise Interrupted when the user asked to stop."""
            context.progress(done, len(rows))
            if context.stopping():
                raise Interrupted("stopped during semantic duplicate removal")

        always = rows["source"].is_in(list(self.protect)).to_numpy()
        found = leaders_of(self._guarded(index.pairs(alive), rows, texts), alive, always=always, watch=watch)
        refuse_wipe_out(
            rows["source"], rows["source"][found.row], self.max_removed_share, "semantic duplicate removal", _REMEDY
        )
        self._record(index.search, threshold, rows, context)
        ids, said = rows["sample_id"], _said(index.search)
        if self.pairs is not None:
            said = "; ".join(filter(None, (f"threshold {threshold:.4g} for precision {self.precision:g}", said)))
        return decisions(
            ids[found.row],
            REASON,
            witness_id=ids[found.leader],
            similarity=pl.Series(np.clip(found.similarity, 0, 1)),
            detail=pl.Series([said or None], dtype=pl.String).new_from_index(0, len(found.row)),
        )

    def _encoded(self, texts: list[str], ids: list[str], context: Context) -> np.ndarray[Any, np.dtype[np.float32]]:
        return encode(texts, ids, self.encoder, context.root / "cache" / "embeddings.sqlite", context)

    def _threshold(self, context: Context) -> float:
        """Return the threshold, or the one that the labelled pairs certify for the precision."""
        if self.pairs is None or self.precision is None:
            return self.threshold
        frame = labelled(Path(self.pairs))
        texts = [*frame["text1"], *frame["text2"]]
        grid = rounded(self._encoded(texts, [digest(text) for text in texts], context))
        half = np.arange(len(frame))
        similarity = cosines(grid, lengths(grid), half, half + len(frame))
        return threshold_for(similarity, frame["label"].to_numpy(), self.precision)

    def _guarded(self, pairs: Iterable[Pairs], rows: pl.DataFrame, texts: pl.Series) -> Iterator[Pairs]:
        """Yield the pairs that no guard forbids."""
        group = number_labels(texts, self.numbers_agree)
        if group is not None:
            pairs = (_where(block, group[block.later] == group[block.earlier]) for block in pairs)
        if self.min_jaccard > 0:
            pairs = agreeing(pairs, texts, 1, self.min_jaccard)
        if self.answers_agree and self.key == "both":
            pairs = _without_conflicts(pairs, rows, self.answers_agree)
        yield from pairs

    def _record(self, search: Search, threshold: float, rows: pl.DataFrame, context: Context) -> None:
        """Write what was searched for and how much of it the search finds: it does not depend on the rows' order."""
        key = digest([spec_of(self), rows["sample_id"].sort().to_list()])
        said = {"kind": self.kind, "rows": len(rows), "threshold": threshold, "search": asdict(search)}
        with replacing(context.root / RECORDS / f"{key}.json") as temporary:
            temporary.write_text(canonical_json(said) + "\n", encoding="utf-8")


def _where(block: Pairs, fit: np.ndarray[Any, np.dtype[np.bool_]]) -> Pairs:
    return Pairs(block.later[fit], block.earlier[fit], block.similarity[fit], block.upto)


def _without_conflicts(pairs: Iterable[Pairs], rows: pl.DataFrame, least: float) -> Iterator[Pairs]:
    """Yield the pairs without those of one prompt whose answers are less alike than `least`."""
    prompt = normalise(rows["prompt"], case=True).rank("dense").to_numpy()
    for block in pairs:
        same = prompt[block.later] == prompt[block.earlier]
        (fit,) = agreeing([_where(block, same)], rows["response"], ANSWER_GRAM, least)
        other = _where(block, ~same)
        later, earlier = np.append(other.later, fit.later), np.append(other.earlier, fit.earlier)
        order = np.lexsort((earlier, later))
        yield Pairs(later[order], earlier[order], np.append(other.similarity, fit.similarity)[order], block.upto)


def _said(search: Search) -> str:
    if not search.lists:
        return ""
    measured = f"{search.neighbours:,} neighbours of {search.sampled:,} rows"
    return f"search of {search.probes} of {search.lists} lists, recall {search.recall:.4f} on {measured}"


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as fault:
        raise UserError(f"the labelled pairs cannot be read ({fault.strerror})", value=path) from None
