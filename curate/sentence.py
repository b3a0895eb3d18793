"""Sentences of a text, and the words by which two of them are compared."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 600
"""Characters of the longest sentence; longer runs are cut at a space."""
STOP: Final = frozenset({
    "a", "an", "the", "and", "or", "but", "so", "yet", "of", "in", "on", "at", "to", "by", "for", "from",
    "with", "as", "into", "onto", "than", "that", "this", "these", "those", "it", "its", "is", "are", "was", "were",
    "be", "been", "being", "am", "has", "have", "had", "having", "do", "does", "did", "doing", "will", "would",
    "shall", "should", "can", "could", "may", "might", "must", "he", "she", "they", "we", "i", "you", "his", "her",
    "their", "our", "my", "your", "him", "them", "us", "me", "who", "whom", "whose", "which", "what", "when",
    "where", "why", "how", "there", "here", "also", "very", "just", "about", "over", "under", "between", "during",
    "before", "after", "up", "down", "out", "off", "again", "then", "once", "s", "t",
})  # fmt: skip
"""Function words: they neither find evidence nor make a difference between two sentences."""
NEGATIONS: Final = frozenset({
    "not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "cannot", "n't", "isn't",
    "aren't", "wasn't",
})  # fmt: skip
_SHORT: Final = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "vs", "etc", "inc", "co", "ltd", "corp", "jr", "sr", "gen", "col",
    "capt", "lt", "sgt", "rev", "hon", "gov", "sen", "rep", "no", "vol", "pp", "fig", "al", "e.g", "i.e", "u.s",
    "u.k", "d.c", "ph.d", "approx", "ca", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct",
    "nov", "dec",
})  # fmt: skip
_BREAK: Final = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9])|\n\s*")
_MARKER: Final = re.compile(r"^\s*(?:[-*•▪●]+|\(?\d{1,3}[.)]|#{1,6})\s+")
_LAST: Final = re.compile(r"([A-Za-z][A-Za-z.]*)\.$")
_NEAR: Final = 40
"""Characters before a full stop that are looked at for an abbreviation: more than the longest has."""
_WORD: Final = re.compile(r"\d+(?:[.,]\d+)*|n't\b|\w+(?:['’]\w+)?")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text in their order, without list markers; abbreviations and initials end none."""
    found: list[str] = []
    at = 0
    for match in _BREAK.finditer(text):
        end = match.start() + 1
        if "\n" not in match[0] and _abbreviated(text[max(at, end - _NEAR) : end]):
            continue
        found.extend(_cut(text[at : match.end()]))
        at = match.end()
    found.extend(_cut(text[at:]))
    return found


def tokens(text: str) -> list[str]:
    """Return the words and numbers of a text as they are written; a number keeps its inner points and commas."""
    return [word.replace("’", "'") for word in _WORD.findall(text)]


def stem(word: str) -> str:
    """Return a word in lower case without the ending of its plural (Harman's S stemmer, JASIS 42, 1991)."""
    low = word.lower().removesuffix("'s")
    if len(low) > 4 and low.endswith("ies") and low[-4] not in "ae":
        return low[:-3] + "y"
    if len(low) > 3 and low.endswith("s") and low[-2] not in "su":
        return low[:-1]
    return low


def content(text: str) -> list[str]:
    """Return the stems of a text's words in their order, without function words; negations stay out as well."""
    return [stem(word) for word in tokens(text) if (low := word.lower()) not in STOP and low not in NEGATIONS]


def negated(text: str) -> bool:
    """Return whether a sentence holds an odd number of negations."""
    found = sum(low in NEGATIONS or low.endswith("n't") for low in map(str.lower, tokens(text)))
    return found % 2 == 1


def _abbreviated(before: str) -> bool:
    """Return whether what ends with a full stop ends with an abbreviation or an initial."""
    match = _LAST.search(before)
    if match is None:
        return False
    word = match[1]
    return (len(word) == 1 and word.isupper() and word != "I") or word.lower() in _SHORT


def _cut(piece: str) -> list[str]:
    piece = _MARKER.sub("", piece).strip()
    parts = []
    while len(piece) > LONGEST:
        at = piece.rfind(" ", 0, LONGEST)
        at = LONGEST if at <= 0 else at
        parts.append(piece[:at].strip())
        piece = piece[at:].strip()
    return [part for part in [*parts, piece] if part]
