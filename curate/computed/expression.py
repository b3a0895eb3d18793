"""Reads arithmetic written by people and computes it exactly: a small parser, nothing is ever executed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Final

from curate.computed.number import MOST_DIGITS, in_digits

LONGEST: Final = 300
"""Characters of the longest expression that is read."""
DEEPEST: Final = 20
"""Most open brackets."""
_TOKEN: Final = re.compile(r"\s*(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+|sqrt|cbrt|[a-z](?![a-z])|[-+*/^()!])")
_WORDS: Final = (
    (r"\s*(?:\bmultiplied by\b|\btimes\b|·|×)\s*", " * "),
    (r"\s*(?:\bdivided by\b|÷)\s*", " / "),
    (r"\s*\bplus\b\s*", " + "),
    (r"\s*\bminus\b\s*", " - "),
    (r"\s*\b(?:raised )?to the power (?:of )?\s*", " ^ "),
    (r"\bsquared\b", "^2"),
    (r"\bcubed\b", "^3"),
    (r"(?:the )?square root of (?:the number )?", "sqrt "),
    (r"(?:the )?cube root of (?:the number )?", "cbrt "),
    (r"√", "sqrt "),
    (r"\*\*", "^"),
    (r"(?<=[\d)])\s*x\s*(?=[\d(.])", " * "),
    (r"[\[{]", "("),
    (r"[\]}]", ")"),
    (r"²", "^2"),
    (r"³", "^3"),
)
_REWRITES: Final = tuple((re.compile(pattern), sign) for pattern, sign in _WORDS)


class Unreadable(ValueError):  # noqa: N818 - says what the text is not
    """A text that is no expression of ours, or whose value is too large to write out."""


@dataclass(frozen=True, slots=True)
class Linear:
    """An expression as a line, a x + b; `a` is 0 where it has no unknown."""

    a: Fraction
    b: Fraction


def rewritten(text: str) -> str:
    """Return a plain text with words for signs and digits for number words: `two plus 3 squared` is `2 + 3^2`."""
    text = in_digits(text[:LONGEST])
    for pattern, sign in _REWRITES:
        text = pattern.sub(sign, text)
    return text.strip()


def value_of(text: str) -> Fraction:
    """Return the value of an expression without unknowns; raise Unreadable where there is none."""
    linear = linear_of(text, "")
    return linear.b


def linear_of(text: str, unknown: str) -> Linear:
    """Return an expression as a x + b of its unknown (one letter); raise Unreadable when it is not linear."""
    if len(text) > LONGEST:
        raise Unreadable(text[:40])
    tokens: list[str] = []
    place = 0
    while place < len(text.rstrip()):
        match = _TOKEN.match(text, place)
        if match is None:
            raise Unreadable(text)
        tokens.append(match[1])
        place = match.end()
    return _Parser(tokens, unknown).whole()


class _Parser:
    """Recursive descent over + - * / ^ ! sqrt cbrt, brackets and one unknown."""

    def __init__(self, tokens: list[str], unknown: str) -> None:
        self.tokens, self.unknown, self.at, self.depth = tokens, unknown, 0, 0

    def whole(self) -> Linear:
        """Return the value of all tokens; raise Unreadable when some are left over."""
        value = self.total()
        if self.at != len(self.tokens):
            raise Unreadable("left over")
        return value

    def peek(self) -> str:
        """Return the next token, empty at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        """Return the next token and go on to the one after it."""
        piece = self.peek()
        self.at += 1
        return piece

    def total(self) -> Linear:
        """Return a sum of products."""
        value = self.product(first=True)
        while self.peek() in ("+", "-"):
            sign = 1 if self.take() == "+" else -1
            other = self.product()
            value = Linear(value.a + sign * other.a, value.b + sign * other.b)
        return value

    def product(self, *, first: bool = False) -> Linear:
        """Return a product of powers; a sign may stand before the first."""
        negative = first and self.peek() == "-"
        if negative:
            self.take()
        value = self.power()
        divided = False
        while True:
            piece = self.peek()
            if piece in ("*", "/"):
                self.take()
                divided = divided or piece == "/"
                other = self.signed()
                value = _times(value, other) if piece == "*" else _over(value, other)
            elif piece == "(" or (piece and piece == self.unknown):
                if divided:
                    raise Unreadable("a product without a sign after a division is read in two ways")
                value = _times(value, self.power())
            else:
                return Linear(-value.a, -value.b) if negative else value

    def signed(self) -> Linear:
        """Return a power, with or without a minus."""
        if self.peek() == "-":
            self.take()
            value = self.power()
            return Linear(-value.a, -value.b)
        return self.power()

    def power(self) -> Linear:
        """Return an atom with its factorials and its exponent."""
        base = self.atom()
        while self.peek() == "!":
            self.take()
            base = _plain(factorial(_constant(base)))
        if self.peek() != "^":
            return base
        self.take()
        exponent = self.signed() if self.peek() == "-" else self.power()
        return _plain(powered(_constant(base), _constant(exponent)))

    def atom(self) -> Linear:
        """Return a number, the unknown, a root, or what is in brackets."""
        piece = self.take()
        if piece == "(":
            return self.bracket()
        if piece in ("sqrt", "cbrt"):
            return _plain(root(_constant(self.atom()), 2 if piece == "sqrt" else 3))
        if piece and piece == self.unknown:
            return Linear(Fraction(1), Fraction(0))
        if not piece or not (piece[0].isdigit() or piece[0] == ".") or len(piece) > MOST_DIGITS:
            raise Unreadable(piece[:40])
        return _plain(Fraction(piece.replace(",", "")))

    def bracket(self) -> Linear:
        """Return what is in the brackets just opened; raise Unreadable when they nest too deep or stay open."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("too many brackets")
        value = self.total()
        self.depth -= 1
        if self.take() != ")":
            raise Unreadable("an open bracket")
        return value


def powered(base: Fraction, exponent: Fraction) -> Fraction:
    """Return base ^ exponent, exact for whole exponents; raise Unreadable where it is too large or not real."""
    if exponent.denominator != 1:
        if exponent.denominator > 12 or exponent.numerator not in (1, -1):
            raise Unreadable("not a whole exponent")
        found = root(base, exponent.denominator)
        return found if exponent > 0 else _plain_over(Fraction(1), found)
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * bits > 4 * MOST_DIGITS or (base == 0 and exponent <= 0):
        raise Unreadable("too large")
    return Fraction(base ** int(exponent))


def root(value: Fraction, degree: int) -> Fraction:
    """Return the real root, exact where it is rational, else to 40 digits; raise Unreadable for negative values."""
    if value < 0:
        raise Unreadable("root of a negative number")
    tops = [_whole_root(part, degree) for part in (value.numerator, value.denominator)]
    if all(top**degree == part for top, part in zip(tops, (value.numerator, value.denominator), strict=True)):
        return Fraction(tops[0], tops[1])
    with localcontext() as context:
        context.prec = 40
        return Fraction((Decimal(value.numerator) / Decimal(value.denominator)) ** (Decimal(1) / Decimal(degree)))


def factorial(value: Fraction) -> Fraction:
    """Return value!; raise Unreadable unless it is a whole number from 0 to 60."""
    if value.denominator != 1 or not 0 <= value <= 60:
        raise Unreadable("factorial out of range")
    product = 1
    for factor in range(2, int(value) + 1):
        product *= factor
    return Fraction(product)


def _whole_root(value: int, degree: int) -> int:
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low


def _plain(value: Fraction) -> Linear:
    return Linear(Fraction(0), value)


def _constant(value: Linear) -> Fraction:
    if value.a:
        raise Unreadable("not linear")
    return value.b


def _times(one: Linear, two: Linear) -> Linear:
    if one.a and two.a:
        raise Unreadable("not linear")
    return Linear(one.a * two.b + two.a * one.b, one.b * two.b)


def _over(one: Linear, two: Linear) -> Linear:
    by = _constant(two)
    return Linear(_plain_over(one.a, by), _plain_over(one.b, by))


def _plain_over(one: Fraction, two: Fraction) -> Fraction:
    if two == 0:
        raise Unreadable("division by zero")
    return one / two
