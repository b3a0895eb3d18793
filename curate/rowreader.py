"""Turns one raw row after another into samples and rejects, as a source asks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from curate.formats import FORMATS, Format, Parsed, detect, format_error
from curate.parse import MAX_ROW, check_text
from curate.raw import RawRow
from curate.reason import BadRow
from curate.sample import Message, Reject, Sample, content_id, sample_id
from curate.template import Template
from manifests.errors import UserError
from manifests.names import k64, sampling_key

if TYPE_CHECKING:
    from curate.sources import Scalar, Source

_MOST_NAMES: Final = 1000


class RowReader:
    """The state of one pass over a source: occurrences of each content, the format of the file, the columns met."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.skipped = 0
        self._kind: Format | None = None
        self._occurrences: Counter[str] = Counter()
        self._template = None if source.template is None else Template.parse(source.template)
        self._evaluation = source.role == "eval"
        self._select = {column: _values(wanted) for column, wanted in source.select.items()}
        self._unmet = {*source.select, *source.columns.values(), *source.keep, *self._placeholders()}
        self._names: dict[str, None] = {}
        self._passed_over: dict[str, set[str]] | None = {column: set() for column in source.select}
        self._misfit: tuple[int, tuple[str, ...]] | None = None
        self._fitted = False
        self._offset = self._number = 0

    def begin_file(self) -> None:
        """Start a file: its format is its own, and its lines are numbered on from those before."""
        self._kind = None if self.source.format == "auto" else FORMATS[self.source.format]
        self._offset += self._number
        self._number = 0

    def item(self, row: RawRow) -> Sample | Reject | None:
        """Return what becomes of a row; None when `select` leaves it out."""
        self._number = row.number
        if row.columns is None:
            return self._reject(row, str(row.fault))
        if self._unmet:
            self._meet(row.columns)
        if self._select and not self._selected(row.columns):
            self.skipped += 1
            return None
        try:
            return self._sample(row, row.columns)
        except BadRow as bad:
            return self._reject(row, bad.reason)

    def finish(self, where: str) -> None:
        """Raise UserError, placed at `where`, when the source names columns or a format that no row has."""
        if self._unmet and self._names:
            raise UserError("no row has the column", where=where, value=min(self._unmet), options=sorted(self._names))
        if self._passed_over and self.skipped:
            for column, met in self._passed_over.items():
                wanted = self.source.select[column]
                if not self._select[column] & {("s", text) for text in met}:
                    raise UserError(
                        f"no row is selected: none has this in its column '{column}'",
                        where=where,
                        value=wanted[0] if isinstance(wanted, tuple) and wanted else wanted,
                        options=sorted(met),
                    )
        if self._misfit is not None and not self._fitted:
            number, names = self._misfit
            raise format_error(self.source.format, names, number).at(where)

    def _placeholders(self) -> tuple[str, ...]:
        return () if self._template is None else tuple(name for name in self._template.names if name != "prompt")

    def _meet(self, columns: Mapping[str, Any]) -> None:
        self._unmet.difference_update(columns)
        self._unmet.difference_update(ours for ours, raw in self.source.columns.items() if raw in columns)
        if len(self._names) < _MOST_NAMES:
            self._names.update(dict.fromkeys(columns))

    def _selected(self, columns: Mapping[str, Any]) -> bool:
        found = all(_value(columns.get(column)) in wanted for column, wanted in self._select.items())
        if found:
            self._passed_over = None
        elif self._passed_over is not None:
            for column, met in self._passed_over.items():
                if len(met) < _MOST_NAMES:
                    met.add(str(columns.get(column)))
        return found

    def _sample(self, row: RawRow, columns: dict[str, Any]) -> Sample:
        source = self.source
        if row.raw is None:
            _check_arrow(columns)
        fields = self._mapped(columns) if source.columns else columns
        parsed = self._parse(row, fields)
        messages = parsed.messages
        if self._template is not None:
            prompt = self._template.render(messages[-2].content, {**columns, **fields})
            messages = (*messages[:-2], Message("user", prompt), messages[-1])
        meta = {**self._kept(columns), **parsed.meta} if source.keep else parsed.meta
        content = content_id(messages)
        occurrence = self._occurrences[content]
        self._occurrences[content] = occurrence + 1
        return Sample(
            id=sample_id(content, source.name, occurrence),
            content_id=content,
            source=source.name,
            role=source.role,
            messages=messages,
            task=source.task or _label(fields, "task"),
            licence=(_label(fields, "licence") if "licence" in source.columns else None) or source.licence,
            meta=meta,
        )

    def _parse(self, row: RawRow, fields: Mapping[str, Any]) -> Parsed:
        if self._kind is None:
            name = detect(fields)
            self._kind = None if name is None else FORMATS[name]
        if self._kind is None or not self._kind.fits(fields):
            self._misfit = self._misfit or (self._offset + row.number, tuple(fields)[:_MOST_NAMES])
            raise BadRow("missing column")
        self._fitted = True
        return self._kind.parse(fields, self._evaluation)

    def _mapped(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the row with the format's column names; what they named before is out of sight."""
        fields = {name: value for name, value in columns.items() if name not in self.source.columns}
        fields.update((ours, columns[raw]) for ours, raw in self.source.columns.items() if raw in columns)
        return fields

    def _kept(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _plain(columns[name]) for name in self.source.keep if name in columns}

    def _reject(self, row: RawRow, reason: str) -> Reject:
        return Reject(self.source.name, self._offset + row.number, reason, row.raw_hash)


def smallest(samples: Sequence[tuple[int, Sample]], limit: int) -> list[tuple[int, Sample]]:
    """Return the `limit` samples that come first by (sampling key of seed 0, id), in the order they had."""
    keys = sampling_key(np.array([k64(sample.id) for _, sample in samples], dtype=np.uint64), 0, "limit")
    first = sorted(range(len(samples)), key=lambda i: (int(keys[i]), samples[i][1].id))[:limit]
    return [samples[i] for i in sorted(first)]


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
