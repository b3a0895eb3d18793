"""What two sentences have in common, word by word, and where they differ: without a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from curate.sentence import NEGATIONS, STOP, negated, stem, tokens
from curate.stances import NEITHER, REFUTE, SUPPORT

LEAST_SHARED: Final = 3
"""Fewest content words that claim and evidence must share, in one order, for a difference to refute."""
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_YEAR: Final = re.compile(r"1[0-9]{3}|20[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Wording:
    """The content words of a sentence: stems in their order, and which are names and numbers."""

    stems: tuple[str, ...]
    named: tuple[bool, ...]
    negated: bool

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers, without separators of thousands."""
        return frozenset(word for word in self.stems if _NUMBER.fullmatch(word))


def worded(text: str) -> Wording:
    """Return the wording of a sentence; a word counts as a name when it is capitalised but not the first one."""
    stems: list[str] = []
    named: list[bool] = []
    for i, word in enumerate(tokens(text)):
        low = word.lower()
        if low in STOP or low in NEGATIONS or low.endswith("n't"):
            continue
        number = _NUMBER.fullmatch(word) is not None
        stems.append(word.replace(",", "") if number else stem(word))
        named.append(not number and word[0].isupper() and i > 0)
    return Wording(tuple(stems), tuple(named), negated(text))


def compared(claim: Wording, evidence: Wording, elsewhere: frozenset[str] = frozenset()) -> str:
    """Return `support`, `refute` or `neither`: only what the words alone make plain.

    Support: every content word of the claim stands in the sentence, in the same order, negated alike. Refute: the same
    but for one number of a kind, or one name, that stands in the place of another; or but for a negation. `elsewhere`
    holds the stems of the rest of the passage: a word that stands there refutes nothing.
    """
    common = set(claim.stems) & set(evidence.stems)
    if len(common) < LEAST_SHARED or len(common) < 0.5 * len(set(claim.stems)):
        return NEITHER
    blocks = [
        block
        for block in SequenceMatcher(None, claim.stems, evidence.stems, autojunk=False).get_opcodes()
        if block[0] != "insert"
    ]
    changed = [block for block in blocks if block[0] != "equal"]
    if not changed:
        return SUPPORT if claim.negated == evidence.negated else _denied(blocks)
    if len(changed) == 1 and changed[0][0] == "replace" and claim.negated == evidence.negated:
        _, a, b, c, d = changed[0]
        shared = len(claim.stems) - (b - a)
        if shared >= LEAST_SHARED and _swapped(claim, (a, b), evidence, (c, d), elsewhere):
            return REFUTE
    return NEITHER


def _denied(blocks: Sequence[tuple[str, int, int, int, int]]) -> str:
    """Return `refute` for the same words with a negation more, as long as they stand together."""
    return REFUTE if len(blocks) == 1 else NEITHER


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
        len(said) <= 3
        and len(found) <= 3
        and all(claim.named[slice(*mine)])
        and all(evidence.named[slice(*theirs)])
        and not any(_alike(a, b) for a in said for b in found)
    )


def _alike(a: str, b: str) -> bool:
    """Return whether two names may be spellings of one: the same beginning, or an initial."""
    return a[:4] == b[:4] or len(a) == 1 or len(b) == 1
