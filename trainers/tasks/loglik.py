"""How likely the reference answers are: the metric with signal at any size of model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from trainers.metrics.text import stated
from trainers.tasks import reply
from trainers.tasks.asked import Asked
from trainers.trainer import Example, Measured, Metric


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Loglik(Asked):
    """Held-out log-likelihood of the answers, per character: nothing is generated."""

    kind: ClassVar[str] = "loglik"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = frozenset({"max_new_tokens"})
    metrics: ClassVar[tuple[Metric, ...]] = (reply.LOGLIK,)

    max_new_tokens: Annotated[int, Field(gt=0)] = 1
    """Not used: nothing is generated."""

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return the log-likelihood per character over all references of each example; None where it has none."""
        references = [stated(example.references) for example in examples]
        scored = reply.grouped(model, zip(examples, references, strict=True), context)
        return [
            row
            for example, likely in zip(examples, scored, strict=True)
            for row in reply.measured(example, {"loglik": _together(likely)})
        ]


def _together(scored: Sequence[Any]) -> float | None:
    """Return the sum of the log-likelihoods over the sum of the characters; None when one could not be scored."""
    if any(one is None for one in scored) or not sum(one.n_chars for one in scored):
        return None
    return reply.finite(math.fsum(one.total for one in scored) / sum(one.n_chars for one in scored))
