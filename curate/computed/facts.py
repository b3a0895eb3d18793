"""Symbols and atomic numbers of the elements, capitals and continents of countries."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask, bare, plain
from curate.computed.claim import Claim, Family, ruling

_SYMBOL: Final = re.compile(
    r"(?:the )?(?:chemical |atomic |element )?symbol (?:of|for|used for|representing) (?:the"
    r" )?(?:chemical )?(?:element )?(?P<name>[a-z]+)(?: on the periodic table| in the periodic"
    r" table)?"
)
_NUMBER: Final = re.compile(
    r"(?:the )?atomic number (?:of|for) (?:the )?(?:chemical )?(?:element )?(?:called |named )?(?P<name>[a-z]+)"
)
_OF_SYMBOL: Final = re.compile(
    r"(?:what |which )?(?:the )?(?:name of (?:the )?)?(?:chemical )?element (?:has |with |represented by |whose"
    r" symbol is |that has )?(?:the |a )?(?:chemical |atomic )?(?P<by>symbol|number)(?: of| is)?"
    r" \"?(?P<what>[a-z]{1,2}|\d{1,3})\"?"
)
_CAPITAL: Final = re.compile(
    r"(?:the )?(?:name of (?:the )?)?(?:capital|capital city|capital of the country) (?:of|for)"
    r" (?:the country (?:of )?)?(?P<name>[a-zéôü' -]{2,40})"
)
_SAID: Final = re.compile(
    r"\b[Tt]he capital (?:city )?of (?P<name>[A-Z][A-Za-zé' -]{2,40}?) is (?P<said>[A-Z][\w' -]{2"
    r",40}?)(?=[.,;\n]|$| and | which | in )"
)
_CITIES: Final = frozenset({
    "sydney", "melbourne", "new york", "los angeles", "chicago", "toronto", "montreal", "vancouver",
    "rio de janeiro", "sao paulo", "são paulo", "istanbul", "zurich", "geneva", "auckland", "karachi", "lahore",
    "mumbai", "kolkata", "shanghai", "hong kong", "barcelona", "milan", "munich", "frankfurt", "casablanca",
    "marrakech", "johannesburg", "durban", "ho chi minh city", "saigon", "guayaquil", "rangoon", "yangon",
    "almaty", "tangier", "st. petersburg", "saint petersburg", "dubai", "jeddah", "osaka", "busan", "antwerp",
    "rotterdam", "porto", "krakow",
})  # fmt: skip
"""Large cities that are no capitals."""
_CONTINENTS: Final = (
    "north america",
    "south america",
    "central america",
    "africa",
    "asia",
    "europe",
    "oceania",
    "australia",
    "antarctica",
)


@cache
def elements() -> dict[str, tuple[int, str]]:
    """Return name in lower case -> (atomic number, symbol)."""
    text = files("curate.computed").joinpath("data/elements.txt").read_text("utf-8")
    return {
        name: (int(row["number"]), row["symbol"])
        for row in csv.DictReader(text.splitlines())
        for name in row["names"].split("|")
    }


@cache
def countries() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return name in lower case -> (capitals, continents)."""
    text = files("curate.computed").joinpath("data/countries.txt").read_text("utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter=";")
    return {
        name: (tuple(row["capitals"].split("|")), tuple(row["continents"].split("|")))
        for row in rows
        for name in row["names"].split("|")
    }


def _element(ask: Ask, response: str) -> Iterator[Claim]:
    text = bare(ask.text)
    if match := _SYMBOL.fullmatch(text):
        if match["name"] in elements():
            number, symbol = elements()[match["name"]]
            tokens = [
                t
                for t in re.findall(r"\b[A-Z][a-z]?\b", response)
                if t not in ("A", "I", "It", "Is", "In", "No") or t == symbol
            ]
            if tokens and len(response) < 300:
                right = symbol in tokens
                if right or len(set(tokens)) == 1:
                    yield Claim(
                        "fact", text, symbol, tokens[0], ruling(right), f"element {number}, {match['name']}: {symbol}"
                    )
    elif match := _NUMBER.fullmatch(text):
        if match["name"] in elements():
            number, _ = elements()[match["name"]]
            yield from judged("fact", text, response, Fraction(number), f"{match['name']} is element {number}")
    elif match := _OF_SYMBOL.fullmatch(text):
        yield from _named(text, match["by"], match["what"], response)


def _named(text: str, by: str, what: str, response: str) -> Iterator[Claim]:
    true = {
        name
        for name, (number, symbol) in elements().items()
        if (str(number) if by == "number" else symbol.lower()) == what
    }
    said = [name for name in re.findall(r"[a-z]+", plain(response)[:300]) if name in elements()]
    if true and said and (set(said) & true or len(set(said)) == 1):
        yield Claim(
            "fact",
            text,
            " or ".join(sorted(true)),
            said[0],
            ruling(bool(set(said) & true)),
            f"element with {by} {what}: {' or '.join(sorted(true))}",
        )


def _capital(ask: Ask, response: str) -> Iterator[Claim]:
    match = _CAPITAL.fullmatch(bare(ask.text))
    if match and match["name"].strip() in countries():
        capitals, _ = countries()[match["name"].strip()]
        said = plain(response)
        right = any(re.search(rf"(?<!\w){re.escape(capital)}(?!\w)", said) for capital in capitals)
        if right or (len(said.split()) <= 15 and _another_city(said, match["name"])):
            yield _claim(f"the capital of {match['name'].strip()}", capitals, said[:100], right=right)
        return
    for said_match in _SAID.finditer(response):
        name, city = plain(said_match["name"]), plain(said_match["said"])
        if (
            name in countries()
            and f"capital of {name}" not in ask.text
            and not re.search(r"true or false|fact or|false|incorrect|edit|correct|not\b|fiction|fantasy", ask.text)
        ):
            capitals, _ = countries()[name]
            right = any(city.startswith(capital) for capital in capitals)
            if right or _another_city(city, name):
                yield _claim(f"the capital of {name}", capitals, city, right=right)


def _another_city(said: str, name: str) -> bool:
    """Return whether a text names a large city, or a capital, whose name is not the country's."""
    known = {capital for capitals, _ in countries().values() for capital in capitals} | _CITIES
    return any(city not in name and re.search(rf"(?<!\w){re.escape(city)}(?!\w)", said) for city in known)


def _claim(what: str, expected: tuple[str, ...], found: str, *, right: bool) -> Claim:
    want = " or ".join(expected)
    return Claim("fact", what, want, found, ruling(right), f"{what}: {want}")


def _continent(ask: Ask, response: str) -> Iterator[Claim]:
    text = ask.text.strip(" ?.!")
    match = re.fullmatch(
        r"(?:on |in )?(?:which|what) continent (?:is|does|do|are) (?P<name>[a-z' -]{2,40}?)(?:"
        r" located| found| situated| belong to| in| on| lie| lie in| part of)*(?: on| in)?",
        text,
    ) or re.fullmatch(
        r"(?:name|identify|find|tell me|what is) the continent (?:of|on which|in which|where|that)"
        r" (?P<name>[a-z' -]{2,40}?)(?: is| is located| is in| is located in)*",
        text,
    )
    if match and match["name"] in countries():
        _, continents = countries()[match["name"]]
        said = [name for name in _CONTINENTS if name in plain(response)]
        if said and (len(said) == 1 or set(said) & set(continents)) and match["name"] not in _CONTINENTS:
            yield _claim(
                f"the continent of {match['name']}", continents, said[0], right=bool(set(said) & set(continents))
            )


def _fact(ask: Ask, response: str) -> Iterator[Claim]:
    if len(ask.raw) <= 500 and len(response) <= 3000:
        for check in (_element, _capital, _continent):
            yield from check(ask, response)


FACT: Final = Family(r"(?i)\b(symbol|atomic number|element|capital|continent)\b", r"\w", _fact)
