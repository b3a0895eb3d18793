"""What two sentences have in common, word by word, and where they differ: without a model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from curate.sentence import NEGATIONS, STOP, negated, stem, tokens
from curate.stances import NEITHER, REFUTE, SUPPORT

LEAST_SHARED: Final = 3
"""Fewest content words that claim and evidence must share, in one order, for a difference to refute."""
ROOM: Final = 3.0
"""Words that may stand between those of a claim that is borne out, as a multiple of the claim's."""
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_UNIQUE: Final = re.compile(
    r"(?i)\b(?:born|died|capital|currency|only|first|second|third|last|largest|biggest|smallest|longest|shortest"
    r"|tallest|highest|deepest|oldest|youngest|author|wrote|written|composed|directed|director|painted|invented"
    r"|discovered|founded|founder|located|headquartered|symbol)\b"
)
_YEAR: Final = re.compile(r"1[0-9]{3}|20[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Wording:
    """The content words of a sentence: stems in their order, which are names, and their places among all words."""

    stems: tuple[str, ...]
    named: tuple[bool, ...]
    place: tuple[int, ...]
    negated: bool
    unique: bool
    """Whether it speaks of something of which there is one only: a birth, a capital, the first, the largest."""

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers, without separators of thousands."""
        return frozenset(word for word in self.stems if _NUMBER.fullmatch(word))

    def apart(self, begin: int, end: int) -> bool:
        """Return whether the words from `begin` to `end` are a whole name: not a part of a longer one."""
        whole = self.place[end - 1] - self.place[begin] == end - begin - 1 and all(self.named[begin:end])
        before = begin > 0 and self.named[begin - 1] and self.place[begin] - self.place[begin - 1] == 1
        after = end < len(self.stems) and self.named[end] and self.place[end] - self.place[end - 1] == 1
        return whole and not before and not after


def worded(text: str) -> Wording:
    """Return the wording of a sentence; a word counts as a name when it is capitalised but not the first one."""
    stems: list[str] = []
    named: list[bool] = []
    place: list[int] = []
    for i, word in enumerate(tokens(text)):
        low = word.lower()
        if low in STOP or low in NEGATIONS or low.endswith("n't"):
            continue
        number = _NUMBER.fullmatch(word) is not None
        stems.append(word.replace(",", "") if number else stem(word))
        named.append(not number and word[0].isupper() and i > 0)
        place.append(i)
    return Wording(tuple(stems), tuple(named), tuple(place), negated(text), _UNIQUE.search(text) is not None)


def compared(claim: Wording, evidence: Wording, elsewhere: frozenset[str] = frozenset()) -> str:
    """Return `support`, `refute` or `neither`: only what the words alone make plain.

    Support: every content word of the claim, a name among them, stands in the sentence in its order. Refute: the
    sentence begins with the same words, a name among them, without a word between, but for one number, or one name of
    something unique, in the place of another; or the same words with a negation more. `elsewhere` holds the stems of
    the rest of the passage: a word that stands there refutes nothing.
    """
    common = set(claim.stems) & set(evidence.stems)
    if len(common) < LEAST_SHARED or len(common) < 0.5 * len(set(claim.stems)):
        return NEITHER
    blocks = SequenceMatcher(None, claim.stems, evidence.stems, autojunk=False).get_opcodes()
    inner = [block for block in blocks if block[0] in ("replace", "delete")]
    between = [i for b in blocks if b[0] == "insert" and 0 < b[1] < len(claim.stems) for i in range(b[3], b[4])]
    if not inner and claim.negated == evidence.negated:
        loose = len(between) > ROOM * len(claim.stems) or _numbered(claim, evidence, between)
        return SUPPORT if any(claim.named) and not loose else NEITHER
    if any(block[0] == "insert" and block[1] < len(claim.stems) for block in blocks):
        return NEITHER
    if not inner:
        return REFUTE if len(claim.stems) == len(evidence.stems) else NEITHER
    if len(inner) == 1 and inner[0][0] == "replace" and claim.negated == evidence.negated:
        _, a, b, c, d = inner[0]
        if len(claim.stems) - (b - a) >= LEAST_SHARED and any(claim.named[:a]):
            theirs = (c, _ended(evidence, c) if b == len(claim.stems) else d)
            return REFUTE if _swapped(claim, (a, b), evidence, theirs, elsewhere) else NEITHER
    return NEITHER


def _numbered(claim: Wording, evidence: Wording, between: list[int]) -> bool:
    """Return whether a number stands between words of a claim that has numbers: which belongs to what is open."""
    return bool(claim.numbers) and any(_NUMBER.fullmatch(evidence.stems[i]) for i in between)


def _ended(evidence: Wording, begin: int) -> int:
    """Return where the number or the whole name ends that begins there."""
    end = begin + 1
    while end < len(evidence.stems) and evidence.named[begin] and evidence.named[end]:
        if evidence.place[end] - evidence.place[end - 1] > 1:
            break
        end += 1
    return end


def _swapped(
    claim: Wording, mine: tuple[int, int], evidence: Wording, theirs: tuple[int, int], elsewhere: frozenset[str]
) -> bool:
    """Return whether one number, or one name, of the claim has another of its kind in its place."""
    said, found = claim.stems[slice(*mine)], evidence.stems[slice(*theirs)]
    if set(said) & (set(evidence.stems) | elsewhere) or set(found) & set(claim.stems):
        return False
    if len(said) == len(found) == 1 and _NUMBER.fullmatch(said[0]) and _NUMBER.fullmatch(found[0]):
        years = [_YEAR.fullmatch(word) is not None for word in (said[0], found[0])]
        return years[0] == years[1]
    return (
        claim.unique
        and claim.apart(*mine)
        and evidence.apart(*theirs)
        and not any(_alike(a, b) for a in said for b in found)
    )


def _alike(a: str, b: str) -> bool:
    """Return whether two names may be spellings of one: the same beginning, or an initial."""
    return a[:4] == b[:4] or len(a) == 1 or len(b) == 1
