"""Arithmetic that a prompt asks for, and equations in one unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask, bare
from curate.computed.claim import Claim, Family
from curate.computed.expression import Unreadable, linear_of, rewritten, root, value_of
from curate.computed.number import shown

_N: Final = r"(-?\$?[\d.,/]*\d)"
_THE: Final = r"(?:(?:the )?(?:numbers?|integers?|values?|fractions?|digits?|decimals?)[:,]?\s*)?"
_FORMS: Final = tuple(
    (re.compile(pattern), form)
    for pattern, form in (
        (rf"(?:the )?(?:sum|total) of {_THE}{_N} ?(?:and|\+|plus) {_THE}{_N}", "{0} + {1}"),
        (rf"(?:the )?product of {_THE}{_N} ?(?:and|\*|times|by) {_THE}{_N}", "{0} * {1}"),
        (rf"(?:the )?quotient (?:of|when) {_THE}{_N} ?(?:and|/|by|(?:is )?divided by) {_THE}{_N}", "{0} / {1}"),
        (
            rf"(?:the )?(?:positive )?difference (?:between|of) {_THE}{_N} (?:and|-|minus) {_THE}{_N}",
            "difference {0} {1}",
        ),
        (rf"(?:the )?difference when {_N} is subtracted from {_N}", "{1} - {0}"),
        (rf"add(?:ing)? (?:together )?{_THE}{_N} (?:and|to|with|\+|plus) {_THE}{_N}(?: together)?", "{0} + {1}"),
        (rf"subtract(?:ing)? {_THE}{_N} from {_THE}{_N}", "{1} - {0}"),
        (rf"multiply(?:ing)? {_THE}{_N} (?:and|by|with|times|\*) {_THE}{_N}(?: together)?", "{0} * {1}"),
        (rf"divid(?:e|ing) {_THE}{_N} by {_THE}{_N}", "{0} / {1}"),
        (
            rf"(?:the )?remainder (?:of|when|if) (?:dividing )?{_N} (?:is )?(?:divided )?(?:/ )?by {_N}(?: is)?",
            "mod {0} {1}",
        ),
        (rf"{_N} (?:mod|modulo|modulus|%) {_N}", "mod {0} {1}"),
        (rf"(?:the )?(?:square of|square|squaring) {_THE}{_N}", "{0}^2"),
        (rf"(?:the )?(?:cube of|cube|cubing) {_THE}{_N}", "{0}^3"),
        (rf"{_THE}{_N} to the {_N}(?:st|nd|rd|th) power", "{0}^{1}"),
        (rf"(?:the )?(?:(4)th|fourth) root of {_THE}{_N}", "root 4 {1}"),
        (rf"(?:the )?(?:(5)th|fifth) root of {_THE}{_N}", "root 5 {1}"),
        (rf"(?:the )?factorial (?:value )?(?:of|for) {_THE}{_N}", "{0}!"),
        (rf"(?:the )?absolute value of {_N}", "abs {0}"),
        (
            rf"(?:convert|change|express|write|turn|simplify|reduce)?(?: the| this| fraction| number|"
            rf" decimal| percentage| following| given)*[: ]*{_N}(?:%)? (?:to|into|as|in) (?:a |an |its"
            rf" )?(?:decimal|fraction|scientific notation|standard form|simplest form|lowest terms|mixed"
            rf" number|improper fraction|simplest fraction)(?: number| form)?",
            "{0}",
        ),
        (
            rf"(?:convert|change|express|write|turn)(?: the| this| fraction| number| decimal| following|"
            rf" given)*(?: (?:to|into|as|in) (?:a |an |its )?(?:decimal|fraction|scientific notation"
            rf"|standard form))(?: number| form)?[: ]+{_N}",
            "{0}",
        ),
        (
            rf"(?:simplify|reduce|express)(?: the| this| following| given)* fraction(?: to its (?:simplest"
            rf" form|lowest terms))?[: ]+{_N}",
            "{0}",
        ),
        (rf"(?:the )?triple (?:of )?{_THE}{_N}", "{0} * 3"),
        (rf"double {_THE}{_N}", "{0} * 2"),
        (rf"half of {_THE}{_N}", "{0} / 2"),
    )
)
_ROUND: Final = re.compile(
    r",? (?:and |then )*(?:round|rounded|rounding)(?: off)? ?(?:it|the (?:result|answer"
    r"|number))?(?: off)? ?(?:to|up to)? ?(?:the )?"
    r"(?:nearest (?:whole number|integer|tenth|hundredth|thousandth|one)|(?:one|two|three|four"
    r"|five|\d) decimals?(?: places?| points?)?|nearest \w+ decimal place)$"
)
_ALONE: Final = re.compile(r"[-\s\d.,()+*/^!sqrtcb$]+")
_SIGN: Final = re.compile(r"(?<=\S)\s*[-+*/^!]|sqrt|cbrt|!")
_WORD_SIGN: Final = re.compile(r"plus|minus|times|multiplied|divided")
_SOLVE: Final = re.compile(
    r"(?:(?:solve|solving|find|calculate|determine|what is)?\s*(?:for )?(?:the )?(?:unknown"
    r" )?(?:(?:variable|value of)\s*)*(?:for )?"
    r"(?P<x>[a-z])?\s*(?:in|from|if|when|where|given|for|given that|such that)?\s*(?:the |this "
    r"|following |given |linear |algebraic |simple )*"
    r"(?:equation|expression|problem|formula)?\s*[:,]?\s*)?"
    r"(?P<left>[-+*/^().\d\sa-z$]{1,60})=(?P<right>[-+*/^().\d\sa-z$]{1,60}?)(?:\s*(?:for|,|and)"
    r" (?:solve for |find )?(?:the value of )?[a-z])?"
)
_WHERE: Final = re.compile(
    r"(?:the )?(?P<left>[-+*/^().\d\sa-z]{1,60}?)[\s,]*(?:when|if|where|for|given(?: that)?|with"
    r"|:|at)\s*(?:the value of )?"
    r"(?P<x>[a-z])\s*(?:=|is(?: equal to)?|equals)\s*(?P<value>-?\d[\d.]*)"
)


def _arithmetic(ask: Ask, response: str) -> Iterator[Claim]:
    text = bare(_ROUND.sub("", bare(ask.text)))
    try:
        form, values = _value(text)
    except Unreadable:
        return
    how = f"{form} = {' or '.join(shown(value) for value in values)}"
    yield from judged("arithmetic", text, response, values, how)


def _value(text: str) -> tuple[str, list[Fraction]]:
    """Return the arithmetic that a bare prompt asks for, and its value; raise Unreadable when it asks for none."""
    spelt = rewritten(text)
    if _ALONE.fullmatch(spelt) and _SIGN.search(spelt):
        if len(_WORD_SIGN.findall(text)) > 1 and re.search(r"[-+]", spelt) and re.search(r"[*/^]", spelt):
            raise Unreadable("which comes first is not said")
        if re.fullmatch(r"[\d\s/.-]+", spelt) and not re.search(r"\s[-/]\s|^\d+[-/]\d+$", spelt):
            raise Unreadable("may be a date or a telephone number")
        if re.search(r"\d\s+-\d", spelt):
            raise Unreadable("may be a list of signed numbers")
        return spelt, [value_of(spelt.replace("$", ""))]
    for pattern, form in _FORMS:
        match = pattern.fullmatch(text.replace("×", "*")) or pattern.fullmatch(spelt)
        if match and (form != "{0}" or re.search(r"[./]", match[1])):
            given = [(group or "").replace("$", "").strip() for group in match.groups()]
            return _formed(form.format(*given), form)
    raise Unreadable(text[:40])


def _formed(filled: str, form: str) -> tuple[str, list[Fraction]]:
    """Return a filled form and its values: `difference` of either sign, `mod`, `root`, `abs`, or an expression."""
    word, *parts = filled.split()
    if word not in ("difference", "mod", "root", "abs"):
        return filled, [value_of(filled)]
    one, *rest = (value_of(part) for part in parts)
    if word == "abs":
        return filled, [abs(one)]
    two = rest[0]
    if word == "difference":
        return filled, sorted({one - two, two - one})
    if word == "root":
        return filled, [root(two, int(one))]
    if two <= 0 or one < 0:
        raise Unreadable(form)
    return filled, [one % two]


def _equation(ask: Ask, response: str) -> Iterator[Claim]:
    """Check an equation in one unknown that is solved, or an expression for a value of its unknown."""
    text = bare(ask.text)
    try:
        found = _substituted(text) or _solved(text)
    except Unreadable:
        return
    if found is None:
        return
    form, value = found
    letter = form[0]
    said = re.sub(rf"\b{letter}\s*=\s*(?=-?\d)", "= ", response)
    yield from judged("equation", text, said, value, form)


def _substituted(text: str) -> tuple[str, Fraction] | None:
    match = _WHERE.fullmatch(text)
    if match is None or match["x"] not in match["left"] or len(set(re.findall(r"[a-z]", match["left"]))) != 1:
        return None
    if re.search(rf"{match['x']}\s?\d", match["left"]):
        return None
    left = rewritten(match["left"])
    filled = re.sub(rf"(?<=[\d)])\s*{match['x']}", f"*({match['value']})", left)
    filled = filled.replace(match["x"], f"({match['value']})")
    if re.search(r"[a-z]", filled):
        return None
    value = value_of(filled)
    return f"{match['x']} = {match['value']}: {left} = {filled} = {shown(value)}", value


def _solved(text: str) -> tuple[str, Fraction] | None:
    match = _SOLVE.fullmatch(text)
    if match is None:
        return None
    letters = set(re.findall(r"[a-z]", match["left"] + match["right"]))
    if len(letters) != 1 or (match["x"] and match["x"] not in letters):
        return None
    unknown = letters.pop()
    left, right = (linear_of(match[side].replace("$", "").strip(), unknown) for side in ("left", "right"))
    if left.a == right.a:
        return None
    value = (right.b - left.b) / (left.a - right.a)
    return f"{unknown}: {match['left'].strip()} = {match['right'].strip()} holds for {unknown} = {shown(value)}", value


ARITHMETIC: Final = Family(
    r"(?i)\d|\b(two|three|four|five|six|seven|eight|nine|ten)\b",
    r"\d|(?i)\b(zero|one|two|three|four|five|six|seven|eight|nine|ten)\b",
    _arithmetic,
)
EQUATION: Final = Family(r"(?i)[a-z]\W.*=|=.*[a-z]|\b[a-z] is\b", r"\d", _equation)
