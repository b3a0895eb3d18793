"""CSV and Parquet to raw rows."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from curate.parse import MAX_ROW, Piece, lines
from curate.raw import BLOCK_ROWS, Block, RawRow, Rows
from curate.reason import BadRow
from manifests.errors import UserError

MAX_SPOOL: Final = 16 * 2**30
"""Most bytes that a compressed Parquet file may unfold to on disk."""
MAGIC: Final = b"PAR1"


class _Records:
    """The lines of one CSV record at a time, decoded; bytes that are not UTF-8 become lone surrogates."""

    def __init__(self, content: Iterable[bytes]) -> None:
        self._lines = lines(content)
        self.taken: list[Piece] = []
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = next(self._lines)
        self.taken.append(piece)
        self.size += len(piece.raw) + 1
        if piece.fault:
            raise BadRow(piece.fault)
        if self.size > MAX_ROW:
            raise BadRow("line too long")
        return piece.raw.decode("utf-8", "surrogateescape") + ("" if piece.last else "\n")

    def record(self) -> Piece:
        """Return the lines taken since the last call as one piece."""
        taken, self.taken, self.size = self.taken, [], 0
        if len(taken) == 1:
            return taken[0]
        return Piece(taken[0].number, b"\n".join(piece.raw for piece in taken), last=taken[-1].last)


def of_csv(content: Iterable[bytes], path: Path, delimiter: str) -> Iterator[RawRow]:
    """Yield a row of texts for every record that is not blank, numbered by the line on which it starts.

    RFC 4180 quoting, also between tabs. Raises UserError when the header is unusable.
    """
    records = _Records(content)
    header: list[str] | None = None
    for fields, fault, piece in _fields(records, delimiter):
        if header is None:
            header = _header(fields, fault, path)
        elif fault:
            yield RawRow(piece.number, None, fault, piece)
        elif len(fields) != len(header):
            yield RawRow(piece.number, None, "wrong number of columns", piece)
        else:
            yield RawRow(piece.number, dict(zip(header, fields, strict=True)), None, piece)


def _fields(records: _Records, delimiter: str) -> Iterator[tuple[list[str], str | None, Piece]]:
    """Yield the fields of each record that is not blank, or its fault."""
    reader = csv.reader(records, delimiter=delimiter, strict=True)
    while True:
        fault, fields = None, []
        limit = csv.field_size_limit(MAX_ROW)
        try:
            fields = next(reader)
        except StopIteration:
            return
        except BadRow as bad:
            fault = bad.reason
            reader = csv.reader(records, delimiter=delimiter, strict=True)
        except csv.Error as error:
            fault = "truncated" if "unexpected end" in str(error) else "malformed CSV"
        finally:
            csv.field_size_limit(limit)
        piece = records.record()
        if not fields and not fault:
            continue
        yield fields, fault or _text_fault(piece.raw), piece


def _text_fault(raw: bytes) -> str | None:
    if b"\x00" in raw:
        return "NUL in text"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "invalid UTF-8"
    return None


def _header(fields: list[str], fault: str | None, path: Path) -> list[str]:
    twice = sorted({name for name in fields if fields.count(name) > 1})
    if fault or twice:
        raise UserError(
            f"the header names a column twice ({', '.join(twice)})" if twice else f"the header is unusable ({fault})",
            value=str(path),
            remedy="the first line must name the columns, each once",
        )
    return fields


def is_plain(path: Path) -> bool:
    """Return whether the file itself is Parquet, not a compressed one."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class Batch(NamedTuple):
    """A block of rows as Arrow has them; `before` rows came before it."""

    batch: Any
    before: int

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows, numbered from 1 in the file."""
        for row in columnar(self.batch):
            yield row._replace(number=self.before + row.number)


def of_parquet(path: Path, content: Iterable[bytes]) -> Iterator[Block]:
    """Yield the rows of a Parquet file; `content` are its unfolded bytes, used if it is compressed.

    Raises UserError when it cannot be opened, as with a footer cut off.
    """
    if is_plain(path):
        yield from _batches(open_parquet(path, path))
        return
    with tempfile.TemporaryFile() as spool:
        try:
            for chunk in content:
                spool.write(chunk)
                if spool.tell() > MAX_SPOOL:
                    raise UserError("the file unfolds to over 16 GiB", value=str(path), remedy="unfold it yourself")
        except BadRow as bad:
            raise UserError(f"not a readable Parquet file ({bad.reason})", value=str(path)) from bad
        spool.seek(0)
        yield from _batches(open_parquet(path, spool))


def open_parquet(path: Path, file: Path | BinaryIO) -> Any:  # noqa: ANN401 - pyarrow is untyped
    """Return `file` as a `pyarrow.parquet.ParquetFile`; raise UserError, naming `path`, when it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
        names = opened.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = str(error).partition("\n")[0]
        raise UserError(f"not a readable Parquet file ({why})", value=str(path)) from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"the file names a column twice ({', '.join(twice)})", value=str(path))
    return opened


def _batches(file: Any) -> Iterator[Block]:  # noqa: ANN401 - pyarrow is untyped
    """Yield the rows of an open Parquet file; a page that cannot be decoded ends it with one faulty row."""
    import pyarrow as pa

    number = 0
    batches = file.iter_batches(batch_size=BLOCK_ROWS)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (pa.ArrowException, OSError):
            yield Rows([RawRow(number + 1, None, "corrupt data", b"")])
            return
        yield Batch(batch, number)
        number += batch.num_rows


def columnar(batch: Any) -> Iterator[RawRow]:  # noqa: ANN401 - pyarrow is untyped
    """Yield the rows of an Arrow record batch, numbered from 1."""
    names = batch.schema.names
    try:
        columns = [column.to_pylist() for column in batch.columns]
    except (UnicodeDecodeError, ValueError, OverflowError):
        yield from (_single(batch, i) for i in range(batch.num_rows))
        return
    for i, values in enumerate(zip(*columns, strict=True)):
        yield RawRow(i + 1, dict(zip(names, values, strict=True)))


def _single(batch: Any, i: int) -> RawRow:  # noqa: ANN401 - pyarrow is untyped
    try:
        return RawRow(i + 1, {name: batch.column(name)[i].as_py() for name in batch.schema.names})
    except UnicodeDecodeError:
        return RawRow(i + 1, None, "invalid UTF-8", b"")
    except (ValueError, OverflowError):
        return RawRow(i + 1, None, "wrong type", b"")
