"""Files to blocks of raw rows: JSON lines, JSON documents, CSV and Parquet, plain or compressed.

The extension proposes what a file holds and its first bytes decide. Every row comes with its place, and a row that
cannot be one comes with the reason.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

from curate.parse import BOM, CHUNK, inflate, lines
from curate.raw import Block, grouped, of_document, of_lines
from curate.reason import BadRow
from curate.split import parts
from curate.table import MAGIC, is_plain, of_csv, of_parquet, open_parquet
from manifests.errors import UserError

COMPRESSED: Final = (".gz", ".zst")
SHAPES: Final = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".parquet": "parquet",
    ".tsv": "tsv",
}
"""Extension -> what it proposes; each may be followed by `.gz` or `.zst`."""

_PEEK: Final = 2**16


@dataclass
class Tap:
    """The bytes of a file in chunks, hashed as they pass."""

    path: Path
    sha256: Any = field(default_factory=hashlib.sha256)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks; raises UserError when the file cannot be read."""
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    self.sha256.update(chunk)
                    yield chunk
        except OSError as error:
            raise unreadable(self.path, error) from error


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the error for a file that the system refuses to give."""
    return UserError(f"cannot read the file ({getattr(error, 'strerror', None) or error})", value=str(path))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits, as `sha256sum` prints it."""
    tap = Tap(path)
    for _ in tap:
        pass
    return str(tap.sha256.hexdigest())


def stem(path: Path) -> str:
    """Return the file's name without its known extensions."""
    name = path.name
    for suffix in (*COMPRESSED, *SHAPES):
        name = name.removesuffix(suffix)
    return name


def proposed(path: Path) -> str | None:
    """Return what the extension proposes: a value of `SHAPES`, or None."""
    name = path.name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return next((shape for suffix, shape in SHAPES.items() if name.endswith(suffix)), None)


@dataclass(frozen=True)
class Identity:
    """What tells that a path still names the same unchanged file."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> Identity:
        """Return the identity of a regular file; raise UserError when it is none."""
        try:
            found = path.stat()
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error
        if not stat.S_ISREG(found.st_mode):
            raise UserError("not a regular file", value=str(path))
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def blocks(path: Path, expected: str) -> Iterator[Block]:
    """Yield the rows of a file whose SHA-256 is `expected`, block by block, in memory bounded by a few rows.

    Raises UserError when the file cannot be opened as what it is and, at the end, when its bytes are not or no longer
    those of `expected`.
    """
    before = Identity.of(path)
    tap = Tap(path)
    source = iter(tap)
    shape, content = _shape(path, source)
    if shape == "parquet":
        yield from of_parquet(path, content)
        same = sha256(path) == expected
    else:
        yield from _blocks(shape, content, path)
        for _ in source:
            pass
        same = tap.sha256.hexdigest() == expected and (Identity.of(path) == before or sha256(path) == expected)
    if not same:
        raise UserError(
            "the file changed while it was read", value=str(path), remedy="run again when nothing writes to it"
        )


def _blocks(shape: str, content: Iterator[bytes], path: Path) -> Iterator[Block]:
    if shape == "lines":
        return of_lines(content)
    if shape == "document":
        return grouped(of_document(content, stem(path)))
    return grouped(of_csv(content, path, "\t" if shape == "tsv" else ","))


def count(path: Path) -> int | None:
    """Return how many rows a file has, samples and rejects alike, without parsing them; None where that is not cheap.

    Parquet: from its footer. JSON lines: the lines that are not blank, at the cost of one pass. Others: None.
    """
    shape, content = _shape(path, iter(Tap(path)))
    if shape == "lines":
        return sum(1 for piece in lines(content) if piece.fault or piece.raw.strip())
    if shape == "parquet" and is_plain(path):
        return int(open_parquet(path, path).metadata.num_rows)
    return None


def _shape(path: Path, source: Iterator[bytes]) -> tuple[str, Iterator[bytes]]:
    """Return what the file holds (`lines`, `document`, `csv`, `tsv`, `parquet`) and its unfolded bytes."""
    content = inflate(source)
    head, broken, ended = b"", None, False
    try:
        while len(head) < _PEEK and not ended:
            more = next(content, None)
            ended = more is None
            head += more or b""
    except BadRow as bad:
        broken = bad
    content = chain((head,), _raise(broken) if broken else content)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError("the file is UTF-16", value=str(path), remedy="convert it to UTF-8")
    return _decide(path, head.removeprefix(BOM), ended=ended), content


def _raise(error: BadRow) -> Iterator[bytes]:
    raise error
    yield b""


def _decide(path: Path, head: bytes, *, ended: bool) -> str:
    shape = proposed(path)
    if head.startswith(MAGIC):
        return "parquet"
    text = head.lstrip()
    if shape == "parquet" or (shape is None and text and not text.startswith((b"{", b"["))):
        raise UserError(
            "not a Parquet file" if shape else "cannot tell what this file holds",
            value=str(path),
            remedy=f"known extensions: {', '.join(SHAPES)}, each also with {' or '.join(COMPRESSED)}",
        )
    if shape in ("csv", "tsv") and not text.startswith((b'{"', b"[{", b"[\n")):
        return _delimited(text, str(shape))
    if text.startswith(b"["):
        return "lines" if shape == "lines" and _closed(text, ended=ended) else "document"
    if text.startswith(b"{") and shape != "lines" and not _closed(text, ended=ended):
        return "document"
    return "lines"


def _closed(text: bytes, *, ended: bool) -> bool:
    """Return whether the first line is a whole JSON value and another line follows it."""
    first, feed, rest = text.partition(b"\n")
    if not feed or (ended and not rest.strip()):
        return False
    kinds = [part.kind for part in parts((first,))]
    return kinds.count("end") == 1 and kinds[-1] == "end"


def _delimited(text: bytes, shape: str) -> str:
    header = text.partition(b"\n")[0]
    tabs, commas = b"\t" in header, b"," in header
    return shape if tabs == commas else "tsv" if tabs else "csv"
