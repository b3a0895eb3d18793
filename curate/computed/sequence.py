"""Lists of whole numbers: factors, primes, even and odd numbers, squares, Fibonacci numbers, and what comes next."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import isqrt
from typing import Final

from curate.computed.answer import is_code, judged
from curate.computed.ask import Ask, bare, plain
from curate.computed.claim import Claim, ruling
from curate.computed.items import body
from curate.computed.number import in_digits, numbers

LARGEST: Final = 10**9
"""Largest number that is factored."""
MOST: Final = 400
"""Longest list that is computed."""


def factors(n: int) -> list[int]:
    """Return the prime factors of n (2 to `LARGEST`) with repeats, in order."""
    found, factor = [], 2
    while factor * factor <= n:
        while n % factor == 0:
            found.append(factor)
            n //= factor
        factor += 1
    return found + ([n] if n > 1 else [])


def divisors(n: int) -> list[int]:
    """Return the divisors of n (1 to `LARGEST`) in order."""
    low = [d for d in range(1, isqrt(n) + 1) if n % d == 0]
    return low + [n // d for d in reversed(low) if d * d != n]


def is_prime(n: int) -> bool:
    """Return whether n (at most `LARGEST`) is a prime."""
    return n > 1 and factors(n) == [n]


def verdict_of(text: str, expected: str, found: str, how: str, *, right: bool) -> Claim:
    """Return the claim on whole numbers that `text` asks for."""
    return Claim("integer", text[:200], expected[:300], found[:300], ruling(right), how[:500])


_N: Final = r"(\d{1,9}|\d{1,3}(?:,\d{3}){1,2})"


def fibonacci(n: int) -> list[int]:
    """Return the first n Fibonacci numbers from 0, 1 on."""
    found = [0, 1]
    while len(found) < n:
        found.append(found[-1] + found[-2])
    return found[:n]


def primes(low: int, high: int) -> list[int]:
    """Return the primes from low to high."""
    return [n for n in range(max(low, 2), high + 1) if is_prime(n)]


_FACTORS: Final = re.compile(
    rf"(?:the )?(?:list )?(?:of )?(?:all )?(?:the )?(?P<prime>prime )?(?P<word>factors|divisors"
    rf"|factori[sz]ation|decomposition)(?: (?:of|for|into primes))?(?: (?:the|that|this|given"
    rf"|following|numbers?|integer|below))*[\s:]+(?P<n>{_N})"
    rf"|factori[sz]e (?:the number )?(?P<m>{_N})(?: into (?:its )?prime factors| into primes)?"
)
_FIRST: Final = re.compile(
    r"(?:list |write |print |name |a list of |all )*(?:the |of )*(?:first|smallest|lowest) (\d{1"
    r",2}) (?:consecutive )?(prime|even|odd|fibonacci|square|natural|perfect square)s?(?:"
    r" (?:numbers|integers))?"
    r"(?: (?:of|in|from) the fibonacci (?:sequence|series))?"
)
_FIRST_TERMS: Final = re.compile(
    r"(?:list |write |print |name )*(?:the )?first (\d{1,2}) (?:terms|numbers|elements|values"
    r"|digits) (?:of|in|from) (?:the )?(fibonacci) (?:sequence|series|numbers)"
)
_BETWEEN: Final = re.compile(
    r"(?:list |write |print |name |a list of |output |all )*(?:of )?(?:the )?(prime|even|odd)(?:"
    r" (?:numbers|integers))? (between|from|less than|smaller than|below|under|up to|lower than)"
    r" (\d{1,4})(?: (?:and|to) (\d{1,4}))?(?: inclusive| \(inclusive\))?"
)


def lists(ask: Ask, response: str) -> Iterator[Claim]:
    """Check factors of a number, and lists of primes, even and odd numbers, squares and Fibonacci numbers."""
    text = in_digits(bare(ask.text))
    if is_code(response) or len(response) > 2000:
        return
    if match := _FACTORS.fullmatch(text):
        n = int((match["n"] or match["m"]).replace(",", ""))
        if 1 < n <= LARGEST:
            yield from _factored(
                text, n, response, prime=bool(match["prime"] or match["m"] or "ation" in match["word"])
            )
        return
    wanted = _wanted(text)
    said = _listed(response)
    if not wanted or not said or any(len(want) > MOST for want in wanted):
        return
    right = said in wanted
    if not right and (len(said) < 3 or re.search(r"\.\.\.|…|etc", response) or sorted(said) in wanted):
        return
    expected = ", ".join(map(str, wanted[0]))
    yield verdict_of(text, expected, ", ".join(map(str, said)), f"{text}: {expected}", right=right)


def _wanted(text: str) -> list[list[int]]:
    """Return the lists of numbers that would each be right."""
    match = _FIRST.fullmatch(text) or _FIRST_TERMS.fullmatch(text)
    if match:
        n, word = int(match[1]), match[2].split()[-1]
        table = {
            "prime": [primes(2, 600)[:n]],
            "even": [[*range(2, 2 * n + 2, 2)], [*range(0, 2 * n, 2)]],
            "odd": [[*range(1, 2 * n, 2)]],
            "natural": [[*range(1, n + 1)], [*range(n)]],
            "square": [[k * k for k in range(1, n + 1)], [k * k for k in range(n)]],
            "fibonacci": [fibonacci(n), fibonacci(n + 1)[1:], fibonacci(n + 2)[2:]],
        }
        return table[word] if n > 1 else []
    match = _BETWEEN.fullmatch(text)
    if match is None or (match[2] in ("between", "from")) != bool(match[4]):
        return []
    low, high = (int(match[3]), int(match[4])) if match[4] else (0, int(match[3]))
    keeps: dict[str, Callable[[int], bool]] = {
        "prime": is_prime,
        "even": lambda k: k % 2 == 0,
        "odd": lambda k: k % 2 == 1,
    }
    keep = keeps[match[1]]
    ends = [(low, high), (low + 1, high - 1), (low + 1, high), (low, high - 1)]
    lists = [[k for k in range(one, two + 1) if keep(k)] for one, two in ends]
    return [*lists, *(part[1:] for part in lists if part[:1] == [0])]


def _listed(response: str) -> list[int]:
    """Return the numbers of a response that is one list of whole numbers; empty when it holds anything else."""
    said = body(response)
    said = (
        re.sub(r"^[^.:\n]{0,160}?\b(?:is|are|include)\b:?\s*", "", said)
        if re.search(r"\b(?:is|are|include)\b", said)
        else said
    )
    parts = re.split(r"\s*(?:,\s*and\s|,|\band\b|\n|\s)\s*", said.strip(" .[](){}\n"))
    return [int(part) for part in parts if part] if all(re.fullmatch(r"\d{1,9}|", part) for part in parts) else []


def _factored(text: str, n: int, response: str, *, prime: bool) -> Iterator[Claim]:
    said = plain(
        response.translate(str.maketrans("²³⁴⁵⁶⁷⁸", "2345678"))
        if "²" not in response and "³" not in response
        else _raised(response)
    )
    said = re.sub(r"(?<=\d) (?=\d)", " , ", said)
    tail = (
        re.split(r"\b(?:is|are|include)\b|=|: ", said)[-1] if re.search(r"\b(?:is|are|include)\b|=|: ", said) else said
    )
    if re.search(r"[a-wyz]{2,}", tail.replace("and", "").replace("times", "")) or re.search(r"\(|\.\.\.", tail):
        return
    powers = [(int(base), int(power or 1)) for base, power in re.findall(r"(\d{1,9})(?:\s?\^\s?(\d{1,2}))?", tail)]
    bases = [base for base, _ in powers]
    if not bases or any(power > 40 for _, power in powers):
        return
    true = factors(n)
    if prime:
        spread = sorted(base for base, power in powers for _ in range(power))
        right = spread == true or (spread == sorted(set(true)) and "factors" in text)
        expected = " * ".join(map(str, true))
    else:
        true = divisors(n)
        right = sorted(set(bases)) == true
        if not right and set(bases) < set(true) and set(true) - set(bases) <= {1, n}:
            return
        if not right and ("*" in tail or "x" in tail or "pair" in said or "prime" in said):
            return
        expected = ", ".join(map(str, true))
    yield verdict_of(text, expected, tail.strip(" ."), f"{n} = {' * '.join(map(str, factors(n)))}", right=right)


def _raised(text: str) -> str:
    return text.replace("²", "^2").replace("³", "^3").replace("⁴", "^4").replace("⁵", "^5").replace("⁶", "^6")


_NEXT: Final = re.compile(
    r"(?:the |what )*(?:next|following|subsequent) (?:number|term|element|value|item|integer)?"
    r" ?(?:comes? next )?(?:in|of|for)? ?(?:the |this |following |given |number |numerical "
    r"|arithmetic |geometric |below )*(?:sequence|series|pattern|progression)"
    r"(?: of numbers)?[\s:,]*(?P<list>-?\d+(?:\s*,\s*-?\d+){2,12})[\s,._…?]*"
)


def following(ask: Ask, response: str) -> Iterator[Claim]:
    """Check the next number of a sequence with one difference (four terms or more) or one ratio (four or more)."""
    match = _NEXT.fullmatch(bare(ask.text))
    terms = [int(part) for part in match["list"].replace(" ", "").split(",")] if match else []
    if len(terms) < 4 or max(map(abs, terms)) > LARGEST:
        return
    value = _continued(terms)
    if value is not None:
        how = f"{', '.join(map(str, terms))}, {value}"
        first = numbers(response)[:1]
        echoed = [number.value for number in numbers(response)[: len(terms)]] == [Fraction(term) for term in terms]
        if first and not echoed:
            yield from judged("integer", f"next of {how}", response, value, how)


def _continued(terms: Sequence[int]) -> Fraction | None:
    steps = {b - a for a, b in pairwise(terms)}
    if len(steps) == 1:
        return Fraction(terms[-1] + steps.pop())
    ratios = {Fraction(b, a) for a, b in pairwise(terms)} if all(terms) else set()
    return terms[-1] * ratios.pop() if len(ratios) == 1 else None
