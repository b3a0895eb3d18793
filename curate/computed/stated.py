"""Equations that a response states, such as `12 + 7 = 19`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Final

from curate.computed.answer import is_code
from curate.computed.ask import Ask
from curate.computed.claim import Claim, Family
from curate.computed.expression import Unreadable, rewritten, value_of
from curate.computed.number import Verdict, compare, numbers, shown

LONGEST: Final = 6000
_RUN: Final = re.compile(r"[-+*/^×÷·−(\[√$\d.][-+*/^×÷·−()\[\]√$\d.,%\s=xX]{2,200}")
_BEFORE: Final = re.compile(
    r"(?:^|[.,:;!?)\"“*(\n|-]|\b(?:is|are|be|as|so|then|therefore|thus|hence|get|gives?|calculate"
    r"|compute|by|that|equation|have|i\.e\.|result|answer|total|because|since|formula|follows"
    r"|example|cost|=))\s*\$?$"
)
_AFTER: Final = re.compile(
    r"\s*(?:$|[.;:!?)\]\n\"”|*,]|(?:so|which|therefore|thus|and|because|since|for|the|is|dollars|units|square|then)\b)"
)
_DENIED: Final = re.compile(
    r"\b(?:false|incorrect|wrong|not equal|not true|not correct|untrue|mistake|error|isn't"
    r"|instead of|modulo|mod|binary|hexadecimal|base|clock|xor|boolean|solve for|puzzle|integer"
    r" division|matches|matchsticks?|riddle|joke|1984)\b|≠|!=|remainder"
)
_OPERATION: Final = re.compile(r"(?<=[\d)\]])\s*[-+*/^×÷·−xX]\s*(?=[\d($\[.√-])")


def _stated(ask: Ask, response: str) -> Iterator[Claim]:
    if len(response) > LONGEST or is_code(response) or _DENIED.search(response.lower()) or _DENIED.search(ask.text):
        return
    for line in response.splitlines():
        if "=" not in line or len(line) > 1000:
            continue
        plain = re.sub(r"^\s*(?:[-*•·+]|\(?\w{1,2}[.):])\s+", "", line)
        for match in _RUN.finditer(plain):
            if "=" in match[0]:
                yield from _equation(plain, match)


_TWO_WAYS: Final = re.compile(r"/\s*\d+(?:\.\d+)?/\d|\d/\d+(?:\.\d+)?\s*/|\d\s*/\s*\d+\s*[xX×]\s*\d")


def _equation(line: str, match: re.Match[str]) -> Iterator[Claim]:
    run = match[0].rstrip(" ,.($[xX")
    before, after = line[: match.start()], line[match.start() + len(run) :]
    if (
        not _BEFORE.search(before[-30:])
        or not _AFTER.match(after)
        or (re.search(r"[\w)=][-+*/^ ]*$", before) and not _BEFORE.search(before[-30:]))
    ):
        return
    sides = [side.strip(" ,") for side in run.split("=")]
    sides = sides[1:] if not sides[0] else sides
    if (
        re.search(r"\d:$", before)
        or re.search(r"\b(?:thousand|million|billion|hundred|cents?)\b", line.lower())
        or _TWO_WAYS.search(run)
    ):
        return
    if len(sides) < 2 or "%" in run or re.search(r"\d\s+\d", run) or not all(sides):
        return
    for left, right in pairwise(sides):
        found = _compared(left, right)
        if found is not None:
            right_side, value, verdict = found
            claim = f"{left} = {right}"
            yield Claim("stated", claim[:200], shown(value), right_side[:60], verdict, f"{left} = {shown(value)}"[:500])


def _compared(left: str, right: str) -> tuple[str, Fraction, Verdict] | None:
    """Return the right side, the value of the left one and whether they agree; None when that is not certain."""
    if (
        not _OPERATION.search(left)
        or re.fullmatch(r"\d+/\d+", left)
        or (not left[-1].isdigit() and left[-1] not in ")]")
    ):
        return None
    try:
        value, other = (
            value_of(rewritten(side.replace("$", "").replace("X", "x").replace("−", "-"))) for side in (left, right)
        )
    except Unreadable:
        return None
    said = numbers(right)
    if _OPERATION.search(right) or len(said) != 1:
        return (right, value, "right") if other == value else None
    verdict = compare(said[0], value, 0.006 if value.denominator != 1 else 0.0)
    return None if verdict is None else (right, value, verdict)


STATED: Final = Family(r".", r"\d\s*[)\]]?\s*[-+*/^×÷·−xX]\s*[$(\[]*\d[^=\n]{0,100}=\s*\$?[-−]?\d", _stated)
