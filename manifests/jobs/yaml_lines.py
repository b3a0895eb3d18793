"""A strict YAML reader that knows the line of every value: no tags, aliases, duplicate keys or guessed booleans."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml import events

from manifests.errors import UserError, together

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 50

_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_GUESSED: Final = frozenset({"yes", "no", "on", "off"})
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9]+")
_PREFIXED: Final = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAB_INDENT: Final = re.compile(r"^ *\t", re.MULTILINE)

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Located:
    """A document's value and the line of every part of it.

    `value` is made of dict, tuple, str, int, float, bool and None. `lines` maps a path of keys and positions to its
    1-based line.
    """

    value: Any
    file: str
    lines: Mapping[tuple[str | int, ...], int] = field(repr=False)

    def where(self, path: tuple[str | int, ...] = ()) -> str:
        """Return `file:line` of the value at `path`, or of the nearest part around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return f"{self.file}:{self.lines[path[:end]]}"
        return f"{self.file}:1"

    def has(self, path: tuple[str | int, ...]) -> bool:
        """Tell whether the document has a value at `path`."""
        return path in self.lines


def load(path: Path) -> Located:
    """Return the YAML document of the file `path`; raise UserError naming file and line of everything refused.

    Refused: more than 1 MB, other encodings than UTF-8, more than one document, tags, anchors, aliases, merge keys,
    duplicate keys, tabs as indentation, depth over 50, `.nan` and `.inf`, unquoted yes, no, on and off, numbers with
    leading zeros. Scalars follow the YAML 1.2 core schema: `1e-4` is a number, only true and false are booleans.
    """
    return loads(_text(path), str(path))


def loads(text: str, file: str) -> Located:
    """Return the YAML document `text`, as `load` does; `file` is the name used in places."""
    tab = _TAB_INDENT.search(text)
    if tab:
        raise UserError("a tab indents this line", where=_at(file, text, tab.start()), remedy="indent with spaces")
    builder = _Builder(file)
    try:
        value = builder.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.reader.ReaderError as error:
        raise UserError(
            "a character that YAML does not allow",
            where=_at(file, text, error.position),
            value=chr(error.character) if isinstance(error.character, int) else error.character,
            remedy="remove it, or write it as an escape in double quotes",
        ) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, file) from error
    if builder.errors:
        raise together(builder.errors)
    return Located(value, file, builder.lines)


def _text(path: Path) -> str:
    if not path.exists():
        beside = path.parent.glob("*.y*ml") if path.parent.is_dir() else ()
        raise UserError("no such file", value=str(path), options=[str(other) for other in beside])
    if not path.is_file():
        raise UserError("not a file", value=str(path), remedy="give the path of a YAML file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UserError(f"larger than {MAX_BYTES:,} bytes", where=str(path), remedy="a job holds settings, not data")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            "not UTF-8", where=f"{path}:{line}", value=data[error.start : error.end], remedy="save the file as UTF-8"
        ) from error


def _at(file: str, text: str, position: int) -> str:
    return f"{file}:{text.count(chr(10), 0, position) + 1}"


