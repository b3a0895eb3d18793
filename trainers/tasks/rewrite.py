"""Rewriting a text: simplification scored by SARI, error correction by GLEU and F0.5, paraphrase by iBLEU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from trainers.metrics.bleu import ALPHA, bleu, ibleu
from trainers.metrics.edits import edit_f05
from trainers.metrics.gleu import gleu
from trainers.metrics.sari import sari
from trainers.metrics.text import Split, stated
from trainers.tasks import reply
from trainers.tasks.asked import Asked, Longest
from trainers.trainer import Example, Measured, Metric


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Rewriting(Asked, ABC):
    """A text rewritten, scored against its source and the references."""

    metrics: ClassVar[tuple[Metric, ...]]

    max_new_tokens: Longest = 128
    split: Annotated[
        Split,
        Field(description="Tokens: at white space, for rows tokenised beforehand, or `word`, with punctuation apart."),
    ] = "space"

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return every metric of every example; None where it has no reference."""
        found = reply.answers(model, examples, self.max_new_tokens, context)
        rows: list[Measured] = []
        for example, answer in zip(examples, found, strict=True):
            wanted = stated(example.references)
            values: dict[str, float | None] = dict.fromkeys(metric.name for metric in self.metrics)
            if wanted:
                values |= self.scores(original(example), answer, wanted)
            rows += reply.measured(example, values, answer)
        return rows

    @abstractmethod
    def scores(self, source: str, answer: str, references: Sequence[str]) -> dict[str, float]:
        """Return the value of each of `metrics` for an answer; there is at least one reference."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Sari(Rewriting):
    """Simplification: what the rewrite keeps, adds and deletes of its source."""

    kind: ClassVar[str] = "sari"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("sari", 0.0, 1.0, "mean of keeping, adding and deleting what the references do (1- to 4-grams)"),
    )

    def scores(self, source: str, answer: str, references: Sequence[str]) -> dict[str, float]:
        """Return SARI."""
        return {"sari": sari(source, answer, references, self.split)}


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Gleu(Rewriting):
    """Grammatical error correction: overlap with the references, less what was wrongly left as it was."""

    kind: ClassVar[str] = "gleu"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("gleu", 0.0, 1.0, "mean over the references of the sentence's GLEU (1- to 4-grams)"),
    )

    def scores(self, source: str, answer: str, references: Sequence[str]) -> dict[str, float]:
        """Return GLEU."""
        return {"gleu": gleu(source, answer, references, self.split)}


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Edits(Rewriting):
    """Grammatical error correction: the edits made against those wanted, precision counting twice."""

    kind: ClassVar[str] = "edits"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("edit_f05", 0.0, 1.0, "F0.5 of the sentence's edits with the best reference, tokens aligned by difflib"),
    )

    def scores(self, source: str, answer: str, references: Sequence[str]) -> dict[str, float]:
        """Return F0.5 of the edits."""
        return {"edit_f05": edit_f05(source, answer, references, self.split)}


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Ibleu(Rewriting):
    """Paraphrase: near the references, far from the source."""

    kind: ClassVar[str] = "ibleu"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("ibleu", -1.0, 1.0, "BLEU with the references, less BLEU with the source, weighted alpha to 1 - alpha"),
        Metric("bleu", 0.0, 1.0, "the sentence's BLEU with the references (1- to 4-grams)"),
    )

    alpha: Annotated[float, Field(ge=0, le=1)] = ALPHA
    """Weight of BLEU with the references; what is left weighs BLEU with the source."""

    def scores(self, source: str, answer: str, references: Sequence[str]) -> dict[str, float]:
        """Return iBLEU and BLEU."""
        return {
            "ibleu": ibleu(source, answer, references, self.split, self.alpha),
            "bleu": bleu(answer, references, self.split),
        }


def original(example: Example) -> str:
    """Return the text to rewrite: the example's `source`, else its last user turn (an instruction there counts too)."""
    users = [content for role, content in example.messages if role == "user"]
    return example.source or (users[-1] if users else "")
