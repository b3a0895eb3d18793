"""The answer of a response is its only number, its first, or what follows `is`, `=` and alike."""

from __future__ import annotations

from fractions import Fraction

import pytest

from curate.computed.answer import answers, is_code, judged


def said(response: str) -> list[Fraction]:
    return [number.value for number in answers(response)]


@pytest.mark.parametrize(
    ("response", "values"),
    [
        ("42", [42]),
        ("$42.50", [Fraction(85, 2)]),
        ("The sum of 5 and 10 is 15.", [15]),
        ("6 - 4 = 2.", [2]),
        ("The answer is approximately 3.14", [Fraction(157, 50)]),
        ("There are nine words in the sentence.", [9]),
        ("x = 4", [4]),
        ("The mean is 16.25 (12 + 15 + 22 + 17 = 66).", [Fraction(65, 4), 66]),
        ("4 multiplied by 5 is equal to", []),
        ("Add the two numbers.", []),
        ("It is 5√2 long and 3 wide", []),
        ("1. Take 3 eggs\n2. Take 4 spoons", []),
    ],
)
def test_answers_are_found_where_people_put_them(response, values):
    assert said(response) == values


def verdicts(response: str, *expected: int, slack: float = 0.0, question: str = "4 and 5") -> list[str]:
    return [claim.verdict for claim in judged("k", question, response, [Fraction(e) for e in expected], "how", slack)]


def test_the_first_and_the_last_answer_count():
    assert verdicts("The total is 9 (3 x 3 = 9).", 9) == ["right"]
    assert verdicts("9 apples, since 4 + 5 = 9", 9) == ["right"]


def test_the_expected_value_in_the_middle_is_neither_right_nor_wrong():
    assert verdicts("First 4 + 5 = 9, then 9 / 3 = 3, so x is 1", 9) == []


def test_a_value_that_is_nowhere_makes_the_answer_wrong():
    assert verdicts("The total is 8.", 9) == ["wrong"]
    assert verdicts("The total is 8.", 9, 8) == ["right"]


def test_a_number_of_the_question_is_no_rounded_answer():
    assert verdicts("5 metres is 5.48 yards", 5, question="5 metres to yards") == ["right"]
    assert list(judged("k", "5 metres", "5 metres it is", Fraction(5468, 1000), "how", 0.012)) == []


def test_what_is_within_the_slack_is_left_open():
    assert verdicts("It is 101.", 100, slack=0.02) == []
    assert verdicts("It is 103.", 100, slack=0.02) == ["wrong"]


@pytest.mark.parametrize(
    "response", ["def add(a, b):\n    return 8", "print(8)", "```\n8\n```", "console.log(8)", "#include <stdio.h>\n8"]
)
def test_programs_are_no_answers(response):
    assert is_code(response)
    assert verdicts(response, 9) == []


@pytest.mark.parametrize("response", ["25π", "The area is 5 sqrt 2", "It is half of 18", "√8 is 2√2"])
def test_signs_that_stand_for_numbers_are_left_open(response):
    assert verdicts(response, 7) == []


def test_long_responses_are_left_open():
    assert verdicts("So it is 8. " * 400, 9) == []


def test_a_claim_names_both_values_and_the_proof():
    (claim,) = judged("k", "4 plus 5", "It is 8.", Fraction(9), "4 + 5 = 9")
    assert (claim.kind, claim.expected, claim.found, claim.how) == ("k", "9", "8", "4 + 5 = 9")
