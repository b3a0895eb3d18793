"""Turns raw rows into samples and rejects, as a source asks: block by block, and then in the order of the source."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from curate.formats import FORMATS, Format, Parsed, detect, format_error
from curate.parse import MAX_ROW, check_text
from curate.raw import Block, RawRow
from curate.reason import BadRow
from curate.sample import Message, Reject, Sample, content_id, sample_id
from curate.template import Template
from manifests.errors import UserError
from manifests.licence import non_commercial, stated
from manifests.names import digest, k64, sampling_key

if TYPE_CHECKING:
    from curate.sources import Scalar, Source

_MOST_NAMES: Final = 1000


class Part(NamedTuple):
    """A block of a file: its place in the source, and what is known of the file's format."""

    file: int
    """How many files came before its own."""
    kind: str | None
    """Name of the format of the file's rows; None while no row fits one."""
    block: Block


@dataclass
class Facts:
    """What the rows of a pass, or of one block of it, had: for the errors that only the end of a pass can tell."""

    rows: int = 0
    skipped: int = 0
    last: int = 0
    """Number of the last row in its file."""
    unmet: set[str] = field(default_factory=set)
    """Columns that the source names and no row has had."""
    names: dict[str, None] = field(default_factory=dict)
    """Columns that the rows have, as far as `unmet` had to be looked for."""
    passed_over: dict[str, set[str]] | None = None
    """Column of `select` without a wanted value so far -> values met there; None once a row was selected."""
    misfit: tuple[int, tuple[str, ...]] | None = None
    """Number and columns of the first row that does not fit its format."""
    fitted: bool = False

    def add(self, other: Facts, offset: int) -> None:
        """Take in the facts of the next block, whose rows count on from `offset`."""
        self.rows += other.rows
        self.skipped += other.skipped
        self.unmet &= other.unmet
        for name in other.names:
            if len(self.names) < _MOST_NAMES:
                self.names[name] = None
        if self.passed_over is None or other.passed_over is None:
            self.passed_over = None
        else:
            self.passed_over = {c: mine for c, mine in self.passed_over.items() if c in other.passed_over}
            for column, mine in self.passed_over.items():
                mine.update(sorted(other.passed_over[column] - mine)[: _MOST_NAMES - len(mine)])
        if self.misfit is None and other.misfit is not None:
            self.misfit = (offset + other.misfit[0], other.misfit[1])
        self.fitted = self.fitted or other.fitted


