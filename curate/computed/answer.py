"""The number that a response gives as its answer, and its verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

from curate.computed.claim import Claim
from curate.computed.number import Number, compare, numbers, shown

LONGEST: Final = 2000
"""Characters of the longest response that is read for one answer."""
_CUE: Final = re.compile(
    r"(?:=|≈|:|\b(?:is|are|was|equals?|be|to|gives?|has|have|contains?|there are|totals?)\b)\s*"
    r"(?:(?:approximately|about|roughly|around|equal to|equivalent to|exactly|therefore|thus|just"
    r"|only|also|a total of|given by|now|up)\s+|[$€£(*\[]\s*)*$",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    r"```|\bdef \w+\(|\bprint\(|console\.log|\breturn\b.*[;\n]|#include|\bfunction\b.*\{|;\s*\n"
    r"|</?(?!su[bp]\b)\w+>|\bSELECT\b|\bimport \w+"
)
_SYMBOLIC: Final = re.compile(
    r"√|π|\bsqrt|\bpi\b|\\frac|\blog\b|∛|\^\(?1/|\bdozen\b|\bhalf\b|\bquarter\b|\bthird\b|\btwice\b"
)
_OPERATOR: Final = r"\s*(?:plus|minus|times|multiplied|divided|squared|cubed|to the|is|are|equals?|percent of|% of)\b"
_GOES_ON: Final = re.compile(r"\s*(?:[+*/^×÷=√π!]|[-−]\s*\d|[a-z]\b\s*[-+*/^=]|x\d|e\d)")


def is_code(response: str) -> bool:
    """Return whether a response holds a program, whose numbers are no answers."""
    return _CODE.search(response) is not None


def answers(response: str) -> list[Number]:
    """Return the numbers that a response gives as answers: those after `is`, `=` or alike, or its only number."""
    found = numbers(response)
    if len(found) == 1 and not response[found[0].start].isalpha():
        return found
    lead = found[:1] if found and _leads(response, found[0]) else []
    cued = [
        number
        for number in found
        if _CUE.search(response[max(0, number.start - 40) : number.start]) and not _GOES_ON.match(response, number.end)
    ]
    return lead + [number for number in cued if number not in lead]


def _leads(response: str, first: Number) -> bool:
    """Return whether a response opens with its answer, and not with the question or a list."""
    before, after = response[: first.start], response[first.end : first.end + 20]
    return not before.strip(" $€£*(\n-") and not re.match(r"[.)]\s|\s*[-+*/^×÷=√π!,]|\s*and\b|" + _OPERATOR, after)


def judged(
    kind: str,
    claim: str,
    response: str,
    expected: Fraction | Sequence[Fraction],
    how: str,
    slack: float = 0.0,
) -> Iterator[Claim]:
    """Yield the claim that the response's answer is one of the expected values, if it can be told.

    Right: its last answer is, or its first unless that one follows `=`. Wrong: it has one, and the expected value is
    nowhere in it. Nothing is yielded when it has no answer, when the expected value is there but not as its first or
    last answer, and where signs such as pi stand for numbers. A number of the question (`claim`) counts as an answer
    only when it is the exact one.
    """
    values = [expected] if isinstance(expected, Fraction) else list(expected)
    if len(response) > LONGEST or is_code(response):
        return
    given = answers(response)
    if not given:
        return
    echoed = {number.value for number in numbers(claim)} - set(values)
    first = [] if response[: given[0].start].rstrip(" $(").endswith("=") else given[:1]
    ends = [number for number in (given[-1], *first) if number.value not in echoed]
    right = next((n for n in ends if any(compare(n, value, slack) == "right" for value in values)), None)
    if right is not None:
        yield Claim(kind, claim[:200], _all(values), response[right.start : right.end], "right", how)
        return
    others = [number for number in numbers(response) if number in (given[-1], given[0]) or number.value not in echoed]
    anywhere = any(compare(n, value, slack) != "wrong" for n in others for value in values)
    if anywhere or _SYMBOLIC.search(response.lower()):
        return
    if given[-1].value in echoed and len(given) > 1:
        return
    last = given[-1]
    yield Claim(kind, claim[:200], _all(values), response[last.start : last.end].strip(), "wrong", how)


def _all(values: Sequence[Fraction]) -> str:
    return " or ".join(dict.fromkeys(shown(value) for value in values))
