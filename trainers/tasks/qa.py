"""Short answers to questions: exact match, token F1, and the likelihood of the best reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from trainers.metrics.squad import exact_match, token_f1
from trainers.metrics.text import stated
from trainers.tasks import reply
from trainers.tasks.asked import Asked, Longest
from trainers.trainer import Example, Measured, Metric


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class QA(Asked):
    """Questions with short answers, scored as in SQuAD.

    Small models rarely match exactly; there `loglik` is the metric that tells blends apart.
    """

    kind: ClassVar[str] = "qa"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("exact_match", 0.0, 1.0, "the answer equals a reference, but for case, punctuation and articles"),
        Metric("token_f1", 0.0, 1.0, "F1 of the tokens shared with the best reference, normalised likewise"),
        reply.LOGLIK,
    )

    max_new_tokens: Longest = 32

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return the three metrics of every example; None where it has no reference."""
        references = [stated(example.references) for example in examples]
        scored = reply.grouped(model, zip(examples, references, strict=True), context)
        found = reply.answers(model, examples, self.max_new_tokens, context)
        rows: list[Measured] = []
        for example, wanted, likely, answer in zip(examples, references, scored, found, strict=True):
            values = {
                "exact_match": exact_match(answer, wanted) if wanted else None,
                "token_f1": token_f1(answer, wanted) if wanted else None,
                "loglik": reply.best(likely),
            }
            rows += reply.measured(example, values, answer)
        return rows
