"""Lengths, areas and volumes of plain shapes, and slopes and distances of two points."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask
from curate.computed.claim import Claim, Family
from curate.computed.expression import Unreadable, root
from curate.computed.number import Number, numbers, shown

Sizes = Sequence[Fraction]
PI: Final = Fraction(31415926535897932, 10**16)
SLACK: Final = 0.006
"""Share that rounding on the way and 3.14 or 22/7 for pi may cost where pi or a root takes part."""


def _heron(s: Sizes) -> Fraction:
    half = sum(s, Fraction(0)) / 2
    product = half * (half - s[0]) * (half - s[1]) * (half - s[2])
    if product <= 0:
        raise Unreadable("no triangle has these sides")
    return root(product, 2)


def _pythagoras(s: Sizes) -> Fraction:
    return root(s[0] ** 2 + s[1] ** 2, 2)


FORMULAS: Final[dict[tuple[str, str, str], tuple[str, Callable[[Sizes], Fraction]]]] = {
    ("rectangle", "area", "2"): ("a b", lambda s: s[0] * s[1]),
    ("rectangle", "perimeter", "2"): ("2 (a + b)", lambda s: 2 * (s[0] + s[1])),
    ("rectangle", "diagonal", "2"): ("sqrt(a^2 + b^2)", _pythagoras),
    ("square", "area", "1"): ("a^2", lambda s: s[0] ** 2),
    ("square", "perimeter", "1"): ("4 a", lambda s: 4 * s[0]),
    ("square", "diagonal", "1"): ("a sqrt(2)", lambda s: s[0] * root(Fraction(2), 2)),
    ("parallelogram", "area", "2"): ("a h", lambda s: s[0] * s[1]),
    ("triangle base", "area", "2"): ("b h / 2", lambda s: s[0] * s[1] / 2),
    ("triangle", "area", "3"): ("Heron: sqrt(s (s - a) (s - b) (s - c))", _heron),
    ("triangle", "perimeter", "3"): ("a + b + c", lambda s: sum(s, Fraction(0))),
    ("equilateral triangle", "perimeter", "1"): ("3 a", lambda s: 3 * s[0]),
    ("equilateral triangle", "area", "1"): ("a^2 sqrt(3) / 4", lambda s: s[0] ** 2 * root(Fraction(3), 2) / 4),
    ("right triangle", "hypotenuse", "2"): ("sqrt(a^2 + b^2)", _pythagoras),
    ("trapezoid", "area", "3"): ("(a + b) h / 2", lambda s: (s[0] + s[1]) * s[2] / 2),
    ("circle radius", "area", "1"): ("pi r^2", lambda s: PI * s[0] ** 2),
    ("circle radius", "circumference", "1"): ("2 pi r", lambda s: 2 * PI * s[0]),
    ("circle diameter", "area", "1"): ("pi d^2 / 4", lambda s: PI * s[0] ** 2 / 4),
    ("circle diameter", "circumference", "1"): ("pi d", lambda s: PI * s[0]),
    ("cube", "volume", "1"): ("a^3", lambda s: s[0] ** 3),
    ("cube", "surface area", "1"): ("6 a^2", lambda s: 6 * s[0] ** 2),
    ("box", "volume", "3"): ("a b c", lambda s: s[0] * s[1] * s[2]),
    ("box", "surface area", "3"): ("2 (ab + bc + ca)", lambda s: 2 * (s[0] * s[1] + s[1] * s[2] + s[2] * s[0])),
    ("sphere radius", "volume", "1"): ("4/3 pi r^3", lambda s: PI * s[0] ** 3 * 4 / 3),
    ("sphere radius", "surface area", "1"): ("4 pi r^2", lambda s: 4 * PI * s[0] ** 2),
    ("cylinder radius", "volume", "2"): ("pi r^2 h", lambda s: PI * s[0] ** 2 * s[1]),
    ("cylinder radius", "surface area", "2"): ("2 pi r (r + h)", lambda s: 2 * PI * s[0] * (s[0] + s[1])),
    ("cone radius", "volume", "2"): ("pi r^2 h / 3", lambda s: PI * s[0] ** 2 * s[1] / 3),
}
"""(shape, what is measured, how many sizes) -> formula; a cylinder's and a cone's radius comes first."""

_MEASURE: Final = re.compile(r"\b(surface area|area|perimeter|circumference|volume|hypotenuse|diagonal)s?\b")
_SHAPE: Final = re.compile(
    r"\b(rectangular (?:prism|box)|rectangle|square|parallelogram|equilateral triangle"
    r"|right(?:-angled?| angled?)? triangle|triangle|trapezoid|trapezium|circle|cube|cuboid"
    r"|sphere|cylinder|cone)\b(?! (?:feet|foot|footage|units?|kilomet\w+|millimet\w+|meters?"
    r"|metres?|inch|inches|centimeters?|cm|m|km|miles?|yards?|roots?|ft))"
)
_BOXES: Final = ("rectangular prism", "rectangular box", "cuboid")
_ODD: Final = re.compile(
    r"\b(?:ratio|if (?:the )?(?:area|perimeter|volume)|double[ds]?|triple[ds]?|half|angles?"
    r"|degrees?|liters?|litres?|gallons?|convert|cost|per|formula|code|function|lateral"
    r"|isosceles|prism with|inscribed|circumscribed|semi|hexagon|vertices|apothem|slant"
    r"|difference|compare|altitude|and (?:the )?(?:perimeter|area|volume|circumference)"
    r"|program|coordinates|words?|sentence|story|explain|how many|missing|outer|inner|hollow|sum)\b"
)
_INVERSE: Final = re.compile(
    r"\b(?:given|using|with|has|from|whose|if) (?:the |its |an? )?(?:area|perimeter|volume"
    r"|surface area|circumference)\b|\b(?:area|perimeter|volume|circumference) ?(?:=|is|of|:) ?\d"
    r"|\b(?:find|calculate|determine|compute|what is) (?:the )?(?:length|side|radius|diameter|height|width|base)\b"
)
_UNIT: Final = re.compile(
    r"^\s?-?(centimet(?:er|re)s?|millimet(?:er|re)s?|kilomet(?:er|re)s?|met(?:er|re)s?"
    r"|inch(?:es)?|feet|foot|yards?|miles?|units?|cm|mm|km|m|ft|in(?= |$|,|\.)|yd)\b"
)
_POINTS: Final = re.compile(r"\(\s*(-?\d[\d.]*)\s*,\s*(-?\d[\d.]*)\s*\)")


def _geometry(ask: Ask, response: str) -> Iterator[Claim]:
    text = ask.text
    measures, shapes = set(_MEASURE.findall(text)), set(_SHAPE.findall(text))
    if len(text) > 300 or len(measures) != 1 or len(shapes) != 1 or _ODD.search(text) or _INVERSE.search(text):
        return
    measure, shape = measures.pop(), shapes.pop()
    sizes = _sizes(text)
    if shape == "circle" and measure == "perimeter":
        measure = "circumference"
    key = (_named(shape, measure, text), measure, str(len(sizes)))
    if key not in FORMULAS:
        return
    if len(sizes) > 1 and "height" in text:
        sizes = _height_last(text, sizes)
    formula, compute = FORMULAS[key]
    try:
        value = compute(sizes)
    except Unreadable:
        return
    how = f"{measure} of a {shape}: {formula} with {', '.join(map(shown, sizes))} = {shown(value)}"
    rough = "pi" in formula or "sqrt" in formula
    yield from judged("geometry", text, response, value, how, SLACK if rough else 0.0)


def _named(shape: str, measure: str, text: str) -> str:
    """Return the shape as the table names it, with what its sizes are: radius, diameter, base and height."""
    if shape in _BOXES:
        return "box"
    if shape == "trapezium":
        return "trapezoid" if "height" in text else shape
    if shape == "trapezoid" and "height" not in text:
        return "trapezoid without height"
    if shape in ("circle", "sphere", "cylinder", "cone"):
        words = [word for word in ("radius", "diameter") if re.search(rf"\b{word}\b", text)]
        if shape in ("cylinder", "cone") and "height" not in text:
            return shape
        return f"{shape} {words[0]}" if len(words) == 1 else shape
    if measure == "hypotenuse":
        return "right triangle" if not re.search(r"\bhypotenuse (?:of|is|=) ?\d", text) else shape
    if "triangle" in shape and measure == "area" and "base" in text and re.search(r"height", text):
        return "triangle base"
    return "triangle" if shape.startswith("right") and measure == "perimeter" else shape


def _sizes(text: str) -> list[Fraction]:
    """Return the sizes given, in one unit; empty when the units differ; a list given twice counts once."""
    found = [
        number
        for number in numbers(text)
        if not text[number.start].isalpha() and not re.match(r"(?:nd|rd|th|st|-?dimension)", text[number.end :])
    ]
    head, colon, rest = text.partition(": ")
    first = [number.value for number in found if number.end <= len(head)]
    again = [number.value for number in found if number.start > len(head)]
    if colon and rest and first and again:
        if first != again[: len(first)] or len(again) != len(first):
            return []
        found = found[: len(first)]
    units = {_unit(number, text) for number in found} - {""}
    return [number.value for number in found] if len(units) <= 1 else []


def _height_last(text: str, sizes: list[Fraction]) -> list[Fraction]:
    """Return the sizes with the one that follows the word `height` as the last."""
    places = [match.start() for match in re.finditer(r"\bheight(?=[\s:=]*(?:of |is )?\d)", text)]
    place = places[0] if places else text.find("height")
    after = [number for number in numbers(text) if 0 <= number.start - place - len("height") <= 12]
    between = text[place + len("height") : after[0].start] if len(after) == 1 else "-"
    if len(after) == 1 and after[0].value in sizes and re.fullmatch(r"[\s:=]*(?:of|is)?\s*", between):
        rest = list(sizes)
        rest.remove(after[0].value)
        return [*rest, after[0].value]
    return sizes


def _unit(number: Number, text: str) -> str:
    match = _UNIT.match(text[number.end : number.end + 16])
    word = match[1] if match else ""
    return {"meter": "m", "metre": "m", "centi": "cm", "milli": "mm", "kilom": "km", "feet": "ft", "foot": "ft"}.get(
        word[:5].rstrip("s"), word.rstrip("s").replace("inche", "in").replace("inch", "in")
    )


def _points(ask: Ask, response: str) -> Iterator[Claim]:
    """Check the slope or the distance of two points, or the area of a triangle of three."""
    text = ask.text
    points = list(dict.fromkeys((Fraction(x), Fraction(y)) for x, y in _POINTS.findall(text)))
    words = set(
        re.findall(r"\b(slope|gradient|distance|equation|angle|midpoint|perpendicular|parallel|intercept)\b", text)
    )
    if re.search(
        r"\b(?:city|cities|km|kilomet\w+|miles?|latitude|longitude|earth|manhattan|locations?|places)\b", text
    ):
        return
    if len(points) == 3 and "triangle" in text and not words and len(text) < 200:
        yield from _corners(text, response, points)
        return
    if len(points) != 2 or len(words) != 1 or len(text) > 200:
        return
    (x1, y1), (x2, y2) = points
    how = f"({shown(x1)}, {shown(y1)}) and ({shown(x2)}, {shown(y2)})"
    said = _POINTS.sub(" ", response)
    if words & {"slope", "gradient"} and x1 != x2:
        value = (y2 - y1) / (x2 - x1)
        yield from judged("geometry", text, said, value, f"slope of {how}: {shown(value)}")
    elif words == {"distance"}:
        value = root((x2 - x1) ** 2 + (y2 - y1) ** 2, 2)
        yield from judged("geometry", text, said, value, f"distance of {how}: {shown(value)}", SLACK)


def _corners(text: str, response: str, points: Sequence[tuple[Fraction, Fraction]]) -> Iterator[Claim]:
    """Check the area of a triangle by its corners: the shoelace formula."""
    if re.findall(r"\b(area|perimeter|centroid|type|angles?)\b", text)[:1] != ["area"] or re.search(
        r"\bperimeter|centroid", text
    ):
        return
    (x1, y1), (x2, y2), (x3, y3) = points
    value = abs(x1 * (y2 - y3) + x2 * (y3 - y1) + x3 * (y1 - y2)) / 2
    said = _POINTS.sub(" ", response)
    yield from judged(
        "geometry", text, said, value, f"half of |x1 (y2 - y3) + x2 (y3 - y1) + x3 (y1 - y2)| = {shown(value)}"
    )


def _both(ask: Ask, response: str) -> Iterator[Claim]:
    yield from _geometry(ask, response)
    yield from _points(ask, response)


GEOMETRY: Final = Family(
    r"(?i)\b(area|perimeter|circumference|volume|hypotenuse|diagonal|slope|gradient"
    r"|distance)\b(?s:.)*\d|\d(?s:.)*\b(area|perimeter|volume)\b",
    r"\d",
    _both,
)
