"""Stances that the words alone make plain: few, and seldom wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

from pydantic.dataclasses import dataclass

from curate.evidence import Lesson
from curate.sentence import sentences
from curate.stances import NEITHER, REFUTE, SUPPORT, Pair, Read, Stance
from curate.stances.wording import Wording, compared, worded
from manifests.component import COMPONENT, Context


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Rules:
    """Compares a claim with each sentence of the evidence, word by word.

    It supports where a sentence holds all the claim's content words in their order; it refutes where they differ in
    one number, one name or a negation alone; anything else is `neither`. Contradicting sentences make `neither`.
    """

    kind: ClassVar[str] = "rules"
    version: ClassVar[int] = 1

    def read(self, pairs: Sequence[Pair], lessons: Sequence[Lesson], context: Context) -> Read:
        """Return one stance per pair, probabilities 1 or 0; `lessons` are not looked at."""
        return Read(tuple(_stance(ruled(pair.claim, pair.evidence)) for pair in pairs))


def ruled(claim: str, evidence: str) -> str:
    """Return the stance of the sentences of `evidence` together."""
    said = worded(claim)
    parts = parts_of(evidence)
    every = frozenset(stem for part in parts for stem in part.stems)
    found = {compared(said, part, every - frozenset(part.stems)) for part in parts}
    plain = found - {NEITHER}
    return plain.pop() if len(plain) == 1 else NEITHER


@lru_cache(maxsize=20_000)
def parts_of(evidence: str) -> tuple[Wording, ...]:
    """Return the wording of each sentence of a text."""
    return tuple(worded(sentence) for sentence in sentences(evidence))


def _stance(verdict: str) -> Stance:
    return Stance(verdict, float(verdict == SUPPORT), float(verdict == REFUTE))
