"""Statistics of a list in the prompt, against Python's statistics module."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.computed.statistic import MOST, STATISTICS
from tests.curate.computed.checking import claims, sole, verdict

LISTS = st.lists(st.integers(1, 60), min_size=3, max_size=9)
REFERENCES = {
    "mean": statistics.mean,
    "median": statistics.median,
    "sum": sum,
    "product": math.prod,
    "range": lambda values: max(values) - min(values),
    "largest number": max,
    "smallest number": min,
    "sum of squares": lambda values: sum(value * value for value in values),
}


@settings(max_examples=50)
@given(LISTS, st.sampled_from(sorted(REFERENCES)))
def test_a_statistic_is_that_of_the_statistics_module(values, name):
    value = Fraction(REFERENCES[name]([Fraction(one) for one in values]))
    prompt = f"Find the {name} of the following numbers: {', '.join(map(str, values))}"
    right = sole("statistic", prompt, f"The {name} is {value}.")
    assert right.verdict == "right"
    wrong = sole("statistic", prompt, f"The {name} is {value + 1000}.")
    assert wrong.verdict == "wrong"
    assert math.isclose(float(Fraction(wrong.expected)), value, rel_tol=1e-8)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 60), min_size=3, max_size=8, unique=True))
def test_a_deviation_may_be_of_the_population_or_of_a_sample_and_of_nothing_between(values):
    prompt = f"Calculate the standard deviation of {', '.join(map(str, values))}"
    whole, sample = statistics.pstdev(values), statistics.stdev(values)
    for value in (whole, sample):
        assert sole("statistic", prompt, f"The deviation is {value:.5f}.").verdict == "right"
    between = sole("statistic", prompt, f"The deviation is {(whole + sample) / 2:.5f}.")
    assert between.verdict == "wrong"
    assert [float(part) for part in between.expected.split(" or ")] == pytest.approx([whole, sample], rel=1e-8)


@settings(max_examples=30)
@given(LISTS)
def test_the_variance_is_exact_in_both_readings(values):
    prompt = f"Find the variance of {', '.join(map(str, values))}"
    for value in (
        statistics.pvariance([Fraction(v) for v in values]),
        statistics.variance([Fraction(v) for v in values]),
    ):
        assert verdict("statistic", prompt, f"It is {float(value):.4f}.") == "right"
        assert verdict("statistic", prompt, f"It is {float(value) + 400:.4f}.") == "wrong"


@settings(max_examples=40)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=9))
def test_the_mode_is_told_only_where_there_is_one(values):
    modes = statistics.multimode(values)
    prompt = f"Find the mode of {', '.join(map(str, values))}"
    if len(modes) == 1 and values.count(modes[0]) > 1:
        assert sole("statistic", prompt, f"The mode is {modes[0]}.").verdict == "right"
        assert sole("statistic", prompt, "The mode is 77.").expected == str(modes[0])
    else:
        assert claims("statistic", prompt, "The mode is 77.") == []


def test_the_geometric_mean_is_that_of_the_statistics_module():
    value = statistics.geometric_mean([3, 5, 11])
    assert verdict("statistic", "Calculate the geometric mean of 3, 5 and 11.", f"It is {value:.4f}.") == "right"
    assert verdict("statistic", "Calculate the geometric mean of 3, 5 and 11.", f"It is {19 / 3:.4f}.") == "wrong"
    assert claims("statistic", "Calculate the geometric mean of -3, 5 and 11.", "It is 9.") == []


@pytest.mark.parametrize(
    "listed", ["4, 8 and 15", "4; 8; 15", "4 8 15", "[4, 8, 15]", "(4, 8, 15)", "{4,8,15}", "$4, $8, $15", "4 + 8 + 15"]
)
def test_a_list_is_read_in_any_notation(listed):
    assert sole("statistic", f"Calculate the mean of these numbers: {listed}", "9").verdict == "right"
    assert sole("statistic", f"Calculate the mean.\n\n{listed}", "10").expected == "9"


def test_negative_and_decimal_members_count_with_their_sign_and_places():
    prompt = "Find the mean of -1.5, 2.25, -3 and 4."
    assert sole("statistic", prompt, "The mean is 0.4375.").verdict == "right"
    assert sole("statistic", prompt, "The mean is 0.44.").verdict == "right"
    assert sole("statistic", prompt, "The mean is 2.6875.").expected == "0.4375"


@pytest.mark.parametrize(
    ("said", "expected"),
    [("1.67", "right"), ("5/3", "right"), ("1 2/3", "right"), ("1.66", None), ("1.65", "wrong"), ("1.68", "wrong")],
)
def test_a_mean_is_judged_to_the_last_digit_given(said, expected):
    assert verdict("statistic", "Find the mean of 1, 2 and 2.", f"The mean is {said}.") == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "Find the sum of 100,200,300",
        "Find the mean of 4",
        "Find the mean of 4 apples, 8 pears and 12 cars",
        "Find the mean and the median of 4, 8, 12",
        "Find the mean of 4, 8, 12 and then double it",
        "Find the mode of 4, 4, 8, 8",
        "What is the mean of the squares of 4, 8, 12?",
        f"Find the sum of {', '.join(['1'] * (MOST + 1))}",
    ],
)
def test_a_list_that_is_not_certain_is_left_alone(prompt):
    assert claims("statistic", prompt, "The answer is 9999.") == []


def test_a_list_given_twice_counts_once_and_two_lists_say_nothing():
    assert sole("statistic", "Find the mean of 4, 8, 12.\n\n4, 8, 12", "8").verdict == "right"
    assert claims("statistic", "Find the mean of 4, 8, 12.\n\n5, 9, 13", "7") == []


def test_the_longest_list_is_still_summed():
    prompt = f"Find the sum of the numbers {', '.join(['3'] * MOST)}"
    assert sole("statistic", prompt, f"The sum is {3 * MOST + 1}.").expected == str(3 * MOST)


def test_every_statistic_names_itself_in_its_proof():
    for pattern, name, compute in STATISTICS:
        expected = compute([Fraction(2), Fraction(2), Fraction(8)])
        assert expected, (pattern, name)
        claim = sole("statistic", f"Find the {name} of 2, 2, 8", "The value is 777.")
        assert claim.how.startswith(f"{name} of 2, 2, 8 = ")
        assert claim.how.endswith(claim.expected)
