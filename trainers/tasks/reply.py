"""What every task asks of a model: answers, and how likely given answers are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from manifests.component import Context
from manifests.errors import Interrupted
from trainers.trainer import Example, Measured, Metric

CHUNK: Final = 256
"""Prompts handed to the model at once where the context leaves it open: progress is told, and a stop heard, between."""

LOGLIK: Final = Metric(
    "loglik", -math.inf, 0.0, "natural log-likelihood of the reference answer, per character, the end of turn included"
)

Pair = tuple[tuple[tuple[str, str], ...], str]
"""The turns of a prompt and an answer to it."""


def answers(model: Any, examples: Sequence[Example], max_new_tokens: int, context: Context) -> list[str]:  # noqa: ANN401
    """Return the model's answer to each example's prompt, without white space around it."""
    found: list[str] = []
    for part in _chunks(examples, context):
        found += [answer.strip() for answer in model.generate([example.messages for example in part], max_new_tokens)]
    return found


def logliks(model: Any, pairs: Sequence[Pair], context: Context) -> list[Any]:  # noqa: ANN401
    """Return an `evaluate.Loglik` for each pair; None where the model could not score it."""
    found: list[Any] = []
    for part in _chunks(pairs, context):
        found += model.loglik(list(part))
    return found


def per(scored: Any, unit: str) -> float | None:  # noqa: ANN401 - Loglik or None
    """Return the log-likelihood per `chars`, per `tokens`, or (`none`) of the whole; None when it is not finite."""
    if scored is None:
        return None
    count = {"none": 1, "chars": scored.n_chars, "tokens": scored.n_tokens}[unit]
    return finite(scored.total / count) if count > 0 else None


def best(scored: Sequence[Any]) -> float | None:
    """Return the greatest log-likelihood per character of several answers; None when none could be scored."""
    return max((value for one in scored if (value := per(one, "chars")) is not None), default=None)


def finite(value: float) -> float | None:
    """Return the value, or None for NaN and the infinities."""
    return float(value) if math.isfinite(value) else None


def grouped(model: Any, answers_of: Iterable[tuple[Example, Sequence[str]]], context: Context) -> list[list[Any]]:  # noqa: ANN401
    """Return for each example the log-likelihoods of its answers, all asked for together."""
    asked = [(example, list(options)) for example, options in answers_of]
    pairs = [(example.messages, option) for example, options in asked for option in options]
    scored = iter(logliks(model, pairs, context))
    return [[next(scored) for _ in options] for _, options in asked]


def measured(example: Example, values: dict[str, float | None], prediction: str | None = None) -> list[Measured]:
    """Return one row for each metric of an example."""
    return [Measured(example.example_id, metric, value, prediction) for metric, value in values.items()]


def _chunks(items: Sequence[Any], context: Context) -> Iterator[Sequence[Any]]:
    size = context.batch or CHUNK
    for first in range(0, len(items), size):
        if context.stopping():
            raise Interrupted("stopped while measuring")
        yield items[first : first + size]
        context.progress(min(first + size, len(items)), len(items))
