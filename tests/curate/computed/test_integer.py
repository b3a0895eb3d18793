"""Primes, parity, common divisors and sums of whole numbers, against a sieve and loops."""

from __future__ import annotations

import math
from itertools import count, islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.curate.computed.checking import claims, sole, verdict


def sieve(limit: int) -> list[int]:
    crossed = {multiple for one in range(2, math.isqrt(limit) + 1) for multiple in range(one * one, limit + 1, one)}
    return [one for one in range(2, limit + 1) if one not in crossed]


PRIMES = sieve(10_000)


@settings(max_examples=50)
@given(st.one_of(st.sampled_from(PRIMES), st.integers(2, 10_000)), st.booleans())
def test_a_prime_is_one_that_the_sieve_leaves(n, said):
    true = n in PRIMES
    response = f"Yes, {n} is a prime number." if said else f"No, {n} is not a prime number."
    claim = sole("integer", f"Is {n} a prime number?", response)
    assert claim.verdict == ("right" if said == true else "wrong")
    assert (claim.expected, claim.found) == tuple("yes" if one else "no" for one in (true, said))
    left, right = claim.how.split(" = ")
    assert math.prod(map(int, right.split(" * "))) == int(left) == n


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Prime", "yes"),
        ("Composite", "no"),
        ("Not prime", "no"),
        ("Not a prime.", "no"),
        ("51 is a composite number.", "no"),
        ("False", "no"),
        ("It is prime.", "yes"),
        ("The number isn't prime.", "no"),
    ],
)
def test_prime_or_composite_may_be_told_in_a_word(said, told):
    claim = sole("integer", "Is 51 prime or composite?", said)
    assert (claim.expected, claim.found) == ("no", told)
    assert claim.how == "51 = 3 * 17"


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(["even", "odd"]))
def test_a_number_is_even_or_odd_by_its_last_digit(n, said):
    true = "even" if str(n)[-1] in "02468" else "odd"
    claim = sole("integer", f"Is {n:,} even or odd?", f"{n:,} is {said}.")
    assert (claim.verdict, claim.expected) == ("right" if said == true else "wrong", true)


@settings(max_examples=30)
@given(st.integers(1, 5000), st.integers(1, 40), st.booleans())
def test_a_number_is_divisible_when_it_is_in_the_row_of_multiples(n, by, said):
    true = n in range(0, n + 1, by)
    claim = sole("integer", f"Is {n} divisible by {by}?", "Yes." if said else "No.")
    assert claim.verdict == ("right" if said == true else "wrong")
    assert claim.how == f"{n} mod {by} = {n % by}"


@settings(max_examples=50)
@given(st.lists(st.integers(2, 60), min_size=2, max_size=3), st.booleans())
def test_common_divisors_and_multiples_are_found_by_trying_all(given_, greatest):
    if greatest:
        value = max(d for d in range(1, min(given_) + 1) if all(n % d == 0 for n in given_))
        name = "greatest common divisor"
    else:
        value = next(m for m in count(max(given_), 1) if all(m % n == 0 for n in given_))
        name = "least common multiple"
    prompt = f"Find the {name} of {', '.join(map(str, given_))}."
    assert sole("integer", prompt, f"It is {value}.").verdict == "right"
    assume(value + 1000 not in given_)
    wrong = sole("integer", prompt, f"It is {value + 1000}.")
    assert (wrong.verdict, wrong.expected) == ("wrong", str(value))
    assert wrong.how.endswith(f" = {value}")


@pytest.mark.parametrize("n", [1, 2, 3, 10, 25, 40])
def test_the_nth_prime_is_that_of_the_sieve(n):
    prompt, value = f"What is the {n}th prime number?", PRIMES[n - 1]
    assert verdict("integer", prompt, f"The answer is {value}.") == "right"
    assert sole("integer", prompt, f"The answer is {value + 5000}.").expected == str(value)


def additions():
    one, two = 0, 1
    while True:
        yield one
        one, two = two, one + two


@pytest.mark.parametrize("n", [5, 9, 12, 20, 30])
def test_the_nth_fibonacci_number_may_count_from_zero_or_one(n):
    before, after = islice(additions(), n - 1, n + 1)
    prompt = f"What is the {n}th Fibonacci number?"
    for value in (before, after):
        assert verdict("integer", prompt, f"The answer is {value}.") == "right"
    assert sole("integer", prompt, f"The answer is {after + before}.").expected == f"{before} or {after}"


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("the first 100 natural numbers", 100 * 101 // 2),
        ("the first 40 odd numbers", 40**2),
        ("the first 40 even numbers", 40 * 41),
        ("the first 40 even numbers", 40 * 39),
        ("the squares of the first 12 natural numbers", 12 * 13 * 25 // 6),
        ("all integers from 7 to 93", sum(range(7, 94))),
        ("the even numbers from 3 to 21", sum(range(4, 21, 2))),
        ("all odd numbers between 1 and 99", sum(range(1, 100, 2))),
        ("all odd numbers between 1 and 99", sum(range(3, 99, 2))),
        ("all prime numbers from 10 to 60", sum(p for p in PRIMES if 10 <= p <= 60)),
    ],
)
def test_a_sum_of_well_known_numbers_is_that_of_the_closed_form(what, value):
    prompt = f"Find the sum of {what}."
    assert sole("integer", prompt, f"The sum is {value}.").verdict == "right"
    wrong = sole("integer", prompt, f"The sum is {value + 10_001}.")
    assert wrong.verdict == "wrong"
    assert str(value) in wrong.expected.split(" or ")


def test_a_product_of_a_range_is_a_factorial_and_a_large_one_is_left_alone():
    prompt = "Calculate the product of all numbers from 1 to 8."
    assert sole("integer", prompt, f"It is {math.factorial(8):,}.").verdict == "right"
    assert sole("integer", prompt, "It is 5,040.").expected == str(math.factorial(8))
    assert claims("integer", "Calculate the product of all numbers from 1 to 26.", "It is 5,040.") == []


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Is 17 divisible by 0?", "Yes."),
        ("Is 17 even or odd?", "It could be even or odd."),
        ("Is 51 a prime number?", "If it had no divisors it would be."),
        ("Find the greatest common divisor of 0 and 18.", "It is 77."),
        ("Find the greatest common divisor of 12 and x.", "It is 77."),
        ("What is the 0th prime number?", "It is 77."),
        ("Find the sum of the first few natural numbers.", "It is 77."),
        ("Find the sum of all numbers from 9 to 3.", "It is 77."),
        ("Find the greatest common divisor of 12 and 18. " + "Please. " * 60, "It is 77."),
    ],
)
def test_what_has_no_answer_or_says_none_is_left_alone(prompt, response):
    assert claims("integer", prompt, response) == []
