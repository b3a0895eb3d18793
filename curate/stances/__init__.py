"""Readers of stances: what a piece of evidence says of a claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

from curate.evidence import Lesson
from manifests.component import Context

SUPPORT: Final = "support"
REFUTE: Final = "refute"
NEITHER: Final = "neither"


@dataclass(frozen=True, slots=True)
class Pair:
    """A claim, readable by itself, a text that may say something of it, and the sample that makes the claim."""

    claim: str
    evidence: str
    sample_id: str = ""


@dataclass(frozen=True, slots=True)
class Stance:
    """`support`, `refute` or `neither`, and the probabilities of the first two; None when the reader failed."""

    verdict: str | None
    support: float = 0.0
    refute: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Read:
    """A stance per pair, in their order; `quality` has the fields of `schema.QUALITY` but the scorer's name."""

    stances: tuple[Stance, ...]
    quality: tuple[Mapping[str, Any], ...] = ()


@runtime_checkable
class StanceReader(Protocol):
    """Says of each pair whether the evidence bears the claim out, refutes it, or neither."""

    kind: ClassVar[str]
    version: ClassVar[int]

    def read(self, pairs: Sequence[Pair], lessons: Sequence[Lesson], context: Context) -> Read:
        """Return one stance per pair; `lessons` are the labelled pairs of the knowledge source."""
        ...
