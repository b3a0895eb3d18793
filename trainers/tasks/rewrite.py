"""Rewriting a text: simplification scored by SARI, grammatical error correction by GLEU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from trainers.metrics.gleu import gleu
from trainers.metrics.sari import sari
from trainers.metrics.text import Split, stated
from trainers.tasks import reply
from trainers.trainer import Example, Measured, Metric


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Sari:
    """Simplification: what the rewrite keeps, adds and deletes of its source."""

    kind: ClassVar[str] = "sari"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("sari", 0.0, 1.0, "mean of keeping, adding and deleting what the references do (1- to 4-grams)"),
    )

    name: str
    """Name of the task in the results."""
    source: str | None = None
    """Eval source whose samples are the examples."""
    task: str | None = None
    """Task of the eval rows that are the examples, whatever their source."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Most examples; none means all."""
    max_new_tokens: Annotated[int, Field(gt=0)] = 128
    """Longest answer, in the model's tokens."""
    split: Split = "space"
    """Tokens: at white space, for rows tokenised beforehand, or `word`, with punctuation apart."""

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return SARI of every example; None where it has no reference."""
        found = reply.answers(model, examples, self.max_new_tokens, context)
        return _rewritten("sari", sari, examples, found, self.split)


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Gleu:
    """Grammatical error correction: overlap with the references, less what was wrongly left as it was."""

    kind: ClassVar[str] = "gleu"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("gleu", 0.0, 1.0, "mean over the references of the sentence's GLEU (1- to 4-grams)"),
    )

    name: str
    """Name of the task in the results."""
    source: str | None = None
    """Eval source whose samples are the examples."""
    task: str | None = None
    """Task of the eval rows that are the examples, whatever their source."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Most examples; none means all."""
    max_new_tokens: Annotated[int, Field(gt=0)] = 128
    """Longest answer, in the model's tokens."""
    split: Split = "space"
    """Tokens: at white space, for rows tokenised beforehand, or `word`, with punctuation apart."""

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return GLEU of every example; None where it has no reference."""
        found = reply.answers(model, examples, self.max_new_tokens, context)
        return _rewritten("gleu", gleu, examples, found, self.split)


def original(example: Example) -> str:
    """Return the text to rewrite: the example's `source`, else its last user turn (an instruction there counts too)."""
    users = [content for role, content in example.messages if role == "user"]
    return example.source or (users[-1] if users else "")


def _rewritten(
    name: str,
    metric: Callable[[str, str, Sequence[str], Split], float],
    examples: Sequence[Example],
    answers: Sequence[str],
    split: Split,
) -> list[Measured]:
    rows: list[Measured] = []
    for example, answer in zip(examples, answers, strict=True):
        wanted = stated(example.references)
        value = metric(original(example), answer, wanted, split) if wanted else None
        rows += reply.measured(example, {name: value}, answer)
    return rows
