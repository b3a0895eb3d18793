"""Engines that answer the judge's question with the probabilities of two labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

from manifests.component import Context

OK: Final = "ok"
ABSTAINED: Final = "abstained"
FAILED: Final = "failed"
_SLACK: Final = 1e-3
"""How far above 1 two probabilities may sum: they are exponentials of rounded float32 logarithms."""


@dataclass(frozen=True, slots=True)
class Menu:
    """The two answers a judge may give, the second one meaning "wrong", and the end of every prompt before them."""

    labels: tuple[str, str]
    tail: str


@dataclass(frozen=True, slots=True)
class Call:
    """One question: the rendered prompt, its cache key and the sample that it is about."""

    key: str
    prompt: str
    sample_id: str
    content_id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    `probabilities` are those of the two labels over the whole vocabulary, each 0..1, present when `status` is `ok`;
    `why` is present otherwise. `seconds` is the call's share of the wall time.
    """

    key: str
    status: str
    why: str | None = None
    probabilities: tuple[float, float] | None = None
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    @property
    def mass(self) -> float:
        """Probability that the answer is one of the labels, 0..1; 0 without probabilities."""
        return sum(self.probabilities) if self.probabilities else 0.0

    @property
    def p_error(self) -> float | None:
        """P(wrong) / (P(correct) + P(wrong)), 0..1; None when neither label has any probability."""
        if self.probabilities is None or self.mass <= 0.0:
            return None
        return self.probabilities[1] / self.mass

    def to_json(self) -> dict[str, Any]:
        """Return what the cache stores of an `ok` reply."""
        return {
            "probabilities": list(self.probabilities or ()),
            "mass": self.mass,
            "finish": self.finish,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "seconds": round(self.seconds, 6),
        }


def failed(key: str, why: str) -> Reply:
    """Return the reply of a call that got no usable answer."""
    return Reply(key=key, status=FAILED, why=why)


def from_json(key: str, value: Mapping[str, Any]) -> Reply | None:
    """Return the reply that `Reply.to_json` wrote, or None when the value is not one."""
    try:
        correct, wrong = (float(p) for p in value["probabilities"])
        reply = Reply(
            key=key,
            status=OK,
            probabilities=(correct, wrong),
            finish=str(value["finish"]),
            tokens_in=int(value["tokens_in"]),
            tokens_out=int(value["tokens_out"]),
            seconds=float(value["seconds"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return reply if checked(reply).status == OK else None


def checked(reply: Reply) -> Reply:
    """Return the reply, or a failed one when its probabilities are missing, not finite or outside 0..1."""
    if reply.status != OK:
        return reply
    pair = reply.probabilities
    if pair is None or not all(math.isfinite(p) and 0.0 <= p <= 1.0 + _SLACK for p in pair):
        return failed(reply.key, f"malformed: label probabilities {pair!r}")
    if sum(pair) > 1.0 + _SLACK:
        return failed(reply.key, f"malformed: label probabilities {pair!r} sum to more than 1")
    return replace(reply, probabilities=(min(pair[0], 1.0), min(pair[1], 1.0)))


@runtime_checkable
class Session(Protocol):
    """An engine that is ready to answer."""

    def ask(self, calls: Sequence[Call]) -> Iterator[Sequence[Reply]]:
        """Yield the replies in batches as they are ready, one per call, in any order."""
        ...


@runtime_checkable
class JudgeEngine(Protocol):
    """Something that can be asked: a model in a process, a server, a file of recorded verdicts.

    `cached` says whether its answers cost enough to be kept in the call cache.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    cached: ClassVar[bool]

    def identity(self) -> dict[str, Any]:
        """Return what decides the answers (model, weights, number format), as plain JSON; no secrets, no network."""
        ...

    def open(self, menu: Menu, context: Context) -> AbstractContextManager[Session]:
        """Start the engine, check that it can tell the labels apart, and stop it at the end of the `with` block."""
        ...
