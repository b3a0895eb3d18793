"""The words or characters of many texts as numbers, equal exactly where the units are equal; no hash decides.

Words are cut in the bytes of the lower-case texts: texts of plain ASCII as they are, others after every run of
characters that no word has was replaced by a space. A word of up to eight bytes is one 64-bit integer, a longer one is
numbered piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.numbering import Codes, Numbering, dense

Unit = Literal["word", "char"]
Ints = NDArray[np.int64]

CHUNK: Final = 1024
"""Texts that are in memory as bytes at once."""
WORD: Final = r"[\p{L}\p{N}_]+"
r"""The words of a text: the runs of Python's `\w`, in the syntax of Polars' regular expressions."""
_NOT_WORD: Final = r"[^\p{L}\p{N}_]+"
_LONG: Final = 64
"""Bytes of the longest word that is numbered in pieces of eight; longer ones go to a dictionary."""
_DISTINCT: Final = 1 << 18
_POINTS: Final = 0x110000
_IN_WORD: Final = bytes(byte >= 0x80 or byte == 0x5F or chr(byte).isalnum() for byte in range(256))
_MASKS: Final = np.array([(1 << (8 * size)) - 1 for size in range(9)], np.uint64)


def coded(texts: pl.Series, unit: Unit) -> tuple[Codes, Ints, int]:
    """Return each unit's code, how many units each text has, and the number of codes; codes count from 1."""
    words = _Words()
    codes, counts = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for part in chunks(texts):
        found, count = words.coded(part) if unit == "word" else characters(part)
        codes.append(found)
        counts.append(count)
    joined = np.concatenate(codes)
    del codes
    return joined, np.concatenate(counts), dense(joined)


def chunks(texts: pl.Series) -> Iterator[pl.Series]:
    """Yield the texts in runs of `CHUNK`."""
    for at in range(0, len(texts), CHUNK):
        yield texts[at : at + CHUNK]


def characters(texts: pl.Series) -> tuple[Codes, Ints]:
    """Return the code points of the lower-case texts with single spaces, trimmed, and how many each text has."""
    plain = texts.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    points = np.frombuffer("".join(plain).encode("utf-32-le"), dtype=np.int32)
    return points, plain.str.len_chars().cast(pl.Int64).to_numpy()


class _Words:
    """Numbers words chunk by chunk: by their first eight bytes, by (number so far, next eight), or, if long, whole."""

    def __init__(self) -> None:
        self.pieces = Numbering(_DISTINCT)
        self.longer = Numbering(_DISTINCT)
        self.whole: dict[bytes, int] = {}

    def coded(self, texts: pl.Series) -> tuple[Codes, Ints]:
        """Return a number, with gaps, for each word, and how many words each text has."""
        parts, sizes = _cleaned(texts)
        joined = b" " + b" ".join(parts) + bytes(8)
        inside = np.frombuffer(joined.translate(_IN_WORD), np.bool_)
        edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
        begin, end = edges[::2], edges[1::2]
        counts = np.diff(np.searchsorted(begin, np.cumsum(sizes + 1), "right"), prepend=0)
        return self._numbered(joined, begin, end), counts

    def _numbered(self, joined: bytes, begin: Ints, end: Ints) -> Codes:
        at_byte = np.ndarray(len(joined) - 7, "<u8", joined, strides=(1,))
        size = end - begin
        codes = self._piece(at_byte, begin, size)
        todo = np.flatnonzero(size > 8)
        for word in todo[size[todo] > _LONG].tolist():
            text = joined[begin[word] : end[word]]
            codes[word] = self.whole.setdefault(text, len(self.whole)) * 3 + 2
        todo = todo[size[todo] <= _LONG]
        done = 8
        while len(todo):
            piece = self._piece(at_byte, begin[todo] + done, size[todo] - done).astype(np.uint64)
            # No key is 0, nor are two of them alike: either number is below 2^31.
            key = ((piece + np.uint64(1)) << np.uint64(32)) | codes[todo].astype(np.uint64)
            codes[todo] = self.longer.number(key) * 3 + 1
            done += 8
            todo = todo[size[todo] > done]
        return codes

    def _piece(self, at_byte: NDArray[np.uint64], begin: Ints, size: Ints) -> Codes:
        """Return the numbers of up to eight bytes from `begin`; in words no byte is 0, so that they tell the length."""
        return self.pieces.number(at_byte[begin].astype(np.uint64) & _MASKS[np.minimum(size, 8)]) * 3


def _cleaned(texts: pl.Series) -> tuple[list[bytes], Ints]:
    """Return the lower-case texts as bytes and their lengths; of a text that is not ASCII, the words with spaces."""
    plain = texts.str.to_lowercase()
    parts: list[bytes] = plain.cast(pl.Binary).to_list()
    sizes = plain.str.len_bytes().cast(pl.Int64).to_numpy().copy()
    other = np.flatnonzero(sizes != plain.str.len_chars().to_numpy())
    cleaned = plain.gather(other).str.replace_all(_NOT_WORD, " ")
    sizes[other] = cleaned.str.len_bytes().to_numpy()
    for at, part in zip(other.tolist(), cleaned.cast(pl.Binary).to_list(), strict=True):
        parts[at] = part
    return parts, sizes
