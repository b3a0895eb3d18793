"""Words, characters and their n-grams as exact integers: what the duplicate and overlap steps compare.

Every distinct unit has a number; an n-gram's number comes from packing shorter grams into one integer and numbering the
distinct ones again, so two n-grams have one number exactly when they are the same words. There are no collisions:
64-bit hashes of m distinct n-grams have one with probability m^2 / 2^65.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import tokens
from curate.numbering import Codes, Numbering
from curate.tokens import WORD, Unit, characters, chunks, coded
from manifests.errors import UserError

Key = Literal["both", "prompt", "response"]
"""What of a sample is compared: the prompt, the response, or one after the other. System turns never are."""
BLOCK: Final = 1 << 15
"""Units whose grams are packed and numbered at once."""
_TYPES: Final = {"word": pl.String, "char": pl.UInt32}

Ints = NDArray[np.int64]


def keyed(samples: pl.DataFrame, key: Key) -> pl.Series:
    """Return the compared text of each sample; `both` is the prompt, a line break and the response."""
    if key == "both":
        return samples.select(pl.concat_str("prompt", pl.lit("\n"), "response").alias("text"))["text"]
    return samples[key].alias("text")


def normalise(texts: pl.Series, *, nfc: bool = True, case: bool = False, whitespace: bool = True) -> pl.Series:
    """Return the texts in one spelling.

    `nfc` composes characters (Unicode NFC); `case` folds case (`str.casefold`, composed again after it);
    `whitespace` makes every run of white space (Unicode White_Space) one space and trims the ends.
    """
    if nfc:
        texts = texts.str.normalize("NFC")
    if case:
        texts = pl.Series(texts.name, [text.casefold() for text in texts], dtype=pl.String)
        texts = texts.str.normalize("NFC") if nfc else texts
    if whitespace:
        texts = texts.str.replace_all(r"\s+", " ").str.strip_chars()
    return texts


def words(texts: pl.Series) -> pl.Series:
    r"""Return the lower-case words of each text as a list column: `re.findall(r"\w+", text.lower())`."""
    return texts.str.to_lowercase().str.extract_all(WORD)


def whole(texts: pl.Series) -> pl.Series:
    """Return each text as its lower-case words joined by single spaces; a text without words becomes empty."""
    return words(texts).list.join(" ")


def numbers(texts: pl.Series) -> Ints:
    """Return a label per text, equal exactly where two texts hold the same numbers equally often.

    A number is a run of decimal digits with its inner points and commas (`1,200.50`); number words do not count.
    """
    found = texts.str.extract_all(r"\d+(?:[.,]\d+)*").list.sort().list.join(" ")
    return np.asarray(found.rank("dense").to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class Grams:
    """The n-grams of some texts: `row[k]` holds `gram[k]`; ordered by row, then by place; repeats stay."""

    row: Ints | Codes
    gram: Ints | Codes
    rows: int
    """How many texts there are."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One lengthening of the grams: the pieces at `offsets` are packed into one integer and numbered by `keys`."""

    offsets: tuple[int, ...]
    base: int
    """How many numbers a piece can have."""
    keys: Ints
    """The packed pieces that occur, sorted; a key's place is the longer gram's number."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Every n-gram of the texts that it was made from, numbered from 0; shorter texts have none."""

    n: int
    unit: Unit
    vocabulary: pl.Series
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, texts: pl.Series, n: int, unit: Unit = "word") -> Lexicon:
        """Return the lexicon of the texts' n-grams, n at least 1."""
        vocabulary, codes, counts = _coded(texts, unit)
        room = _room(counts)
        stages: list[Stage] = []
        base, length = len(vocabulary) + 1, 1
        while length < n:
            offsets, length = _lengthened(length, base, n)
            packed = _packed(codes, offsets, base)
            packed[room < length] = -1
            codes, keys = _numbered(packed)
            stages.append(Stage(offsets, base, keys))
            base = max(len(keys), 1)
        return cls(n, unit, vocabulary, tuple(stages))

    def __len__(self) -> int:
        """Return a bound on the numbers in use: every gram's number is below it."""
        return len(self.stages[-1].keys) if self.stages else len(self.vocabulary) + 1

    def grams(self, texts: pl.Series) -> Grams:
        """Return the n-grams of `texts` that the lexicon knows; any others are left out."""
        parts = [self._chunk(part, at * tokens.CHUNK) for at, part in enumerate(chunks(texts))]
        return Grams(_joined([p[0] for p in parts]), _joined([p[1] for p in parts]), len(texts))

    def _chunk(self, texts: pl.Series, first: int) -> tuple[Ints, Ints]:
        units, counts = _units(texts, self.unit)
        codes = _known(units, self.vocabulary)
        for stage in self.stages:
            codes = _lookup(stage.keys, _packed(codes, stage.offsets, stage.base))
        found = np.flatnonzero((codes >= 0) & (_room(counts) >= self.n))
        return np.repeat(np.arange(first, first + len(counts)), counts)[found], codes[found]


