"""Porter's stemmer (Porter 1980) with the departures that NLTK makes and rouge_score therefore reports.

The departures: a table of irregular words, `logi`, `fulli` and `bli` in step 2, `ie` for four-letter words in `ies` and
`ied`, y to i only after a consonant, and two-letter stems of vowel and consonant count as short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final

_IRREGULAR: Final = {
    **{word: word for word in ("sky", "news", "howe", "proceed", "exceed", "succeed", "inning", "outing", "canning")},
    **{"skies": "sky", "dying": "die", "lying": "lie", "tying": "tie"},
    **{"innings": "inning", "outings": "outing", "cannings": "canning"},
}
_STEP2: Final = (
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
)
_STEP3: Final = (
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
)
_STEP4: Final = tuple(
    (suffix, "")
    for suffix in (
        *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent"),
        *("ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize"),
    )
)


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Return the stem of a word in lower case; words of one and two letters are their own stems."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _past(_plural(word))
    if word.endswith("y") and len(word) > 2 and _consonants(word)[-2]:
        word = f"{word[:-1]}i"
    return _tidy(_fourth(_ruled(_second(word), _STEP3, _long)))


def _plural(word: str) -> str:
    """Step 1a: sses, ies, s."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word if word.endswith("ss") else word.removesuffix("s")


def _past(word: str) -> str:
    """Step 1b: eed, ed, ing, and the e or the double letter that they hid."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _long(word[:-3]) else word
    rest = next((word.removesuffix(s) for s in ("ed", "ing") if word.endswith(s) and _vowel(word.removesuffix(s))), "")
    if not rest:
        return word
    if rest.endswith(("at", "bl", "iz")):
        return f"{rest}e"
    if len(rest) > 1 and rest[-1] == rest[-2] and _consonants(rest)[-1]:
        return rest if rest[-1] in "lsz" else rest[:-1]
    return f"{rest}e" if _measure(rest) == 1 and _short(rest) else rest


def _second(word: str) -> str:
    """Step 2: double suffixes to single ones; alli first, and again on what it leaves."""
    while word.endswith("alli") and _long(word[:-4]):
        word = word[:-2]
    changed = _ruled(word, _STEP2, _long)
    ends = any(word.endswith(suffix) for suffix, _ in _STEP2)
    return word[:-1] if not ends and word.endswith("logi") and _long(word[:-3]) else changed


def _fourth(word: str) -> str:
    """Step 4: the last suffix of a long word; ion only after s or t."""

    def removable(rest: str) -> bool:
        """Return whether the last suffix may be taken from a word of which `rest` stays."""
        return _measure(rest) > 1 and (not word.endswith("ion") or rest[-1] in "st")

    return _ruled(word, _STEP4, removable)


def _tidy(word: str) -> str:
    """Step 5: a final e, then a double l."""
    if word.endswith("e"):
        rest = word[:-1]
        if _measure(rest) > 1 or (_measure(rest) == 1 and not _short(rest)):
            word = rest
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _ruled(word: str, rules: Iterable[tuple[str, str]], allowed: Callable[[str], bool]) -> str:
    """Apply the first rule whose suffix fits, if what is left allows it; no other rule is tried."""
    for suffix, instead in rules:
        if word.endswith(suffix):
            rest = word.removesuffix(suffix)
            return rest + instead if allowed(rest) else word
    return word


def _consonants(word: str) -> list[bool]:
    """Return for each letter whether it is a consonant; y is one unless it follows one."""
    flags: list[bool] = []
    for letter in word:
        flags.append(not (flags and flags[-1]) if letter == "y" else letter not in "aeiou")
    return flags


def _measure(word: str) -> int:
    """Return the m of [C](VC)^m[V]: how often a consonant follows a vowel."""
    flags = _consonants(word)
    return sum(b and not a for a, b in pairwise(flags))


def _long(word: str) -> bool:
    return _measure(word) > 0


def _vowel(word: str) -> bool:
    return not all(_consonants(word))


def _short(word: str) -> bool:
    """Return whether the word ends consonant, vowel, consonant (not w, x, y), or is vowel and consonant alone."""
    flags = _consonants(word)
    if len(word) == 2:
        return flags == [False, True]
    return flags[-3:] == [True, False, True] and word[-1] not in "wxy"
