"""Elements, capitals and continents: the tables are whole and the answers are read with care."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.computed.facts import countries, elements
from tests.curate.computed.checking import claims, sole, verdict

ELEMENTS = sorted(elements())


def test_the_elements_are_the_118_of_the_periodic_table():
    numbers = {number: symbol for number, symbol in elements().values()}
    assert sorted(numbers) == list(range(1, 119))
    assert len(set(numbers.values())) == 118
    assert all(symbol[0].isupper() and symbol[1:].islower() | (len(symbol) == 1) for symbol in numbers.values())


@pytest.mark.parametrize(
    ("number", "symbol", "name"),
    [
        (1, "H", "hydrogen"),
        (11, "Na", "sodium"),
        (19, "K", "potassium"),
        (26, "Fe", "iron"),
        (47, "Ag", "silver"),
        (50, "Sn", "tin"),
        (74, "W", "tungsten"),
        (79, "Au", "gold"),
        (80, "Hg", "mercury"),
        (82, "Pb", "lead"),
        (92, "U", "uranium"),
        (118, "Og", "oganesson"),
    ],
)
def test_elements_are_those_of_any_periodic_table(number, symbol, name):
    assert elements()[name] == (number, symbol)


@settings(max_examples=40)
@given(st.sampled_from(ELEMENTS), st.sampled_from(ELEMENTS))
def test_the_symbol_of_one_element_is_wrong_for_any_other_unless_it_is_a_word(name, other):
    (number, symbol), (_, said) = elements()[name], elements()[other]
    prompt = f"What is the chemical symbol for {name}?"
    if said in ("I", "In", "No") and said != symbol:
        assert claims("fact", prompt, said) == []
        return
    claim = sole("fact", prompt, said)
    assert claim.verdict == ("right" if said == symbol else "wrong")
    assert (claim.expected, claim.found) == (symbol, said)
    assert claim.how == f"element {number}, {name}: {symbol}"


@settings(max_examples=40)
@given(st.sampled_from(ELEMENTS), st.integers(1, 118))
def test_the_atomic_number_is_checked(name, said):
    number, _ = elements()[name]
    claim = sole("fact", f"What is the atomic number of {name}?", f"The atomic number of {name} is {said}.")
    assert (claim.verdict, claim.expected) == ("right" if said == number else "wrong", str(number))


@settings(max_examples=30)
@given(st.integers(1, 118), st.sampled_from(ELEMENTS))
def test_an_element_is_named_by_its_number(number, said):
    claim = sole("fact", f"Which element has the atomic number {number}?", f"It is {said}.")
    assert claim.verdict == ("right" if elements()[said][0] == number else "wrong")
    assert all(elements()[name][0] == number for name in claim.expected.split(" or "))


def test_every_country_has_a_capital_and_a_continent():
    known = {"africa", "asia", "europe", "oceania", "north america", "south america", "central america", "australia"}
    for name, (capitals, continents) in countries().items():
        assert all(capitals), name
        assert set(continents) <= known, name


def test_every_capital_of_the_table_is_right():
    for name, (capitals, _) in countries().items():
        for capital in capitals:
            prompt = f"What is the capital of {name.title()}?"
            assert verdict("fact", prompt, f"The capital is {capital.title()}.") == "right", name


@pytest.mark.parametrize(
    ("country", "capital", "city"),
    [
        ("Canada", "Ottawa", "Toronto"),
        ("Brazil", "Brasilia", "Rio de Janeiro"),
        ("Turkey", "Ankara", "Istanbul"),
        ("Switzerland", "Bern", "Zurich"),
        ("Morocco", "Rabat", "Casablanca"),
        ("Pakistan", "Islamabad", "Karachi"),
        ("Vietnam", "Hanoi", "Ho Chi Minh City"),
        ("New Zealand", "Wellington", "Auckland"),
        ("Kazakhstan", "Astana", "Almaty"),
        ("France", "Paris", "Rome"),
    ],
)
def test_the_largest_city_is_not_the_capital(country, capital, city):
    prompt = f"What is the capital of {country}?"
    assert sole("fact", prompt, f"{capital}").verdict == "right"
    wrong = sole("fact", prompt, f"The capital of {country} is {city}.")
    assert wrong.verdict == "wrong"
    assert capital.lower() in wrong.expected.split(" or ")
    passing = sole("fact", "Tell me about the world.", f"As we know, the capital of {country} is {city}, a large city.")
    assert (passing.verdict, passing.found) == ("wrong", city.lower())


def test_both_capitals_of_a_country_with_two_are_right():
    for city in ("Amsterdam", "Pretoria", "Cape Town", "La Paz"):
        country = {"Amsterdam": "the Netherlands", "La Paz": "Bolivia"}.get(city, "South Africa")
        assert verdict("fact", f"What is the capital of {country}?", f"It is {city}.") == "right", city


@pytest.mark.parametrize(
    ("prompt", "response", "expected"),
    [
        ("Which continent is Ghana in?", "Ghana is in Africa.", "right"),
        ("Which continent is Ghana in?", "Ghana is in Asia.", "wrong"),
        ("On which continent is Peru located?", "South America", "right"),
        ("On which continent is Peru located?", "North America", "wrong"),
        ("What continent does Russia lie in?", "Asia", "right"),
        ("What continent does Russia lie in?", "Europe and Asia", "right"),
        ("What continent does Russia lie in?", "Africa", "wrong"),
        ("Name the continent of Japan.", "Europe", "wrong"),
    ],
)
def test_a_continent_is_checked(prompt, response, expected):
    assert sole("fact", prompt, response).verdict == expected


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("What is the capital of France?", "It is a fine town on a river."),
        ("What is the capital of the moon?", "Paris"),
        ("Write fiction.", "The capital of France is a secret."),
        ("Is this fact or fiction? Edit it.", "The capital of France is Rome."),
        ("What is the chemical symbol for water?", "Fe"),
        ("What is the chemical symbol for gold?", "Ag, Fe or Pb"),
        ("What is the chemical symbol for gold?", "In Latin, it is No"),
        ("Which element has the atomic number 119?", "Iron"),
        ("Which continent is Ghana in?", "Asia or Europe"),
        ("What is the capital of France? " + "Please. " * 80, "Rome"),
    ],
)
def test_what_the_tables_do_not_settle_is_left_alone(prompt, response):
    assert claims("fact", prompt, response) == []
