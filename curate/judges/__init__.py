"""Engines that answer questions: with the probabilities of a menu of labels, or with text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, NamedTuple, Protocol, runtime_checkable

from manifests.component import Context
from manifests.names import digest

OK: Final = "ok"
ABSTAINED: Final = "abstained"
FAILED: Final = "failed"
_SLACK: Final = 1e-3
"""How far above 1 two probabilities may sum: they are exponentials of rounded float32 logarithms."""


@dataclass(frozen=True, slots=True)
class Menu:
    """The answers a model may give, at least two, and the end of every prompt before them.

    Of a verdict the first means "correct", the second "wrong", and a third one, where there is one, "unsure".
    """

    labels: tuple[str, ...]
    tail: str


@dataclass(frozen=True, slots=True)
class Writing:
    """How a model writes: `n` texts of at most `max_tokens` tokens each, ended early by any of `stop`.

    `temperature` 0 is greedy; above it the texts depend on `seed` and the prompt alone, not on what is asked beside it.
    """

    max_tokens: int
    n: int = 1
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One question: the rendered prompt, its cache key and the sample that it is about."""

    key: str
    prompt: str
    sample_id: str
    content_id: str


class Text(NamedTuple):
    """A text that a model wrote, and why it ended: `stop` when the model was done, `length` when it was cut off."""

    text: str
    finish: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    When `status` is `ok` it has either `probabilities`, those of the menu's labels over the whole vocabulary, each
    0..1, or `texts`; `why` is present otherwise. `seconds` is the call's share of the wall time; `tokens_cached` of the
    `tokens_in` were not read again, since an earlier prompt began with them (known of vLLM only).
    """

    key: str
    status: str
    why: str | None = None
    probabilities: tuple[float, ...] | None = None
    texts: tuple[Text, ...] = ()
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    tokens_cached: int = 0

    @property
    def mass(self) -> float:
        """Probability that the answer is one of the labels, 0..1; 0 without probabilities."""
        return sum(self.probabilities) if self.probabilities else 0.0

    @property
    def p_error(self) -> float | None:
        """P(wrong) / (P(correct) + P(wrong)), 0..1; None when neither label has any probability."""
        pair = self.probabilities[:2] if self.probabilities else (0.0, 0.0)
        return pair[1] / sum(pair) if sum(pair) > 0.0 else None

    def to_json(self) -> dict[str, Any]:
        """Return what the cache stores of an `ok` reply."""
        said: dict[str, Any] = (
            {"texts": [list(text) for text in self.texts]}
            if self.texts
            else {"probabilities": list(self.probabilities or ()), "mass": self.mass}
        )
        return {
            **said,
            "finish": self.finish,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "seconds": round(self.seconds, 6),
            **({"tokens_cached": self.tokens_cached} if self.tokens_cached else {}),
        }


def failed(key: str, why: str, *, tokens_in: int = 0, tokens_out: int = 0) -> Reply:
    """Return the reply of a call that got no usable answer; its tokens, where they are known, still cost."""
    return Reply(key=key, status=FAILED, why=why, tokens_in=tokens_in, tokens_out=tokens_out)


def seed_of(how: Writing, prompt: str) -> int:
    """Return the seed of a prompt's texts, 0..2**31-1: with one seed for all, the rows' chances would be the same."""
    return int(digest([how.seed, prompt])[:8], 16) & 0x7FFFFFFF


def from_json(key: str, value: Mapping[str, Any]) -> Reply | None:
    """Return the reply that `Reply.to_json` wrote, or None when the value is not one."""
    try:
        reply = Reply(
            key=key,
            status=OK,
            probabilities=tuple(float(p) for p in value["probabilities"]) if "probabilities" in value else None,
            texts=tuple(Text(str(text), str(finish)) for text, finish in value.get("texts", ())),
            finish=str(value["finish"]),
            tokens_in=int(value["tokens_in"]),
            tokens_out=int(value["tokens_out"]),
            seconds=float(value["seconds"]),
            tokens_cached=int(value.get("tokens_cached", 0)),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return reply if checked(reply).status == OK else None


def checked(reply: Reply) -> Reply:
    """Return the reply, or a failed one when it has no text and no finite probabilities between 0 and 1.

    A text with half a surrogate pair, which JSON can hold and no file or database can, is no text.
    """
    if reply.status != OK:
        return reply if reply.why is None or _storable(reply.why) else replace(reply, why=ascii(reply.why))
    if not all(_storable(part) for part in (reply.finish, *(part for text in reply.texts for part in text))):
        return replace(_malformed(reply, "a text that is not Unicode"), texts=(), finish="")
    if reply.texts and reply.probabilities is None:
        return reply
    found = reply.probabilities
    if found is None or len(found) < 2 or not all(math.isfinite(p) and 0.0 <= p <= 1.0 + _SLACK for p in found):
        return _malformed(reply, f"label probabilities {found!r}")
    if sum(found) > 1.0 + _SLACK:
        return _malformed(reply, f"label probabilities {found!r} sum to more than 1")
    return replace(reply, probabilities=tuple(min(p, 1.0) for p in found)) if max(found) > 1.0 else reply


def _storable(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _malformed(reply: Reply, why: str) -> Reply:
    return replace(reply, status=FAILED, why=f"malformed: {why}", probabilities=None)


@runtime_checkable
class Session(Protocol):
    """An engine that is ready to answer."""

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[Sequence[Reply]]:
        """Yield replies with the probabilities of the menu's labels, in batches as they are ready, in any order.

        One reply per call; `menu` is one of those given to `open`.
        """
        ...

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[Sequence[Reply]]:
        """Yield replies with `how.n` texts each, in batches as they are ready, one per call, in any order."""
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

    def open(self, menus: Sequence[Menu], context: Context) -> AbstractContextManager[Session]:
        """Start the engine, check that it can tell each menu's labels apart, and stop it at the end of the block."""
        ...

    def cost(self, reply: Reply) -> float:
        """Return what the reply cost, in the currency of the engine's price fields; 0 where no price is given."""
        ...
