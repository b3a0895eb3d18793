"""What the comparisons say, in plain words; nothing is said that the numbers do not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from manifests.report_html import cut, decimals, interval, number, p_value

MOST_POINTS: Final = 8
MOST_OPPONENTS: Final = 4
_REVERSED: Final = {"helps": "hurts", "hurts": "helps", "cannot tell": "cannot tell"}
_ORDER: Final = {"helps": 0, "hurts": 1, "cannot tell": 2}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """A first sentence and the sentences that bear it out; `left_out` counts those that were too many to write."""

    lead: str
    points: tuple[str, ...] = ()
    left_out: int = 0


def answer(comparisons: Sequence[Row], recipes: Mapping[str, Row]) -> Answer:
    """Return what rows of the view `comparisons` say; `recipes` maps a recipe's name to its mixer's fields.

    One sentence per recipe in question, task and metric. The recipes in question are those that have a random drop as
    their control (`like`), else those named first in a comparison; they are compared with recipes of the same number of
    specialist rows where the recipes state it.
    """
    if not comparisons:
        return Answer("No answer yet: no blends have been compared.")
    points: list[str] = []
    open_ends = any(row["verdict"] != "cannot tell" for row in comparisons)
    for name in _in_question(comparisons, recipes):
        about = [turned for turned in (_turn(row, name) for row in comparisons) if turned is not None]
        fair = [row for row in about if _same_budget(recipes, name, row["blend_b"])] or about
        for task, metric in dict.fromkeys((row["task"], row["metric"]) for row in fair):
            mine = [row for row in fair if (row["task"], row["metric"]) == (task, metric)]
            points.append(_sentence(name, mine, open_ends))
    if len(points) == 1 and open_ends and len(comparisons) <= MOST_OPPONENTS:
        return Answer(points[0])
    return Answer(_lead(comparisons), tuple(points[:MOST_POINTS]), max(0, len(points) - MOST_POINTS))


def _in_question(comparisons: Sequence[Row], recipes: Mapping[str, Row]) -> list[str]:
    compared = {row[side] for row in comparisons for side in ("blend_a", "blend_b")}
    controls = {str(r["like"]) for r in recipes.values() if r.get("like")}
    controlled = [name for name in sorted(compared) if name.partition("/")[0] in controls]
    first = [str(row["blend_a"]) for row in comparisons]
    return list(dict.fromkeys(controlled or first))


def _same_budget(recipes: Mapping[str, Row], a: str, b: str) -> bool:
    rows = [recipes.get(name.partition("/")[0], {}).get("specialist_rows") for name in (a, b)]
    return rows[0] == rows[1]


def _turn(row: Row, name: str) -> Row | None:
    """Return the comparison with `name` first, or None when it is about others."""
    if row["blend_a"] == name:
        return row
    if row["blend_b"] != name:
        return None
    flipped = {"blend_a": name, "blend_b": row["blend_a"], "verdict": _REVERSED[row["verdict"]]}
    for to, come in (("difference", "difference"), ("ci_low", "ci_high"), ("ci_high", "ci_low")):
        flipped[to] = None if row[come] is None else -row[come]
    return {**row, **flipped}


def _sentence(name: str, rows: Sequence[Row], detectable: bool) -> str:
    ordered = sorted(rows, key=lambda row: _ORDER[row["verdict"]])
    clauses = [
        f"{row['verdict']} against {cut(row['blend_b'], 64)}, {figures(row, detectable)}"
        for row in ordered[:MOST_OPPONENTS]
    ]
    more = len(ordered) - MOST_OPPONENTS
    if more > 0:
        clauses.append(f"{more} more in the table")
    where = f"{cut(rows[0]['task'], 64)} ({cut(rows[0]['metric'], 64)})"
    return f"{cut(name, 64)} on {where}: {'; '.join(clauses)}."


def figures(row: Row, detectable: bool = True) -> str:
    """Return the numbers of a comparison: `+0.12 [0.03, 0.21], p = .01`.

    With `detectable`, an undecided one also states the smallest difference that would have been found.
    """
    low, high = row["ci_low"], row["ci_high"]
    digits = decimals(None if low is None or high is None else (high - low) / 2)
    parts = f"{number(row['difference'], digits, sign=True)} {interval(low, high, digits)}".strip()
    text = f"{parts}, p\u00a0{p_value(row['p_value'])}"
    if detectable and row["verdict"] == "cannot tell" and row["minimum_detectable"] is not None:
        text += f" (smallest detectable: {number(row['minimum_detectable'], digits)})"
    return text


def _lead(comparisons: Sequence[Row]) -> str:
    n = len(comparisons)
    decided = [row for row in comparisons if row["verdict"] != "cannot tell"]
    if not decided:
        which = "the comparison is not decided" if n == 1 else f"none of the {n} comparisons is decided"
        return f"Cannot tell: {which}. {_detectable(comparisons)}".strip()
    rest = n - len(decided)
    if not rest:
        return "The comparison is decided." if n == 1 else f"All {n} comparisons are decided."
    verb = "is" if len(decided) == 1 else "are"
    return f"{len(decided)} of {n} comparisons {verb} decided; for {rest} the data cannot tell."


def _detectable(comparisons: Iterable[Row]) -> str:
    """Return a sentence on the smallest differences that would have been found, by task and metric."""
    found: dict[str, list[float]] = {}
    for row in comparisons:
        if row["minimum_detectable"] is not None:
            found.setdefault(f"{row['task']} ({row['metric']})", []).append(row["minimum_detectable"])
    if not found:
        return ""
    parts = []
    for what, values in found.items():
        digits = decimals(min(values))
        low, high = number(min(values), digits), number(max(values), digits)
        parts.append(f"{low} on {what}" if low == high else f"{low} to {high} on {what}")
    return f"Smallest difference that would be found with 80 % power: {'; '.join(parts)}."
