"""Cuts a JSON document of any length into its rows without parsing it: an array's elements, a task's instances."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from curate.parse import MAX_ROW, Hold, Piece, without_bom
from curate.reason import BadRow

Kind = Literal["element", "member", "instance", "end"]

# Possessive quantifiers: each byte is looked at once, whatever the input.
_STRING: Final = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_TEXT: Final = re.compile(_STRING, re.DOTALL)
_INSIDE: Final = re.compile(rb'[^"\[\]{}]*+(?:"%b"[^"\[\]{}]*+)*+' % _STRING, re.DOTALL)
_BETWEEN: Final = re.compile(rb'[^"\[\]{},]*+(?:"%b"[^"\[\]{},]*+)*+' % _STRING, re.DOTALL)
_INSTANCES: Final = re.compile(rb'\s*"Instances"\s*:\s*\Z')
_QUOTE, _BACKSLASH, _COMMA, _LIST, _LIST_END, _OBJECT_END = b'"\\,[]}'
_OPEN: Final = frozenset(b"[{")


class Part(NamedTuple):
    """A piece of a document: an array's `element`, an object's `member`, an `instance` of the member "Instances".

    `end` (an empty piece) closes each top-level value.
    """

    kind: Kind
    piece: Piece


def parts(chunks: Iterable[bytes]) -> Iterator[Part]:
    """Yield the parts of every top-level array or object of the document, in order, in memory bounded by one row.

    Rows are cut at commas and brackets outside texts, so that a malformed row costs itself only. What stands outside of
    the top-level values is an `element` with the fault `invalid JSON`. A document that stops early ends in an element
    with the fault `truncated`; a broken stream in one with the stream's reason.
    """
    splitter = _Splitter()
    try:
        for chunk in without_bom(chunks):
            yield from splitter.feed(chunk)
    except BadRow as bad:
        yield splitter.broken(bad.reason)
        return
    yield from splitter.close()


class _Splitter:
    """A scanner over chunks: the depth of open brackets, whether inside a text, and the bytes of the row so far."""

    def __init__(self) -> None:
        self.hold = Hold()
        self.depth = 0
        self.level = 1  # commas at this depth part rows
        self.array = False
        self.in_text = False
        self.escaped = False  # the chunk ended behind a backslash
        self.number = 0
        self.comma = False  # a comma came before the row so far

    def feed(self, chunk: bytes) -> Iterator[Part]:
        """Yield the parts that `chunk` completes."""
        at = start = 0
        while at < len(chunk):
            if self.in_text:
                at = self._text(chunk, at)
                continue
            pattern = _INSIDE if self.depth > self.level else _BETWEEN
            found = pattern.match(chunk, at)
            at = found.end() if found else at
            if at == len(chunk):
                break
            byte = chunk[at]
            if byte == _QUOTE:
                self.in_text = True
            elif self._parts_here(byte):
                self.hold.add(chunk[start:at])
                start = at + 1
                yield from self._cut(byte)
            else:
                self.depth += 0 if byte == _COMMA else 1 if byte in _OPEN else -1
            at += 1
            self.depth = max(self.depth, 0)
        self.hold.add(chunk[start:])

    def broken(self, reason: str) -> Part:
        """Return the part that stands for everything from here on."""
        return Part("element", self.hold.take(self.number + 1, reason))

    def close(self) -> Iterator[Part]:
        """Yield what is left at the end of the document."""
        if self.depth == 0 and not self.in_text:
            if self._filled():
                yield self.broken("invalid JSON")
            return
        if self.depth == self.level and not self.in_text and self._filled() and self._listing:
            yield self._row()
        yield self.broken("truncated")

    def _text(self, chunk: bytes, at: int) -> int:
        """Move over a text that began in an earlier step; return where scanning goes on."""
        if self.escaped:
            self.escaped = False
            return at + 1
        found = _TEXT.match(chunk, at)
        at = found.end() if found else at
        if at < len(chunk):
            if chunk[at] == _BACKSLASH:
                self.escaped = True
            else:
                self.in_text = False
            at += 1
        return at

    def _parts_here(self, byte: int) -> bool:
        if byte == _COMMA:
            return self.depth == self.level
        if byte in _OPEN:
            may_be_instances = self.depth == self.level == 1 and not self.array and byte == _LIST
            return self.depth == 0 or may_be_instances
        return self.depth == self.level

    def _cut(self, byte: int) -> Iterator[Part]:
        """End the row before a comma or bracket that parts rows."""
        if byte in _OPEN:
            yield from self._enter(byte)
            return
        closing = byte != _COMMA
        if self._filled() or (self._listing and (self.comma or not closing)):
            yield self._row()
        else:
            self.hold.clear()
        self.comma = not closing
        if closing:
            yield from self._leave(byte)

    def _leave(self, byte: int) -> Iterator[Part]:
        if byte != (_LIST_END if self._listing else _OBJECT_END):
            yield self.broken("invalid JSON")
            self.number += 1
        self.depth -= 1
        self.comma = False
        if self.level == 2:
            self.level = 1
        else:
            yield Part("end", Piece(self.number, b""))

    def _enter(self, byte: int) -> Iterator[Part]:
        self.comma = False
        if self.depth == 0:
            if self._filled():
                yield self.broken("invalid JSON")
                self.number += 1
            self.hold.clear()
            self.array, self.depth, self.level = byte == _LIST, 1, 1
        elif _INSTANCES.match(self.hold.content()):
            self.hold.clear()
            self.depth = self.level = 2
        else:
            self.hold.add(b"[")
            self.depth += 1

    def _row(self) -> Part:
        if self.level == 1 and not self.array:
            return Part("member", self.hold.take(self.number + 1))
        self.number += 1
        return Part("element" if self.level == 1 else "instance", self.hold.take(self.number))

    @property
    def _listing(self) -> bool:
        """Whether rows are the elements of a list here, and not the members of an object."""
        return self.array or self.level == 2

    def _filled(self) -> bool:
        return self.hold.size > MAX_ROW or self.hold.content().strip() != b""
