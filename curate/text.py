"""Words, characters and their n-grams as exact integers: what the duplicate and overlap steps compare.

No hash takes part. Every distinct word gets its place in a sorted vocabulary; an n-gram's number is built by pairing two
shorter grams and numbering the distinct pairs again, so two n-grams have one number exactly when they are the same
words. A collision, which a 64-bit hash has with probability m^2 / 2^65 over m distinct n-grams, cannot happen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Key = Literal["both", "prompt", "response"]
"""What of a sample is compared: the prompt, the response, or one after the other. System turns never are."""
Unit = Literal["word", "char"]

WORD: Final = r"[\p{L}\p{N}_]+"
r"""The words of a text: the runs of Python's `\w`, in the syntax of Polars' regular expressions."""
CHUNK: Final = 8192
"""Texts handled at once, so that memory follows the longest chunk and not the corpus."""

Ints = NDArray[np.int64]


def keyed(samples: pl.DataFrame, key: Key) -> pl.Series:
    """Return the compared text of each sample; `both` is the prompt, a line break and the response."""
    if key == "both":
        return samples.select(pl.concat_str("prompt", pl.lit("\n"), "response").alias("text"))["text"]
    return samples[key].alias("text")


def normalise(texts: pl.Series, *, nfc: bool = True, case: bool = False, whitespace: bool = True) -> pl.Series:
    """Return the texts in one spelling.

    `nfc` composes characters (Unicode NFC); `case` folds case (`str.casefold`, composed again after it);
    `whitespace` makes every run of white space one space and trims the ends.
    """
    if nfc:
        texts = texts.str.normalize("NFC")
    if case:
        form = "NFC" if nfc else None
        texts = pl.Series(texts.name, [_fold(text, form) for text in texts], dtype=pl.String)
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

    row: Ints
    gram: Ints
    rows: int


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Every n-gram of the texts that it was made from, numbered from 0.

    `short` says what a text of fewer than n units has: the one gram of all its units, or none. A text without any unit
    has no gram. Characters are those of the lower-case text with single spaces.
    """

    n: int
    unit: Unit
    short: bool
    vocabulary: pl.Series
    levels: tuple[tuple[int, int, Ints], ...]
    """Per pairing: how far apart the two grams begin, how many numbers the second can have, the sorted pairs."""

    @classmethod
    def of(cls, texts: pl.Series, n: int, unit: Unit = "word", *, short: bool = False) -> Lexicon:
        """Return the lexicon of the texts' n-grams, n at least 1."""
        return _build(texts, n, unit, short=short)[0]

    def __len__(self) -> int:
        """Return how many distinct n-grams there are."""
        return len(self.levels[-1][2]) if self.levels else len(self.vocabulary) + 1

    def grams(self, texts: pl.Series) -> Grams:
        """Return the n-grams of `texts` that the lexicon knows; any others are left out."""
        parts = [self._chunk(texts[at : at + CHUNK], at) for at in range(0, len(texts), CHUNK)]
        row = np.concatenate([p[0] for p in parts]) if parts else np.empty(0, np.int64)
        gram = np.concatenate([p[1] for p in parts]) if parts else np.empty(0, np.int64)
        return Grams(row, gram, len(texts))

    def _chunk(self, texts: pl.Series, first: int) -> tuple[Ints, Ints]:
        codes, counts = _codes(texts, self.vocabulary, self.unit)
        codes, counts = _window(codes, counts, self.n, short=self.short)
        row = np.repeat(np.arange(first, first + len(counts)), counts)
        begin = _begins(counts, self.n)
        for step, base, pairs in self.levels:
            codes = _lookup(pairs, _paired(codes, step, base))
        gram = codes[begin]
        known = gram >= 0
        return row[begin][known], gram[known]


def grams_of(texts: pl.Series, n: int, unit: Unit = "word") -> Grams:
    """Return all n-grams of the texts; a text of fewer than n units has the one gram of all its units."""
    return _build(texts, n, unit, short=True)[1]


