"""Conversions of units, against fixed points, exact definitions and Python's timedelta."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.computed.conversion import SLACK, UNITS
from tests.curate.computed.checking import claims, sole, verdict


@pytest.mark.parametrize(
    ("value", "unit", "same", "other"),
    [
        ("-40", "degrees Celsius", "-40.0", "Fahrenheit"),
        ("0", "Kelvin", "-273.15", "Celsius"),
        ("0", "Kelvin", "-459.67", "Fahrenheit"),
        ("100", "°C", "373.15", "Kelvin"),
        ("98.6", "degrees Fahrenheit", "37", "Celsius"),
        ("32", "°F", "273.15", "Kelvin"),
    ],
)
def test_fixed_points_of_the_temperature_scales_agree_both_ways(value, unit, same, other):
    assert sole("conversion", f"Convert {value} {unit} to {other}", f"It is {same} {other}.").verdict == "right"
    wrong = sole("conversion", f"Convert {value} {unit} to {other}", f"It is {float(same) + 30} {other}.")
    assert (wrong.verdict, float(wrong.expected)) == ("wrong", float(same))


@settings(max_examples=40)
@given(st.integers(-200, 400))
def test_celsius_and_fahrenheit_undo_each_other(degrees):
    there = Fraction(degrees) * 9 / 5 + 32
    assume(there != degrees)
    written = f"{float(there):.1f}"
    assert sole("conversion", f"Convert {degrees} Celsius to Fahrenheit", f"{written} °F").verdict == "right"
    assert sole("conversion", f"Convert {written} Fahrenheit to Celsius", f"{degrees}.00 °C").verdict == "right"
    forgot = f"{float(there - 32) + 0.05:.2f}"
    assert verdict("conversion", f"Convert {degrees} Celsius to Fahrenheit", f"{forgot} °F") != "right"


@settings(max_examples=40)
@given(st.integers(2, 300), st.sampled_from(["minutes", "hours", "days", "weeks"]))
def test_spans_of_time_are_those_of_timedelta(count, unit):
    seconds = int(timedelta(**{unit: count}).total_seconds())
    prompt = f"How many seconds are in {count} {unit}?"
    assert sole("conversion", prompt, f"There are {seconds:,} seconds.").verdict == "right"
    wrong = sole("conversion", prompt, f"There are {seconds * 60:,} seconds.")
    assert (wrong.verdict, wrong.expected) == ("wrong", str(seconds))


DEFINED = [
    ("inches", "cm", Fraction(254, 100)),
    ("feet", "meters", Fraction(3048, 10_000)),
    ("miles", "km", Fraction(1_609_344, 10**6)),
    ("pounds", "grams", Fraction(45_359_237, 10**5)),
    ("yards", "feet", Fraction(3)),
    ("km", "mm", Fraction(10**6)),
    ("hectares", "square meters", Fraction(10**4)),
    ("knots", "km/h", Fraction(1852, 1000)),
    ("dozen", "pieces", Fraction(12)),
]


@settings(max_examples=50)
@given(st.sampled_from(DEFINED), st.integers(2, 500))
def test_a_defined_factor_holds_in_both_directions(units, count):
    one, two, factor = units
    there, back = float(count * factor), float(count / factor)
    assert verdict("conversion", f"Convert {count} {one} to {two}", f"It is {there:.4f} {two}.") == "right"
    assert verdict("conversion", f"Convert {count} {two} to {one}", f"It is {back:.6f} {one}.") in ("right", None)
    swapped = sole("conversion", f"Convert {count} {one} to {two}", f"It is {back:.6f} {two}.")
    assert swapped.verdict == "wrong"
    assert abs(float(Fraction(swapped.expected)) - there) <= 1e-8 * there


@pytest.mark.parametrize("sign", [1, -1])
def test_a_rounded_factor_costs_at_most_the_slack(sign):
    value = 50 * 1.609344
    assert verdict("conversion", "Convert 100 miles to kilometers", "It is 162.5 km.") is None
    assert verdict("conversion", "Convert 100 miles to kilometers", "It is 163.0 km.") == "wrong"
    for share, expected in ((0.9, None), (1.1, "wrong")):
        response = f"It is {value * (1 + sign * share * SLACK):.5f} km."
        assert verdict("conversion", "Convert 50 miles to kilometers", response) == expected


@pytest.mark.parametrize(
    ("prompt", "right", "wrong"),
    [
        ("Convert 3 gallons to liters", ("11.3562", "13.6383"), "15.2"),
        ("How many pints are in 5 liters?", ("10.5669", "8.79877"), "5.1"),
        ("Convert 7 GB to MB", ("7000", "7168"), "7300"),
        ("How many days are in 4 years?", ("1460", "1461"), "1400"),
        ("Convert 2 tons to kg", ("2000.0", "1814.37", "2032.09"), "2400"),
    ],
)
def test_a_name_of_several_units_allows_each_of_them_and_nothing_else(prompt, right, wrong):
    for value in right:
        assert sole("conversion", prompt, f"It is {value}.").verdict == "right"
    claim = sole("conversion", prompt, f"It is {wrong}.")
    assert claim.verdict == "wrong"
    assert " or " in claim.expected


@pytest.mark.parametrize(
    "prompt",
    [
        "Convert 2,500 meters to kilometers",
        "How many kilometers are in 2500 meters?",
        "Express 2500 metres in kilometres.",
        "Convert the following distance to kilometers: 2500 m",
        "What is the equivalent of 2500 m in km?",
        "2500 m is how many km?",
        "What is the number of kilometers in 2500 meters?",
        "Convert meters to kilometers.\n\n2500 meters",
        "Convert 5000/2 m to km",
    ],
)
def test_a_question_is_understood_in_any_order(prompt):
    assert sole("conversion", prompt, "It is 2.5 km.").verdict == "right"
    wrong = sole("conversion", prompt, "It is 25 km.")
    assert (wrong.verdict, wrong.expected, wrong.found) == ("wrong", "2.5", "25")


@pytest.mark.parametrize(
    "prompt",
    [
        "Convert 5 km to km",
        "Convert 5 kilometers to liters",
        "Convert 5/0 km to miles",
        "Convert 5 to miles",
        "Convert 5 Celsius to centigrade",
        "Convert 5 Celsius to miles",
        "Convert 5 km and 3 miles to meters",
        "Convert km to meters.\n\n5 pounds",
        "How many miles do I walk in 5 hours?",
    ],
)
def test_what_is_no_conversion_is_left_alone(prompt):
    assert claims("conversion", prompt, "It is 777.") == []


def test_every_factor_is_positive_and_the_first_unit_of_each_dimension_is_one():
    assert all(factor > 0 for kinds in UNITS.values() for factors in kinds.values() for factor in factors)
    for unit, dimension in [("m", "length"), ("kg", "mass"), ("l", "volume"), ("second", "time"), ("byte", "data")]:
        assert UNITS[unit][dimension] == (1,)
    assert set(UNITS["ounce"]) == {"mass", "volume"}


def test_number_words_are_converted_and_the_proof_names_both_units():
    claim = sole("conversion", "Convert twenty-five yards to feet", "It is 80 feet.")
    assert (claim.expected, claim.found, claim.how) == ("75", "80", "25 yards = 75 feet")