def grams_of(texts: pl.Series, n: int, unit: Unit = "word") -> Grams:
    """Return all n-grams of the texts; a text of 1 to n - 1 units has the one gram of all its units.

    Rows and grams are 32-bit integers; the number that a gram has means nothing beyond this call.
    """
    codes, counts, size = coded(texts, unit)
    codes, counts = _padded(codes, counts, n)
    base, length = size + 1, 1
    while length < n:
        offsets, length = _lengthened(length, base, n)
        numbering = Numbering(len(codes) // 4)
        for at, stop, sizes in _blocks(counts):
            room = _room(sizes)
            packed = _packed(codes[at:stop].astype(np.int64), offsets, base)
            whole_gram = np.flatnonzero(room >= length)
            codes[at:stop] = -1
            codes[at + whole_gram] = numbering.number(packed[whole_gram].astype(np.uint64)) + 1
        base = len(numbering) + 1
    kept = np.maximum(counts - (n - 1), 0)
    gram = np.empty(int(kept.sum()), np.int32)
    done = 0
    for at, stop, sizes in _blocks(counts):
        found = codes[at:stop][_room(sizes) >= n]
        gram[done : done + len(found)] = found
        done += len(found)
    del codes
    return Grams(np.repeat(np.arange(len(counts), dtype=np.int32), kept), gram, len(texts))


def _blocks(counts: Ints) -> Iterator[tuple[int, int, Ints]]:
    """Yield runs of whole texts of about `BLOCK` units: first unit, the one after the last, units per text."""
    ends = np.concatenate(([0], np.cumsum(counts)))
    if ends[-1] >= 2**31:
        raise UserError("the texts hold too many words for one pass", value=int(ends[-1]), remedy="split the pool")
    first = 0
    while first < len(counts):
        last = max(first + 1, int(np.searchsorted(ends, ends[first] + BLOCK, "right")) - 1)
        yield int(ends[first]), int(ends[last]), counts[first:last]
        first = last


def _lengthened(length: int, base: int, n: int) -> tuple[tuple[int, ...], int]:
    """Return where the pieces of the next longer grams begin, as many as one integer holds, and how long those are."""
    pieces = max(2, int(63 / math.log2(max(base, 2)) - 1e-9))
    longer = min(n, length * pieces)
    return tuple(min(k * length, longer - length) for k in range(-(-longer // length))), longer


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _coded(texts: pl.Series, unit: Unit) -> tuple[pl.Series, Ints, Ints]:
    """Return the sorted vocabulary, each unit's place in it counted from 1, and the units per text."""
    local: list[pl.Series] = []
    coded: list[Ints] = []
    sizes: list[Ints] = []
    for part in chunks(texts):
        units, counts = _units(part, unit)
        distinct = units.unique()
        local.append(distinct)
        coded.append(_known(units, distinct))
        sizes.append(counts)
    vocabulary = pl.concat(local).unique().sort() if local else pl.Series("unit", [], dtype=_TYPES[unit])
    for part_codes, distinct in zip(coded, local, strict=True):
        part_codes[:] = _known(distinct, vocabulary)[part_codes - 1] if len(part_codes) else part_codes
    return vocabulary, _joined(coded), _joined(sizes)


def _units(texts: pl.Series, unit: Unit) -> tuple[pl.Series, Ints]:
    """Return the words, or the code points of the lower-case text with single spaces, and how many each text has."""
    if unit == "word":
        listed = words(texts)
        return listed.explode(empty_as_null=False).rename("unit"), listed.list.len().cast(pl.Int64).to_numpy()
    points, counts = characters(texts)
    return pl.Series("unit", points.view(np.uint32)), counts


def _known(units: pl.Series, vocabulary: pl.Series) -> Ints:
    """Return each unit's place in the vocabulary counted from 1; -1 when it is not there."""
    if units.dtype == pl.String:
        codes = units.cast(pl.Enum(vocabulary), strict=False).to_physical().cast(pl.Int64) + 1
        return np.array(codes.fill_null(-1).to_numpy())
    order = vocabulary.arg_sort().to_numpy().astype(np.int64)
    found = _lookup(vocabulary.to_numpy()[order].astype(np.int64), units.to_numpy().astype(np.int64))
    return np.concatenate((order, [-2]))[found] + 1


def _padded(codes: Codes, counts: Ints, n: int) -> tuple[Codes, Ints]:
    """Return the codes with texts of 1 to n - 1 units filled to n by zeros, which no unit has for a code."""
    missing = np.where((counts > 0) & (counts < n), n - counts, 0)
    if not missing.any():
        return codes, counts
    place = np.cumsum(counts)
    short = np.flatnonzero(missing)
    return np.insert(codes, np.repeat(place[short], missing[short]), 0), counts + missing


def _room(counts: Ints) -> Codes:
    """Return how many units are left in the text at each unit, itself counted; below 2^31 units in all."""
    room = np.repeat(np.cumsum(counts, dtype=np.int32), counts)
    room -= np.arange(len(room), dtype=np.int32)
    return room


def _packed(codes: Ints, offsets: tuple[int, ...], base: int) -> Ints:
    """Return the pieces at `offsets` from each place as the digits of one integer; -1 where a piece is unknown.

    Exact while base ** len(offsets) is below 2^63: for two pieces, up to 3 * 10^9 distinct grams.
    """
    packed, unknown = codes.copy(), codes < 0
    for offset in offsets[1:]:
        later = np.full(len(codes), -1, np.int64)
        later[: max(len(codes) - offset, 0)] = codes[offset:]
        packed *= base
        packed += later
        unknown |= later < 0
    packed[unknown] = -1
    return packed


def _numbered(keys: Ints) -> tuple[Ints, Ints]:
    """Return each key's place among the distinct keys, and those, sorted; a key of -1 has the place -1."""
    if not len(keys):
        return keys, keys
    order = np.argsort(keys)
    ordered = keys[order]
    first = np.empty(len(keys), np.bool_)
    first[0] = ordered[0] >= 0
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    places = np.empty(len(keys), np.int64)
    places[order] = np.cumsum(first) - 1
    return places, ordered[first]


def _lookup(known: Ints, keys: Ints) -> Ints:
    """Return each key's place in the sorted `known`, -1 when it is not there."""
    if not len(known):
        return np.full(len(keys), -1, np.int64)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, place, -1)
