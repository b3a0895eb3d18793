"""Numbers as people write them: thousands separators, fractions, per cent, powers of ten, words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

Verdict = Literal["right", "wrong"]

MOST_DIGITS: Final = 80
"""Digits of the longest number that is read; a longer one is unknown."""
MOST_NUMBERS: Final = 200
"""Numbers of a text that are read."""

_FINEST: Final = Fraction(1, 10**9)
"""Digits past the ninth may be those of binary floating point."""
_SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS: Final[dict[str, int]] = {
    **{word: value for value, word in enumerate(_SMALL)},
    **{word: value * 10 for value, word in enumerate(_TENS, start=2)},
}
"""The number words under a hundred."""
SCALES: Final[dict[str, int]] = {
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_DIGITS: Final = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_ANY_WORD: Final = "|".join([*WORDS, *SCALES])
_SPELT: Final = re.compile(rf"\b(?:{_ANY_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_ANY_WORD}))*\b", re.IGNORECASE)
_WRITTEN: Final = re.compile(
    rf"(?P<sign>(?<![\w.)%])[-−–](?=[$€£]?[\d.]))?[$€£]?(?<![\d.])(?P<main>{_DIGITS})(?![\d])"
    r"(?:\s?[x×*]\s?10\s?(?:\^|\*\*)\s?\(?(?P<ten>[-−]?\d{1,2})\)?|[eE](?P<exp>[+-]?\d{1,2})(?!\w))?"
    r"(?:\s(?P<scale>hundred|thousand|million|billion|trillion)\b)?"
    r"(?:(?P<mixed>\s(?=\d{1,4}/\d))?(?(mixed)(?P<top>\d{1,4}))\s?/\s?(?P<bottom>\d{1,6})(?![\d.,]*[\d/]))?"
    r"(?P<percent>\s?%|\s?percent\b|\s?per cent\b)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a text: its value, the size of one unit of its last digit, and where it stands."""

    value: Fraction
    unit: Fraction
    start: int
    end: int
    percent: bool = False

    @property
    def scales(self) -> tuple[int, ...]:
        """What it may have to be divided by: 80 % is 80 and 0.8."""
        return (1, 100) if self.percent else (1,)


def numbers(text: str) -> list[Number]:
    """Return the numbers of a text in order, in digits and in words; those of over 80 digits are left out."""
    found = [number for match in _WRITTEN.finditer(text) if (number := _written(match)) is not None]
    if len(found) < MOST_NUMBERS:
        taken = [(number.start, number.end) for number in found]
        for match in _SPELT.finditer(text):
            if all(match.end() <= start or match.start() >= end for start, end in taken):
                found.append(Number(Fraction(spelt(match[0])), Fraction(1), match.start(), match.end()))
    return sorted(found, key=lambda number: number.start)[:MOST_NUMBERS]


def spelt(words: str) -> int:
    """Return the value of number words: `two hundred and five` is 205."""
    total = group = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word in WORDS:
            group += WORDS[word]
        elif word == "hundred":
            group = max(group, 1) * 100
        elif word in SCALES:
            total, group = total + max(group, 1) * SCALES[word], 0
    return total + group


def in_digits(text: str) -> str:
    """Return the text with its number words in digits."""
    return _SPELT.sub(lambda match: str(spelt(match[0])), text)


def _written(match: re.Match[str]) -> Number | None:
    main = match["main"].replace(",", "")
    if len(main) > MOST_DIGITS:
        return None
    value, unit = Fraction(main), Fraction(1, 10 ** len(main.partition(".")[2]))
    if match["bottom"]:
        if int(match["bottom"]) == 0:
            return None
        part = Fraction(match["top"] or main) / int(match["bottom"])
        value, unit = (value + part, Fraction(0)) if match["top"] else (part, Fraction(0))
    for power in (match["ten"], match["exp"]):
        if power:
            scale = Fraction(10) ** int(power.replace("−", "-"))
            value, unit = value * scale, unit * scale
    if match["scale"]:
        scale = Fraction(SCALES[match["scale"].lower()])
        value, unit = value * scale, unit * scale
    return Number(-value if match["sign"] else value, unit, match.start(), match.end(), bool(match["percent"]))


def compare(found: Number, expected: Fraction, slack: float = 0.0) -> Verdict | None:
    """Return whether the number is the expected one, as far as its digits say; None where it may have been cut.

    Right: rounded to the digits given, to a whole number only within 1 %. None: rounded further, or cut off instead of
    rounded, or off by no more than the share `slack` of the expected value (as after rounding half-way, or with 3.14
    for pi). Wrong: anything else.
    """
    verdicts = {_compare(found.value / scale, found.unit / scale, expected, slack) for scale in found.scales}
    return "right" if "right" in verdicts else None if None in verdicts else "wrong"


def _compare(value: Fraction, unit: Fraction, expected: Fraction, slack: float) -> Verdict | None:
    off = abs(value - expected)
    if off == 0:
        return "right"
    if off * 2 <= unit:
        return "right" if unit < 1 or off * 100 <= abs(expected) else None
    if unit < _FINEST and off <= _FINEST * max(Fraction(1), abs(expected)):
        return "right"
    cut = unit != 0 and (expected / unit).denominator != 1 and off < unit and abs(value) < abs(expected)
    return None if cut or off <= abs(expected) * Fraction(slack) else "wrong"


def shown(value: Fraction, digits: int = 10) -> str:
    """Return a number for people: whole numbers in full, others to ten digits."""
    if value.denominator == 1:
        return str(value.numerator) if abs(value) < 10**MOST_DIGITS else "over 80 digits"
    return f"{float(value):.{digits}g}"
