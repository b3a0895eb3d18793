"""Percentages, changes in per cent, discounts, taxes, tips and simple interest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask, bare
from curate.computed.claim import Claim, Family
from curate.computed.expression import Unreadable, value_of
from curate.computed.number import Number, numbers, shown

_P: Final = r"(-?[\d.,]*\d)\s?(?:%|percent|per cent)"
_N: Final = r"[$€£]?(-?[\d.,]*\d)(?: dollars)?"
_FORMS: Final = tuple(
    (re.compile(pattern), forms)
    for pattern, forms in (
        (rf"{_P} of (?:the number )?{_N}", ("{0} * {1} / 100",)),
        (rf"(?:the |what )*percent(?:age)? of {_N} is {_N}", ("{1} / {0} * 100",)),
        (
            rf"(?:the |what )*percent(?:age)? (?:is |of )?{_N} (?:is )?(?:out of|of) {_N}(?: is it)?",
            ("{0} / {1} * 100",),
        ),
        (
            rf"(?:the )?percent(?:age)? of {_N} (?:in|out of|from|in relation to|to|compared to) {_N}",
            ("{0} / {1} * 100",),
        ),
        (rf"{_N} (?:is|as) (?:a |what )?percent(?:age)? of {_N}", ("{0} / {1} * 100",)),
        (rf"{_N} is what percent(?:age)? of {_N}", ("{0} / {1} * 100",)),
        (
            rf"(?:the )?(?:percent(?:age)?|%) (?:of )?(?:increase|decrease|change|growth|difference"
            rf"|drop)(?: in \w+)?(?: (?:between|from|of|when|if|for))?(?: (?:the|number|price|a|value"
            rf"|goes))* ?{_N} (?:to|and) {_N}",
            ("({1} - {0}) / {0} * 100", "({0} - {1}) / {0} * 100"),
        ),
        (rf"(?:increase|raise) (?:the number )?{_N} by {_P}", ("{0} * (100 + {1}) / 100",)),
        (rf"(?:decrease|reduce|lower|discount) (?:the number )?{_N} by {_P}", ("{0} * (100 - {1}) / 100",)),
        (
            rf"add {_P} (?:tax |tip |vat |sales tax )?to (?:the following amount: |the following: )?{_N}",
            ("{1} * (100 + {0}) / 100",),
        ),
    )
)
_OFF: Final = re.compile(r"\bdiscount(?:ed|s)?\b|% off\b|\bmark(?:ed)? ?down\b|\breduc(?:ed|tion)\b")
_ON: Final = re.compile(r"\btax(?:es)?\b|\btip\b|\bvat\b|\bmark ?up\b|\bgratuity\b|\bservice charge\b")
_ODD: Final = re.compile(
    r"\b(?:original (?:price|cost) (?:of|if|given|before)|before (?:the )?(?:discount|tax)|each"
    r"|per|items|compound\w*|years?|months?|if (?:the|a|an) (?:total|final|discounted)|income"
    r"|salary|function|code|program|profit"
    r"|write|formula|margin|percent(?:age)? (?:of|discount)|what percent|equation|story|sentence"
    r"|then|additional|both|was sold|on sale for|pays?|paid|including|inclusive|after[- ]tax|net"
    r"|deduct\w*)\b"
)
_ASKS: Final = re.compile(
    r"\b(?:calculate|compute|find|determine|what(?:'s| is| would| will)|how much|estimate|figure"
    r" out)\b.*\b(?:price|cost|amount|total|tip|tax|discount|bill|pay|savings?|saved?)\b"
)


def _percentage(ask: Ask, response: str) -> Iterator[Claim]:
    text = bare(ask.text)
    if len(text) > 300:
        return
    found = _form(text) or _priced(ask.text)
    if found is not None:
        values, how = found
        yield from judged("percentage", text, response, values, how)


def _form(text: str) -> tuple[list[Fraction], str] | None:
    for pattern, forms in _FORMS:
        match = pattern.fullmatch(text)
        if match:
            filled = [form.format(*match.groups()) for form in forms]
            try:
                values = [value_of(one.replace("--", "+")) for one in filled]
            except Unreadable:
                return None
            return values, f"{filled[0]} = {shown(values[0])}"
    return None


def _priced(text: str) -> tuple[list[Fraction], str] | None:
    """Return a price with one discount, tax or tip, and the discount, tax or tip itself: the prompt may mean either."""
    off, on = _OFF.search(text) is not None, _ON.search(text) is not None
    if off == on or _ODD.search(text) or not _ASKS.search(text):
        return None
    given = {(number.value, number.percent): number for number in numbers(text)}
    shares = [value for value, percent in given if percent]
    sums = [value for (value, percent), number in given.items() if not percent and _money(text, number)]
    if len(sums) + len(shares) != len(given):
        return None
    if len(shares) != 1 or len(sums) != 1 or not 0 < shares[0] < 100:
        return None
    price, share = sums[0], shares[0] / 100
    values = [price * (1 - share if off else 1 + share), price * share]
    return values, f"{shown(price)} {'less' if off else 'and'} {shown(shares[0])} % = {shown(values[0])}"


def _money(text: str, number: Number) -> bool:
    """Return whether a number is a sum of money: it has a currency sign, or a price or bill is named just before it."""
    if re.match(r"\s(?!dollars|euros|pounds)[a-z]+s\b", text[number.end :]):
        return False
    if text[number.start] in "$€£" or re.match(r"\s?(?:dollars|euros|pounds|usd|eur|gbp)\b", text[number.end :]):
        return True
    return re.search(r"\b(?:price|cost|bill|amount|total|value|worth)\b\D{0,12}$", text[: number.start]) is not None


PERCENTAGE: Final = Family(r"(?i)%|\bper ?cent", r"\d", _percentage)
