"""Closed-book questions, split by what the base model knew: facts learnt, kept, or only guessed at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from trainers.metrics.squad import exact_match, normalise
from trainers.metrics.text import stated
from trainers.tasks import reply
from trainers.tasks.asked import Asked, Longest
from trainers.trainer import Example, Measured, Metric

ABSTENTIONS: Final = (
    "i don't know",
    "i do not know",
    "i am not sure",
    "i'm not sure",
    "i cannot answer",
    "i can't answer",
    "i have no idea",
    "i'm unable to",
    "i am unable to",
    "don't have enough information",
    "unknown",
    "not sure",
    "unsure",
    "no answer",
)
"""How models say that they do not know. A text of several words may stand anywhere, one or two alone only."""

_ANYWHERE: Final = 3
_CLASSES: Final = ("known", "unknown")
_PARTS: Final = ("exact_match", "truthful", "loglik")


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Factual(Asked):
    """Short answers from memory, split by whether the base model knew the fact before (its `familiarity`).

    Each metric of a class is undefined for the examples of the other, so comparisons within a class are paired.
    """

    kind: ClassVar[str] = "factual"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("exact_match", 0.0, 1.0, "the answer equals a reference, but for case, punctuation and articles"),
        Metric("truthful", 0.0, 1.0, "right, or says that it does not know: 0 for a wrong answer alone"),
        Metric("answered", 0.0, 1.0, "says something else than that it does not know, right or wrong"),
        reply.LOGLIK,
        *(
            Metric(f"{part}_{known}", *bounds, f"{part} of the facts that were {known} to the base")
            for known in _CLASSES
            for part, bounds in zip(_PARTS, ((0.0, 1.0), (0.0, 1.0), (reply.LOGLIK.low, 0.0)), strict=True)
        ),
    )

    max_new_tokens: Longest = 32
    familiarity: str | None = None
    """Scorer of how well the base knew a row, with `eval` among its `roles`; without it no row has a class."""
    known_above: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """A fact was known when its familiarity is above this; at 0, when any of the base's answers agreed (SliCK)."""
    abstentions: tuple[str, ...] = ABSTENTIONS
    """Answers that say that the model does not know; of three words or more also inside an answer."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Scorers whose values the examples carry."""
        return (self.familiarity,) if self.familiarity is not None else ()

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return every metric of every example; None where it has no reference, or is not of the metric's class."""
        references = [stated(example.references) for example in examples]
        scored = reply.grouped(model, zip(examples, references, strict=True), context)
        found = reply.answers(model, examples, self.max_new_tokens, context)
        rows: list[Measured] = []
        for example, wanted, likely, answer in zip(examples, references, scored, found, strict=True):
            values: dict[str, float | None] = dict.fromkeys(("exact_match", "truthful", "answered", "loglik"))
            if wanted:
                right = exact_match(answer, wanted)
                silent = not right and abstains(answer, self.abstentions)
                values = {"exact_match": right, "truthful": max(right, float(silent)), "answered": float(not silent)}
                values["loglik"] = reply.best(likely)
            held = self._class(example)
            for known in _CLASSES:
                values |= {f"{part}_{known}": values[part] if known == held else None for part in _PARTS}
            rows += reply.measured(example, values, answer)
        return rows

    def _class(self, example: Example) -> str | None:
        value = dict(example.scores).get(self.familiarity or "")
        return None if value is None else _CLASSES[value <= self.known_above]


def abstains(answer: str, abstentions: Sequence[str] = ABSTENTIONS) -> bool:
    """Tell whether an answer says that the model does not know: it is empty, or one of `abstentions`, or holds one.

    Compared as SQuAD does, without case, punctuation and articles; one of fewer than three words must be all of it.
    """
    said = normalise(answer)
    for phrase in map(normalise, abstentions):
        if said == phrase or (len(phrase.split()) >= _ANYWHERE and f" {phrase} " in f" {said} "):
            return True
    return not said
