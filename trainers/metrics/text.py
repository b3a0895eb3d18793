"""Tokens, n-grams and the longest common subsequence that the text metrics count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final, Literal

Ngrams = Counter[tuple[str, ...]]

Split = Literal["space", "word"]
"""How running text becomes tokens: at white space alone, or with punctuation apart as well."""

_WORD: Final = re.compile(r"\w+|[^\w\s]")


def tokens(text: str, split: Split = "space") -> list[str]:
    """Return the tokens of `text`; an underscore counts as a letter, every other symbol stands alone in `word`."""
    return text.split() if split == "space" else _WORD.findall(text)


def ngrams(words: Sequence[str], n: int) -> Ngrams:
    """Return how often each run of `n` words occurs; empty when there are fewer than `n`."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def lcs(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence, in len(a) * len(b) / 64 machine operations.

    Bit-parallel (Hyyrö 2004): bit i of `row` is 0 where the length grows at a[i].
    """
    where: dict[Hashable, int] = {}
    for i, item in enumerate(a):
        where[item] = where.get(item, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full
    for item in b:
        match = row & where.get(item, 0)
        row = ((row + match) | (row - match)) & full
    return len(a) - row.bit_count()


def f1(precision: float, recall: float) -> float:
    """Return the harmonic mean of two shares, 0 when both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def stated(references: Sequence[str]) -> list[str]:
    """Return the references that say something: without those of white space alone."""
    return [reference for reference in references if reference.strip()]
