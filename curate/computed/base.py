"""Number bases and Roman numerals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from curate.computed.answer import is_code, judged
from curate.computed.ask import Ask, bare
from curate.computed.claim import Claim, Family

BASES: Final = {
    "binary": 2,
    "base 2": 2,
    "base two": 2,
    "octal": 8,
    "base 8": 8,
    "hexadecimal": 16,
    "hex": 16,
    "base 16": 16,
    "decimal": 10,
    "base 10": 10,
    "base ten": 10,
    "denary": 10,
}
_NAME: Final = "|".join(sorted(BASES, key=len, reverse=True))
_FILL: Final = (
    r"(?:the|this|these|given|following|number|numbers|integer|integers|value|values|into|a|an"
    r"|its|equivalent|form|format|representation|notation|system|numeral|numerals|code|numbering"
    r"|numeric|string)"
)
_TO: Final = re.compile(
    rf"(?:convert|change|express|represent|write|translate|transform|encode|turn|rewrite"
    rf"|present)?(?:[\s:]|{_FILL}\b|decimal\b)*(?P<n>0[xb])?(?P<digits>[0-9a-f]{{1,40}})[\s"
    rf",]*(?:\(?decimal\)?|\(?base 10\)?|from decimal)?"
    rf"\s*(?:to|in|into|as|from (?P<from>{_NAME})(?: {_FILL})* to)(?: {_FILL})* (?P<to>{_NAME}|roman)(?: {_FILL})*"
)
_FROM: Final = re.compile(
    rf"(?:convert|change|express|represent|write|translate|transform)?(?:[\s:]"
    rf"|{_FILL}\b)*(?P<from>{_NAME})(?:[\s:]|{_FILL}\b)*(?P<digits>[0-9a-f]{{1,40}})"
    rf"(?: (?:to|in|into|as)(?: {_FILL})* (?P<to>{_NAME})(?: {_FILL})*)?"
)
_OF: Final = re.compile(
    rf"(?:{_FILL} )*(?P<to>{_NAME}|roman) (?:{_FILL} )*(?:equivalent |representation |form |code "
    rf"|value )?(?:of|for)(?: {_FILL}| decimal)*[\s:]+\"?(?P<digits>\d{{1,12}})"
)
_INPUT: Final = re.compile(
    rf"(?:convert|change|express|represent|write|translate|transform|encode|turn|rewrite)(?:"
    rf" {_FILL})*(?: (?:from )?(?P<from>{_NAME}))?(?: {_FILL})* (?:to|in|into|as)(?: {_FILL})*"
    rf" (?P<to>{_NAME}|roman|integer)(?:"
    rf" {_FILL})*:\s*(?:{_FILL}\s*[:=]?\s*)?(?P<digits>[0-9a-f]{{1,40}})"
)
_ROMAN: Final = (
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
)
_FROM_ROMAN: Final = re.compile(
    rf"(?:convert|change|express|represent|write|translate|what)?(?:[\s:]|{_FILL}\b)*(?:roman"
    rf" (?:numerals?|numbers?))?[\s:]*\"?(?P<roman>[ivxlcdm]{{1,15}})\"?(?: roman numerals?)?"
    rf"(?: (?:to|in|into|as|from roman numerals? to)(?: {_FILL}| roman| an? )* (?:decimal|arabic"
    rf"|number|integer|digit|standard|regular|hindu-arabic|modern|hindu)s?(?: {_FILL})*)?"
)


def in_base(value: int, base: int) -> str:
    """Return the digits of a value (0 or more) in base 2, 8, 10 or 16, in lower case."""
    return format(value, {2: "b", 8: "o", 10: "d", 16: "x"}[base])


def roman(value: int) -> str:
    """Return a value from 1 to 3999 as a Roman numeral."""
    parts = []
    for size, letters in _ROMAN:
        parts.append(letters * (value // size))
        value %= size
    return "".join(parts)


def from_roman(text: str) -> int | None:
    """Return the value of a Roman numeral in its usual form, None when it is none."""
    text, value, rest = text.upper(), 0, text.upper()
    for size, letters in _ROMAN:
        while rest.startswith(letters):
            value, rest = value + size, rest[len(letters) :]
    return value if not rest and 0 < value < 4000 and roman(value) == text else None


def _base(ask: Ask, response: str) -> Iterator[Claim]:
    text = bare(ask.text)
    if len(text) > 200 or len(response) > 1000 or is_code(response) or "ascii" in text:
        return
    text = re.sub(r"\(base.\d+\) ?|[\"']", "", text).replace("base-", "base ").strip()
    text = text.replace("roman numerals", "roman").replace("roman numeral", "roman").replace("roman number", "roman")
    match = _INPUT.fullmatch(text) or _TO.fullmatch(text) or _FROM.fullmatch(text) or _OF.fullmatch(text)
    if match is None:
        yield from _from_roman(text, response)
        return
    given = match.groupdict()
    target = (given["to"] or "decimal").replace("integer", "decimal")
    source = (
        BASES[given.get("from") or ("decimal" if target not in ("decimal", "base 10", "base ten", "denary") else "")]
        if given.get("from") or target not in ("decimal", "base 10", "base ten", "denary")
        else 0
    )
    digits = given["digits"]
    if not source:
        return
    try:
        value = int(digits, source)
    except ValueError:
        return
    yield from _told(text, digits, source, target, value, response)


def _told(text: str, digits: str, source: int, target: str, value: int, response: str) -> Iterator[Claim]:
    if target == "roman":
        if 0 < value < 4000:
            yield from _token(
                text, roman(value), r"\b[IVXLCDM]+\b", response, f"{value} = {roman(value)}", frozenset({"I"})
            )
        return
    base = BASES[target]
    expected = in_base(value, base)
    how = f"{digits} in base {source} = {value} = {expected} in base {base}"
    if base == source:
        return
    if base == 10:
        said = re.sub(rf"(?i)(?<!\w)(?:0[xb])?{re.escape(digits)}(?!\w)", " ", response)
        yield from judged("base", text, said, Fraction(value), how)
    elif base == 16:
        said = re.sub(r"(?i)\b0x|\b(?:base|the|is|decimal|hexadecimal|number|of|a|be)\b", " ", response)
        yield from _token(text, expected, r"(?i)\b[0-9a-f]+h?\b", said, how, frozenset({digits, "16", "10"}))
    else:
        said = re.sub(r"(?i)\b0[bo]", "", response)
        said = re.sub(r"(?<=[01]{4}) (?=[01]{4}\b)", "", said) if base == 2 else said
        yield from _token(
            text, expected, r"\b[01]+\b" if base == 2 else r"\b[0-7]+\b", said, how, frozenset({digits, "8", "2", "10"})
        )


def _token(text: str, expected: str, pattern: str, response: str, how: str, but: frozenset[str]) -> Iterator[Claim]:
    """Yield whether the only token of that form, but for those of the question, is the expected one."""
    tokens = [token.strip() for token in re.findall(pattern, response)]
    tokens = list(dict.fromkeys(token.lstrip("0").lower() or "0" for token in tokens))
    want = expected.lower()
    if want in tokens:
        if [token for token in tokens if token not in but | {want}] == [] or tokens[-1] == want:
            yield Claim("base", text[:200], expected, expected, "right", how)
        return
    found = [token for token in tokens if token not in but and token.upper() not in but]
    if len(found) == 1 and len(re.findall(r"\w+", response)) < 40 and not re.search(r"\d[ ,]\d|\^|\+", response):
        yield Claim("base", text[:200], expected, found[0].upper(), "wrong", how)


def _from_roman(text: str, response: str) -> Iterator[Claim]:
    if "roman" not in text:
        return
    match = _FROM_ROMAN.fullmatch(text.replace("roman", "roman numeral", 1)) or re.fullmatch(
        r"(?:what )?(?:number |value )?(?:does |is )?(?:the )?roman[\s:]*\"?(?P<roman>[ivxlcdm]{1"
        r",15})\"?(?: (?:represents?|equal to|stands? for|mean|in numbers))?",
        text,
    )
    value = from_roman(match["roman"]) if match else None
    if match and value is not None:
        yield from judged("base", text, response, Fraction(value), f"{match['roman'].upper()} = {value}")


BASE: Final = Family(
    r"(?i)\b(binary|octal|hexadecimal|hex|decimal|roman|base (2|8|10|16|two|ten))\b", r"[0-9IVXLCDM]", _base
)
