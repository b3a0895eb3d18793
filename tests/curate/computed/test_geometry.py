"""Shapes, slopes and distances, against the math and statistics modules."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.computed.geometry import SLACK
from tests.curate.computed.checking import claims, sole, verdict

SIZE = st.integers(2, 90)
POINT = st.tuples(st.integers(-20, 20), st.integers(-20, 20))


@settings(max_examples=40)
@given(SIZE, SIZE)
def test_the_diagonal_and_hypotenuse_are_those_of_math_hypot(a, b):
    value = math.hypot(a, b)
    for prompt in (
        f"Find the hypotenuse of a right triangle with legs {a} and {b}.",
        f"Calculate the diagonal of a rectangle with length {a} cm and width {b} cm.",
    ):
        assert sole("geometry", prompt, f"It is {value:.3f}.").verdict == "right"
        assert verdict("geometry", prompt, f"It is {value * 1.02:.3f}.") == "wrong"


@settings(max_examples=40)
@given(POINT, POINT)
def test_the_distance_of_two_points_is_that_of_math_dist(one, two):
    assume(one != two)
    prompt, value = f"Find the distance between the points {one} and {two}.", math.dist(one, two)
    assert verdict("geometry", prompt, f"The distance is {value:.3f}.") == "right"
    wrong = sole("geometry", prompt, f"The distance is {value + 100:.3f}.")
    assert math.isclose(float(wrong.expected), value, rel_tol=1e-8)


@settings(max_examples=40)
@given(POINT, POINT)
def test_the_slope_is_that_of_the_regression_through_both_points(one, two):
    assume(one[0] != two[0])
    value = statistics.linear_regression(*zip(one, two, strict=True)).slope
    prompt = f"Find the slope of the line through {one} and {two}."
    assert verdict("geometry", prompt, f"The slope is {value:.4f}.") in ("right", None)
    wrong = sole("geometry", prompt, f"The slope is {value + 50:.4f}.")
    assert math.isclose(float(wrong.expected), value, rel_tol=1e-8, abs_tol=1e-12)


@settings(max_examples=40)
@given(st.lists(POINT, min_size=3, max_size=3, unique=True))
def test_the_area_by_corners_is_that_by_the_lengths_of_the_sides(corners):
    a, b, c = (math.dist(one, two) for one, two in pairwise([*corners, corners[0]]))
    half = (a + b + c) / 2
    area = math.sqrt(max(0.0, half * (half - a) * (half - b) * (half - c)))
    prompt = f"Find the area of the triangle with vertices {', '.join(map(str, corners))}."
    wrong = sole("geometry", prompt, "The area is 99999.")
    assert math.isclose(float(wrong.expected), area, abs_tol=1e-4)
    assert verdict("geometry", prompt, f"The area is {wrong.expected}.") == "right"


@settings(max_examples=30)
@given(st.integers(1, 200), st.sampled_from([3.14, 22 / 7, 3.1416, math.pi]))
def test_any_usual_pi_will_do_but_not_three(radius, pi):
    prompt = f"What is the area of a circle with a radius of {radius} m?"
    assert verdict("geometry", prompt, f"The area is {pi * radius**2:.2f} square metres.") in ("right", None)
    assert verdict("geometry", prompt, f"The area is {3 * radius**2 + 0.0:.2f} square metres.") == "wrong"


def test_the_slack_is_a_share_of_the_true_value_and_ends_where_it_says():
    prompt, value = "What is the area of a circle with radius 10?", math.pi * 100
    assert verdict("geometry", prompt, "The area is 316.0.") is None
    assert verdict("geometry", prompt, "The area is 316.1.") == "wrong"
    assert verdict("geometry", prompt, f"The area is {value * (1 + 0.97 * SLACK):.4f}.") is None
    assert verdict("geometry", prompt, f"The area is {value * (1 + 1.03 * SLACK):.4f}.") == "wrong"
    assert verdict("geometry", prompt, f"The area is {value * (1 - 1.03 * SLACK):.4f}.") == "wrong"


@pytest.mark.parametrize(
    ("prompt", "value", "slip"),
    [
        ("Find the area of a triangle with base 10 and height 7.", 35, 70),
        ("Find the perimeter of a rectangle with length 8 and width 3.", 22, 11),
        ("Find the area of a trapezoid with bases 6 and 10 and height 4.", 32, 64),
        ("What is the volume of a rectangular box with sides 2, 5 and 9?", 90, 16),
        ("Find the surface area of a cuboid with sides 2, 5 and 9.", 146, 73),
        ("Find the perimeter of an equilateral triangle with side 7.", 21, 28),
        ("Find the area of a parallelogram with base 12 and height 5.", 60, 30),
        ("Find the volume of a cone with radius 3 and height 7.", 65.97, 197.92),
        ("What is the perimeter of a circle with radius 7?", 43.98, 153.94),
        ("What is the circumference of a circle with diameter 7?", 21.99, 43.98),
    ],
)
def test_the_usual_slip_of_each_formula_is_wrong(prompt, value, slip):
    assert verdict("geometry", prompt, f"The answer is {value}.") == "right"
    wrong = sole("geometry", prompt, f"The answer is {slip}.")
    assert wrong.verdict == "wrong"
    assert math.isclose(float(wrong.expected), value, rel_tol=1e-3)


@pytest.mark.parametrize("unit", ["cm", "m", "inches", "feet", "units", "meters", "-foot"])
def test_sizes_may_carry_one_unit(unit):
    gap = "" if unit.startswith("-") else " "
    prompt = f"Find the area of a rectangle with length 6{gap}{unit} and width 7{gap}{unit}."
    assert sole("geometry", prompt, "The area is 42.").verdict == "right"
    assert sole("geometry", prompt, "The area is 13.").found == "13"


@pytest.mark.parametrize(
    "prompt",
    [
        "Find the area of a rectangle with length 6 cm and width 7 inches.",
        "Calculate the area of a triangle with sides 1, 2 and 9.",
        "Find the area of a rectangle with length 6.",
        "Find the area of a circle and a square with side 5.",
        "Find the radius of a circle given the area 50.",
        "If the area of a square doubles from 16, what is the area of the square?",
        "Find the slope of the line x = 3 through (3, 1) and (3, 9).",
        "Find the equation and slope of the line through (1, 2) and (3, 8).",
        "Find the cost per square metre for the area of a square with side 5.",
        "Find the volume of a cylinder with radius 2.",
        "Find the volume of a sphere with diameter 6.",
    ],
)
def test_a_shape_that_is_not_fully_given_is_left_alone(prompt):
    assert claims("geometry", prompt, "The answer is 77.") == []


def test_the_proof_gives_formula_sizes_and_value():
    claim = sole("geometry", "Find the surface area of a cube with side 8 cm.", "It is 512 cm2.")
    assert (claim.expected, claim.how) == ("384", "surface area of a cube: 6 a^2 with 8 = 384")
