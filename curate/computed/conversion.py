"""Conversions of length, mass, volume, area, speed, time, data and temperature. Factors: NIST SP 811, appendix B."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask, bare
from curate.computed.claim import Claim, Family
from curate.computed.number import in_digits, shown

SLACK: Final = 0.012
"""Share that a rounded factor may cost, such as 1.6 km for a mile."""
_TABLE: Final[Mapping[str, str]] = {
    "length": "m meter meters metre metres=1; km kilometer kilometers kilometre kilometres kms=1000; cm"
    " centimeter centimeters centimetre centimetres cms=0.01;"
    " mm millimeter millimeters millimetre millimetres=0.001; inch inches=0.0254; ft foot"
    " feet=0.3048; yard yards yd yds=0.9144; mile miles mi=1609.344;"
    " nautical_mile nautical_miles=1852; micrometer micrometers=0.000001; nanometer nanometers nm=0.000000001",
    "mass": "kg kgs kilogram kilograms kilo kilos=1; g gram grams gr=0.001; mg milligram"
    " milligrams=0.000001; lb lbs pound pounds=0.45359237; ounce ounces oz=0.028349523125;"
    " ton tons=1000,907.18474,1016.0469088; metric_ton metric_tons tonne tonnes=1000; stone stones=6.35029318",
    "volume": "l liter liters litre litres=1; ml milliliter milliliters millilitre millilitres=0.001;"
    " gallon gallons gal=3.785411784,4.54609; quart quarts qt=0.946352946,1.1365225;"
    " pint pints pt=0.473176473,0.56826125; cup cups=0.2365882365,0.24,0.25,0.284130625;"
    " tablespoon tablespoons tbsp=0.01478676478125,0.015,0.02,0.0177581714; teaspoon teaspoons"
    " tsp=0.00492892159375,0.005,0.00591938802;"
    " fluid_ounce fluid_ounces fl_oz ounce ounces oz=0.0295735295625,0.0284130625,0.03;"
    " cubic_meter cubic_meters=1000; cubic_centimeter cubic_centimeters=0.001",
    "area": "square_meter square_meters square_metres sq_m=1; square_kilometer"
    " square_kilometers=1000000; square_foot square_feet sq_ft=0.09290304; acre"
    " acres=4046.8564224;"
    " hectare hectares=10000; square_mile square_miles=2589988.110336; square_inch"
    " square_inches=0.00064516; square_yard square_yards=0.83612736; square_centimeters=0.0001",
    "speed": "m/s meters_per_second metres_per_second=1; km/h kmh kph kilometers_per_hour"
    " kilometres_per_hour km/hr=5/18; mph miles_per_hour=0.44704; knot knots=463/900; ft/s"
    " feet_per_second=0.3048",
    "time": "second seconds sec secs=1; minute minutes min mins=60; hour hours hr hrs=3600; day"
    " days=86400; week weeks=604800; millisecond milliseconds ms=0.001; fortnight"
    " fortnights=1209600;"
    " year years=31536000,31557600,31622400,31556952,31449600; century centuries=3153600000"
    ",3155760000,3155695200; decade decades=315360000,315576000,315532800",
    "span": "month months=1; year years=12; decade decades=120; century centuries=1200; quarter quarters=3",
    "years": "year years=1; decade decades=10; century centuries=100; millennium millennia=1000",
    "data": "byte bytes=1; bit bits=1/8; kb kilobyte kilobytes=1000,1024; mb megabyte megabytes=1000000"
    ",1048576; gb gigabyte gigabytes=1000000000,1073741824; tb terabyte terabytes=1000000000000"
    ",1099511627776",
    "count": "dozen dozens=12; piece pieces=1",
    "angle": "degree degrees=1; radian radians=57.29577951308232",
}
_TEMPERATURES: Final = {
    "c": "c", "celsius": "c", "centigrade": "c", "celcius": "c", "k": "k", "kelvin": "k",
    "f": "f", "fahrenheit": "f", "farenheit": "f", "fahrenheight": "f",
}  # fmt: skip


def _units() -> dict[str, dict[str, tuple[Fraction, ...]]]:
    """Return unit -> dimension -> factors to the dimension's first unit: several where a name means several units."""
    found: dict[str, dict[str, tuple[Fraction, ...]]] = {}
    for dimension, row in _TABLE.items():
        for entry in row.split(";"):
            names, _, factors = entry.strip().partition("=")
            for name in names.split():
                found.setdefault(name.replace("_", " "), {})[dimension] = tuple(map(Fraction, factors.split(",")))
    return found


