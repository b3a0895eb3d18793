"""Rewriting a text: simplification scored by SARI, error correction by GLEU and F0.5, paraphrase by iBLEU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Edits:
    """Grammatical error correction: the edits made against those wanted, precision counting twice."""

    kind: ClassVar[str] = "edits"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("edit_f05", 0.0, 1.0, "F0.5 of the sentence's edits with the best reference, tokens aligned by difflib"),
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
        """Return F0.5 of the edits of every example; None where it has no reference."""
        found = reply.answers(model, examples, self.max_new_tokens, context)
        return _rewritten("edit_f05", edit_f05, examples, found, self.split)


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Ibleu:
    """Paraphrase: near the references, far from the source."""

    kind: ClassVar[str] = "ibleu"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("ibleu", -1.0, 1.0, "BLEU with the references, less BLEU with the source, weighted alpha to 1 - alpha"),
        Metric("bleu", 0.0, 1.0, "the sentence's BLEU with the references (1- to 4-grams)"),
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
    alpha: Annotated[float, Field(ge=0, le=1)] = ALPHA
    """Weight of BLEU with the references; what is left weighs BLEU with the source."""

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return iBLEU and BLEU of every example; None where it has no reference."""
        found = reply.answers(model, examples, self.max_new_tokens, context)
        rows: list[Measured] = []
        for example, answer in zip(examples, found, strict=True):
            wanted = stated(example.references)
            values = {
                "ibleu": ibleu(original(example), answer, wanted, self.split, self.alpha) if wanted else None,
                "bleu": bleu(answer, wanted, self.split) if wanted else None,
            }
            rows += reply.measured(example, values, answer)
        return rows


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
