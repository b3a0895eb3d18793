"""Untrusted bytes to JSON objects: strict, bounded in memory, every fault a reason and never a crash.

Memory is bounded by `MAX_ROW` whatever the input is: a longer row is hashed and dropped while it streams past, and
reading goes on behind it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

from curate.reason import BadRow
from manifests.names import digest_bytes

MAX_ROW: Final = 16 * 2**20
"""Most bytes of one row."""
MAX_DEPTH: Final = 64
"""Most brackets open at once in one row."""
CHUNK: Final = 2**20
"""Bytes handled at once."""
BOM: Final = b"\xef\xbb\xbf"

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_STEP: Final = 4096
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class Piece(NamedTuple):
    """The bytes of one row: `number` counts from 1; `fault` is a reason when the bytes cannot be a row."""

    number: int
    raw: bytes
    fault: str | None = None
    hashed: str | None = None
    """Hash of the bytes where they were too many to keep."""
    last: bool = False
    """True when the input ended without closing this row."""

    @property
    def raw_hash(self) -> str:
        """128-bit hash of the row's bytes, 32 hex digits."""
        return self.hashed or digest_bytes(self.raw)


class Hold:
    """Bytes of a row that is still arriving; over `MAX_ROW` only their hash is kept."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was added."""
        self._parts: list[bytes] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self.size = 0

    def add(self, data: bytes) -> Hold:
        """Append bytes; return itself."""
        if not data:
            return self
        kept = self.size <= MAX_ROW
        self.size += len(data)
        if kept:
            self._parts.append(data)
        else:
            self._hash.update(data)
        if kept and self.size > MAX_ROW:
            for part in self._parts:
                self._hash.update(part)
            self._parts.clear()
        return self

    def content(self) -> bytes:
        """Return what was added; empty when it was too long to keep."""
        return b"".join(self._parts)

    def take(self, number: int, fault: str | None = None, *, last: bool = False) -> Piece:
        """Return what was added as a piece, and start again."""
        too_long = self.size > MAX_ROW
        piece = Piece(
            number,
            self.content(),
            "line too long" if too_long else fault,
            self._hash.hexdigest() if too_long else None,
            last,
        )
        self.clear()
        return piece


def load(raw: bytes, *, last: bool = False) -> dict[str, Any]:
    """Return the JSON object in `raw`; raise BadRow with the reason when it is none.

    Refused beside malformed JSON: a key named twice in an object, NaN and infinities (1e999 too), lone surrogates,
    NUL, over `MAX_DEPTH` nested brackets. `last` says that the input ended here without a line break, so that a value
    cut short is `truncated`.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        cut = last and error.reason == "unexpected end of data"
        raise BadRow("truncated" if cut else "invalid UTF-8") from error
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRow(_why(raw, text, error, last=last)) from error
    except RecursionError as error:
        raise BadRow("nested too deeply") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise BadRow("invalid JSON") from error
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and deeper(value, MAX_DEPTH):
        raise BadRow("nested too deeply")
    if b"\\u" in raw and (b"\\u0000" in raw or _SURROGATE.search(raw)):
        check_text(value)
    if not isinstance(value, dict):
        raise BadRow("not an object")
    return value


def deeper(value: object, most: int) -> bool:
    """Return whether lists and objects are nested more than `most` deep."""
    level = [value]
    for _ in range(most + 1):
        inner = [item for item in level if isinstance(item, dict | list)]
        if not inner:
            return False
        level = [part for item in inner for part in (item.values() if isinstance(item, dict) else item)]
    return True


def check_text(value: object) -> None:
    """Raise BadRow when a text in `value`, keys included, holds NUL or a lone surrogate."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\x00" in item:
                raise BadRow("NUL in text")
            if not item.isascii() and _lone(item):
                raise BadRow("lone surrogate")
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)


def inflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of gzip or zstd data, or of anything else as they are, told apart by their first bytes.

    Raises BadRow `truncated` when a stream stops early and `corrupt data` when it cannot be decoded, after everything
    before that place was yielded. Files of several members or frames are read through.
    """
    source = iter(chunks)
    head = b""
    while len(head) < len(_ZSTD):
        more = next(source, None)
        if more is None:
            break
        head += more
    source = chain((head,), source)
    if head.startswith(_GZIP):
        yield from _gunzip(source)
    elif head.startswith(_ZSTD):
        yield from _unzstd(source)
    else:
        yield from source


def lines(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Yield each line without its line feed; a byte order mark at the start is left out.

    A broken stream ends in one piece that holds what was read of the last line, with the reason as its fault.
    """
    hold = Hold()
    number = 0
    try:
        for chunk in without_bom(chunks):
            parts = chunk.split(b"\n")
            hold.add(parts[0])
            if len(parts) == 1:
                continue
            number += 1
            yield hold.take(number)
            for part in parts[1:-1]:
                number += 1
                yield Piece(number, part) if len(part) <= MAX_ROW else hold.add(part).take(number)
            hold.add(parts[-1])
    except BadRow as bad:
        yield hold.take(number + 1, bad.reason)
        return
    if hold.size:
        yield hold.take(number + 1, last=True)


def without_bom(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes without the UTF-8 byte order mark that may start them."""
    source = iter(chunks)
    head = b""
    for chunk in source:
        head += chunk
        if len(head) >= len(BOM):
            break
    if head:
        yield head.removeprefix(BOM)
    yield from source


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=31)
    between = True
    for chunk in chunks:
        data = chunk.lstrip(b"\x00") if between else chunk
        while data:
            between = False
            try:
                out = stream.decompress(data, CHUNK)
            except zlib.error as error:
                raise BadRow("corrupt data") from error
            if out:
                yield out
            data = stream.unconsumed_tail
            if stream.eof:
                data = stream.unused_data.lstrip(b"\x00")  # members may be padded with zeros (RFC 1952, tar)
                stream, between = zlib.decompressobj(wbits=31), True
    if not between:
        rest = stream.flush()
        if rest:
            yield rest
        if not stream.eof:
            raise BadRow("truncated")


def _unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    import zstandard

    stream = zstandard.ZstdDecompressor().decompressobj()
    between = True
    for chunk in chunks:
        for start in range(0, len(chunk), _ZSTD_STEP):  # small steps: four bytes may stand for 128 KiB
            data = chunk[start : start + _ZSTD_STEP]
            while data:
                between = False
                try:
                    out = stream.decompress(data)
                except zstandard.ZstdError as error:
                    raise BadRow("corrupt data") from error
                for at in range(0, len(out), CHUNK):
                    yield out[at : at + CHUNK]
                data = b""
                if stream.eof:
                    data = stream.unused_data
                    stream, between = zstandard.ZstdDecompressor().decompressobj(), True
    if not between:
        raise BadRow("truncated")


def _why(raw: bytes, text: str, error: json.JSONDecodeError, *, last: bool) -> str:
    if b"\x00" in raw:
        return "NUL in text"
    open_end = error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip())
    return "truncated" if last and open_end else "invalid JSON"


def _lone(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRow("duplicate key")
    return found


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadRow("non-finite number")
    return value


def _constant(_: str) -> float:
    raise BadRow("non-finite number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_constant=_constant)
