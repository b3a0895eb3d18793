"""The tables of units and formulas agree with figures from elsewhere."""

from __future__ import annotations

import math
from datetime import date
from fractions import Fraction

import pytest

from curate.computed.calendar import dates
from curate.computed.conversion import UNITS
from curate.computed.counting import characters, sentences, words
from curate.computed.geometry import FORMULAS
from curate.computed.sequence import factors, fibonacci, primes
from tests.curate.computed.checking import claims, verdict


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Convert 1 mile to feet", "5280 feet"),
        ("Convert 1 yard to inches", "36 inches"),
        ("Convert 2.54 cm to inches", "1 inch"),
        ("Convert 1 nautical mile to meters", "1852 meters"),
        ("Convert 16 ounces to pounds", "1 pound"),
        ("Convert 1 stone to pounds", "14 pounds"),
        ("Convert 1 tonne to kg", "1000 kg"),
        ("Convert 4 quarts to gallons", "1 gallon"),
        ("Convert 16 tablespoons to cups", "1 cup"),
        ("Convert 3 teaspoons to tablespoons", "1 tablespoon"),
        ("Convert 640 acres to square miles", "1 square mile"),
        ("Convert 1 hectare to square meters", "10,000 square meters"),
        ("Convert 36 km/h to m/s", "10 m/s"),
        ("Convert 60 mph to feet per second", "88 feet per second"),
        ("Convert 2 weeks to days", "14 days"),
        ("Convert 3 years to months", "36 months"),
        ("Convert 2 centuries to years", "200 years"),
        ("Convert 1 MB to KB", "1024 KB"),
        ("Convert 1 MB to KB", "1000 KB"),
        ("Convert 16 bits to bytes", "2 bytes"),
        ("Convert 3 dozen to pieces", "36 pieces"),
        ("Convert 180 degrees to radians", "3.14159 radians"),
        ("Convert 98.6 Fahrenheit to Celsius", "37 Celsius"),
        ("Convert 0 Kelvin to Celsius", "-273.15 Celsius"),
        ("Convert -40 C to F", "-40 F"),
    ],
)
def test_conversions_known_by_heart_are_right(question, answer):
    assert verdict("conversion", question, answer) == "right"


def test_every_unit_has_a_positive_size():
    assert all(size > 0 for kinds in UNITS.values() for sizes in kinds.values() for size in sizes)


FIGURES = {
    ("rectangle", "area", "2"): (3, 4, 12),
    ("rectangle", "perimeter", "2"): (3, 4, 14),
    ("rectangle", "diagonal", "2"): (3, 4, 5),
    ("square", "area", "1"): (5, 25),
    ("square", "perimeter", "1"): (5, 20),
    ("square", "diagonal", "1"): (5, 5 * math.sqrt(2)),
    ("parallelogram", "area", "2"): (6, 7, 42),
    ("triangle base", "area", "2"): (6, 7, 21),
    ("triangle", "area", "3"): (13, 14, 15, 84),
    ("triangle", "perimeter", "3"): (13, 14, 15, 42),
    ("equilateral triangle", "perimeter", "1"): (4, 12),
    ("equilateral triangle", "area", "1"): (4, 4 * math.sqrt(3)),
    ("right triangle", "hypotenuse", "2"): (5, 12, 13),
    ("trapezoid", "area", "3"): (5, 7, 3, 18),
    ("circle radius", "area", "1"): (2, 4 * math.pi),
    ("circle radius", "circumference", "1"): (2, 4 * math.pi),
    ("circle diameter", "area", "1"): (4, 4 * math.pi),
    ("circle diameter", "circumference", "1"): (4, 4 * math.pi),
    ("cube", "volume", "1"): (3, 27),
    ("cube", "surface area", "1"): (3, 54),
    ("box", "volume", "3"): (2, 3, 4, 24),
    ("box", "surface area", "3"): (2, 3, 4, 52),
    ("sphere radius", "volume", "1"): (3, 36 * math.pi),
    ("sphere radius", "surface area", "1"): (3, 36 * math.pi),
    ("cylinder radius", "volume", "2"): (2, 5, 20 * math.pi),
    ("cylinder radius", "surface area", "2"): (2, 5, 28 * math.pi),
    ("cone radius", "volume", "2"): (3, 4, 12 * math.pi),
}