def _line(event: events.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _syntax(error: yaml.MarkedYAMLError, file: str) -> UserError:
    mark = error.problem_mark or error.context_mark
    where = f"{file}:{mark.line + 1}" if mark else file
    problem = error.problem or "not YAML"
    if "'\\t'" in problem:
        return UserError("a tab where YAML wants spaces", where=where, remedy="use spaces")
    return UserError(
        f"not valid YAML: {problem}", where=where, remedy="check indentation, colons, quotes and brackets of this line"
    )


class _Builder:
    """Builds values from parser events, which still show tags, anchors and aliases; collects what it refuses."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[tuple[str | int, ...], int] = {}
        self.errors: list[UserError] = []

    def document(self, stream: Iterator[events.Event]) -> Any:  # noqa: ANN401 - any YAML value
        """Return the one document's value, None for an empty file."""
        value = None
        seen = False
        for event in stream:
            if isinstance(event, events.DocumentStartEvent):
                if seen:
                    raise UserError("a second document starts here", where=self._where(event), remedy="keep one a file")
                seen = True
                if event.tags:
                    raise UserError("a %TAG directive", where=self._where(event), remedy="remove it: tags are refused")
            elif isinstance(event, events.NodeEvent):
                value = self._value(event, stream, ())
        return value

    def _where(self, event: events.Event) -> str:
        return f"{self.file}:{_line(event)}"

    def _refuse(self, what: str, event: events.Event, value: object, remedy: str) -> None:
        self.errors.append(UserError(what, where=self._where(event), value=value, remedy=remedy))

    def _value(self, event: events.Event, stream: Iterator[events.Event], path: Path_) -> Any:  # noqa: ANN401
        self.lines.setdefault(path, _line(event))
        if len(path) > MAX_DEPTH:
            raise UserError(f"nested deeper than {MAX_DEPTH}", where=self._where(event), remedy="make it flatter")
        if not isinstance(event, events.ScalarEvent | events.CollectionStartEvent):
            self._refuse("an alias", event, f"*{getattr(event, 'anchor', '')}", "write the value out")
            return None
        if event.anchor is not None:
            self._refuse("an anchor", event, f"&{event.anchor}", "remove it and write values out")
        if event.tag is not None:
            self._refuse("a tag", event, event.tag, "remove it: a job holds plain values only")
        if isinstance(event, events.ScalarEvent):
            return self._scalar(event)
        return (
            self._mapping(stream, path) if isinstance(event, events.MappingStartEvent) else self._sequence(stream, path)
        )

    def _sequence(self, stream: Iterator[events.Event], path: Path_) -> tuple[Any, ...]:
        items: list[Any] = []
        for event in stream:
            if isinstance(event, events.SequenceEndEvent):
                break
            items.append(self._value(event, stream, (*path, len(items))))
        return tuple(items)

    def _mapping(self, stream: Iterator[events.Event], path: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        for event in stream:
            if isinstance(event, events.MappingEndEvent):
                break
            key = self._key(event)
            line = _line(event)
            inner = next(stream)
            if key in first:
                self._refuse(
                    f"the key stands here for the second time, first in line {first[key]}", event, key, "keep one"
                )
                self._value(inner, stream, (*path, key, "<duplicate>"))
                continue
            first[key] = line
            if not isinstance(inner, events.ScalarEvent):
                self.lines[(*path, key)] = line
            result[key] = self._value(inner, stream, (*path, key))
        return result

    def _key(self, event: events.Event) -> str:
        if not isinstance(event, events.ScalarEvent) or event.tag is not None or event.anchor is not None:
            raise UserError(
                "a key that is not plain text", where=self._where(event), remedy="write keys as plain words"
            )
        if event.value == "<<" and event.style is None:
            self._refuse("a merge key", event, "<<", "write the keys out")
        return str(event.value)

    def _scalar(self, event: events.ScalarEvent) -> Any:  # noqa: ANN401 - str, int, float, bool or None
        text = str(event.value)
        if event.style is not None:
            return text
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text.lower() in _GUESSED:
            self._refuse("YAML readers disagree on this word", event, text, "quote it, or write true or false")
            return None
        return self._number(text, event)

    def _number(self, text: str, event: events.Event) -> int | float | str | None:
        if _NOT_FINITE.fullmatch(text):
            self._refuse("not a finite number", event, text, "give a finite number")
            return None
        if _LEADING_ZERO.fullmatch(text):
            self._refuse("a number with a leading zero", event, text, "remove the zero, or quote it if it is text")
            return None
        if _PREFIXED.fullmatch(text) or _INTEGER.fullmatch(text):
            return self._integer(text, event)
        if not _FLOAT.fullmatch(text):
            return text
        number = float(text)
        if not math.isfinite(number):
            self._refuse("not a finite number", event, text, "give a finite number")
            return None
        return number

    def _integer(self, text: str, event: events.Event) -> int | None:
        if len(text) > 20 or not -(2**63) <= (number := int(text, 0)) < 2**63:
            self._refuse("a whole number beyond 64 bits", event, text, "give a smaller number, or quote it")
            return None
        return number
