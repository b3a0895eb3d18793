"""Numbers in other bases and Roman numerals, against int(text, base) and a table of strokes."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.computed.base import from_roman, in_base, roman
from tests.curate.computed.checking import claims, sole, verdict

ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
TENS = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC")
HUNDREDS = ("", "C", "CC", "CCC", "CD", "D", "DC", "DCC", "DCCC", "CM")


def test_every_roman_numeral_is_the_one_of_its_digits():
    for value in range(1, 4000):
        thousands, rest = divmod(value, 1000)
        assert roman(value) == "M" * thousands + HUNDREDS[rest // 100] + TENS[rest // 10 % 10] + ONES[rest % 10]


@pytest.mark.parametrize("text", ["", "IIII", "VX", "IC", "VV", "IXI", "MMMM", "XM", "LC", "IIX", "ABC", "M M"])
def test_what_is_no_usual_roman_numeral_has_no_value(text):
    assert from_roman(text) is None


@settings(max_examples=50)
@given(st.integers(0, 10**12), st.sampled_from([2, 8, 10, 16]))
def test_digits_in_a_base_are_read_back_by_python(value, base):
    assert int(in_base(value, base), base) == value


@settings(max_examples=50)
@given(st.integers(20, 100_000), st.sampled_from([("binary", 2), ("octal", 8), ("hexadecimal", 16)]))
def test_a_number_of_another_base_has_the_value_python_reads(value, base):
    name, size = base
    digits = in_base(value, size)
    prompt = f"Convert the {name} number {digits.upper()} to decimal."
    right = sole("base", prompt, f"The decimal value is {value:,}.")
    assert (right.verdict, right.expected) == ("right", str(value))
    wrong = sole("base", prompt, f"The decimal value is {value + 1}.")
    assert (wrong.verdict, wrong.expected, wrong.found) == ("wrong", str(value), str(value + 1))
    assert wrong.how == f"{digits} in base {size} = {value} = {value} in base 10"


@settings(max_examples=50)
@given(st.integers(300, 100_000), st.sampled_from([("octal", 8), ("hexadecimal", 16)]), st.integers(1, 9))
def test_a_number_is_written_in_another_base_as_python_writes_it(value, base, off):
    name, size = base
    true, other = in_base(value, size), in_base(value + off, size)
    prompt = f"Convert {value} to {name}."
    assume(str(value) not in (true, other))
    assert sole("base", prompt, f"{true.upper()}").verdict == "right"
    wrong = sole("base", prompt, f"{other.upper()}")
    assert (wrong.verdict, wrong.expected, wrong.found) == ("wrong", true, other.upper())


@pytest.mark.parametrize(
    "said",
    ["11001000", "0b11001000", "1100 1000", "0011001000", "200 in binary is 11001000.", "**11001000**", "(11001000)"],
)
def test_binary_digits_may_be_grouped_prefixed_and_padded(said):
    assert sole("base", "Convert 200 to binary.", said).verdict == "right"
    wrong = sole("base", "Convert 200 to binary.", said[::-1].replace("0001", "0011", 1)[::-1])
    assert (wrong.verdict, wrong.expected) == ("wrong", "11001000")


@pytest.mark.parametrize("said", ["0xC8", "C8", "c8", "The hexadecimal form is C8.", "0x00C8"])
def test_hexadecimal_digits_are_read_in_either_case(said):
    assert sole("base", "Convert 200 to hexadecimal.", said).verdict == "right"
    assert sole("base", "Convert 200 to hexadecimal.", said.replace("8", "9")).expected == "c8"


@pytest.mark.parametrize(
    "prompt",
    [
        "Convert 101101 from binary to decimal.",
        "Convert the following binary number to decimal: 101101",
        "Convert binary to decimal.\n\n101101",
        "Change the base 2 number 101101 to base 10.",
        "Convert 101101 from base 2 to base 10.",
    ],
)
def test_a_question_is_understood_in_any_order(prompt):
    found = [claims("base", prompt, f"It is {value}.") for value in (45, 46)]
    assert [claim.verdict for each in found for claim in each] == ["right", "wrong"]


@settings(max_examples=50)
@given(st.integers(2, 3999), st.integers(1, 50))
def test_a_roman_numeral_in_a_question_has_one_value(value, off):
    prompt = f"Convert the Roman numeral {roman(value)} to a number."
    assert sole("base", prompt, f"It is {value}.").verdict == "right"
    wrong = sole("base", prompt, f"It is {value + off}.")
    assert (wrong.verdict, wrong.expected, wrong.how) == ("wrong", str(value), f"{roman(value)} = {value}")


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Convert the binary number 1021 to decimal.", "777"),
        ("Convert the octal number 89 to decimal.", "777"),
        ("Convert the decimal number 25 to decimal.", "777"),
        ("Convert 0 to Roman numerals.", "MMM"),
        ("Convert 4000 to Roman numerals.", "MMM"),
        ("Convert the Roman numeral IIII to a number.", "777"),
        ("Convert the letter A to binary ASCII.", "1000001"),
        ("Convert 25 to binary.", "11011 or 11101"),
        ("Convert 25 to binary.", "1 + 8 + 16 makes 11011"),
        ("Convert 25 to binary.", "```\nbin(11011)\n```"),
        ("Convert 25 to base 7.", "11011"),
        ("Convert the binary number 1010 to hexadecimal and octal.", "777"),
    ],
)
def test_what_is_no_single_number_in_a_known_base_is_left_alone(prompt, response):
    assert claims("base", prompt, response) == []


def test_the_proof_of_a_roman_numeral_names_it():
    claim = sole("base", "Write 2024 in Roman numerals.", "2024 is MMXIV.")
    assert (claim.expected, claim.found, claim.how) == ("MMXXIV", "MMXIV", "2024 = MMXXIV")
    assert verdict("base", "Write 2024 in Roman numerals.", "I think that 2024 is MMXXIV.") == "right"
