"""Raw rows: the columns of a row with its place and bytes, and how JSON becomes such rows.

Rows travel in blocks, the unit of work of reading: what cuts a file into rows runs once, in order; what parses them may
run elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from curate.parse import Piece, lines, load
from curate.reason import BadRow
from curate.split import parts
from manifests.names import digest_bytes

BLOCK_ROWS: Final = 1024
"""Most rows of a block."""
BLOCK_BYTES: Final = 4 * 2**20
"""Bytes of rows at which a block is full."""


class RawRow(NamedTuple):
    """One row of a file: its columns, or the reason why it has none."""

    number: int
    """1-based line (JSON lines, CSV), element (JSON), instance (task file) or row (Parquet)."""
    columns: dict[str, Any] | None
    fault: str | None = None
    raw: Piece | bytes | None = None

    @property
    def raw_hash(self) -> str:
        """128-bit hash of the row's bytes; for Parquet, of its columns as JSON."""
        if isinstance(self.raw, Piece):
            return self.raw.raw_hash
        if self.raw is not None:
            return digest_bytes(self.raw)
        text = json.dumps(self.columns, ensure_ascii=True, sort_keys=True, default=str)
        return digest_bytes(text.encode("ascii"))


class Block(Protocol):
    """Rows that belong together on their way; a block can be sent to another process."""

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows, in order."""
        ...


class Rows(NamedTuple):
    """A block of rows that are parsed already."""

    items: list[RawRow]

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows, in order."""
        return iter(self.items)


class Lines(NamedTuple):
    """A block of lines that are not parsed yet."""

    pieces: list[Piece]

    def rows(self) -> Iterator[RawRow]:
        """Yield a row for every line."""
        return map(_loaded, self.pieces)


def of_lines(content: Iterable[bytes]) -> Iterator[Lines]:
    """Yield blocks with every line that is not blank, numbered as the lines are."""
    pieces: list[Piece] = []
    size = 0
    for piece in lines(content):
        raw = piece.raw
        if piece.fault or (raw and not raw.isspace()):
            pieces.append(piece)
            size += len(raw)
            if len(pieces) >= BLOCK_ROWS or size >= BLOCK_BYTES:
                yield Lines(pieces)
                pieces, size = [], 0
    if pieces:
        yield Lines(pieces)


def grouped(rows: Iterable[RawRow]) -> Iterator[Rows]:
    """Yield the rows in blocks."""
    items: list[RawRow] = []
    size = 0
    for row in rows:
        items.append(row)
        size += len(row.raw.raw if isinstance(row.raw, Piece) else row.raw or b"")
        if len(items) >= BLOCK_ROWS or size >= BLOCK_BYTES:
            yield Rows(items)
            items, size = [], 0
    if items:
        yield Rows(items)


def of_document(content: Iterable[bytes], name: str) -> Iterator[RawRow]:
    """Yield the elements of arrays, the instances of task files, and any other object as one row, numbered from 1.

    A task file is an object with the members "Definition" and "Instances" (Super-NaturalInstructions); its instances
    get the columns `definition`, `task` (= `name`) and, where examples come before them, `examples`.
    """
    for number, row in enumerate(_parts(content, name), start=1):
        yield row._replace(number=number)


def _loaded(piece: Piece) -> RawRow:
    if piece.fault:
        return RawRow(piece.number, None, piece.fault, piece)
    try:
        return RawRow(piece.number, load(piece.raw, last=piece.last), None, piece)
    except BadRow as bad:
        return RawRow(piece.number, None, bad.reason, piece)


def _parts(content: Iterable[bytes], name: str) -> Iterator[RawRow]:
    value = _Object(name)
    for kind, piece in parts(content):
        if kind == "element":
            yield _loaded(piece)
        elif kind == "member":
            value.members.append(piece)
        elif kind == "instance":
            value.instances.append(piece)
            if value.defined:
                yield from value.take()
        else:
            yield from value.end()
            value = _Object(name)
    yield from value.take()


class _Object:
    """A top-level object as its members arrive: a task file, or a row of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: list[Piece] = []
        self.instances: list[Piece] = []  # not yet given out
        self.tasks = False
        self._known = (-1, {}, None)  # type: tuple[int, dict[str, Any], str | None]

    @property
    def defined(self) -> bool:
        """Whether the definition has arrived; in files that sort otherwise, instances wait for it."""
        return any(piece.raw.lstrip().startswith(b'"Definition"') for piece in self.members)

    def take(self) -> Iterator[RawRow]:
        """Yield the instances that arrived, with their task's columns."""
        self.tasks = self.tasks or bool(self.instances)
        for piece in self.instances:
            row = _loaded(piece)
            columns, fault = self._header()
            if row.columns is None:
                yield row
            elif fault:
                yield RawRow(piece.number, None, fault, piece)
            else:
                yield row._replace(columns={**row.columns, **columns})
        self.instances = []

    def end(self) -> Iterator[RawRow]:
        """Yield what is left when the object is closed: waiting instances, or the object itself as a row."""
        yield from self.take()
        if self.members and not self.tasks:
            faults = [piece for piece in self.members if piece.fault]
            yield _loaded(faults[0] if faults else Piece(0, self._bytes()))

    def _bytes(self) -> bytes:
        return b"{" + b",".join(piece.raw for piece in self.members) + b"}"

    def _header(self) -> tuple[dict[str, Any], str | None]:
        """Return the columns that every instance gets, or the reason why the task's members give none."""
        if self._known[0] != len(self.members):
            faults = [piece.fault for piece in self.members if piece.fault]
            task: dict[str, Any] = {}
            try:
                task = {} if faults else load(self._bytes())
            except BadRow as bad:
                faults = [bad.reason]
            self._known = (len(self.members), _task_columns(task, self.name), faults[0] if faults else None)
        return self._known[1], self._known[2]


def _task_columns(task: dict[str, Any], name: str) -> dict[str, Any]:
    definition = task.get("Definition")
    if isinstance(definition, list) and all(isinstance(part, str) for part in definition):
        definition = "\n".join(definition)
    columns = {"definition": definition, "task": name}
    examples = task.get("Positive Examples")
    if isinstance(examples, list):
        shown = [e for e in examples if isinstance(e, dict)]
        columns["examples"] = "\n\n".join(f"Input: {e.get('input')}\nOutput: {e.get('output')}" for e in shown)
    return columns
