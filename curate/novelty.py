"""How far a row is from the rows most like it: a measure of diversity."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate.embed import encode, text_ids
from curate.neighbours import Index, rounded
from curate.scores import scored
from curate.step import Scored
from curate.text import Key, keyed
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted
from manifests.names import check_name

ALONE: Final = "no other row to compare with"
EMPTY: Final = "no text to compare"


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Novelty:
    """Gives 1 minus the mean cosine of the `k` nearest other rows, 0 to 2: 0 is a copy, 2 the opposite.

    With k = 1, the distance to the nearest neighbour that DEITA (Liu et al., ICLR 2024) asks diverse rows to have.
    Neighbours come from the rows of all `roles`. Costs the vectors (see `curate.embed`) and a comparison of every pair,
    n * n * d products. Beyond 10,000 rows an inverted index reads a part of the pool, as much as finds 0.99 of the
    neighbours with a cosine of at least 0.5 of 500 sampled rows. Nothing is promised of a row whose nearest neighbours
    are less alike than that: one that is missed makes it look newer than it is, never less new.
    """

    kind: ClassVar[str] = "novelty"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "high"

    k: Annotated[int, Field(ge=1, le=100)] = 1
    """Neighbours whose mean counts; with fewer rows, those that there are."""
    encoder: str = "minilm"
    """Encoder of the texts: minilm, minilm-bf16, minilm-static, hash, or a sentence-transformers id or folder."""
    key: Key = "prompt"
    """What is compared: `prompt`, `response`, or `both`."""
    name: Annotated[str, AfterValidator(check_name)] = "novelty"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the encoder's weights."""
        from curate.encoder import identity

        return {"encoder": identity(self.encoder)}

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score per sample; a row without text, or without another row, abstains."""
        samples = samples.sort("sample_id")
        ids = text_ids(samples["content_id"].to_list(), self.key)
        cache = context.root / "cache" / "embeddings.sqlite"
        vectors = encode(keyed(samples, self.key).to_list(), ids, self.encoder, cache, context)
        empty = ~vectors.any(axis=1) | (keyed(samples, self.key).str.strip_chars() == "").to_numpy()
        full = np.flatnonzero(~empty)
        values = np.full(len(samples), np.nan)
        values[full] = novelty(vectors[full], self.k, context)
        said = pl.Series(np.where(empty, EMPTY, ALONE), dtype=pl.String)
        value = pl.Series(values).fill_nan(None)
        why = pl.select(pl.when(value.is_null()).then(said)).to_series()
        return scored(samples["sample_id"], self.name, value, why)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: no judge is called."""
        return 0


def novelty(vectors: NDArray[np.float32], k: int, context: Context) -> NDArray[np.float64]:
    """Return 1 minus the mean cosine of each unit row's `k` nearest other rows, 0..2; NaN where there is no other."""
    found = np.full(len(vectors), np.nan)
    if len(vectors) < 2:
        return found
    index = Index(rounded(vectors), 0.5)
    for begin, places, cosine in index.nearest(k):
        if context.stopping():
            raise Interrupted("stopped while scoring novelty")
        there = places >= 0
        total = np.where(there, cosine, 0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            found[begin : begin + len(places)] = 1 - total / np.maximum(there.sum(axis=1), 1)
        context.progress(begin + len(places), len(vectors))
    return found
