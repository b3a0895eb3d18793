"""Equations that a response states, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.computed.stated import LONGEST
from tests.curate.computed.checking import claims, sole, verdict

SIGNS = {"+": "+", "-": "-", "*": "*", "x": "*", "×": "*", "/": "/", "÷": "/"}


def value(a: int, sign: str, b: int) -> Fraction:
    return {"+": Fraction(a + b), "-": Fraction(a - b), "*": Fraction(a * b), "/": Fraction(a, b)}[SIGNS[sign]]


@settings(max_examples=50)
@given(st.integers(2, 500), st.sampled_from(sorted(SIGNS)), st.integers(2, 90), st.integers(1, 9))
def test_a_stated_equation_holds_or_does_not(a, sign, b, off):
    true = value(a, sign, b)
    assume(true.denominator == 1)
    right = sole("stated", "Explain.", f"First we get {a} {sign} {b} = {true}.")
    assert (right.verdict, right.expected, right.found) == ("right", str(true), str(true))
    wrong = sole("stated", "Explain.", f"First we get {a} {sign} {b} = {true + off}.")
    assert (wrong.verdict, wrong.expected, wrong.found) == ("wrong", str(true), str(true + off))
    assert wrong.claim == f"{a} {sign} {b} = {true + off}"
    assert wrong.how == f"{a} {sign} {b} = {true}"


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(3, 97), st.integers(2, 6))
def test_a_quotient_may_be_rounded_to_the_digits_given(a, b, digits):
    true = Fraction(a, b)
    assume(true.denominator != 1 and true > 1)
    assert verdict("stated", "Explain.", f"We get ({a} + 0) / {b} = {float(true):.{digits}f}.") == "right"
    assert verdict("stated", "Explain.", f"We get ({a} + 0) / {b} = {float(true) * 1.03 + 0.02:.{digits}f}.") == "wrong"


@settings(max_examples=40)
@given(*[st.integers(2, 40)] * 3, st.integers(1, 5))
def test_each_link_of_a_chain_is_checked_on_its_own(a, b, c, off):
    true = a + b * c
    good = claims("stated", "Explain.", f"{a} + {b} * {c} = {a} + {b * c} = {true}")
    assert [claim.verdict for claim in good] == ["right", "right"]
    bad = claims("stated", "Explain.", f"{a} + {b} * {c} = {a} + {b * c} = {true + off}")
    assert [claim.verdict for claim in bad] == ["right", "wrong"]
    assert bad[1].expected == str(true)


def test_every_line_is_read_and_each_false_one_found():
    rows = [f"{n}. {n} x 12 = {n * 12 + (n == 7)}" for n in range(1, 10)]
    found = claims("stated", "Write the table of twelve.", "\n".join(rows))
    assert [claim.verdict for claim in found].count("right") == 8
    (bad,) = [claim for claim in found if claim.verdict == "wrong"]
    assert (bad.claim, bad.expected, bad.found) == ("7 x 12 = 85", "84", "85")


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        ("$1,250.50 + $749.50 = $2,000", "right"),
        ("$1,250.50 + $749.50 = $2,000.50", "wrong"),
        ("(3 + 5) × 2^2 = 32", "right"),
        ("(3 + 5) × 2^2 = 256", "wrong"),
        ("√49 + 1 = 8", "right"),
        ("√49 + 1 = 50", "wrong"),
        ("5 - 9 = -4", "right"),
        ("5 − 9 = −4", "right"),
        ("5 - 9 = 4", "wrong"),
        ("2^10 - 1 = 1023", "right"),
        ("2^10 - 1 = 19", "wrong"),
        ("0.1 + 0.2 = 0.3", "right"),
        ("22 * 1 / 7 = 3.142857", "right"),
        ("22 * 1 / 7 = 3.2", "wrong"),
    ],
)
def test_an_equation_is_read_as_people_write_it(equation, expected):
    assert verdict("stated", "Explain.", f"We get {equation}.") == expected


@pytest.mark.parametrize(
    "response",
    [
        "It is false that 2 + 2 = 5.",
        "2 + 2 ≠ 5, though 2 + 2 = 5 is common.",
        "In base 3, 2 + 2 = 11.",
        "With a modulo of 3, 2 + 2 = 1.",
        "The sum 2 + 2 = 5%.",
        "It took 2 + 2 = 5 thousand years.",
        "x2 + 2 = 5",
        "x + 2 + 2 = 5",
        "The ratio 1/2 = 5",
        "6 / 2 x 3 = 1",
        "12 / 2/3 = 99",
        "4 / 0 = 5",
        "99^99 = 5",
        "2 + 2 = five",
        "def f():\n    return 2 + 2 = 5",
        "y = 2 + 2 and 5",
        "2 + 2 = 5" + " " * LONGEST,
        "Words " * 200 + ": 2 + 2 = 5",
    ],
)
def test_what_may_not_be_meant_as_a_true_equation_is_left_alone(response):
    assert claims("stated", "Explain.", response) == []


def test_a_question_about_false_equations_silences_the_check():
    assert claims("stated", "Give an example of a wrong equation.", "2 + 2 = 5") == []
    assert sole("stated", "Give an example of an equation.", "2 + 2 = 5").verdict == "wrong"


@pytest.mark.parametrize("pair", [("7 * 8 + 1", "50 + 7"), ("2 * 3 * 4", "4 * 6")])
def test_two_sides_that_agree_are_right_and_two_that_differ_are_left_to_the_reader(pair):
    left, right = pair
    assert sole("stated", "Explain.", f"{left} = {right}").verdict == "right"
    assert claims("stated", "Explain.", f"{left} = {right} + 1") == []
