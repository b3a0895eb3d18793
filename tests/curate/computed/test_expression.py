"""The parser computes what Python computes on the same arithmetic, and refuses everything else."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.computed.expression import Linear, Unreadable, linear_of, powered, rewritten, root, value_of

Tree = tuple[str, Fraction]
LEAVES = st.integers(0, 99).map(lambda n: (str(n), Fraction(n)))


def joined(left: Tree, sign: str, right: Tree) -> Tree:
    values = {"+": left[1] + right[1], "-": left[1] - right[1], "*": left[1] * right[1]}
    values["/"] = left[1] / right[1] if right[1] else left[1]
    return f"({left[0]}) {sign if sign != '/' or right[1] else '+ 0 *'} ({right[0]})", values[sign]


TREES = st.recursive(LEAVES, lambda t: st.builds(joined, t, st.sampled_from("+-*/"), t), max_leaves=5)


@given(TREES)
def test_the_value_is_that_of_the_same_computation_in_fractions(tree):
    text, value = tree
    if len(text) <= 300 and text.count("(") < 20:
        assert value_of(text) == value


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6), st.data())
def test_times_binds_tighter_than_plus_and_both_go_from_left_to_right(values, data):
    signs = data.draw(st.lists(st.sampled_from("+-*"), min_size=len(values) - 1, max_size=len(values) - 1))
    text = str(values[0]) + "".join(f" {sign} {value}" for sign, value in zip(signs, values[1:], strict=True))
    total, term, sign = 0, values[0], 1
    for operation, value in zip(signs, values[1:], strict=True):
        if operation == "*":
            term *= value
        else:
            total, term, sign = total + sign * term, value, 1 if operation == "+" else -1
    assert value_of(text) == total + sign * term


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("two plus 3 squared", 11),
        ("the square root of 81", 9),
        ("7 multiplied by 6", 42),
        ("2 to the power of 5", 32),
        ("4x3+3x2", 18),
        ("(2+3)(3-2)", 5),
        ("5! / 4!", 5),
        ("2^3^2", 512),
        ("-3 + 5", 2),
        ("27^(1/3)", 3),
        ("1,000 + 1", 1001),
    ],
)
def test_words_and_signs_are_read(text, value):
    assert value_of(rewritten(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2 +",
        "(3",
        "3)",
        "2 3",
        "1/0",
        "0^0",
        "sqrt(-1)",
        "9^9^9",
        "100!",
        "x",
        "import os",
        "2 / 3(4)",
        "1e5",
        "()",
    ],
)
def test_what_is_no_arithmetic_or_too_large_is_refused(text):
    with pytest.raises(Unreadable):
        value_of(text)


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_an_equation_side_is_read_as_a_line(a, b):
    text = f"{a}x + {b}" if b >= 0 else f"{a}x - {-b}"
    assert linear_of(text, "x") == Linear(Fraction(a), Fraction(b))


def test_a_square_of_the_unknown_is_no_line():
    with pytest.raises(Unreadable):
        linear_of("x * x", "x")


@given(st.fractions(min_value=0, max_value=10**6, max_denominator=1000), st.integers(2, 5))
def test_a_root_is_the_one_of_the_machine(value, degree):
    assert math.isclose(float(root(value, degree)), float(value) ** (1 / degree), rel_tol=1e-12, abs_tol=1e-12)
    assert root(value**degree, degree) == value


def test_powers_are_exact():
    assert powered(Fraction(2, 3), Fraction(-3)) == Fraction(27, 8)
    assert powered(Fraction(32), Fraction(1, 5)) == 2
