"""How a running job tells where it is: live bars on a terminal, plain lines elsewhere, nothing when asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

from manifests.output import symbols

if TYPE_CHECKING:
    from rich.progress import Progress


class Reporter(Protocol):
    """What a running job says."""

    def start(self, stage: str, count: int, unit: str) -> None:
        """Say that a stage begins, with the size of its work when known (0 when not)."""

    def advance(self, done: int, total: int) -> None:
        """Say how far the stage is."""

    def finish(self, stage: str, seconds: float, note: str) -> None:
        """Say that a stage ended."""

    def say(self, text: str) -> None:
        """Say something that the running stage found out, such as how long it will take."""

    def close(self) -> None:
        """Leave the terminal clean."""


class Silent:
    """Says nothing."""

    def start(self, stage: str, count: int, unit: str) -> None:
        """Say nothing."""

    def advance(self, done: int, total: int) -> None:
        """Say nothing."""

    def finish(self, stage: str, seconds: float, note: str) -> None:
        """Say nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Plain:
    """One line a finished stage, and one every ten seconds of a long one: for logs and pipes."""

    write: Callable[[str], object] = field(default_factory=lambda: _line(sys.stderr))
    every: float = 10.0
    _stage: str = ""
    _said: float = 0.0

    def start(self, stage: str, count: int, unit: str) -> None:
        """Remember the stage; its lines come later."""
        self._stage, self._said = stage, time.monotonic()

    def advance(self, done: int, total: int) -> None:
        """Write a line when the last one is older than `every` seconds."""
        now = time.monotonic()
        if now - self._said >= self.every:
            self._said = now
            self.write(f"{self._stage}: {done:,} of {total:,}" if total else f"{self._stage}: {done:,}")

    def finish(self, stage: str, seconds: float, note: str) -> None:
        """Write the stage, its seconds and a note."""
        self.write(f"{stage}: {note} ({seconds:.1f} s)")

    def say(self, text: str) -> None:
        """Write the text after the stage's name."""
        self.write(f"{self._stage}: {text}")

    def close(self) -> None:
        """Do nothing."""


class Live:
    """A bar for the running stage and a line for each finished one (rich)."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=None)

    def start(self, stage: str, count: int, unit: str) -> None:
        """Begin the bar of a stage."""
        self._progress.reset(self._task, description=stage, total=count or None)

    def advance(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total or None)

    def finish(self, stage: str, seconds: float, note: str) -> None:
        """Leave a line above the bar."""
        self._progress.console.print(f"[green]✓[/green] {stage}: {note} [dim]({seconds:.1f} s)[/dim]", highlight=False)

    def say(self, text: str) -> None:
        """Leave a line above the bar."""
        self._progress.console.print(f"  {symbols(text, lines=True)}", highlight=False, markup=False)

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


def reporter() -> Reporter:
    """Return live bars on a terminal and plain lines elsewhere."""
    return Live() if sys.stderr.isatty() else Plain()


def _line(stream: TextIO) -> Callable[[str], object]:
    def write(text: str) -> None:
        """Write a line at once."""
        stream.write(symbols(text, lines=True) + "\n")
        stream.flush()

    return write
