"""Numbers are read as written, and compared as far as their digits say."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.computed.number import compare, in_digits, numbers, shown, spelt


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,250", Fraction(1250)),
        ("$3.75", Fraction(15, 4)),
        (".5", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)),
        ("1 1/2", Fraction(3, 2)),
        ("-7", Fraction(-7)),
        ("−7", Fraction(-7)),
        ("4.5 x 10^-3", Fraction(45, 10000)),
        ("6.02e2", Fraction(602)),
        ("2.5 million", Fraction(2_500_000)),
        ("twenty-one", Fraction(21)),
        ("two hundred and five", Fraction(205)),
    ],
)
def test_a_number_is_read_in_every_usual_spelling(text, value):
    assert [number.value for number in numbers(text)] == [value]


def test_several_numbers_keep_their_order_and_a_minus_between_them_is_no_sign():
    assert [number.value for number in numbers("5-3 is 2, or two")] == [5, 3, 2, 2]


@given(st.integers(0, 999_999_999))
def test_thousands_separators_change_nothing(value):
    assert [number.value for number in numbers(f"It is {value:,}.")] == [value]


@given(st.integers(0, 99))
def test_number_words_are_read(value):
    ones = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    ones += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    word = ones[value] if value < 20 else tens[value // 10 - 2] + (f"-{ones[value % 10]}" if value % 10 else "")
    assert spelt(word) == value
    assert in_digits(f"about {word} of them") == f"about {value} of them"


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=999), st.integers(1, 6))
def test_a_value_rounded_to_the_digits_given_is_right(value, digits):
    number = numbers(f"{float(round(value, digits)):.{digits}f}")[0]
    assert compare(number, value) == "right"


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=999), st.integers(1, 6), st.integers(2, 50))
def test_a_value_off_by_more_than_a_unit_of_the_last_digit_is_wrong(value, digits, units):
    number = numbers(f"{float(round(value + Fraction(units, 10**digits), digits)):.{digits}f}")[0]
    assert compare(number, value) == "wrong"


def test_a_value_cut_off_instead_of_rounded_is_left_open():
    assert compare(numbers("3.66")[0], Fraction(11, 3)) is None
    assert compare(numbers("3.68")[0], Fraction(11, 3)) == "wrong"


def test_a_whole_number_is_off_by_one_or_right():
    assert compare(numbers("7")[0], Fraction(8)) == "wrong"
    assert compare(numbers("8")[0], Fraction(8)) == "right"


def test_eighty_per_cent_is_also_eight_tenths():
    assert compare(numbers("80%")[0], Fraction(8, 10)) == "right"
    assert compare(numbers("80%")[0], Fraction(80)) == "right"
    assert compare(numbers("80%")[0], Fraction(8)) == "wrong"


def test_numbers_are_shown_short():
    assert shown(Fraction(5)) == "5"
    assert shown(Fraction(1, 3)) == "0.3333333333"
    assert shown(Fraction(10**100)) == "over 80 digits"