class BlockReader:
    """Reads the rows of one block; what it finds depends on the block, its file's format and the source alone."""

    def __init__(self, source: Source, kind: str | None) -> None:
        self.source = source
        self._kind: Format | None = None if kind is None else FORMATS[kind]
        self._templates = _templates(source)
        self._evaluation = source.role == "eval"
        self._select = {column: _values(wanted) for column, wanted in source.select.items()}
        self.facts = opening(source)

    def items(self, block: Block) -> Iterator[tuple[int, Sample | Reject]]:
        """Yield the rows that are not left out: place in the block from 1, and what became of it.

        Ids are those of first occurrences and lines those in the file: `Numbering` makes them the source's.
        """
        for place, row in enumerate(block.rows(), 1):
            self.facts.rows, self.facts.last = place, row.number
            item = self._item(row)
            if item is not None:
                yield place, item

    def detect(self, block: Block) -> str | None:
        """Return the name of the format that the first row fits of those that fit any, or None."""
        for row in block.rows():
            if row.columns is not None and (not self._select or self._selected(row.columns)):
                name = detect(self._mapped(row.columns))
                if name is not None:
                    return name
        return None

    def _item(self, row: RawRow) -> Sample | Reject | None:
        if row.columns is None:
            return self._reject(row, str(row.fault))
        if self.facts.unmet:
            self._meet(row.columns)
        if self._select and not self._selected(row.columns):
            self._pass_over(row.columns)
            return None
        self.facts.passed_over = None
        try:
            return self._sample(row, row.columns)
        except BadRow as bad:
            return self._reject(row, bad.reason)

    def _meet(self, columns: Mapping[str, Any]) -> None:
        facts = self.facts
        facts.unmet.difference_update(columns)
        facts.unmet.difference_update(ours for ours, raw in self.source.columns.items() if raw in columns)
        if len(facts.names) < _MOST_NAMES:
            facts.names.update(dict.fromkeys(columns))

    def _selected(self, columns: Mapping[str, Any]) -> bool:
        return all(_value(columns.get(column)) in wanted for column, wanted in self._select.items())

    def _pass_over(self, columns: Mapping[str, Any]) -> None:
        self.facts.skipped += 1
        lacking = self.facts.passed_over or {}
        for column in list(lacking):
            value = columns.get(column)
            if _value(value) in self._select[column]:
                del lacking[column]
            elif len(lacking[column]) < _MOST_NAMES:
                lacking[column].add(str(value))

    def _sample(self, row: RawRow, columns: dict[str, Any]) -> Sample:
        source = self.source
        if row.raw is None:
            _check_arrow(columns)
        fields = self._mapped(columns)
        parsed = self._parse(row, fields)
        licence = (_label(fields, "licence") if "licence" in source.columns else None) or source.licence
        if source.commercial:
            _check_licence(licence)
        messages = parsed.messages
        if self._templates:
            asked = messages[-2].content
            template = self._templates[k64(digest(asked)) % len(self._templates) if len(self._templates) > 1 else 0]
            prompt = template.render(asked, {**columns, **fields})
            messages = (*messages[:-2], Message("user", prompt), messages[-1])
        content = content_id(messages)
        return Sample(
            id=sample_id(content, source.name, 0),
            content_id=content,
            source=source.name,
            role=source.role,
            messages=messages,
            task=source.task or _label(fields, "task"),
            licence=licence,
            meta={**self._kept(columns), **parsed.meta} if source.keep else parsed.meta,
        )

    def _parse(self, row: RawRow, fields: Mapping[str, Any]) -> Parsed:
        if self._kind is None or not self._kind.fits(fields):
            self.facts.misfit = self.facts.misfit or (row.number, tuple(fields)[:_MOST_NAMES])
            raise BadRow("missing column")
        self.facts.fitted = True
        return self._kind.parse(fields, self._evaluation)

    def _mapped(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the row with the format's column names; what they named before is out of sight."""
        if not self.source.columns:
            return columns
        fields = {name: value for name, value in columns.items() if name not in self.source.columns}
        fields.update((ours, columns[raw]) for ours, raw in self.source.columns.items() if raw in columns)
        return fields

    def _kept(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _plain(columns[name]) for name in self.source.keep if name in columns}

    def _reject(self, row: RawRow, reason: str) -> Reject:
        return Reject(self.source.name, row.number, reason, row.raw_hash)


def _templates(source: Source) -> tuple[Template, ...]:
    given = source.template
    return tuple(Template.parse(text) for text in ((given,) if isinstance(given, str) else given or ()))


def opening(source: Source) -> Facts:
    """Return the facts of a pass over `source` before its first row."""
    placeholders = {name for template in _templates(source) for name in template.names if name != "prompt"}
    return Facts(
        unmet={*source.select, *source.columns.values(), *source.keep, *placeholders},
        passed_over={column: set() for column in source.select},
    )


def parts(source: Source, files: Iterable[Iterable[Block]]) -> Iterator[Part]:
    """Yield the blocks of every file with the format of its rows: the source's, or that of the first row that fits."""
    for number, blocks in enumerate(files):
        kind = None if source.format == "auto" else source.format
        for block in blocks:
            kind = kind or BlockReader(source, None).detect(block)
            yield Part(number, kind, block)


class Numbering:
    """The places of a source's rows as its blocks come in order: lines count on from file to file, contents repeat."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.facts = opening(source)
        self._occurrences: Counter[str] = Counter()
        self._file = self._offset = self._last = 0

    def begin(self, file: int) -> int:
        """Return what to add to the row numbers of a block of `file`."""
        if file != self._file:
            self._offset, self._last, self._file = self._offset + self._last, 0, file
        return self._offset

    def end(self, facts: Facts) -> None:
        """Take in what the block had."""
        self.facts.add(facts, self._offset)
        self._last = facts.last

    def id_of(self, content: str, first: str) -> str:
        """Return the id of the next row with this content; `first` is that of the first one."""
        occurrence = self._occurrences[content]
        self._occurrences[content] = occurrence + 1
        return first if not occurrence else sample_id(content, self.source.name, occurrence)

    def finish(self, where: str) -> None:
        """Raise UserError, placed at `where`, when the source names columns or a format that no row has."""
        facts, source = self.facts, self.source
        if facts.unmet and facts.names:
            raise UserError("no row has the column", where=where, value=min(facts.unmet), options=sorted(facts.names))
        if facts.passed_over and facts.skipped:
            for column, met in facts.passed_over.items():
                wanted = source.select[column]
                raise UserError(
                    f"no row is selected: none has this in its column '{column}'",
                    where=where,
                    value=wanted[0] if isinstance(wanted, tuple) and wanted else wanted,
                    options=sorted(met),
                )
        if facts.misfit is not None and not facts.fitted:
            number, names = facts.misfit
            raise format_error(source.format, names, number).at(where)


def smallest(ids: Sequence[str], limit: int) -> list[int]:
    """Return the places of the `limit` ids that come first by (sampling key of seed 0, id), in ascending order."""
    keys = sampling_key(np.array([k64(each) for each in ids], dtype=np.uint64), 0, "limit")
    return sorted(sorted(range(len(ids)), key=lambda i: (int(keys[i]), ids[i]))[:limit])


def _values(wanted: Scalar | tuple[Scalar, ...]) -> frozenset[tuple[str, object]]:
    """Return the values that match; a number or a truth value also matches its text, as CSV has it."""
    each = wanted if isinstance(wanted, tuple) else (wanted,)
    texts = {("s", spelling) for value in each for spelling in _spellings(value)}
    return frozenset({_value(value) for value in each} | texts)


def _spellings(value: Scalar) -> tuple[str, ...]:
    if isinstance(value, bool):
        return str(value), str(value).lower()
    return (str(value),) if isinstance(value, int | float) else ()


def _value(value: object) -> tuple[str, object]:
    """Return a value that equals another only when both are of one kind: True is not 1."""
    if isinstance(value, bool):
        return "b", value
    if isinstance(value, int | float):
        return "n", value
    if isinstance(value, str):
        return "s", value
    return ("z", None) if value is None else ("", None)


def _check_licence(licence: str) -> None:
    if not stated(licence):
        raise BadRow("unknown licence")
    if non_commercial(licence):
        raise BadRow("non-commercial licence")


def _check_arrow(columns: Mapping[str, Any]) -> None:
    """Raise BadRow for NUL or too much text in a row that came as Arrow values."""
    size = 0
    for value in columns.values():
        if isinstance(value, str):
            size += len(value)
            if "\x00" in value:
                raise BadRow("NUL in text")
        elif isinstance(value, list | dict):
            check_text(value)
    if size > MAX_ROW:
        raise BadRow("line too long")


def _label(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value.strip() else None


def _plain(value: object) -> Any:  # noqa: ANN401 - a JSON value
    """Return a column's value as JSON has it: dates and decimals as text; raise BadRow for bytes, NaN, infinities."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadRow("non-finite number")
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, date | time | timedelta | Decimal):
        return str(value)
    raise BadRow("wrong type")
