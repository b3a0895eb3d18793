"""Property tests: a right answer, however it is written, is never called wrong; a wrong number is."""

from __future__ import annotations

import statistics
from datetime import date, timedelta
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from curate.computed.base import from_roman, roman
from curate.computed.calendar import DAYS, MONTHS
from curate.computed.sequence import divisors, factors, is_prime
from tests.curate.computed.checking import verdict

SHAPES = st.sampled_from(
    [
        "{}",
        "{}.",
        "The answer is {}.",
        "The result is equal to {}",
        "It is {}!",
        "= {}",
        "Answer: {}",
        "**{}**",
        "The total would be ${}.",
    ]
)
SIGNS = {"+": "plus", "-": "minus", "*": "times"}
SMALL = st.integers(2, 400)


def rendered(value: int, shape: str) -> str:
    return shape.format(f"{value:,}")


@given(SMALL, SMALL, st.sampled_from("+-*"), st.booleans(), SHAPES)
def test_a_right_result_is_right_in_every_rendering(a, b, sign, words, shape):
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    response = rendered(value, shape) if value >= 0 else shape.replace("$", "").format(value)
    prompt = f"What is {a} {SIGNS[sign] if words else sign} {b}?"
    assert verdict("arithmetic", prompt, response) in ("right", None)
    if value not in (a, b) and "{}!" not in shape:
        assert verdict("arithmetic", prompt, response) == "right"


@given(SMALL, SMALL, st.sampled_from("+*"), st.integers(1, 9), SHAPES)
def test_a_result_off_by_a_little_is_wrong(a, b, sign, off, shape):
    value = {"+": a + b, "*": a * b}[sign] + off
    if value not in (a, b) and "!" not in shape:
        assert verdict("arithmetic", f"Calculate {a} {sign} {b}.", rendered(value, shape)) == "wrong"


LISTS = st.lists(st.integers(1, 99), min_size=2, max_size=8)


@given(LISTS, st.sampled_from(["mean", "median", "sum"]), st.integers(2, 6), st.sampled_from([", ", " "]))
def test_a_statistic_rounded_to_some_digits_is_never_wrong(values, name, digits, glue):
    true = {"mean": statistics.mean, "median": statistics.median, "sum": sum}[name](values)
    prompt = f"Calculate the {name} of the following numbers: {glue.join(map(str, values))}"
    assert verdict("statistic", prompt, f"The {name} is {true:.{digits}f}.") == "right"
    assert verdict("statistic", prompt, f"The {name} is {true + 1.5:.{digits}f}.") == "wrong"


@given(st.integers(1, 3999))
def test_roman_numerals_go_there_and_back(value):
    assert from_roman(roman(value)) == value
    assert verdict("base", f"Write {value} in Roman numerals.", roman(value)) == "right"


@given(st.integers(16, 5000))
def test_a_number_in_another_base_is_right_as_python_writes_it(value):
    assert verdict("base", f"Convert {value} to binary.", f"{value:b}") == "right"
    assert verdict("base", f"Convert {value} to binary.", f"{value + 1:b}") in ("wrong", None)
    assert verdict("base", f"Convert {value} to octal.", f"{value:o}") in ("right", None)


@given(st.integers(2, 3000))
def test_factors_and_divisors_agree_with_trial_division(n):
    product = 1
    for factor in factors(n):
        product *= factor
    assert product == n
    assert divisors(n) == [d for d in range(1, n + 1) if n % d == 0]
    assert is_prime(n) == all(n % d for d in range(2, n))


@given(st.dates(min_value=date(1800, 1, 1), max_value=date(2200, 1, 1)), st.integers(1, 6))
def test_the_weekday_of_a_date_is_the_calendar_module_s(day, off):
    written = f"{MONTHS[day.month - 1].title()} {day.day}, {day.year}"
    names = [DAYS[(day.weekday() + shift) % 7].title() for shift in (0, off)]
    assert verdict("calendar", f"What day of the week was {written}?", f"It was a {names[0]}.") == "right"
    assert verdict("calendar", f"What day of the week was {written}?", f"It was a {names[1]}.") == "wrong"


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)), st.integers(3, 400))
def test_days_between_dates_are_counted(day, days):
    later = day + timedelta(days=days)
    prompt = f"How many days are there between {day.isoformat()} and {later.isoformat()}?"
    assert verdict("calendar", prompt, f"There are {days} days.") == "right"
    assert verdict("calendar", prompt, f"There are {days + 2} days.") == "wrong"


WORDS = st.lists(st.text("abcdefgh", min_size=2, max_size=6), min_size=3, max_size=6, unique=True)


@given(WORDS, st.randoms(use_true_random=False))
def test_words_in_order_are_right_and_in_any_other_order_wrong(words, random):
    mixed = list(words)
    random.shuffle(mixed)
    prompt = f"Sort these words alphabetically: {', '.join(words)}"
    assert verdict("order", prompt, ", ".join(sorted(words))) == "right"
    expected = "right" if mixed == sorted(mixed) else "wrong"
    assert verdict("order", prompt, ", ".join(mixed)) == expected


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=3, max_size=12))
def test_words_are_counted(words):
    text = " ".join(words) + "."
    assert verdict("counting", f"Count the number of words in the sentence.\n\n{text}", f"{len(words)}") == "right"
    assert verdict("counting", f"Count the number of words in the sentence.\n\n{text}", f"{len(words) + 1}") == "wrong"


@given(st.text("abcdefgh", min_size=3, max_size=12))
def test_a_string_reversed_is_right(word):
    if word != word[::-1]:
        assert verdict("reverse", f'Reverse the string "{word}".', word[::-1]) == "right"


@settings(max_examples=50)
@given(
    st.integers(1, 500),
    st.sampled_from([("miles", "kilometers", Fraction("1.609344")), ("pounds", "kg", Fraction("0.45359237"))]),
)
def test_a_conversion_with_a_rounded_factor_is_never_wrong_and_a_tenth_off_is(value, units):
    unit, other, factor = units
    prompt = f"Convert {value} {unit} to {other}"
    true = float(value * factor)
    assert verdict("conversion", prompt, f"{true * 1.004:.3f} {other}") in ("right", None)
    assert verdict("conversion", prompt, f"{true * 1.1:.3f} {other}") == "wrong"
