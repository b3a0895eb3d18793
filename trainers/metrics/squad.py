"""Exact match and token F1 as SQuAD defines them (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Final

from trainers.metrics.text import f1

_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")


def normalise(text: str, articles: bool = True) -> str:
    """Return `text` in lower case without ASCII punctuation and spare white space; `articles` removes a, an, the.

    Super-NaturalInstructions (Wang et al. 2022) compares with `articles=False`.
    """
    plain = text.lower().translate(_PUNCTUATION)
    return " ".join((_ARTICLES.sub(" ", plain) if articles else plain).split())


def exact_match(prediction: str, references: Sequence[str], articles: bool = True) -> float:
    """Return 1.0 when the prediction equals a reference after normalisation, else 0.0; at least one reference."""
    found = normalise(prediction, articles)
    return float(any(found == normalise(reference, articles) for reference in references))


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """Return the best F1 (0..1) of shared tokens over at least one reference.

    Texts that normalise to nothing agree only with one another, as in SQuAD 2.0.
    """
    found = normalise(prediction).split()
    return max(_shared(found, normalise(reference).split()) for reference in references)


def _shared(a: list[str], b: list[str]) -> float:
    if not a or not b:
        return float(a == b)
    common = sum((Counter(a) & Counter(b)).values())
    return f1(common / len(a), common / len(b))
