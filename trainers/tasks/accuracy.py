"""Multiple choice, answered by the likelihood of the options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from trainers.tasks import reply
from trainers.tasks.asked import Asked
from trainers.trainer import Example, Measured, Metric


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Accuracy(Asked):
    """Choice among an example's `choices`; its references name the right ones."""

    kind: ClassVar[str] = "accuracy"
    version: ClassVar[int] = 2
    inert: ClassVar[frozenset[str]] = frozenset({"max_new_tokens"})
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", 0.0, 1.0, "a right option is likelier than every wrong one, normalised as `normalise` says"),
        Metric("accuracy_raw", 0.0, 1.0, "the same by the log-likelihood of the whole option"),
        Metric("margin", -float("inf"), float("inf"), "log-likelihood of the right option less the best wrong one's"),
    )

    max_new_tokens: Annotated[int, Field(gt=0)] = 1
    """Not used: nothing is generated."""
    normalise: Literal["none", "chars", "tokens"] = "chars"
    """What an option's log-likelihood is divided by, so that long options are not at a disadvantage."""

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return accuracies and margin; None without a right and a wrong option, or when one could not be scored.

        A tie is a wrong answer. The prediction is the likeliest option, of equal ones the first.
        """
        usable = [(example, _options(example)) for example in examples]
        scored = reply.grouped(model, usable, context)
        rows: list[Measured] = []
        for (example, options), likely in zip(usable, scored, strict=True):
            rows += self._row(example, options, likely)
        return rows

    def _row(self, example: Example, options: list[str], likely: Sequence[Any]) -> list[Measured]:
        margin, chosen = _margin(example, options, [reply.per(one, self.normalise) for one in likely])
        raw, _ = _margin(example, options, [reply.per(one, "none") for one in likely])
        values = {
            "accuracy": None if margin is None else float(margin > 0),
            "accuracy_raw": None if raw is None else float(raw > 0),
            "margin": margin,
        }
        return reply.measured(example, values, chosen)


def _margin(example: Example, options: list[str], scores: Sequence[float | None]) -> tuple[float | None, str | None]:
    """Return how far the best right option is above the best wrong one, and the likeliest option; None: undefined."""
    values = [score for score in scores if score is not None]
    if not options or len(values) < len(options):
        return None, None
    right = max(score for option, score in zip(options, values, strict=True) if option in example.references)
    wrong = max(score for option, score in zip(options, values, strict=True) if option not in example.references)
    return right - wrong, options[values.index(max(values))]


def _options(example: Example) -> list[str]:
    """Return the distinct options, none when there is not at least one right and one wrong one."""
    options = list(dict.fromkeys(example.choices))
    right = sum(option in example.references for option in options)
    return options if 0 < right < len(options) and all(option.strip() for option in options) else []