@pytest.mark.parametrize("key", FORMULAS)
def test_every_formula_gives_the_figure_of_the_textbook(key):
    *sizes, value = FIGURES[key]
    assert math.isclose(float(FORMULAS[key][1]([Fraction(size) for size in sizes])), value, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("July 4, 1776", [[date(1776, 7, 4)]]),
        ("4th of July 1776", [[date(1776, 7, 4)]]),
        ("2020-02-29", [[date(2020, 2, 29)]]),
        ("2/3/2020", [[date(2020, 2, 3), date(2020, 3, 2)]]),
        ("25/12/2020", [[date(2020, 12, 25)]]),
        ("february 30, 2020", [[]]),
        ("from jan 1, 2020 to feb 1, 2020", [[date(2020, 1, 1)], [date(2020, 2, 1)]]),
        ("in 2020", []),
    ],
)
def test_dates_are_read_in_their_usual_spellings(text, days):
    assert dates(text.lower()) == days


def test_counts_hold_every_usual_reading():
    assert words("a well-known cat's toy") == {4, 5}
    assert words("3 cats") == {1, 2}
    assert {13, 12, 10} <= characters("Hello, World!")
    assert sentences("I ran. She sat! Did we eat?") == {3}
    assert sentences("Dr. Smith ran.") == set()
    assert sentences('He said: "No." She left.') == set()


def test_sequences_are_the_well_known_ones():
    assert fibonacci(10) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
    assert primes(10, 30) == [11, 13, 17, 19, 23, 29]
    assert factors(999_999_937) == [999_999_937]
    assert factors(360) == [2, 2, 2, 3, 3, 5]


@pytest.mark.parametrize(
    ("kind", "prompt", "response"),
    [
        ("statistic", "Calculate the sum of all the numbers between 0 and 10.", "55"),
        ("order", "Given a list, find the longest increasing sequence in the array\n\n5, 4, 7, 6", "5, 7"),
        ("geometry", "Given the coordinates of two cities, find the distance.\n\n(3.6, 40.4), (73.9, 40.7)", "3,363"),
        ("equation", "Find the value of the expression 3x2 - 2.\n\nx=5", "73"),
        ("palindrome", "Create a palindrome sentence.", '"Madam, I\'m Adam."'),
        ("palindrome", "Find the minimum number of deletions to make it a palindrome.\n\nGTACAT", "Two are needed."),
        ("arithmetic", "Convert the number 9,250 to its decimal form.", "9.25"),
        ("anagram", "Unscramble the letters and identify the word.\n\nkxnao", "Oaknx (Knox)"),
        ("reverse", "Reverse the order of the words to make a new sentence.\n\nWe had time.", "Time we did have."),
        ("stated", "Compose music.", "M:4/4\nQ:1/4=100"),
        ("stated", "When does the sun set?", "It sets at 6:00+48=6:48"),
        ("stated", "What does he earn?", "He earns $2000 / 2/3 = $3000."),
        ("stated", "Give facts.", "- 6 x 6 = 36"),
        ("fact", "What is the capital of Romania?", "Bucuresti"),
        ("counting", "How many characters in Brawl have the Landmaster?", "3"),
        ("geometry", "What is the forest cover area in square kilometers in the report 2019?", "38,575.48"),
        ("arithmetic", "[ 3.252 -96.68 -92.384]", "-96.68"),
        ("percentage", "What is the price after 20% off $50?", "$40"),
    ],
)
def test_what_was_once_flagged_by_mistake_is_flagged_no_more(kind, prompt, response):
    assert verdict(kind, prompt, response) != "wrong"


def test_the_height_of_a_shape_is_the_number_after_the_word():
    prompt = "Calculate the surface area of the cylinder given its radius and height.\n\nRadius: 3\nHeight: 5"
    (claim,) = claims("geometry", prompt, "141.37")
    assert claim.expected == "150.7964474"
    prompt = "Find the area of a trapezoid with a height of 50m, top width of 20m, and a bottom width of 25m."
    (claim,) = claims("geometry", prompt, "750")
    assert claim.expected == "1125"
