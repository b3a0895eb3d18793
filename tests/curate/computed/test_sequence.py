"""Lists of whole numbers and the next number of a sequence, against loops and itertools."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate, repeat

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.computed.sequence import divisors, fibonacci, is_prime, primes
from tests.curate.computed.checking import claims, sole, verdict


def test_primes_are_the_numbers_without_a_smaller_divisor():
    slow = [n for n in range(2, 600) if all(n % d for d in range(2, n))]
    assert primes(0, 599) == slow
    assert primes(14, 16) == []
    assert [is_prime(n) for n in (-7, 0, 1, 2)] == [False, False, False, True]


@settings(max_examples=40)
@given(st.integers(1, 10**6))
def test_divisors_come_in_pairs(n):
    found = divisors(n)
    assert found == sorted(set(found))
    assert all(one * other == n for one, other in zip(found, reversed(found), strict=True))


def test_fibonacci_numbers_are_those_of_the_golden_section():
    golden = (1 + math.sqrt(5)) / 2
    assert fibonacci(60) == [round(golden**n / math.sqrt(5)) for n in range(60)]
    assert fibonacci(1) == [0]


@settings(max_examples=50)
@given(st.integers(4, 3000), st.sampled_from([", ", " x ", " × ", " * "]))
def test_a_factorisation_is_right_in_any_order_and_wrong_when_a_factor_grows(n, glue):
    parts, rest = [], n
    for p in range(2, n + 1):
        while rest % p == 0:
            parts.append(p)
            rest //= p
    assume(len(parts) > 1)
    prompt = f"Find the prime factorization of {n}."
    right = sole("integer", prompt, f"{n} = {glue.join(map(str, reversed(parts)))}")
    assert (right.verdict, right.expected) == ("right", " * ".join(map(str, parts)))
    slip = [*parts[:-1], parts[-1] + 2]
    wrong = sole("integer", prompt, f"{n} = {glue.join(map(str, slip))}")
    assert (wrong.verdict, wrong.found) == ("wrong", glue.join(map(str, slip)).replace("×", "*"))


@pytest.mark.parametrize("said", ["2^3 * 3^2 * 5", "2³ × 3² × 5", "2 x 2 x 2 x 3 x 3 x 5", "360 = 2^3 x 3^2 x 5"])
def test_powers_of_primes_are_read_in_every_notation(said):
    assert sole("integer", "What is the prime factorization of 360?", said).verdict == "right"
    wrong = sole("integer", "What is the prime factorization of 180?", said)
    assert (wrong.verdict, wrong.expected) == ("wrong", "2 * 2 * 3 * 3 * 5")


@settings(max_examples=40)
@given(st.integers(6, 900))
def test_the_factors_of_a_number_are_all_its_divisors(n):
    true = [d for d in range(1, n + 1) if n % d == 0]
    assume(len(true) > 3)
    prompt = f"List all the factors of {n}."
    assert sole("integer", prompt, ", ".join(map(str, true))).verdict == "right"
    assert claims("integer", prompt, ", ".join(map(str, true[1:-1]))) == []
    other = next(k for k in range(2, n) if n % k)
    wrong = sole("integer", prompt, f"The factors are {', '.join(map(str, sorted([*true, other])))}.")
    assert (wrong.verdict, wrong.expected) == ("wrong", ", ".join(map(str, true)))


@pytest.mark.parametrize(
    ("prompt", "true"),
    [
        ("List the first 6 prime numbers.", [2, 3, 5, 7, 11, 13]),
        ("List the first 5 even numbers.", [2, 4, 6, 8, 10]),
        ("List the first 5 even numbers.", [0, 2, 4, 6, 8]),
        ("Write the first 5 odd numbers.", [1, 3, 5, 7, 9]),
        ("List the first 5 perfect square numbers.", [1, 4, 9, 16, 25]),
        ("List the first 7 terms of the Fibonacci sequence.", [0, 1, 1, 2, 3, 5, 8]),
        ("List the first 7 terms of the Fibonacci sequence.", [1, 1, 2, 3, 5, 8, 13]),
        ("List all prime numbers between 11 and 29.", [11, 13, 17, 19, 23, 29]),
        ("List all prime numbers between 11 and 29.", [13, 17, 19, 23]),
        ("List the prime numbers less than 13.", [2, 3, 5, 7, 11]),
        ("List the odd numbers from 3 to 11.", [3, 5, 7, 9, 11]),
        ("List the even numbers up to 10.", [2, 4, 6, 8, 10]),
    ],
)
def test_a_list_is_right_as_a_whole_and_wrong_with_one_number_more_or_another(prompt, true):
    said = ", ".join(map(str, true))
    for shape in (said, f"[{said}]", said.replace(", ", "\n"), f"The numbers are {said}."):
        assert sole("integer", prompt, shape).verdict == "right"
    wrong = sole("integer", prompt, ", ".join(map(str, [*true[:-1], true[-1] + 7])))
    assert wrong.verdict == "wrong"
    assert wrong.found.endswith(str(true[-1] + 7))
    assert sole("integer", prompt, ", ".join(map(str, [*true, 997]))).verdict == "wrong"


@settings(max_examples=40)
@given(st.integers(-50, 50), st.integers(-20, 20), st.integers(4, 7))
def test_an_arithmetic_sequence_goes_on_by_its_difference(start, step, length):
    *terms, value = accumulate(repeat(step, length), initial=start)
    assume(value not in terms and value + 100 not in terms)
    prompt = f"What is the next number in the sequence {', '.join(map(str, terms))}?"
    right = sole("integer", prompt, f"The next number is {value}.")
    assert (right.verdict, right.expected) == ("right", str(value))
    assert sole("integer", prompt, f"The next number is {value + 100}.").verdict == "wrong"


@settings(max_examples=40)
@given(st.integers(1, 30), st.sampled_from([2, 3, 5, -2]), st.integers(4, 6))
def test_a_geometric_sequence_goes_on_by_its_ratio(start, ratio, length):
    terms = [start * ratio**k for k in range(length)]
    value = start * ratio**length
    prompt = f"Find the next term in the geometric sequence: {', '.join(map(str, terms))}, ..."
    assert sole("integer", prompt, f"The next term is {value}.").verdict == "right"
    added = sole("integer", prompt, f"The next term is {abs(value) + 1}.")
    assert (added.verdict, added.expected) == ("wrong", str(value))


def test_a_sequence_may_go_on_in_fractions():
    prompt = "What is the next number in the sequence 40, 20, 10, 5?"
    for said in ("2.5", str(Fraction(5, 2)), "2 1/2"):
        assert verdict("integer", prompt, f"The next number is {said}.") == "right"
    assert sole("integer", prompt, "The next number is 1.").expected == "2.5"


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("What is the next number in the sequence 1, 2, 4, 7?", "12"),
        ("What is the next number in the sequence 2, 4, 6?", "9"),
        ("What is the next number in the sequence 0, 0, 1, 3?", "9"),
        ("List the first 5 prime numbers.", "2, 3, 5, ..."),
        ("List the first 5 prime numbers.", "3, 2, 5, 7, 11"),
        ("List the first 5 prime numbers.", "The first is 2 and so on."),
        ("List the first prime number.", "4"),
        ("List the prime numbers between 11.", "11, 13, 15"),
        ("Find the factors of 1.", "1, 2, 3"),
        ("Find the factors of 12.", "(1, 12), (2, 6), (3, 5)"),
        ("Find the prime factors of 12.", "They are found by dividing by two twice."),
    ],
)
def test_a_list_or_sequence_that_is_not_certain_is_left_alone(prompt, response):
    assert claims("integer", prompt, response) == []
