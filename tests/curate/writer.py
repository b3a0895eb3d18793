"""An engine for tests that writes what a function says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from curate.judges import OK, Call, Menu, Reply, Text, Writing, failed
from manifests.component import Context

Answer = Callable[[str, int], str | Text | None]
"""Prompt and number of the text (0 for the greedy one, then 1, 2, ...) to the text; None for a call that fails."""


@dataclass(frozen=True)
class Writer:
    """Writes `answer`'s texts; `asked` holds every prompt put to it, `opened` how often it was started."""

    answer: Answer
    asked: list[tuple[str, Writing]] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    kind: ClassVar[str] = "writer"
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    inert: ClassVar[frozenset[str]] = frozenset({"answer", "asked", "opened"})

    def identity(self) -> dict:
        return {"model": "writer"}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[Writer]:
        self.opened.append(len(menus))
        yield self

    def cost(self, reply: Reply) -> float:
        return 0.0

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        yield [failed(call.key, "reads nothing") for call in calls]

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        for call in calls:
            self.asked.append((call.prompt, how))
            numbers = range(1, how.n + 1) if how.temperature else (0,)
            said = [self.answer(call.prompt, number) for number in numbers]
            if None in said:
                yield [failed(call.key, "the writer is out of ink")]
                continue
            texts = tuple(text if isinstance(text, Text) else Text(text, "stop") for text in said)
            yield [Reply(key=call.key, status=OK, texts=texts, finish="stop")]
