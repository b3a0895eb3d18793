"""Sums, means, medians and other statistics of a list of numbers in the prompt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import prod
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask, bare
from curate.computed.claim import Claim, Family
from curate.computed.expression import root
from curate.computed.number import numbers, shown

Numbers = Sequence[Fraction]
MOST: Final = 100
"""Numbers of the longest list."""


def _sum(values: Numbers) -> list[Fraction]:
    return [sum(values, Fraction(0))]


def _product(values: Numbers) -> list[Fraction]:
    return [prod(values, start=Fraction(1))]


def _mean(values: Numbers) -> list[Fraction]:
    return [sum(values, Fraction(0)) / len(values)]


def _median(values: Numbers) -> list[Fraction]:
    ordered = sorted(values)
    return [(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2]


def _mode(values: Numbers) -> list[Fraction]:
    """Return the only most frequent value; none where several are."""
    (top, often), *rest = Counter(values).most_common(2)
    return [top] if often > 1 and (not rest or rest[0][1] < often) else []


def _variances(values: Numbers) -> list[Fraction]:
    """Return the variance of a population and of a sample: both are asked for by the one word."""
    middle = _mean(values)[0]
    squares = sum(((value - middle) ** 2 for value in values), Fraction(0))
    return [squares / len(values), *([squares / (len(values) - 1)] if len(values) > 1 else [])]


def _deviations(values: Numbers) -> list[Fraction]:
    return [root(value, 2) for value in _variances(values)]


def _geometric(values: Numbers) -> list[Fraction]:
    return [root(prod(values, start=Fraction(1)), len(values))] if min(values) > 0 and len(values) < 7 else []


STATISTICS: Final[tuple[tuple[str, str, Callable[[Numbers], list[Fraction]]], ...]] = (
    (
        r"(?:arithmetic )?(?:mean|average)(?: (?:value|score|number|temperature|age|price|height|weight|mark|grade))?",
        "mean",
        _mean,
    ),
    (r"median(?: (?:value|score|number|age|price|height|weight))?", "median", _median),
    (r"mode", "mode", _mode),
    (r"(?:sum|total)(?: sum)?", "sum", _sum),
    (r"sum of (?:the )?squares", "sum of squares", lambda values: [sum((v * v for v in values), Fraction(0))]),
    (r"product", "product", _product),
    (r"range", "range", lambda values: [max(values) - min(values)]),
    (
        r"(?:maximum|max|largest|biggest|highest|greatest)(?: (?:number|value|integer|element|one))?",
        "largest",
        lambda v: [max(v)],
    ),
    (
        r"(?:minimum|min|smallest|lowest|least)(?: (?:number|value|integer|element|one))?",
        "smallest",
        lambda v: [min(v)],
    ),
    (r"(?:population |sample )?variance", "variance", _variances),
    (r"(?:population |sample )?standard deviation", "standard deviation", _deviations),
    (r"geometric mean", "geometric mean", _geometric),
)
_FILLER: Final = (
    r"(?:the|these|this|those|a|an|all|given|following|provided|below|of|for|from|in|among|list"
    r"|set|sets|array|series|sequence"
    r"|collection|group|dataset|data|points|numbers?|integers?|values?|scores|measurements|observations|elements|digits"
    r"|two|three|four|five|six|seven|eight|nine|ten|\d(?= numbers| integers| values)|real|whole"
    r"|positive|decimal|negative|input|people|ages|temperatures|readings|prices|heights"
    r"|weights|grades|marks|and|out|arr|nums|test|string|table|overall|group|student's|students"
    r"|that|them|it|array's|list's|input's|data's)"
)
_ITEM: Final = (
    r"[-+]?[$€£]?(?:\d{1,3}(?:,\d{3})++(?!\d)(?:\.\d+)?|\d++(?:\.\d+)?|\.\d+)(?:\s?(?:%|°[cf]?|cm"
    r"|kg|years?|inches|pounds|degrees|points|mm|m|km|g))?"
)
_LIST: Final = rf"[\[({{]?\s*{_ITEM}(?:\s*(?:,|;|\band\b|, and\b|\s|\+)\s*{_ITEM})++\s*[\])}}]?"
_FORMS: Final = [
    (
        re.compile(
            rf"(?:the |its |their |overall |total )*{word}\b(?:[\s:,=]"
            rf"|{_FILLER}\b)*+(?P<list>{_LIST})(?:[\s,.:]|{_FILLER}\b)*+(?P<again>{_LIST})?"
        ),
        name,
        compute,
    )
    for word, name, compute in STATISTICS
]
_ADD: Final = re.compile(
    rf"(?:add|sum|add up|sum up|total)(?: up| together)?\b(?:[\s:,]"
    rf"|{_FILLER}\b)*+(?P<list>{_LIST})(?: together)?(?P<again>)?"
)
_MULTIPLY: Final = re.compile(
    rf"multiply(?: together)?\b(?:[\s:,]|{_FILLER}\b)*+(?P<list>{_LIST})(?: together)?(?P<again>)?"
)


def _statistic(ask: Ask, response: str) -> Iterator[Claim]:
    text = bare(ask.text)
    listed = _listed(text)
    if listed is None:
        return
    name, compute, values = listed
    expected = compute(values) if 2 <= len(values) <= MOST else []
    if not expected:
        return
    how = f"{name} of {', '.join(map(shown, values))} = {' or '.join(map(shown, expected))}"
    yield from judged("statistic", text, response, expected, how[:500])


def _listed(text: str) -> tuple[str, Callable[[Numbers], list[Fraction]], list[Fraction]] | None:
    """Return the statistic asked for, its function and its list, when the prompt holds nothing else."""
    if len(text) > 600:
        return None
    sums = [(_ADD, "sum", _sum), (_MULTIPLY, "product", _product)]
    for pattern, name, compute in [*_FORMS, *sums]:
        match = pattern.fullmatch(text)
        if match:
            values = [number.value for number in numbers(match["list"])]
            if _ambiguous(match["list"]) or (
                match["again"] and [number.value for number in numbers(match["again"])] != values
            ):
                return None
            return name, compute, values
    return None


def _ambiguous(listed: str) -> bool:
    """Return whether a comma may part two numbers or the thousands of one: `100,200` in a list without spaces."""
    return re.search(r"\d,\d{3}(?!\d)", listed) is not None and re.search(r",\s", listed) is None


STATISTIC: Final = Family(
    r"(?i)\b(mean|average|median|mode|sum|total|product|range|max|maximum|largest|biggest|highest"
    r"|greatest|min|minimum|smallest"
    r"|lowest|least|variance|standard deviation|add|multiply)\b.*(?s:.)*\d",
    r"\d|(?i)\b(one|two|three|four|five|six|seven|eight|nine|ten)\b",
    _statistic,
)
