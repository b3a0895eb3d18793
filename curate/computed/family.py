"""The families of checks by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from curate.computed.arithmetic import ARITHMETIC, EQUATION
from curate.computed.base import BASE
from curate.computed.calendar import CALENDAR
from curate.computed.claim import Family
from curate.computed.conversion import CONVERSION
from curate.computed.counting import COUNTING
from curate.computed.facts import FACT
from curate.computed.geometry import GEOMETRY
from curate.computed.integer import INTEGER
from curate.computed.letters import ANAGRAM, INITIAL, PALINDROME
from curate.computed.order import ORDER, REVERSE
from curate.computed.percentage import PERCENTAGE
from curate.computed.stated import STATED
from curate.computed.statistic import STATISTIC

FAMILIES: Final[Mapping[str, Family]] = {
    "arithmetic": ARITHMETIC,
    "equation": EQUATION,
    "statistic": STATISTIC,
    "percentage": PERCENTAGE,
    "geometry": GEOMETRY,
    "conversion": CONVERSION,
    "calendar": CALENDAR,
    "counting": COUNTING,
    "order": ORDER,
    "reverse": REVERSE,
    "base": BASE,
    "integer": INTEGER,
    "anagram": ANAGRAM,
    "palindrome": PALINDROME,
    "initial": INITIAL,
    "fact": FACT,
    "stated": STATED,
}
"""Every family, in the order in which a row's defect is chosen."""
