"""What a prompt asks to be computed, and equations in one unknown, against Python's own exact numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.curate.computed.checking import claims, sole, verdict


@pytest.mark.parametrize(
    ("prompt", "value"),
    [
        ("Find the product of 12 and 15.", math.prod((12, 15))),
        ("What is the quotient of 144 and 12?", 144 // 12),
        ("What is the quotient when 7 is divided by 8?", 7 / 8),
        ("What is the difference when 4 is subtracted from 90?", 86),
        ("Adding together 3.25 and 4.5", 7.75),
        ("Multiply the numbers 1,200 and 30", 36_000),
        ("What is the cube of 7?", 7**3),
        ("Calculate the square of 1.5", 1.5**2),
        ("What is 2 to the 10th power?", 1 << 10),
        ("Find the fourth root of 81.", 3),
        ("What is the fifth root of 243?", 3),
        ("Calculate the factorial of 6.", math.factorial(6)),
        ("Find the absolute value of -8", abs(-8)),
        ("What is half of 9?", 4.5),
        ("Double 37", 74),
        ("What is the triple of 13?", 39),
        ("Convert 3/8 to a decimal.", 0.375),
        ("What is 2017 mod 12?", 2017 % 12),
        ("What is seven plus eight?", 15),
        ("Calculate the cube root of 1728", 12),
    ],
)
def test_each_way_to_ask_for_a_value_is_computed(prompt, value):
    right = sole("arithmetic", prompt, f"The answer is {value:,}.")
    assert (right.verdict, right.expected) == ("right", f"{value}")
    wrong = sole("arithmetic", prompt, f"The answer is {value + 0.25}.")
    assert (wrong.verdict, wrong.expected, wrong.found) == ("wrong", f"{value}", f"{value + 0.25}")


def test_the_proof_writes_the_sum_out():
    claim = sole("arithmetic", "What is 17 times 23?", "It is 381.")
    assert (claim.claim, claim.expected, claim.found, claim.how) == ("17 times 23", "391", "381", "17 * 23 = 391")


LEAF = st.integers(1, 60).map(lambda n: (str(n), Fraction(n)))


def joined(pair, sign):
    (left, a), (right, b) = pair
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else None}[sign]
    return f"({left} {sign} {right})", value


TREE = st.recursive(
    LEAF,
    lambda inner: (
        st.tuples(st.tuples(inner, inner), st.sampled_from("+-*/"))
        .filter(lambda one: one[1] != "/" or one[0][1][1] != 0)
        .map(lambda one: joined(*one))
    ),
    max_leaves=6,
)


@settings(max_examples=50)
@given(TREE)
def test_an_expression_in_brackets_has_its_exact_value(tree):
    text, value = tree
    assume("(" in text and value.denominator == 1)
    prompt = f"Evaluate: {text[1:-1]}"
    (claim,) = claims("arithmetic", prompt, f"= {value}") or claims("arithmetic", prompt, f"The result is {value}.")
    assert (claim.verdict, claim.expected) == ("right", str(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14),
        ("20 - 5 - 3", 12),
        ("96 / 4 / 3", 8),
        ("2 ^ 3 ^ 2", 512),
        ("24 / 4 * 6", 36),
        ("10 - 4 + 3", 9),
        ("5! / 10", 12),
        ("7 × 6 ÷ 3", 14),
        ("sqrt(81) * 5", 45),
    ],
)
def test_signs_bind_as_in_mathematics(text, value):
    assert sole("arithmetic", f"Calculate {text}", str(value)).verdict == "right"
    assert sole("arithmetic", f"Calculate {text}", str(value + 1)).expected == str(value)


@settings(max_examples=40)
@given(st.integers(2, 5000).filter(lambda n: math.isqrt(n) ** 2 != n), st.integers(1, 6))
def test_a_root_is_right_to_any_number_of_decimals_and_wrong_beyond_them(n, digits):
    prompt, unit = f"What is the square root of {n}?", 10**-digits
    assert verdict("arithmetic", prompt, f"The root is {math.sqrt(n):.{digits}f}.") == "right"
    assert verdict("arithmetic", prompt, f"The root is {math.sqrt(n) + 1.6 * unit:.{digits}f}.") == "wrong"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("6.67", "right"),
        ("6.667", "right"),
        ("6 2/3", "right"),
        ("20/3", "right"),
        ("6.7", "right"),
        ("6.66", None),
        ("6.6", None),
        ("7", None),
        ("6", None),
        ("6.65", "wrong"),
        ("6.68", "wrong"),
        ("6.8", "wrong"),
        ("6 3/4", "wrong"),
    ],
)
def test_twenty_over_three_may_be_rounded_is_unclear_when_cut_and_wrong_past_that(said, expected):
    assert verdict("arithmetic", "Divide 20 by 3.", said) == expected


@pytest.mark.parametrize(
    "said", ["1200000", "1,200,000", "1.2 million", "1.2 x 10^6", "1.2e6", "$1,200,000.00", "**1,200,000**"]
)
def test_a_large_result_is_the_same_in_every_notation(said):
    assert sole("arithmetic", "Multiply 1,000 by 1,200.", said).verdict == "right"


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Calculate 6 / 0", "5"),
        ("Find the square root of -9.", "4"),
        ("Calculate 99^99", "8"),
        ("Calculate 61!", "8"),
        ("What is 12/10/2020?", "7"),
        ("[ 4 -9 ]", "3"),
        ("What is two plus three times four divided by six?", "9"),
        ("Calculate 12 + 5", "You add 12 and 5."),
        ("Find the remainder when -7 is divided by 3.", "1"),
        ("Calculate 3 +", "4"),
        ("Calculate 24 / 2(3 + 1)", "7"),
    ],
)
def test_what_has_no_single_value_or_answer_is_left_alone(prompt, response):
    assert claims("arithmetic", prompt, response) == []


def test_a_true_value_that_is_neither_first_nor_last_is_not_called_wrong():
    assert claims("arithmetic", "What is 17 + 5?", "The total is 23, no, it is 22, so the answer is 25.") == []


@settings(max_examples=50)
@given(*[st.integers(-9, 9)] * 4, st.sampled_from("nxyt"))
def test_a_linear_equation_has_one_solution(a, b, c, d, letter):
    assume(a != c and a and c)
    value = Fraction(d - b, a - c)
    sides = [f"{k}{letter} {'-' if m < 0 else '+'} {abs(m)}" for k, m in ((a, b), (c, d))]
    prompt = f"Solve for {letter}: {sides[0]} = {sides[1]}"
    right = sole("equation", prompt, f"{letter} = {value}")
    assert right.verdict == "right"
    assert claims("equation", prompt, f"{letter} = {value + 11}")[0].verdict == "wrong"


@settings(max_examples=40)
@given(st.integers(2, 9), st.integers(1, 30), st.integers(-12, 12))
def test_an_expression_is_evaluated_where_its_letter_is_given(a, b, x):
    prompt, value = f"Evaluate the expression {a}x^2 + {b} when x = {x}.", a * x**2 + b
    claim = sole("equation", prompt, f"The value is {value}.")
    assert (claim.verdict, claim.expected) == ("right", str(value))
    wrong = sole("equation", prompt, f"The value is {value + 101}.")
    assert (wrong.verdict, wrong.found) == ("wrong", str(value + 101))


@pytest.mark.parametrize(
    "prompt",
    [
        "Solve for x: 2x + 1 = 2x + 5",
        "Solve for x: x * x = 25",
        "Solve for y: 3x = 12",
        "Solve x = y + 2",
        "Solve for x: 6 / x = 2",
        "Evaluate 3x + y when x = 2.",
    ],
)
def test_an_equation_without_one_solution_is_left_alone(prompt):
    assert claims("equation", prompt, "x = 41") == []


def test_the_proof_of_an_equation_names_its_solution():
    claim = sole("equation", "Solve for x: 3x + 2 = 14", "x = 5")
    assert (claim.expected, claim.found, claim.how) == ("4", "5", "x: 3x + 2 = 14 holds for x = 4")
