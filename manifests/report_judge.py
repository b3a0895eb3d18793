"""The part of the report about the judges themselves: how often they err, beside what knows nothing of the world."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from manifests.report_html import Child, Column, Html, count, cut, decimals, el, interval, join, named, number, table
from manifests.report_plots import axis, scale, whisker
from manifests.store import Manifest

MOST_ROWS: Final = 60
SHARES: Final = {
    "naive": "as the judge counts",
    "rogan_gladen": "corrected by sensitivity and specificity",
    "ppi": "corrected by the labels' mean error",
}
"""Estimates of the share of wrong rows, in the order shown."""
_FACTS: Final = ("base_rate", "threshold")
_BASELINE: Final = re.compile(r"baseline_([a-z]+)_(.+)")
_NOTE: Final = (
    "Brier score and calibration error (ece): less is better. The others: more is better. Intervals draw prompts again."
)

Rows = Sequence[Mapping[str, Any]]


def judge_quality(manifest: Manifest) -> Html | None:
    """Return what the view `quality` holds of each scorer: statistics, baselines, shares of wrong rows, the rest."""
    rows = manifest.sql(
        "SELECT * FROM quality ORDER BY scorer, measured_on,"
        " metric NOT IN ('auroc', 'average_precision', 'balanced_accuracy'), metric"
    ).to_dicts()
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["scorer"], row["measured_on"]), []).append(row)
    parts = [_measured(scorer, on, found) for (scorer, on), found in list(groups.items())[:MOST_ROWS]]
    if not parts:
        return None
    return join([*parts, el("p", _NOTE, class_="note"), _effect(manifest)])


def _measured(scorer: str, on: str, rows: Rows) -> Html:
    """Return the figures of one scorer on one set of labels or probes."""
    by_metric = {row["metric"]: row for row in rows}
    if "auroc" not in by_metric:
        return _others(scorer, on, rows)
    rivals = sorted({found.group(1) for row in rows if (found := _BASELINE.fullmatch(row["metric"]))})
    plain = [row for row in rows if _plain(row["metric"])]
    gains = [row for row in rows if row["metric"].startswith("gain_")]
    return join([_statistics(scorer, on, plain, by_metric), _beside(rivals, plain, by_metric, gains), _shares(rows)])


def _plain(metric: str) -> bool:
    return metric not in _FACTS and not metric.startswith(("baseline_", "gain_", "prevalence_", "cost_"))


def _statistics(scorer: str, on: str, rows: Rows, known: Mapping[str, Mapping[str, Any]]) -> Html:
    """Return the statistics with their intervals drawn on a scale of 0 to 1."""
    ends = [row[end] for row in rows for end in ("value", "ci_low", "ci_high") if row[end] is not None]
    line = scale([0.0, 1.0, *ends])
    body: list[Sequence[Child]] = []
    for row in rows[:MOST_ROWS]:
        label, text = _label(row["metric"]), _text(row)
        drawn = whisker(line, row["value"], row["ci_low"], row["ci_high"], f"{label}: {text}")
        body.append([label, drawn, text])
    facts = [f"{_label(name)} {number(known[name]['value'], 3)}" for name in _FACTS if name in known]
    facts += [
        f"{_label(name.removeprefix('cost_'))} per 1,000 rows {number(row['value'], 1)}"
        for name, row in known.items()
        if name.startswith("cost_") and name != "cost_calls" and row["value"] is not None
    ]
    n = known.get("base_rate", rows[0])["n"]
    caption: list[Child] = [el("b", cut(scorer, 40), "."), f" {count(n)} rows labelled by {cut(on, 40)}"]
    caption.append(f": {', '.join(facts)}." if facts else ".")
    columns = [Column("Measure"), Column("On a scale of 0 to 1", "plot"), Column("Value [95 % interval]", "number")]
    return table(columns, body, caption=caption, foot=["", axis(line), ""])


def _beside(rivals: Sequence[str], rows: Rows, known: Mapping[str, Mapping[str, Any]], gains: Rows) -> Html | None:
    """Return the same statistics beside those of the baselines, on the same rows."""
    if not rivals:
        return None
    columns = [Column("Measure"), Column("This one", "number"), *(Column(cut(name, 20), "number") for name in rivals)]
    body: list[Sequence[Child]] = []
    for row in rows:
        theirs = [known.get(f"baseline_{name}_{row['metric']}") for name in rivals]
        if any(theirs):
            cells = [number(item["value"] if item else None, 3) for item in theirs]
            body.append([_label(row["metric"]), number(row["value"], 3), *cells])
    said = "; ".join(f"{_label(row['metric'].removeprefix('gain_'))} {_text(row)} {row['note'] or ''}" for row in gains)
    caption = "Beside predictors that see lengths and words only, each row judged without its prompt's labels."
    return table(columns, body, caption=caption + (f" Ahead of the best of them: {cut(said, 300)}." if said else ""))


def _shares(rows: Rows) -> Html | None:
    """Return the share of wrong rows in the pool: counted by the judge, and corrected."""
    found = {row["metric"].removeprefix("prevalence_"): row for row in rows if row["metric"].startswith("prevalence_")}
    if not found:
        return None
    columns = [Column("Share of wrong rows"), Column("Value [95 % interval]", "number"), Column("From")]
    body: list[Sequence[Child]] = [
        [SHARES[name], _text(found[name]), cut(found[name]["note"] or "", 120)] for name in SHARES if name in found
    ]
    caption = "How many of the rows with a number are wrong; labels are taken for a random draw where they are in meta."
    return table(columns, body, caption=caption)


def _others(scorer: str, on: str, rows: Rows) -> Html:
    """Return measurements of other kinds: probes, calibrations, promises."""
    columns = [
        Column("Measure"), Column("Value [95 % interval]", "number"), Column("Rows", "number"), Column("Note"),
    ]  # fmt: skip
    body: list[Sequence[Child]] = [
        [_label(row["metric"]), _text(row), count(row["n"]), cut(row["note"] or "", 160)] for row in rows[:MOST_ROWS]
    ]
    return table(columns, body, caption=[el("b", cut(scorer, 40), "."), f" Measured on {cut(on, 60)}."])


def _effect(manifest: Manifest) -> Html | None:
    """Return what filtering did: each recipe with a condition against a random drop of the same size."""
    recipes = manifest.sql("SELECT DISTINCT recipe_name, recipe FROM blends ORDER BY 1").iter_rows()
    controls = {name: like for name, recipe in recipes if (like := _like(recipe)) is not None}
    body: list[Sequence[Child]] = []
    for row in manifest.sql("FROM comparisons ORDER BY task, metric, blend_a, blend_b").iter_rows(named=True):
        a, b = row["blend_a"], row["blend_b"]
        if controls.get(b) == a or controls.get(a) == b:
            sign = 1.0 if controls.get(b) == a else -1.0
            body.append(_compared(row, (a, b) if sign > 0 else (b, a), sign))
    if not body:
        return None
    columns = [
        Column("Filtered"), Column("Random drop"), Column("Task, metric"), Column("Difference", "number"),
        Column("Detectable", "number"),
    ]  # fmt: skip
    caption = "What the filter did to the specialist, against a random drop of as many rows."
    return table(columns, body[:MOST_ROWS], caption=caption)


def _like(recipe: str) -> str | None:
    """Return the recipe that a random drop takes its size from."""
    try:
        fields = json.loads(recipe)
    except ValueError:
        return None
    like = fields.get("like") if isinstance(fields, dict) else None
    return like if isinstance(like, str) else None


def _compared(row: Mapping[str, Any], names: tuple[str, str], sign: float) -> list[Child]:
    ends = [None if row[end] is None else sign * row[end] for end in ("ci_low", "ci_high")]
    low, high = ends if sign > 0 else ends[::-1]
    value = None if row["difference"] is None else sign * row["difference"]
    digits = 3 if low is None or high is None else max(2, decimals((high - low) / 2))
    text = f"{number(value, digits, sign=True)} {interval(low, high, digits)}".strip()
    task = f"{cut(row['task'], 40)}, {cut(row['metric'], 40)}"
    return [named(names[0]), named(names[1]), task, text, number(row["minimum_detectable"], digits)]


def _label(metric: str) -> str:
    return cut(metric.replace("_", " "), 40)


def _text(row: Mapping[str, Any]) -> str:
    low, high = row["ci_low"], row["ci_high"]
    digits = 3 if low is None or high is None else max(2, decimals((high - low) / 2))
    return f"{number(row['value'], digits)} {interval(low, high, digits)}".strip()
