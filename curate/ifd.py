"""Instruction-following difficulty: how little the prompt helps a model to foresee the response."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import polars as pl
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate.likelihood import EMPTY, Likelihoods
from curate.perplexity import exponential
from curate.scores import scored
from curate.step import Scored
from manifests.component import COMPONENT, Context
from manifests.names import check_name


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Ifd:
    """Gives the response's perplexity after its prompt over its perplexity alone (Li et al. 2024, arXiv 2308.12032).

    Above 0; near 0 the prompt gives the answer away, at 1 it does not help. More is better up to 1: above it prompt and
    response do not belong together, and published practice drops those rows (`where: ifd <= 1`). A small model ranks
    rows much as a large one does (Superfiltering, Li et al. 2024, arXiv 2402.00530, used GPT-2). Both perplexities are
    over the same tokens. Rows that have no perplexity abstain; see `perplexity`, whose cache this shares.
    """

    kind: ClassVar[str] = "ifd"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "high"
    inert: ClassVar[frozenset[str]] = frozenset({"batch_tokens"})
    paths: ClassVar[frozenset[str]] = frozenset({"model"})

    model: str
    """Folder or hub id of a causal language model; a small one does."""
    revision: str | None = None
    """Commit of the hub model."""
    chat: bool = False
    """Whether the tokenizer's chat template writes the prompt; else plain text and a blank line."""
    max_tokens: Annotated[int, Field(ge=2)] = 1024
    """Most tokens of a row; a longer one loses the beginning of its prompt."""
    batch_tokens: Annotated[int, Field(ge=1)] = 4096
    """Tokens per forward pass, padding included."""
    name: Annotated[str, AfterValidator(check_name)] = "ifd"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the model's weights, by hash."""
        return self._likelihoods().identity()

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score per sample; raise Interrupted when asked to stop, what is done stays cached."""
        found = self._likelihoods().of(samples, ["given", "alone"], context)
        values: list[float | None] = []
        why: list[str | None] = []
        for content in samples["content_id"]:
            given, alone = found.get(("given", content)), found.get(("alone", content))
            if given is None or alone is None:
                values.append(None)
                why.append(EMPTY)
                continue
            values.append(exponential(given.mean - alone.mean) if given.tokens and alone.tokens else None)
            why.append(given.why or alone.why)
        return scored(samples["sample_id"], self.name, pl.Series(values, dtype=pl.Float64), why)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return how many forward passes of a row are left: two per response without cached likelihoods."""
        return self._likelihoods().pending(samples, ["given", "alone"], context)

    def _likelihoods(self) -> Likelihoods:
        return Likelihoods(self.model, self.revision, self.chat, self.max_tokens, self.batch_tokens)
