"""An engine that worker processes can import: it writes down when it is opened and asked, and can die once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from curate.judges import OK, Call, Menu, Reply, Text, Writing
from manifests.component import Context
from manifests.errors import UserError
from manifests.names import digest


@dataclass(frozen=True, kw_only=True)
class Remembering:
    """Answers by the prompt's hash. A prompt that holds `deadly` kills its process, once per `log` folder."""

    kind: ClassVar[str] = "remembering"
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    inert: ClassVar[frozenset[str]] = frozenset({"log", "spread", "deadly", "price"})

    log: str
    spread: bool | None = None
    deadly: str = ""
    refused: str = ""
    price: float = 0.0
    batch: int = 10

    def identity(self) -> dict[str, Any]:
        """Return the kind."""
        return {"kind": self.kind}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[Asked]:
        """Note it."""
        note(self.log, "open")
        yield Asked(self, tuple(menus))
        note(self.log, "close")

    def cost(self, reply: Reply) -> float:
        """Return the price of every call, failed or not."""
        return self.price


@dataclass(frozen=True)
class Asked:
    """The open engine."""

    engine: Remembering
    menus: tuple[Menu, ...]

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        """Answer in batches."""
        assert menu in self.menus
        return self._all(calls, lambda prompt: {"probabilities": (chance(prompt), 0.99 - chance(prompt))})

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        """Answer in batches."""
        return self._all(calls, lambda prompt: {"texts": (Text(digest(prompt), "stop"),) * how.n})

    def _all(self, calls, say) -> Iterator[list[Reply]]:
        for start in range(0, len(calls), self.engine.batch):
            replies = []
            for call in calls[start : start + self.engine.batch]:
                self._mishap(call.prompt)
                note(self.engine.log, call.key)
                replies.append(Reply(key=call.key, status=OK, finish="stop", tokens_in=5, **say(call.prompt)))
            yield replies

    def _mishap(self, prompt: str) -> None:
        engine, killed = self.engine, Path(self.engine.log) / "killed"
        if engine.deadly and engine.deadly in prompt and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if engine.refused and engine.refused in prompt:
            raise UserError("the engine has had enough", value=prompt)


def chance(prompt: str) -> float:
    """Return a number that the prompt decides, 0..0.99."""
    return int(digest(prompt)[:6], 16) / (1 << 24) * 0.99


def note(folder: str, what: str) -> None:
    """Append a line to this process's log."""
    with (Path(folder) / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(what) + "\n")


def notes(folder: Path) -> dict[int, list[str]]:
    """Return what each process noted."""
    return {
        int(path.stem): [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    }
