"""Labels by hand, from a review file into the manifest: all of the file's, or none when one line is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from manifests import schema
from manifests.errors import UserError, together
from manifests.labels import KIND, WORDS, drawn, parsed
from manifests.migrations import utc
from manifests.names import canonical_json, check_name, digest, read_json
from manifests.store import StageRecord, Store

MOST: Final = 1 << 28
"""Most bytes of a file."""
FIELD: Final = 1 << 24
"""Most characters of a field."""
POSITION: Final = 800_000
"""After every stage of a job, before what is measured with the labels."""
_SHOWN: Final = 20


@dataclass(frozen=True)
class Line:
    """One row of a file: where it stands, and what it says."""

    where: str
    sample_id: str
    label: str
    defect: str | None
    note: str


def import_labels(root: Path, file: Path, by: str) -> dict[str, int]:
    """Put a file's labels into the view `labels` of the manifest folder `root`; return how many there are.

    The file is .csv, .jsonl or .json (a list) with the columns sample_id and label (correct, wrong or unsure), and may
    have defect, note and drawn. A row without a label is left out. Labels that `by` gave to the same samples before are
    replaced, all others stay, and a job that runs again keeps them. Returns `labels` of the file, `unlabelled` rows of
    it, and `total` labels of this reader. Raises UserError, with every bad line named and nothing written: a sample
    that is not in the manifest, another word, a sample with two labels; BusyError while a job writes the manifest.
    """
    check_name(by, noun="name of a reader")
    if not (root / "manifest.duckdb").exists() and not (root / "work").exists():
        raise UserError("no manifest here", value=str(root), remedy="run a job first: blendsmith run JOB")
    lines = list(_lines(file))
    given = [line for line in lines if line.label]
    if not given:
        raise UserError("no row has a label", value=file.name, remedy=f"write one of {', '.join(WORDS)} as label")
    with Store(root) as store:
        _checked(given, set(store.query("SELECT sample_id FROM store.samples")["sample_id"]))
        columns = ", ".join(schema.LABELS)
        stage = f"{KIND}:{by}"
        before = store.query(f"SELECT {columns} FROM store.labels WHERE stage = ? ORDER BY sample_id", [stage])  # noqa: S608
        now = utc()
        rows = {
            line.sample_id: (line.sample_id, line.label, line.defect, line.note, by, now) for line in reversed(given)
        }
        rows = {row[0]: row for row in before.iter_rows()} | rows
        frame = pl.DataFrame([rows[key] for key in sorted(rows)], schema=dict(schema.LABELS), orient="row")
        key = digest([list(row[:5]) for row in frame.iter_rows()])
        spec = canonical_json({"by": by, "file": file.name})
        store.commit(StageRecord(stage, KIND, key, spec, POSITION), {"labels": frame})
        store.publish()
    return {
        "labels": len({line.sample_id for line in given}),
        "unlabelled": len(lines) - len(given),
        "total": len(rows),
    }


def _checked(given: list[Line], samples: set[str]) -> None:
    """Raise every mistake of the lines, the first ones in full."""
    errors: list[UserError] = []
    first: dict[str, Line] = {}
    for line in given:
        earlier = first.setdefault(line.sample_id, line)
        if line.sample_id not in samples:
            remedy = "a review file belongs to the manifest that it was written from"
            errors.append(UserError("no such sample", where=line.where, value=line.sample_id, remedy=remedy))
        if line.label not in WORDS:
            errors.append(UserError("not a label", where=line.where, value=line.label, options=WORDS))
        elif earlier.label != line.label:
            what = f"a second label of this sample, the first ('{earlier.label}') is at {earlier.where}"
            errors.append(UserError(what, where=line.where, value=line.label, remedy="keep one of them"))
    if len(errors) > _SHOWN:
        errors[_SHOWN:] = [UserError(f"and {len(errors) - _SHOWN} more lines are wrong", value=len(errors))]
    if errors:
        raise together(errors)


def _lines(file: Path) -> Iterator[Line]:
    """Yield the rows of a file."""
    readers = {".csv": _csv, ".jsonl": _jsonl, ".json": _json}
    if file.suffix not in readers:
        raise UserError("labels are read from .csv, .jsonl or .json", value=file.name, options=readers)
    if not file.is_file():
        raise UserError("no such file", value=str(file))
    data = file.read_bytes() if file.stat().st_size <= MOST else b"\xff"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"not a text file in UTF-8 of at most {MOST >> 20} MiB"
        raise UserError(what, where=file.name, value=file.stat().st_size) from error
    for where, row in readers[file.suffix](text, file.name):
        yield _line(where, row)


def _line(where: str, row: dict[str, Any]) -> Line:
    for name in ("sample_id", "label"):
        if name not in row:
            raise UserError(f"a row needs the column '{name}'", where=where, value=sorted(map(str, row))[:20])
    texts = {name: str(row.get(name) or "").strip() for name in ("sample_id", "label", "defect", "note", "drawn")}
    texts = {name: text[1:] if text.startswith(("'=", "'+", "'-", "'@")) else text for name, text in texts.items()}
    strategy, chance = parsed(texts["drawn"])
    note = "; ".join(part for part in (drawn(strategy, chance), texts["note"]) if part)
    return Line(where, texts["sample_id"], texts["label"].lower(), texts["defect"] or None, note)


def _csv(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    before = csv.field_size_limit(FIELD)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        line = 2
        for row in reader:
            if None in row:
                raise UserError("more fields than columns", where=f"{name}:{line}", value=row[None])
            yield f"{name}:{line}", row
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"not a CSV file ({error})", where=f"{name}:{reader.line_num}", value=name) from error
    finally:
        csv.field_size_limit(before)


def _jsonl(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{name}:{number}", _object(line, f"{name}:{number}")


def _json(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        rows = read_json(text)
    except ValueError as error:
        raise UserError(f"not JSON ({error})", where=name, value=text[:40]) from error
    if not isinstance(rows, list):
        raise UserError("a JSON file of labels is a list", where=name, value=type(rows).__name__)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError("not an object", where=f"{name}: entry {number}", value=row)
        yield f"{name}: entry {number}", row


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = read_json(line)
    except ValueError as error:
        raise UserError(f"not JSON ({error})", where=where, value=line[:40]) from error
    if not isinstance(row, dict):
        raise UserError("not an object", where=where, value=row)
    return row
