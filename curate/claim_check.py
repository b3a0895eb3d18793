"""Checks a response claim by claim: a model lists what can be checked, then each claim is judged by itself.

Extracting only verifiable claims follows VeriScore (Song et al., 2406.19276); one verdict per claim FActScore (Min et
al., 2305.14251).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from curate.interview import Case, Interview
from curate.judges import ABSTAINED, FAILED, OK, Writing
from curate.opinion import Opinion, Policy, Written
from curate.prompt import Prompt
from manifests.names import canonical_json

Pool = Literal["max", "any", "mean"]
TOKENS: Final = 32
"""Tokens that one extracted claim may take; a list that needs more is `failed`, never cut."""
_BULLET: Final = re.compile(r"\s*(?:[-*•‣–]|\(?\d{1,2}[.):])\s+(?P<claim>.*)")
_NONE: Final = re.compile(r"\W*(?:none|no (?:checkable |verifiable |such )?claims?)\W*", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[^\W\d_]")
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """The claims found in a model's list, how many it named in all, or `why` the list cannot be used."""

    claims: tuple[str, ...] = ()
    named: int = 0
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """The opinion on a whole response and, as JSON, the claims that it rests on; None when there are none."""

    opinion: Opinion
    claims: str | None = None


def listed(said: Written, most: int) -> Listed:
    """Return at most `most` distinct claims from a written list, none when it says NONE.

    A list that was cut off, that is empty, that has NONE beside claims, or a line that cannot be a claim, is malformed:
    a claim that is lost would count as right. Lines that end with a colon introduce the list.
    """
    if said.why is not None or said.cut:
        return Listed(why=f"no list of claims: {said.why or 'truncated'}")
    lines = [line.strip() for line in said.text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.endswith(":")]
    bullets = [match["claim"].strip() if (match := _BULLET.fullmatch(line)) else None for line in lines]
    if any(bullets) and not all(bullets):
        return Listed(why=f"malformed list of claims: {_odd(lines, bullets)!r} is not a point of it")
    claims = [bullet or line for bullet, line in zip(bullets, lines, strict=True)]
    if len(claims) == 1 and _NONE.fullmatch(claims[0]):
        return Listed()
    for claim in claims:
        if _NONE.fullmatch(claim) or not _LETTERS.search(claim) or len(claim) > _LONGEST:
            return Listed(why=f"malformed list of claims: {claim[:60]!r} is no claim")
    if not claims:
        return Listed(why="no list of claims: empty")
    distinct = tuple(dict.fromkeys(claims))
    return Listed(distinct[:most], len(distinct))


def _odd(lines: Sequence[str], bullets: Sequence[str | None]) -> str:
    return next(line for line, bullet in zip(lines, bullets, strict=True) if not bullet)[:60]


def pooled(values: Sequence[float], pool: Pool) -> float:
    """Return the error probability of a response from those of its claims, 0..1.

    `max` is that of its worst claim; `any` is 1 - prod(1 - p), that of at least one error if errors were independent;
    `mean` is the expected share of wrong claims.
    """
    if pool == "max":
        return max(values)
    if pool == "any":
        return min(max(1.0 - math.prod(1.0 - value for value in values), *values), 1.0)
    return min(max(math.fsum(values) / len(values), min(values)), max(values))


@dataclass(frozen=True)
class ClaimCheck:
    """Lists the claims of responses with `listing`, at most `most` of each, and puts each to `interview`."""

    interview: Interview
    listing: Prompt
    most: int
    pool: Pool

    def checked(self, cases: Sequence[Case]) -> list[Checked]:
        """Return one result per case, in their order; the claims of one case are asked next to each other."""
        how = Writing(max_tokens=TOKENS * self.most)
        found = self.interview.texts(self.listing, cases, how, most=str(self.most))
        lists = [(key, listed(said, self.most)) for key, said in found]
        claims = [case.having(claim=claim) for case, (_, got) in zip(cases, lists, strict=True) for claim in got.claims]
        opinions = iter(self.interview.opinions(claims))
        return [self._whole(key, got, [next(opinions) for _ in got.claims]) for key, got in lists]

    def _whole(self, key: str, got: Listed, opinions: Sequence[Opinion]) -> Checked:
        if got.why is not None:
            return Checked(Opinion(FAILED, None, got.why, (key,)))
        if not got.claims:
            return Checked(Opinion(ABSTAINED, None, "no checkable claim", (key,)))
        policy = self.interview.policy
        keys = (key, *(key for opinion in opinions for key in opinion.keys))
        steps = [{"claim": i, **step} for i, opinion in enumerate(opinions) for step in opinion.trail]
        status, value, why = verdict(opinions, policy, self.pool)
        if got.named > len(got.claims):
            why = "; ".join(filter(None, (why, f"only the first {len(got.claims)} of {got.named} claims were checked")))
        told = [_told(claim, opinion, policy) for claim, opinion in zip(got.claims, opinions, strict=True)]
        unstable = any(opinion.unstable for opinion in opinions)
        return Checked(Opinion(status, value, why, keys, tuple(steps), unstable), canonical_json(told))


def verdict(opinions: Sequence[Opinion], policy: Policy, pool: Pool) -> tuple[str, float | None, str | None]:
    """Return (status, p_error, why) of a response from the opinions on its claims, at least one.

    A claim that failed makes it `failed`, or is left out when `partial` is `ignore`. Where the claims that were decided
    do not make it wrong, one that was not decided makes it `abstained`: it is not known to be right.
    """
    n = len(opinions)
    lost = [opinion for opinion in opinions if opinion.status == FAILED]
    unsure = [opinion for opinion in opinions if opinion.status == ABSTAINED]
    values = [opinion.value for opinion in opinions if opinion.value is not None]
    if lost and (policy.partial == "fail" or len(lost) == n):
        return FAILED, None, f"{len(lost)} of {n} claims failed: {lost[0].why}"
    value = pooled(values, pool) if values else None
    if unsure and (value is None or policy.word(value) == "correct"):
        return ABSTAINED, None, f"{len(unsure)} of {n} claims undecided: {unsure[0].why}"
    shaky = sum(opinion.unstable for opinion in opinions)
    remarks = [
        *([f"unstable: the votes on {shaky} of {n} claims fall on both sides"] if shaky else []),
        *([f"{len(unsure)} of {n} claims undecided"] if unsure else []),
        *([f"{len(lost)} of {n} claims failed"] if lost else []),
    ]
    return OK, value, "; ".join(remarks) or None


def _told(claim: str, opinion: Opinion, policy: Policy) -> dict[str, str | float | None]:
    """Return what is stored of a claim: its text, error probability and verdict, and why it has none."""
    word = opinion.status if opinion.value is None else policy.word(opinion.value)
    told: dict[str, str | float | None] = {"claim": claim, "p_error": opinion.value, "verdict": word}
    return told | ({"why": opinion.why} if opinion.why else {})
