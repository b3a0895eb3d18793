"""Perplexity: how surprised a language model is by a response after its prompt."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import polars as pl
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate.likelihood import EMPTY, Likelihoods
from curate.scores import scored
from curate.step import Scored
from manifests.component import COMPONENT, Context
from manifests.names import check_name


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Perplexity:
    """Gives exp of the mean negative log-likelihood per response token, given the prompt; 1 and more.

    Neither end is the better one: garbage is improbable, boiler-plate and loops are probable (Marion et al. 2023, arXiv
    2309.04564, keep the middle). Use `where:` with both bounds. Blank responses, and those that do not fit, abstain;
    where a prompt had to be cut, `why` says so. Likelihoods are kept in `cache/likelihoods.sqlite`, shared with `ifd`.
    """

    kind: ClassVar[str] = "perplexity"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "neither"
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
    name: Annotated[str, AfterValidator(check_name)] = "perplexity"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the model's weights, by hash."""
        return self._likelihoods().identity()

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score per sample; raise Interrupted when asked to stop, what is done stays cached."""
        found = self._likelihoods().of(samples, ["given"], context)
        values: list[float | None] = []
        why: list[str | None] = []
        for content in samples["content_id"]:
            item = found.get(("given", content))
            values.append(exponential(item.mean) if item is not None and item.tokens else None)
            why.append(EMPTY if item is None else item.why)
        return scored(samples["sample_id"], self.name, pl.Series(values, dtype=pl.Float64), why)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return how many responses are still to be scored: those without a cached likelihood."""
        return self._likelihoods().pending(samples, ["given"], context)

    def _likelihoods(self) -> Likelihoods:
        return Likelihoods(self.model, self.revision, self.chat, self.max_tokens, self.batch_tokens)


def exponential(x: float) -> float:
    """Return e to the power x, infinity where that is too large for a float."""
    return math.exp(x) if x < 709 else math.inf