UNITS: Final = _units()
_ANY: Final = "|".join(map(re.escape, sorted({*UNITS, *_TEMPERATURES}, key=len, reverse=True)))
_N: Final = r"(?P<n>-?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?)"
_U: Final = rf"(?:degrees? |°\s?)?(?P<u>{_ANY})"
_V: Final = rf"(?:degrees? |°\s?)?(?P<v>{_ANY})"
_FILL: Final = (
    r"(?:the|this|these|given|following|value|values|measurement|measurements|amount|distance"
    r"|length|weight|temperature|temperatures|number|quantity|speed|a|an|of|time|unit|units|from"
    r"|input|numerical|in|for|metric|hour|measure|angle|area|volume|mass|height|using)"
)
_FORMS: Final = [
    re.compile(pattern)
    for pattern in (
        rf"(?:convert|change|express|transform|translate|turn)?(?:[\s:]|{_FILL}\b)*{_N}\s?-?{_U}[."
        rf",]?(?: (?:to|into|in|as|equals?|is equal to))(?: {_FILL})* {_V}",
        rf"(?:convert|change|express|transform|translate|turn)(?: {_FILL})* (?:to|into|in|as)(?:"
        rf" {_FILL})* {_V}:\s*(?:{_FILL}\s*[:=]?\s*)?{_N}\s?{_U}",
        rf"(?:convert|change|express|transform|translate|turn)(?: {_FILL})* (?:in |from )?(?:degrees?"
        rf" )?(?P<u>{_ANY})(?: {_FILL})* (?:to|into|in|as)(?: {_FILL}| degrees)* {_V}(?: given)?(?:"
        rf" {_FILL})*:\s*(?:(?:{_FILL}|{_ANY})\s*[:=]?\s*)?{_N}\s?°?(?P<w>{_ANY})?",
        rf"how many {_V} (?:are |is |do |does |equals? )?(?:there |they |it )?(?:are )?(?:have |has "
        rf"|make )?(?:in|equal to|equals?)?(?: (?:a|an|the|total of))* ?{_N}\s?{_U}(?: have| equal)?",
        rf"(?:the )?number of {_V} in {_N}\s?{_U}",
        rf"how many {_V} {_N}\s?{_U} is",
        rf"(?:the )?{_U} (?:to|in) {_V} (?:conversion|equivalent)(?: of| for)? {_N}(?: degrees?)?",
        rf"{_N}\s?{_U} (?:is|equals) (?:how many|what in) {_V}",
        rf"(?:the )?(?:equivalent|conversion) of {_N}\s?{_U} (?:in|to) {_V}",
    )
]


def _conversion(ask: Ask, response: str) -> Iterator[Claim]:
    text = re.sub(r" \((?:mi|km|kg|lbs?|f|c|°f|°c|cm|m|ft|oz|g|l|ml)\)", "", in_digits(bare(ask.text)))
    if len(text) > 200:
        return
    match = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if match is None:
        return
    given = match.groupdict()
    unit, target = given["u"], given["v"]
    if given.get("w") and given["w"] != unit and not _same(given["w"], unit):
        return
    if re.search(r"/0+(?!\d)", given["n"]):
        return
    value = Fraction(given["n"].replace(",", ""))
    expected = _converted(value, unit, target)
    if not expected:
        return
    how = f"{given['n']} {unit} = {' or '.join(map(shown, expected[:3]))} {target}"
    yield from judged("conversion", text, response, expected, how, SLACK)


def _same(one: str, two: str) -> bool:
    return UNITS.get(one, {}) == UNITS.get(two, {"": ()}) or _TEMPERATURES.get(one, "") == _TEMPERATURES.get(two, "-")


def _converted(value: Fraction, unit: str, target: str) -> list[Fraction]:
    """Return the value in the other unit, one for each meaning of the two; empty when they do not measure the same."""
    if unit in _TEMPERATURES and target in _TEMPERATURES:
        one, two = _TEMPERATURES[unit], _TEMPERATURES[target]
        celsius = {"c": value, "f": (value - 32) * 5 / 9, "k": value - Fraction("273.15")}[one]
        return [] if one == two else [{"c": celsius, "f": celsius * 9 / 5 + 32, "k": celsius + Fraction("273.15")}[two]]
    shared = [dimension for dimension in UNITS.get(unit, {}) if dimension in UNITS.get(target, {})]
    found = [
        value * one / two
        for dimension in shared
        for one in UNITS[unit][dimension]
        for two in UNITS[target][dimension]
        if not _same(unit, target)
    ]
    return list(dict.fromkeys(found))


CONVERSION: Final = Family(r"(?i)\b(convert|conversion|how many|change|express|number of|to|in)\b", r"\d", _conversion)