def _build(texts: pl.Series, n: int, unit: Unit, *, short: bool) -> tuple[Lexicon, Grams]:
    """Return the lexicon of the texts and, from the same pass, their grams."""
    vocabulary = _vocabulary(texts, unit)
    parts = [_codes(part, vocabulary, unit) for part in _chunks(texts)]
    codes = np.concatenate([p[0] for p in parts]) if parts else np.empty(0, np.int64)
    counts = np.concatenate([p[1] for p in parts]) if parts else np.empty(0, np.int64)
    codes, counts = _window(codes, counts, n, short=short)
    row = np.repeat(np.arange(len(counts)), counts)
    levels: list[tuple[int, int, Ints]] = []
    base, length = len(vocabulary) + 1, 1
    room = counts.repeat(counts) - _place(counts)
    while length < n:
        step = min(length, n - length)
        paired = _paired(codes, step, base)
        length += step
        paired[room < length] = -1
        pairs = np.unique(paired[paired >= 0])
        codes = _lookup(pairs, paired)
        levels.append((step, base, pairs))
        base = len(pairs)
    begin = _begins(counts, n)
    return Lexicon(n, unit, short, vocabulary, tuple(levels)), Grams(row[begin], codes[begin], len(texts))


def _chunks(texts: pl.Series) -> Iterator[pl.Series]:
    for at in range(0, len(texts), CHUNK):
        yield texts[at : at + CHUNK]


def _vocabulary(texts: pl.Series, unit: Unit) -> pl.Series:
    """Return the distinct units, sorted."""
    if unit == "char":
        points = [np.unique(_points(part)[0]) for part in _chunks(texts)]
        return pl.Series("unit", np.unique(np.concatenate(points)) if points else [], dtype=pl.Int64)
    found = [words(part).explode(empty_as_null=False).unique() for part in _chunks(texts)]
    return (pl.concat(found) if found else pl.Series("unit", [], pl.String)).unique().sort()


def _codes(texts: pl.Series, vocabulary: pl.Series, unit: Unit) -> tuple[Ints, Ints]:
    """Return the number of each unit (1 and up, -1 when unknown; 0 is kept for padding) and the units per text."""
    if unit == "char":
        points, sizes = _points(texts)
        found = _lookup(vocabulary.to_numpy(), points)
        return np.where(found >= 0, found + 1, -1), sizes
    listed = words(texts)
    flat = listed.explode(empty_as_null=False)
    known = flat.cast(pl.Enum(vocabulary), strict=False).to_physical().cast(pl.Int64) + 1
    return known.fill_null(-1).to_numpy(), listed.list.len().cast(pl.Int64).to_numpy()


def _points(texts: pl.Series) -> tuple[Ints, Ints]:
    """Return the code points of the lower-case texts with single spaces, and how many each text has."""
    plain = normalise(texts.str.to_lowercase(), nfc=False)
    flat = np.frombuffer("".join(plain).encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    return flat, plain.str.len_chars().cast(pl.Int64).to_numpy()


def _window(codes: Ints, counts: Ints, n: int, *, short: bool) -> tuple[Ints, Ints]:
    """Return the codes with texts of 1 to n - 1 units padded to n by zeros, when such texts are to have a gram."""
    missing = np.where((counts > 0) & (counts < n), n - counts, 0)
    if not short or not missing.any():
        return codes, counts
    total = counts + missing
    padded = np.zeros(int(total.sum()), np.int64)
    place = _place(counts) + np.repeat(np.cumsum(total) - total, counts)
    padded[place] = codes
    return padded, total


def _place(counts: Ints) -> Ints:
    """Return 0, 1, 2... within each text."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def _begins(counts: Ints, n: int) -> NDArray[np.bool_]:
    """Return where an n-gram begins: at least n units are left in the text."""
    begins: NDArray[np.bool_] = np.repeat(counts, counts) - _place(counts) >= n
    return begins


def _paired(codes: Ints, step: int, base: int) -> Ints:
    """Return `codes[i] * base + codes[i + step]`, -1 where either is unknown; exact below 2^31 distinct grams."""
    later = np.full(len(codes), -1, np.int64)
    later[: max(len(codes) - step, 0)] = codes[step:]
    return np.where((codes < 0) | (later < 0), -1, codes * base + later)


def _lookup(known: Ints, keys: Ints) -> Ints:
    """Return each key's place in the sorted `known`, -1 when it is not there."""
    if not len(known):
        return np.full(len(keys), -1, np.int64)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, place, -1)


def _fold(text: str, form: Literal["NFC"] | None) -> str:
    folded = text.casefold()
    return unicodedata.normalize(form, folded) if form else folded
