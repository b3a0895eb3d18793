"""Whether a model's answer says the same as a given one: short texts compared word by word."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

Match = Literal["exact", "contains", "f1"]
"""Equal; the given answer stands somewhere in the model's; F1 of the words that the question does not hold."""

_ARTICLES: Final = frozenset({"a", "an", "the"})
_WORD: Final = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)|\w+")
_DROPPED: Final = re.compile(r"['\u2019`]|(?<=\d),(?=\d{3}(?!\d))")
"""Apostrophes, and the commas of thousands."""
_MINUS: Final = re.compile(r"[\u2212\u2010\u2011](?=\d)")


def words(text: str, *, articles: bool = False) -> list[str]:
    """Return the words and numbers of a text in one spelling (NFKC, case folded), without a, an and the.

    Articles stay with `articles`, and where nothing else is there: the answer may be "A".
    """
    plain = unicodedata.normalize("NFKC", _MINUS.sub("-", text)).casefold()
    found: list[str] = _WORD.findall(_DROPPED.sub("", plain))
    bare = [word for word in found if word not in _ARTICLES]
    return found if articles or not bare else bare


def agrees(answer: str, given: str, question: str, match: Match, least: float = 0.5) -> bool:
    """Return whether `answer` says what `given` says; False when either has no words.

    `exact` compares the words in their order. `contains` looks for those of `given`, in their order and side by side;
    "not Paris" contains "Paris". `f1` (Rajpurkar et al. 2016, "SQuAD") must be at least `least`, and counts no word of
    `question`: an answer that repeats the question shares nothing by that, as long as it says anything else.
    """
    wanted = words(given)
    found = words(answer, articles=all(word in _ARTICLES for word in wanted))
    if not wanted or not found:
        return False
    if match == "exact":
        return found == wanted
    if match == "contains":
        return contained(wanted, found)
    asked = set(words(question))
    new = [word for word in wanted if word not in asked]
    if new:
        wanted, found = new, [word for word in found if word not in asked]
    return f1(found, wanted) >= least


def contained(part: Sequence[str], whole: Sequence[str]) -> bool:
    """Return whether `part` stands in `whole` as a run; an empty one does."""
    size = len(part)
    return any(list(whole[at : at + size]) == list(part) for at in range(len(whole) - size + 1))


def f1(a: Sequence[str], b: Sequence[str]) -> float:
    """Return the F1 of the words that two texts share, each as often as it stands in both, 0..1; 0 for an empty one."""
    shared = (Counter(a) & Counter(b)).total()
    return 2.0 * shared / (len(a) + len(b)) if shared else 0.0
