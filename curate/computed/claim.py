"""What a check finds in a row, and what a family of checks is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from curate.computed.ask import Ask
from curate.computed.number import Verdict


def ruling(right: bool) -> Verdict:  # the value is the subject
    """Return the verdict of a claim that holds or does not."""
    return "right" if right else "wrong"


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of a response that was recomputed."""

    kind: str
    """The family of checks."""
    claim: str
    """What was asked or stated."""
    expected: str
    """What it should be."""
    found: str
    """What the response says."""
    verdict: Verdict
    how: str
    """What was recomputed: the proof."""


@dataclass(frozen=True, slots=True)
class Family:
    """Checks of one kind; `check` sees the rows that `prompt` and `response` (Polars regular expressions) match."""

    prompt: str
    response: str
    check: Callable[[Ask, str], Iterator[Claim]]
