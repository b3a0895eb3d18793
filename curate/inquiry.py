"""Questions put to one engine through the call cache: what was answered once is not asked again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from curate.cache import CallCache
from curate.judges import Call, JudgeEngine, Menu, Reply, Session, Writing, checked, failed
from curate.spread import Spread, spreads
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from manifests.names import digest

CACHE: Final = Path("cache") / "calls.sqlite"
_TELL_SECONDS: Final = 20.0
"""A stage that is expected to take less is not worth a line of its own."""
_ENOUGH: Final = 50
"""Answers from which the time and the cost of the others are estimated."""


class Inquiry:
    """Asks an engine, which starts at the first question without a stored answer and ends with the `with` block.

    Each batch of replies is stored before the next is waited for, so a kill loses the calls in flight and no other.
    Failed calls are stored apart and asked again next time. The cost of the stored calls is not counted again. Where
    the job works on a cluster, its workers ask (`curate.spread`); the replies are stored here.
    """

    def __init__(self, engine: JudgeEngine, menus: Sequence[Menu], context: Context) -> None:
        self._engine, self._menus, self._context = engine, menus, context
        self._stack = ExitStack()
        self._session: Session | None = None
        self._spent = self._before = 0.0
        self._asks: dict[Menu | Writing, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def call(self, prompt: str, what: Menu | Writing, sample_id: str, content_id: str) -> Call:
        """Return the call for a rendered prompt: its key names engine, kind of answer and prompt.

        Calls to an engine whose answers are not cached are keyed by their sample too.
        """
        if what not in self._asks:
            self._asks[what] = digest([self._identity, type(what).__name__, asdict(what)])
        whose = None if self._engine.cached else sample_id
        return Call(digest([self._asks[what], prompt, whose]), prompt, sample_id, content_id)

    def ask(self, calls: Iterable[Call], menu: Menu) -> dict[str, Reply]:
        """Return a reply with the labels' probabilities, or a failed one, for the key of every call."""
        return self._answers(calls, lambda session, missing: session.ask(missing, menu))

    def write(self, calls: Iterable[Call], how: Writing) -> dict[str, Reply]:
        """Return a reply with texts, or a failed one, for the key of every call."""
        return self._answers(calls, lambda session, missing: session.write(missing, how))

    def pending(self, calls: Iterable[Call]) -> int:
        """Return how many distinct calls have no stored answer."""
        keys = {call.key for call in calls}
        if not self._engine.cached:
            return 0
        return len(keys) - len(self._cache.get(keys)) if (self._context.root / CACHE).exists() else len(keys)

    @cached_property
    def _identity(self) -> str:
        return digest(self._engine.identity())

    @cached_property
    def _cache(self) -> CallCache:
        return self._stack.enter_context(CallCache(self._context.root / CACHE))

    def _opened(self) -> Session:
        if self._session is None:
            if spreads(self._engine, self._context):
                self._session = Spread(self._engine, self._menus, self._context)
            else:
                self._session = self._stack.enter_context(self._engine.open(self._menus, self._context))
        return self._session

    def _answers(self, calls: Iterable[Call], put: Any) -> dict[str, Reply]:  # noqa: ANN401 - see ask
        unique = {call.key: call for call in calls}
        replies: dict[str, Reply] = self._cache.get(unique) if self._engine.cached and unique else {}
        missing = [call for key, call in unique.items() if key not in replies]
        self._context.progress(len(replies), len(unique))
        if missing:
            self._before = self._spent
            for batch in self._new(missing, put):
                if self._engine.cached:
                    self._cache.put(batch)
                replies.update((reply.key, reply) for reply in batch)
                self._context.progress(len(replies), len(unique))
                self._budget(len(replies) - len(unique) + len(missing), len(missing))
        return replies

    def _new(self, missing: Sequence[Call], put: Any) -> Iterator[list[Reply]]:  # noqa: ANN401 - see ask
        """Yield the engine's replies in batches, checked, then a failed reply for each call that it left out."""
        left = {call.key for call in missing}
        session = self._opened()
        started, told = time.perf_counter(), False
        for batch in put(session, missing):
            first = {reply.key: reply for reply in reversed(batch) if reply.key in left}
            replies = [checked(reply) for reply in reversed(first.values())]
            left -= {reply.key for reply in replies}
            self._spent += sum(self._engine.cost(reply) for reply in replies)
            yield replies
            done = len(missing) - len(left)
            if done >= _ENOUGH and not told:
                told = self._tell(done, len(missing), time.perf_counter() - started)
            if left and self._context.stopping():
                raise Interrupted("stopped while asking the model; finished calls are kept")
        if left:
            yield [failed(key, "the judge gave no answer") for key in sorted(left)]

    def _tell(self, done: int, total: int, seconds: float) -> bool:
        """Say once what is left to come, in time and cost; return that it was said, or is not worth saying."""
        rest = seconds * (total - done) / done
        if rest >= _TELL_SECONDS:
            cost = self._spent * total / done
            price = f", cost about {cost:,.2f} in all" if cost else ""
            self._context.say(f"{total:,} calls: {_duration(rest)} to go{price}")
        return True

    def _budget(self, done: int, total: int) -> None:
        """Stop when the calls so far cost more than `context.max_cost`, or all would at the price of the first 50."""
        most = self._context.max_cost
        if most is None or not 0 < done < total or not self._spent:
            return
        before = self._before
        expected = before + (self._spent - before) * total / done if done >= min(_ENOUGH, total) else self._spent
        if expected > most:
            raise UserError(
                f"the calls would cost about {expected:,.2f}, more than --max-cost {most:,.2f};"
                f" {done:,} of {total:,} are done, cost {self._spent - before:,.2f}, and are kept",
                value=most,
                remedy="raise --max-cost, judge fewer rows (`sources`, `limit`), or take a cheaper model",
            )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        "less than a minute"
        if minutes < 1
        else f"about {minutes} min"
        if minutes < 120
        else f"about {round(minutes / 60)} h"
    )


def spent(root: Path, keys: Iterable[str], engine: JudgeEngine) -> float:
    """Return what the stored replies among `keys` cost, at the engine's price fields; failed calls are not stored."""
    return sum(engine.cost(reply) for reply in stored(root, keys).values())


def stored(root: Path, keys: Iterable[str]) -> Mapping[str, Reply]:
    """Return the stored replies among `keys` of the manifest folder `root`: for costs and tokens after the fact."""
    if not (root / CACHE).exists():
        return {}
    with CallCache(root / CACHE) as cache:
        return cache.get(keys)
