"""Percentages, changes, discounts and taxes, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.curate.computed.checking import claims, sole, verdict


@settings(max_examples=50)
@given(st.integers(1, 99), st.integers(1, 2000))
def test_a_share_of_a_number_is_exact(percent, whole):
    value = Fraction(percent * whole, 100)
    assume(value not in (percent, whole))
    prompt = f"What is {percent}% of {whole:,}?"
    assert sole("percentage", prompt, f"The answer is {float(value)}.").verdict == "right"
    wrong = sole("percentage", prompt, f"The answer is {float(value + 7000)}.")
    assert wrong.verdict == "wrong"
    assert Fraction(wrong.expected) == value


@pytest.mark.parametrize(
    ("prompt", "value"),
    [
        ("What percent of 80 is 20?", 25),
        ("What percentage is 9 out of 12?", 75),
        ("30 is what percent of 120?", 25),
        ("Express 7 as a percentage of 28", 25),
        ("Calculate the percentage of 18 out of 72.", 25),
        ("Increase 80 by 15%", 92),
        ("Decrease 80 by 15%", 68),
        ("Reduce the number 240 by 12.5 percent", 210),
        ("Add 8% tax to $150", 162),
        ("Calculate 7.5 per cent of 1,200", 90),
    ],
)
def test_each_way_to_ask_is_computed(prompt, value):
    assert sole("percentage", prompt, f"The answer is {value}.").verdict == "right"
    wrong = sole("percentage", prompt, f"The answer is {value + 1}.")
    assert (wrong.verdict, wrong.expected, wrong.found) == ("wrong", str(value), str(value + 1))


@settings(max_examples=40)
@given(st.integers(10, 400), st.integers(10, 400))
def test_a_change_may_be_told_with_or_without_its_sign_but_from_the_first_number(old, new):
    change = Fraction(new - old, old) * 100
    assume(new != old and round(abs(change), 2) not in (old, new))
    prompt = f"What is the percent change from {old} to {new}?"
    for value in (change, abs(change)):
        assert verdict("percentage", prompt, f"The change is {float(value):.2f}%.") == "right"
    other = Fraction(new - old, new) * 100
    if abs(abs(other) - abs(change)) > 2 and abs(other) not in (old, new):
        assert verdict("percentage", prompt, f"The change is {float(other):.2f}%.") == "wrong"


@settings(max_examples=40)
@given(st.integers(5, 900), st.integers(1, 60))
def test_a_price_may_be_told_or_what_comes_off_it(price, percent):
    off = Fraction(price * percent, 100)
    prompt = f"Calculate the final price of a ${price} coat after a {percent}% discount."
    for value in (off, price - off):
        assert verdict("percentage", prompt, f"It is ${float(value):.2f}.") == "right"
    wrong = sole("percentage", prompt, f"It is ${float(price + off):.2f}.")
    assert wrong.verdict == "wrong"
    assert f" less {percent} % = " in wrong.how


def test_a_tip_is_added_and_a_discount_taken_off():
    tip = sole("percentage", "What is the total bill if the bill is $40 and the tip is 15%?", "The total is $34.")
    assert (tip.verdict, tip.expected, tip.how) == ("wrong", "46 or 6", "40 and 15 % = 46")


@pytest.mark.parametrize(
    ("said", "expected"),
    [("$33.33", "right"), ("$33.3", "right"), ("$33.32", "wrong"), ("$33.34", "wrong"), ("$33.35", "wrong")],
)
def test_a_cent_too_many_or_too_few_is_wrong(said, expected):
    assert verdict("percentage", "What is 10% of $333.30?", f"It is {said}.") == expected


@pytest.mark.parametrize("said", ["a quarter", "25%", "25 percent", "25 per cent", "twenty-five percent", "25.0 %"])
def test_a_percentage_is_read_in_signs_and_words(said):
    assert verdict("percentage", "What percentage of 40 is 10?", f"It is {said}.") in ("right", None)
    if said != "a quarter":
        assert verdict("percentage", "What percentage of 50 is 10?", f"It is {said}.") == "wrong"


@pytest.mark.parametrize(
    "prompt",
    [
        "What percentage of 0 is 10?",
        "Calculate the total cost of a $30 meal with 10% tax and a 20% discount.",
        "Calculate the price of a $50 shirt after a 20% discount and another 10% discount.",
        "Calculate the price of a $50 shirt and a $20 cap after a 20% discount.",
        "What is the cost of 3 shirts at $20 each with a 10% discount?",
        "Calculate the price of a $50 shirt after a 120% discount.",
        "What is the price before tax if the total is $55 with 10% tax?",
        "Write a story about a $50 shirt with a 20% discount and what you pay.",
        "What is 15% of 200 in euros and in dollars?",
    ],
)
def test_a_price_of_several_readings_is_left_alone(prompt):
    assert claims("percentage", prompt, "The answer is $777.") == []


def test_the_proof_writes_the_share_out():
    claim = sole("percentage", "What is 15% of 200?", "It is 35.")
    assert (claim.expected, claim.found, claim.how) == ("30", "35", "15 * 200 / 100 = 30")
