"""ROUGE-L (Lin 2004) with Porter's stemmer: the same numbers as the package rouge_score with `use_stemmer=True`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from trainers.metrics.porter import stem
from trainers.metrics.text import f1, lcs

_TOKEN: Final = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """Return the stemmed runs of ASCII letters and digits; words of three letters and fewer stay as they are.

    Text in another script has none and scores 0: ROUGE is a metric of English.
    """
    return [stem(word) if len(word) > 3 else word for word in _TOKEN.findall(text.lower())]


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """Return the best F measure (0..1) of the longest common subsequence over at least one reference."""
    found = words(prediction)
    return max(_f(found, words(reference)) for reference in references)


def _f(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return 0.0
    common = lcs(wanted, found)
    return f1(common / len(found), common / len(wanted))
