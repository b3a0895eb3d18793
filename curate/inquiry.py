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
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from manifests.names import digest

CACHE: Final = Path("cache") / "calls.sqlite"
_TELL_SECONDS: Final = 20.0
"""A stage that is expected to take less is not worth a line of its own."""


class Inquiry:
    """Asks an engine, which starts at the first question without a stored answer and ends with the `with` block.

    Each batch of replies is stored before the next is waited for, so a kill loses the calls in flight and no other.
    Failed calls are stored apart and asked again next time. The cost of the stored calls is not counted again.
    """

    def __init__(self, engine: JudgeEngine, menus: Sequence[Menu], context: Context) -> None:
        self._engine, self._menus, self._context = engine, menus, context
        self._stack = ExitStack()
        self._session: Session | None = None
        self._spent = 0.0
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
            self._session = self._stack.enter_context(self._engine.open(self._menus, self._context))
        return self._session

    def _answers(self, calls: Iterable[Call], put: Any) -> dict[str, Reply]:  # noqa: ANN401 - see ask
        unique = {call.key: call for call in calls}
        replies: dict[str, Reply] = self._cache.get(unique) if self._engine.cached and unique else {}
        missing = [call for key, call in unique.items() if key not in replies]
        self._context.progress(len(replies), len(unique))
        if missing:
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
            if replies and not told:
                told = self._tell(len(missing) - len(left), len(missing), time.perf_counter() - started)
            if left and self._context.stopping():
                raise Interrupted("stopped while asking the model; finished calls are kept")
        if left:
            yield [failed(key, "the judge gave no answer") for key in sorted(left)]

    def _tell(self, done: int, total: int, seconds: float) -> bool:
        """Say after the first batch what is left to come, in time and cost; return that it was said."""
        rest = seconds * (total - done) / done
        if rest >= _TELL_SECONDS:
            cost = self._spent * total / done
            price = f", cost about {cost:,.2f} in all" if cost else ""
            self._context.say(f"{total:,} calls: about {rest / 60:,.0f} min to go{price}")
        return True

    def _budget(self, done: int, total: int) -> None:
        """Stop when the calls so far, or these to come at the same price, cost more than `context.max_cost`."""
        most = self._context.max_cost
        if most is None or not done:
            return
        expected = self._spent + self._spent / done * (total - done)
        if expected > most and self._spent > 0.0 and done < total:
            raise UserError(
                f"the calls would cost about {expected:,.2f}, more than --max-cost {most:,.2f};"
                f" {done:,} of {total:,} are done, cost {self._spent:,.2f}, and are kept",
                value=most,
                remedy="raise --max-cost, judge fewer rows (`sources`, `limit`), or take a cheaper model",
            )


def stored(root: Path, keys: Iterable[str]) -> Mapping[str, Reply]:
    """Return the stored replies among `keys` of the manifest folder `root`: for costs and tokens after the fact."""
    if not (root / CACHE).exists():
        return {}
    with CallCache(root / CACHE) as cache:
        return cache.get(keys)
