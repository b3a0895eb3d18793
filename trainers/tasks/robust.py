"""Does an answer depend on how the instruction is worded? Each example is asked in several wordings."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from manifests.errors import UserError
from trainers.metrics.rouge import rouge_l
from trainers.metrics.squad import exact_match, token_f1
from trainers.metrics.text import stated
from trainers.tasks import reply
from trainers.tasks.asked import Asked
from trainers.tasks.rewrite import original
from trainers.trainer import Example, Measured, Metric

_SLOT: Final = re.compile(r"\{(prompt|source)\}")
_SCORES: Final = {"exact_match": exact_match, "token_f1": token_f1, "rouge_l": rouge_l}


def _wordings(templates: tuple[str, ...]) -> tuple[str, ...]:
    for template in templates:
        if not _SLOT.search(template):
            raise UserError("a wording needs {prompt} or {source}", value=template, remedy="'Correct this: {source}'")
    if len(set(templates)) < len(templates):
        raise UserError("a wording stands twice", value=list(templates), remedy="give each once")
    return templates


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Robust(Asked):
    """One score of an example under several wordings of its instruction: its mean, worst and steadiness."""

    kind: ClassVar[str] = "robust"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mean", -math.inf, 1.0, "mean of the score over the wordings"),
        Metric("worst", -math.inf, 1.0, "least score over the wordings"),
        Metric("steadiness", -math.inf, 0.0, "minus the standard deviation over the wordings: 0 when none matters"),
    )

    max_new_tokens: Annotated[int, Field(gt=0)] = 128
    """Longest answer, in the model's tokens; not used with `score: loglik`."""
    templates: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_wordings)] = (
        "{prompt}",
        "Please do the following.\n\n{prompt}",
        "{prompt}\n\nAnswer:",
    )
    """Wordings of the last user turn: {prompt} is that turn as it is, {source} the example's source text."""
    score: Literal["loglik", "exact_match", "token_f1", "rouge_l"] = "loglik"
    """What is measured under each wording; `loglik`, of the likeliest reference per character, generates nothing."""

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return the metrics of every example; None where it has no reference or a wording could not be scored."""
        asked = [worded(example, template) for example in examples for template in self.templates]
        scores = iter(self._scores(model, asked, context))
        rows: list[Measured] = []
        for example in examples:
            found = [next(scores) for _ in self.templates]
            values = [value for value in found if value is not None]
            whole = len(values) == len(found)
            mean = math.fsum(values) / len(values) if whole else None
            rows += reply.measured(
                example,
                {
                    "mean": mean,
                    "worst": min(values) if whole else None,
                    "steadiness": None if mean is None else -_deviation(values, mean),
                },
            )
        return rows

    def _scores(self, model: Any, asked: Sequence[Example], context: Context) -> list[float | None]:  # noqa: ANN401
        references = [stated(example.references) for example in asked]
        if self.score == "loglik":
            return [reply.best(one) for one in reply.grouped(model, zip(asked, references, strict=True), context)]
        score = _SCORES[self.score]
        found = reply.answers(model, asked, self.max_new_tokens, context)
        return [score(answer, wanted) if wanted else None for answer, wanted in zip(found, references, strict=True)]


def worded(example: Example, template: str) -> Example:
    """Return the example with its last user turn worded as `template` says, filled in a single pass."""
    last = max((n for n, (role, _) in enumerate(example.messages) if role == "user"), default=None)
    if last is None:
        return example
    texts = {"prompt": example.messages[last][1], "source": original(example)}
    turns = list(example.messages)
    turns[last] = ("user", _SLOT.sub(lambda found: texts[found[1]], template))
    return dataclasses.replace(example, messages=tuple(turns))


def _deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
