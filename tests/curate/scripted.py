"""An engine whose every answer a test decides, for questions with a menu and for texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar

from curate.judges import OK, Call, Menu, Reply, Text, Writing
from manifests.component import Context

Ask = Callable[[str, Menu], Reply | Sequence[float] | None]
Write = Callable[[str, Writing], Reply | Text | str | None]


def mute(prompt: str, what: object) -> None:
    """Answer nothing."""


@dataclass(frozen=True)
class Scripted:
    """Answers with probabilities by `ask` and with text by `write`; what they return as None gets no reply.

    `log` holds the prompts in the order in which they came, `menus` those that the engine was opened with.
    """

    ask_: Ask = mute
    write_: Write = mute
    log: list[str] = field(default_factory=list)
    menus: list[Menu] = field(default_factory=list)
    cached: bool = True
    kind: ClassVar[str] = "scripted"
    version: ClassVar[int] = 1

    def identity(self) -> dict:
        return {"model": "scripted"}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[Scripted]:
        self.menus.extend(menus)
        yield self

    def cost(self, reply: Reply) -> float:
        return 0.0

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        assert menu in self.menus
        yield [reply for call in calls if (reply := self._reply(call, self.ask_(call.prompt, menu))) is not None]

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        yield [reply for call in calls if (reply := self._reply(call, self.write_(call.prompt, how))) is not None]

    def _reply(self, call: Call, said: Reply | Text | str | Sequence[float] | None) -> Reply | None:
        self.log.append(call.prompt)
        if said is None:
            return None
        if isinstance(said, Reply):
            return replace(said, key=call.key)
        if isinstance(said, str):
            said = Text(said, "stop")
        if isinstance(said, Text):
            return Reply(key=call.key, status=OK, texts=(said,), finish=said.finish, tokens_in=5, tokens_out=7)
        return Reply(key=call.key, status=OK, probabilities=tuple(said), tokens_in=5, tokens_out=1)
