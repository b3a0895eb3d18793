"""Questions answered by the workers of a job's engine, each of which keeps a model open from part to part."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from curate.judges import Call, JudgeEngine, Menu, Reply, Session, Writing
from curate.judges.shard import parts
from manifests.component import Context, spec_of

MOST: Final = 1024
"""Calls of one part: what a worker that dies has to do again."""
_LEAST: Final = 32
_PARTS: Final = 16
"""Parts wanted at least, so that every worker has some."""
IDLE: Final = 120.0
"""Seconds after which a worker that is asked nothing gives its model's memory back."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a worker needs to answer some calls."""

    engine: JudgeEngine
    menus: tuple[Menu, ...]
    root: Path
    how: Menu | Writing
    calls: tuple[Call, ...]


class Spread:
    """A session whose calls are answered where `context.engine` does its work.

    Replies come in the order of the parts; which calls are in a part depends on their content ids and number alone.
    Each worker loads the model at its first part. A worker that dies is replaced and its part asked again.
    """

    def __init__(self, engine: JudgeEngine, menus: Sequence[Menu], context: Context) -> None:
        self._engine, self._menus, self._context = engine, tuple(menus), context

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        """Yield the replies with label probabilities, part by part."""
        return self._all(calls, menu)

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        """Yield the replies with texts, part by part."""
        return self._all(calls, how)

    def _all(self, calls: Sequence[Call], how: Menu | Writing) -> Iterator[list[Reply]]:
        size = min(MOST, max(_LEAST, len(calls) // _PARTS))
        work = partial(Part, self._engine, self._menus, self._context.root, how)
        return self._context.engine.map(answer, (work(tuple(part)) for part in parts(calls, size)))


def spreads(engine: JudgeEngine, context: Context) -> bool:
    """Return whether the workers of the job's engine are to ask: as the judge says, or else on a cluster.

    Processes of this machine would share its GPUs with one another.
    """
    wanted: bool | None = getattr(engine, "spread", False)
    return bool(getattr(context.engine, "cluster", False)) if wanted is None else wanted


def answer(part: Part) -> list[Reply]:
    """Answer a part with this process's model, which is opened when it is not, or when another one is."""
    with _HELD.lock:
        session = _HELD.session(part)
        try:
            put = (
                session.ask(part.calls, part.how) if isinstance(part.how, Menu) else session.write(part.calls, part.how)
            )
            replies = [reply for batch in put for reply in batch]
        except BaseException:
            _HELD.close()
            raise
        _HELD.rest()
        return replies


@dataclass
class Held:
    """The engine that this worker process holds open."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    _key: Any = None
    _session: Session | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _timer: threading.Timer | None = None

    def session(self, part: Part) -> Session:
        """Return the session of the part's engine; another that is open is closed first: both may not fit."""
        if self._timer is not None:
            self._timer.cancel()
        key = (spec_of(part.engine), part.engine.identity(), part.menus)
        if self._session is None or key != self._key:
            self.close()
            context = Context(root=part.root)
            self._session, self._key = self._stack.enter_context(part.engine.open(part.menus, context)), key
        return self._session

    def rest(self) -> None:
        """Close the session after `IDLE` seconds without a part."""
        self._timer = threading.Timer(IDLE, self._give_back, [self._key])
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Close the session."""
        self._session = self._key = None
        self._stack.close()

    def _give_back(self, key: Any) -> None:  # noqa: ANN401 - see session
        with self.lock:
            if self._key is key:
                self.close()


_HELD: Final = Held()
