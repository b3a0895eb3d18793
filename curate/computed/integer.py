"""Whole numbers: primes, parity, common divisors and multiples, terms and sums of well-known sequences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import gcd, lcm, prod
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask, bare, plain
from curate.computed.claim import Claim, Family
from curate.computed.letters import yes_or_no
from curate.computed.number import in_digits
from curate.computed.sequence import factors, fibonacci, following, is_prime, lists, primes, verdict_of

_N: Final = r"(\d{1,9}|\d{1,3}(?:,\d{3}){1,2})"
_PRIME: Final = re.compile(
    rf"(?:is|if|whether|check|that)?(?: (?:if|whether))?(?: the)?(?: given| following)?(?:"
    rf" number)?[: ]*{_N}[: ]*(?:is|are)?(?: an?)? prime(?: number)?(?: or (?:not|composite|a"
    rf" composite number))?"
)
_EVEN: Final = re.compile(
    rf"(?:is|if|whether|check)?(?: (?:if|whether))?(?: the)?(?: given| following)?(?: number)?[:"
    rf" ]*{_N}(?: is)?(?: an?)? (?:odd or even|even or odd)(?: number)?"
)
_DIVIDES: Final = re.compile(
    rf"(?:is|if|whether|check)?(?: (?:if|whether))?(?: the number)? ?{_N}(?: is)? (?:evenly )?divisible by {_N}"
)
_ASKS: Final = re.compile(r"^(?:check|see|verify|say|decide|classify|predict) (?:if|whether)?|^classify ")


def _questions(ask: Ask, response: str) -> Iterator[Claim]:
    """Check prime or not, even or odd, divisible or not."""
    text = bare(_ASKS.sub("", bare(ask.text)))
    said = plain(response)[:300]
    if match := _PRIME.fullmatch(text):
        n = int(match[1].replace(",", ""))
        told = yes_or_no(response)
        if re.match(r"\W*(?:not (?:a )?prime|composite)", said):
            told = False
        elif re.match(r"\W*prime\b", said):
            told = True
        elif re.search(r"\bcomposite\b", said) and not re.search(r"\bnot\b", said):
            told = False
        if told is not None:
            how = f"{n} = {' * '.join(map(str, factors(n)))}"
            yield verdict_of(text, _yes(is_prime(n)), _yes(told), how, right=told == is_prime(n))
    elif match := _EVEN.fullmatch(text):
        n = int(match[1].replace(",", ""))
        words = set(
            re.findall(r"\b(?:even|odd)\b", said.split(". ")[0].replace("even or odd", "").replace("odd or even", ""))
        )
        if len(words) == 1 and " not " not in said:
            word, expected = words.pop(), "odd" if n % 2 else "even"
            yield verdict_of(text, expected, word, f"{n} mod 2 = {n % 2}", right=word == expected)
    elif match := _DIVIDES.fullmatch(text):
        n, by = (int(group.replace(",", "")) for group in match.groups())
        told = yes_or_no(response)
        if by and told is not None:
            yield verdict_of(
                text, _yes(n % by == 0), _yes(told), f"{n} mod {by} = {n % by}", right=told == (n % by == 0)
            )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


_COMMON: Final = re.compile(
    r"(?:the )?(?:(?P<gcd>greatest common (?:divisor|factor|denominator)|highest common (?:factor"
    r"|divisor)|largest common (?:factor|divisor)|gcd|gcf|hcf)|(?P<lcm>(?:least|lowest|smallest)"
    r" common"
    r" (?:multiple|denominator)|lcm))(?: \(?(?:gcd|gcf|hcf|lcm|lcd)\)?)?(?: (?:of|for|between"
    r"|among))?(?: (?:the|these|them|following|given|two|three|numbers|integers|set|of"
    r"|list))*[\s:(\[]+"
    r"(?P<list>\d{1,9}(?:(?:\s*,\s*and\s+|\s*,\s*|\s+and\s+|\s+)\d{1,9}){1,8})[)\]]?(?: numbers)?"
)
_NTH: Final = re.compile(
    r"(?:the )?(\d{1,2})(?:st|nd|rd|th) (?:term|number|element|value)? ?(?:of|in)?(?: the)?"
    r" ?(fibonacci|prime)(?: (?:sequence|series|number|numbers))?"
)
_SUM_FIRST: Final = re.compile(
    r"(?:the )?(?:sum|total) of (?:all )?(?:the )?(squares of )?(?:the )?(?:first )?(\d{1,4})"
    r" (?:consecutive )?(natural|positive|even|odd|counting|whole)?(?: (natural|positive))?"
    r" ?(?:numbers|integers)"
)
_SUM_RANGE: Final = re.compile(
    r"(sum|product) of (?:all )?(?:the )?(?:(natural|positive|whole|consecutive|even|odd|prime)"
    r" )?(?:numbers|integers|digits)? ?(?:from|between) (\d{1,4}) (?:to|and|through) (\d{1,4})(?:"
    r" inclusive)?"
)


def _values(ask: Ask, response: str) -> Iterator[Claim]:
    """Check common divisors and multiples, terms and sums of well-known sequences."""
    text = in_digits(bare(ask.text)).removeprefix("the ")
    text = re.sub(r"^the ", "", text)
    found = _common(text) or _term(text) or _sum(text)
    if found is not None:
        values, how = found
        yield from judged("integer", text, response, [Fraction(value) for value in values], how[:500])


def _common(text: str) -> tuple[list[int], str] | None:
    match = _COMMON.fullmatch(text)
    if match is None:
        return None
    given = [int(n) for n in re.findall(r"\d+", match["list"])]
    if not all(given):
        return None
    word, value = ("gcd", gcd(*given)) if match["gcd"] else ("lcm", lcm(*given))
    return [value], f"{word}({', '.join(map(str, given))}) = {value}"


def _term(text: str) -> tuple[list[int], str] | None:
    match = _NTH.fullmatch(text)
    if match is None or int(match[1]) < 1:
        return None
    n = int(match[1])
    if match[2] == "prime":
        value = primes(2, 1000)[n - 1]
        return [value], f"prime number {n} is {value}"
    terms = fibonacci(n + 2)
    return sorted({terms[n - 1], terms[n]}), f"Fibonacci number {n}: {terms[n]}, or {terms[n - 1]} when 0 is the first"


def _sum(text: str) -> tuple[list[int], str] | None:
    if match := _SUM_FIRST.fullmatch(text):
        n, word = int(match[2]), match[3] or ""
        if "first" not in text:
            return None
        if match[1]:
            terms = [[k * k for k in range(1, n + 1)]]
        elif word in ("even", "odd"):
            start = 2 if word == "even" else 1
            terms = [[*range(start, start + 2 * n, 2)], *([[*range(0, 2 * n, 2)]] if word == "even" else [])]
        else:
            terms = [[*range(1, n + 1)], *([[*range(n)]] if word in ("whole", "") else [])]
        return [sum(part) for part in terms], f"{text}: {' or '.join(str(sum(part)) for part in terms)}"
    match = _SUM_RANGE.fullmatch(text)
    if match is None or (match[1] == "product" and int(match[4]) > 25) or int(match[4]) <= int(match[3]):
        return None
    kinds: dict[str, Callable[[int], bool]] = {
        "even": lambda k: k % 2 == 0,
        "odd": lambda k: k % 2 == 1,
        "prime": is_prime,
    }
    keep = kinds.get(match[2] or "")
    first, last = int(match[3]), int(match[4])
    bounds = (
        [(first, last)]
        if "from" in text
        else [(first, last), (first + 1, last - 1), (first, last - 1), (first + 1, last)]
    )
    lists = [[k for k in range(low, high + 1) if keep is None or keep(k)] for low, high in bounds]
    values = list(dict.fromkeys(sum(part) if match[1] == "sum" else prod(part) for part in lists))
    return values, f"{text}: {' or '.join(map(str, values))}"


def _all(ask: Ask, response: str) -> Iterator[Claim]:
    if len(ask.raw) <= 400:
        for check in (_questions, _values, lists, following):
            yield from check(ask, response)


INTEGER: Final = Family(
    r"(?i)\b(primes?|factors|divisors|factori[sz]\w+|even|odd|divisible|common|gcd|gcf|hcf|lcm"
    r"|fibonacci|sum|product|next|squares|natural)\b",
    r"\w",
    _all,
)
