"""Dates, against Python's datetime and calendar modules."""

from __future__ import annotations

import calendar
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.computed.calendar import DAYS, MONTHS, dates
from tests.curate.computed.checking import claims, sole, verdict

ANY_DAY = st.dates(min_value=date(1800, 1, 1), max_value=date(2199, 12, 31))


def spellings(day: date) -> list[str]:
    month = MONTHS[day.month - 1].title()
    return [
        f"{month} {day.day}, {day.year}",
        f"{month[:3]}. {day.day} {day.year}",
        f"{day.day} {month} {day.year}",
        f"{day.day}th of {month}, {day.year}",
        day.isoformat(),
    ]


@settings(max_examples=50)
@given(ANY_DAY)
def test_a_date_is_read_in_every_spelling(day):
    for spelling in spellings(day):
        assert dates(f"on {spelling}?".lower()) == [[day]]


@settings(max_examples=50)
@given(ANY_DAY, st.integers(0, 4), st.integers(1, 6))
def test_a_weekday_is_proved_by_the_date(day, spelling, off):
    true, other = (DAYS[(day.weekday() + shift) % 7] for shift in (0, off))
    prompt = f"On which day of the week did {spellings(day)[spelling]} fall?"
    assert sole("calendar", prompt, f"{true.title()}.").verdict == "right"
    wrong = sole("calendar", prompt, f"It fell on a {other.title()}.")
    assert (wrong.verdict, wrong.expected, wrong.found) == ("wrong", true, other)
    assert wrong.how == f"{day.isoformat()} is a {true}"


@settings(max_examples=50)
@given(st.integers(1600, 2999))
def test_a_leap_year_is_that_of_the_calendar_module(year):
    leap = calendar.isleap(year)
    for said in (True, False):
        claim = sole("calendar", f"Is {year} a leap year?", "Yes, it is." if said else "No, it is not.")
        assert claim.verdict == ("right" if said == leap else "wrong")
        assert claim.expected == ("yes" if leap else "no")
        assert f"mod 400 = {year % 400}" in claim.how


@pytest.mark.parametrize("month", range(1, 13))
def test_the_days_of_a_month_are_those_of_the_calendar_module(month):
    name = MONTHS[month - 1].title()
    for year in (1900, 2000, 2023, 2024):
        days = calendar.monthrange(year, month)[1]
        prompt = f"How many days are there in {name} {year}?"
        assert sole("calendar", prompt, f"{name} {year} has {days} days.").verdict == "right"
        wrong = sole("calendar", prompt, f"{name} {year} has {days - 2} days.")
        assert (wrong.verdict, wrong.expected) == ("wrong", str(days))


def test_february_without_a_year_has_either_length_and_no_other():
    for days, expected in ((27, "wrong"), (28, "right"), (29, "right"), (30, "wrong")):
        assert verdict("calendar", "How many days are in February?", f"It has {days} days.") == expected


@settings(max_examples=50)
@given(ANY_DAY, st.integers(1, 500), st.sampled_from(["day", "week"]), st.booleans())
def test_a_date_some_days_or_weeks_away_is_that_of_timedelta(day, count, unit, after):
    step = timedelta(**{f"{unit}s": count}) * (1 if after else -1)
    prompt = f"What date is {count} {unit}s {'after' if after else 'before'} {spellings(day)[0]}?"
    right = sole("calendar", prompt, f"It is {spellings(day + step)[0]}.")
    assert (right.verdict, right.expected) == ("right", (day + step).isoformat())
    late = day + step + timedelta(days=1)
    if late != day:
        wrong = sole("calendar", prompt, f"It is {spellings(late)[2]}.")
        assert (wrong.verdict, wrong.found) == ("wrong", late.isoformat())


@pytest.mark.parametrize(
    ("days", "expected"), [(59, "right"), (60, "right"), (61, "right"), (58, "wrong"), (62, "wrong")]
)
def test_days_between_dates_may_count_both_ends_or_neither(days, expected):
    prompt = "How many days are there between 2020-01-01 and 2020-03-01?"
    assert verdict("calendar", prompt, f"There are {days} days.") == expected


def test_the_years_of_a_question_are_no_answers():
    prompt = "How many days are there between January 1, 2020 and March 1, 2020?"
    assert sole("calendar", prompt, "From January 1, 2020 to March 1, 2020 it is 65 days.").found == "65"


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("What day of the week was March 3, 1700?", "It was a Monday."),
        ("What day of the week was February 30, 2021?", "It was a Monday."),
        ("What day of the week was June 5, 2021?", "It was a Monday or a Tuesday."),
        ("What day of the week comes 3 days after June 5, 2021?", "It is a Monday."),
        ("What day of the week were June 5, 2021 and June 6, 2021?", "It was a Monday."),
        ("How many weeks are between 2020-01-01 and 2020-03-01?", "77"),
        ("How many days are there between 2020-01-01 and 03/04/2020?", "There are 77 days."),
        ("How many days are there from 2020-01-01?", "There are 77 days."),
        ("Is 2021 a leap year?", "Perhaps."),
        ("How many days are in Movember?", "77"),
        ("What date is 10 business days after March 25, 2021?", "April 6, 2021"),
        ("What date is 10 days after 03/04/2021?", "April 6, 2021"),
        ("What date is 10 days after March 25, 2021?", "Add ten to the day."),
    ],
)
def test_a_date_of_several_readings_or_none_is_left_alone(prompt, response):
    assert claims("calendar", prompt, response) == []


def test_days_past_the_calendars_end_do_not_raise():
    assert verdict("calendar", "What date is 9999 weeks after December 31, 9000?", "January 1, 2021") == "wrong"


def test_a_date_beyond_any_year_is_not_read():
    assert dates("january 1, 9999") == [[]]
    assert dates("0000-00-00") == [[]]
    assert dates("january 1, 0001") == [[]]
