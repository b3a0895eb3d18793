"""Weekdays, days between dates, leap years, days of a month, and ages in whole years of plain dates."""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask, bare, plain
from curate.computed.claim import Claim, Family, ruling
from curate.computed.letters import yes_or_no

MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTH: Final = "|".join([*MONTHS, *(month[:3] for month in MONTHS if month != "may"), "sept"])
_DATE: Final = re.compile(
    rf"\b(?:(?P<m1>{_MONTH})\.? (?P<d1>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y1>\d{{4}})|(?P<d2>\d{{1"
    rf",2}})(?:st|nd|rd|th)?(?: of)? (?P<m2>{_MONTH})\.?,? (?P<y2>\d{{4}})"
    r"|(?P<y3>\d{4})-(?P<m3>\d{2})-(?P<d3>\d{2})|(?P<a>\d{1,2})/(?P<b>\d{1,2})/(?P<y4>\d{4}))\b"
)
_WEEKDAY: Final = re.compile(rf"\b({'|'.join(DAYS)})s?\b")


def dates(text: str) -> list[list[date]]:
    """Return the dates of a plain text in order, each a list of its readings: 3/4/2020 has two."""
    found = []
    for match in _DATE.finditer(text):
        if match["y4"]:
            readings = [(match["y4"], match["a"], match["b"]), (match["y4"], match["b"], match["a"])]
        else:
            kind = next(k for k in "123" if match[f"y{k}"])
            month = match[f"m{kind}"]
            number = (
                month
                if month.isdigit()
                else str(next(i for i, name in enumerate(MONTHS, 1) if name.startswith(month[:3])))
            )
            readings = [(match[f"y{kind}"], number, match[f"d{kind}"])]
        good = [day for reading in readings if (day := _day(*map(int, reading))) is not None]
        found.append(list(dict.fromkeys(good)))
    return found


def _day(year: int, month: int, day: int) -> date | None:
    if not (1600 <= year <= 9000 and 1 <= month <= 12):
        return None
    return date(year, month, day) if 1 <= day <= monthrange(year, month)[1] else None


def _weekday(ask: Ask, response: str) -> Iterator[Claim]:
    text = ask.text
    if not re.search(r"\b(?:day of the week|what day|which day|weekday|day of week)\b", text) or len(text) > 250:
        return
    found = dates(text)
    if (
        len(found) != 1
        or len(found[0]) == 0
        or re.search(r"\b(?:after|before|from|later|ago|function|code|program|event|happened|add)\b", text)
    ):
        return
    said = set(_WEEKDAY.findall(plain(response)))
    expected = {DAYS[day.weekday()] for day in found[0] if day >= date(1752, 9, 14)}
    if len(said) == 1 and expected and len(found[0]) == 1:
        name = said.pop()
        day = found[0][0].isoformat()
        want = " or ".join(sorted(expected))
        yield Claim("calendar", f"weekday of {day}", want, name, ruling(name in expected), f"{day} is a {want}")


def _between(ask: Ask, response: str) -> Iterator[Claim]:
    text = ask.text
    if (
        not re.search(r"\b(?:how many|number of) days\b|\bdays between\b|\bdifference in days\b", text)
        or len(text) > 250
    ):
        return
    found = dates(text)
    if (
        len(found) != 2
        or any(len(readings) != 1 for readings in found)
        or re.search(r"\b(?:code|program|function|week ?days|business|working|weeks?|months?|hours?)\b", text)
    ):
        return
    days = abs((found[1][0] - found[0][0]).days)
    said = _DATE.sub(" ", plain(response))
    how = f"{found[0][0].isoformat()} to {found[1][0].isoformat()}: {days} days"
    yield from judged("calendar", text, said, [Fraction(days + more) for more in (0, 1, -1)], how)


def _leap(ask: Ask, response: str) -> Iterator[Claim]:
    text = bare(
        re.sub(
            r"^(?:check|see|verify|say|decide|state|determine|find out|tell me)(?: if| whether)?", "", bare(ask.text)
        )
    )
    match = re.fullmatch(
        r"(?:is|if|whether|was|will)?(?: (?:if|whether))?(?: the)?(?: given)?(?: year)?[:"
        r" ]*(\d{4})(?: (?:is|was|be))?(?: a)? leap year(?: or not)?",
        text,
    ) or re.fullmatch(
        r"(?:is|if|whether)?(?: (?:if|whether))?(?: the| a| this| given| following)*(?: year)?(?:"
        r" is)?(?: a)? leap year(?: or not)?[: ]+(?:year[:= ]+)?(\d{4})",
        text,
    )
    told = yes_or_no(response)
    if match and told is not None:
        year = int(match[1])
        true = isleap(year)
        yes = {True: "yes", False: "no"}
        yield Claim(
            "calendar",
            f"is {year} a leap year",
            yes[true],
            yes[told],
            ruling(true == told),
            f"{year} mod 4 = {year % 4}, mod 100 = {year % 100}, mod 400 = {year % 400}",
        )


def _month_days(ask: Ask, response: str) -> Iterator[Claim]:
    match = re.fullmatch(
        rf"how many days (?:are |were )?(?:there )?(?:are )?in (?:the month of"
        rf" )?({'|'.join(MONTHS)})(?: (\d{{4}}))?(?: have)?",
        bare(ask.text),
    )
    if match is None:
        return
    month = MONTHS.index(match[1]) + 1
    years = [int(match[2])] if match[2] else [2023, 2024]
    days = sorted({monthrange(year, month)[1] for year in years if 1 <= year <= 9000})
    said = re.sub(r"\b\d{4}\b", " ", response)
    yield from judged("calendar", ask.text, said, [Fraction(n) for n in days], f"days of {match[1]}: {days}")


def _shifted(ask: Ask, response: str) -> Iterator[Claim]:
    """Check the date some days or weeks after or before a date."""
    match = re.search(r"\b(\d{1,4}) (day|week)s? (after|from|before|later than|prior to)\b", ask.text)
    found, said = dates(ask.text), dates(plain(response))
    if (
        match is None
        or len(found) != 1
        or len(found[0]) != 1
        or not said
        or len(ask.text) > 150
        or re.search(r"\b(?:business|working|code|function|week ?days?)\b", ask.text)
    ):
        return
    days = int(match[1]) * (7 if match[2] == "week" else 1) * (-1 if match[3] in ("before", "prior to") else 1)
    want = found[0][0] + timedelta(days=days)
    right = want in said[-1]
    if not right and (any(want in readings for readings in said) or len(said[-1]) != 1 or said[-1] == found[0]):
        return
    yield Claim(
        "calendar",
        match[0],
        want.isoformat(),
        said[-1][0].isoformat(),
        ruling(right),
        f"{found[0][0].isoformat()} and {days} days: {want.isoformat()}",
    )


def _calendar(ask: Ask, response: str) -> Iterator[Claim]:
    for check in (_weekday, _between, _leap, _month_days, _shifted):
        yield from check(ask, response)


CALENDAR: Final = Family(r"(?i)\b(days?|weekday|leap year|weeks?)\b", r"\w", _calendar)
