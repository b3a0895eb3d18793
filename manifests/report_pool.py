"""The part of the report about the rows: where they came from, what was dropped, what the judges said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from manifests.predicate import score_column
from manifests.report_html import (
    Child,
    Column,
    Html,
    count,
    cut,
    el,
    join,
    named,
    number,
    percent,
    plural,
    table,
)
from manifests.report_plots import bars, histogram, scale
from manifests.store import Manifest

MOST_REASONS: Final = 10
MOST_ROWS: Final = 60
BINS: Final = 40
_CONDITION: Final = r"(?<![\w.\"])\"?{}\"?\s*(<=|>=|<|>)\s*(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"


def sources(manifest: Manifest) -> Html | None:
    """Return the table of sources with licences, and a note on blends that hold non-commercial rows."""
    rows = manifest.sql(
        "SELECT * FROM sources ORDER BY list_position(['generalist', 'specialist', 'eval', 'knowledge'], role), source"
    ).to_dicts()
    if not rows:
        return None
    columns = [
        Column("Source"), Column("Role"), Column("Rows read", "number"), Column("Samples", "number"),
        Column("Rejects", "number"), Column("Licence"), Column("Read from"),
    ]  # fmt: skip
    body: list[Sequence[Child]] = [
        [named(r["source"]), r["role"], count(r["rows"]), count(r["samples"]), count(r["rejects"]), _licence(r),
         el("span", cut(r["uri"], 60), title=r["uri"])]
        for r in rows
    ]  # fmt: skip
    sums = [count(sum(r[field] for r in rows)) for field in ("rows", "samples", "rejects")]
    skipped = sum(r["skipped"] for r in rows)
    caption = "Rows read = samples + rejects." + (
        f" {plural(skipped, 'more row')} left out by select or limit." if skipped else ""
    )
    return join([table(columns, body, caption=caption, foot=["All", "", *sums, "", ""]), _commercial(manifest)])


def _licence(row: Mapping[str, Any]) -> Child:
    mark = el("span", "non-commercial", class_="tag warn")
    return [cut(row["licence"], 40), " ", mark] if row["non_commercial"] else cut(row["licence"], 40)


def _commercial(manifest: Manifest) -> Html | None:
    found = manifest.sql(
        "SELECT DISTINCT b.recipe_name FROM composition c JOIN sources s USING (source) JOIN blends b USING (blend)"
        " WHERE s.non_commercial ORDER BY 1"
    )["recipe_name"].to_list()
    if not found:
        return None
    return el("p", "Blends that hold rows under a non-commercial licence: ", ", ".join(found), ".", class_="note warn")


def funnel(manifest: Manifest) -> Html | None:
    """Return the funnel: rows in, kept and dropped at each step, each reason on a line of its own, with bars."""
    read = manifest.sql("SELECT sum(rows)::BIGINT, sum(samples)::BIGINT, sum(rejects)::BIGINT FROM sources").row(0)
    if not read[0]:
        return None
    steps = manifest.sql(
        "SELECT f.step, f.reason, sum(f.n_in)::BIGINT AS n_in, sum(f.n_kept)::BIGINT AS n_kept,"
        " sum(f.n_dropped)::BIGINT AS n FROM funnel f GROUP BY f.step, f.reason, f.stage"
        " ORDER BY (SELECT position FROM store.stages g WHERE g.stage = f.stage), f.step,"
        " f.reason IS NOT NULL, n DESC, f.reason"
    ).to_dicts()
    rejects = manifest.sql("SELECT reason, count(*) AS n FROM rejects GROUP BY 1 ORDER BY n DESC, 1").to_dicts()
    body = [_step("read", read[0], read[1], read[2], read[0]), *_reasons(rejects, read[0])]
    for head in (row for row in steps if row["reason"] is None):
        body.append(_step(head["step"], head["n_in"], head["n_kept"], head["n"], read[0]))
        reasons = [row for row in steps if row["step"] == head["step"] and row["reason"] is not None]
        body += _reasons(reasons, read[0])
    columns = [
        Column("Step"), Column("In", "number", "in"), Column("Kept", "number", "kept"),
        Column("Dropped", "number", "dropped"),
        Column("Share of the rows read", "plot narrow"),
    ]  # fmt: skip
    key = _key([("held", "kept"), ("flagged", "dropped")])
    return table(columns, body, caption=[f"{_FUNNEL} ", key])


_FUNNEL: Final = "In = kept + dropped; a step sees the rows of its roles, and a dropped row goes no further."


def _key(entries: Sequence[tuple[str, str]]) -> Html:
    items = [[el("span", class_=f"swatch {tone}"), name] for tone, name in entries]
    return el("span", [el("span", item, class_="entry") for item in items], class_="key")


def _step(name: str, n_in: int, kept: int, dropped: int, whole: int) -> list[Child]:
    title = f"{name}: {kept} kept, {dropped} dropped of {n_in}"
    drawn = bars([(kept / whole, "held"), (dropped / whole, "flagged")], title)
    return [el("b", name), count(n_in), count(kept), count(dropped), drawn]


def _reasons(rows: Sequence[Mapping[str, Any]], whole: int) -> Iterator[list[Child]]:
    for row in rows[:MOST_REASONS]:
        bar = bars([(row["n"] / whole, "flagged")], f"{cut(row['reason'])}: {row['n']} dropped")
        yield [el("span", cut(row["reason"]), class_="reason"), "", "", count(row["n"]), bar]
    rest = rows[MOST_REASONS:]
    if rest:
        n = sum(row["n"] for row in rest)
        bar = bars([(n / whole, "flagged")], f"{len(rest)} other reasons: {n} dropped")
        yield [el("span", plural(len(rest), "other reason"), class_="reason"), "", "", count(n), bar]


def scores(manifest: Manifest) -> Html | None:
    """Return a histogram per scorer with its thresholds, and the counts of scores that are no number."""
    names = manifest.sql("SELECT DISTINCT scorer FROM scores ORDER BY 1")["scorer"].to_list()
    return join([_scorer(manifest, name) for name in names]) if names else None


def _scorer(manifest: Manifest, name: str) -> Html:
    by_status = dict(
        manifest.sql(
            "SELECT status, count(*) FROM scores WHERE scorer = ? GROUP BY 1 ORDER BY status <> 'ok', 1", [name]
        ).iter_rows()
    )
    where = "FROM scores WHERE scorer = ? AND status = 'ok'"
    low, high = manifest.sql(f"SELECT min(value), max(value) {where}", [name]).row(0)
    total = sum(by_status.values())
    shares = [f"{count(n)} {status} ({percent(n / total)})" for status, n in by_status.items()]
    said = [el("b", cut(name)), f", {plural(total, 'row')}: ", ", ".join(shares), "."]
    if low is None:
        return el("figure", el("figcaption", said, " No score is a number, so there is nothing to draw."))
    judged = manifest.sql("SELECT count(*) FROM verdicts WHERE judge = ?", [name]).item() > 0
    on = scale([0.0, 1.0]) if low >= 0 and high <= 1 else scale([low, high])
    width = (on.high - on.low) / BINS
    binned = manifest.sql(
        f"SELECT least(greatest(floor((value - ?) / ?), 0), ?)::INTEGER AS bin, count(*) {where} GROUP BY 1",
        [on.low, width, BINS - 1, name],
    )
    counts = dict(binned.iter_rows())
    lines = {at: said for at, said in _thresholds(manifest, name, judged).items() if on.low <= at <= on.high}
    title = f"Histogram of {cut(name)}"
    drawn = histogram([counts.get(i, 0) for i in range(BINS)], on, list(lines), title, flag=judged)
    meaning = "Probability that the row is wrong, as the judge gives it." if judged else "Value of the score."
    key = [el("p", f"At {at:g}: {'; '.join(said)}.", class_="note") for at, said in lines.items()]
    return el("figure", el("figcaption", said), drawn, el("p", meaning, class_="axis-title"), key)


def _thresholds(manifest: Manifest, scorer: str, judged: bool) -> dict[float, list[str]]:
    """Return what the judge's own threshold and each constant in a recipe's `where:` mean: value -> sentences."""
    found: dict[float, list[str]] = {}
    specs = manifest.sql(
        "SELECT spec FROM store.stages WHERE stage IN (SELECT stage FROM store.scores WHERE scorer = ?)", [scorer]
    )["spec"]
    for spec in specs:
        value = _fields(spec).get("threshold")
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(float(value), []).append("labelled wrong from here on" if judged else "its own threshold")
    columns = [score_column(scorer), *(["p_error"] if judged else [])]
    wanted: dict[tuple[float, str], list[str]] = {}
    recipes = manifest.sql("SELECT DISTINCT recipe_name, recipe FROM blends ORDER BY recipe_name").iter_rows()
    for name, recipe in recipes:
        where = str(_fields(recipe).get("where") or "")
        for column in columns:
            for sign, value in re.findall(_CONDITION.format(re.escape(column)), where):
                wanted.setdefault((float(value), f"{column} {sign} {value}"), []).append(name)
    for (value, condition), names in wanted.items():
        found.setdefault(value, []).append(f"{condition} is asked for by {', '.join(names)}")
    return dict(sorted(found.items()))


def _fields(text: str) -> dict[str, Any]:
    """Return a JSON object, or an empty one when the text is not one."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def coverage(manifest: Manifest) -> Html | None:
    """Return how well each source covers each target, one column per metric, and what each recipe's blends hold."""
    rows = manifest.sql("SELECT * FROM coverage ORDER BY target, source, metric").to_dicts()
    if not rows:
        return None
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    pairs = list(dict.fromkeys((row["target"], row["source"]) for row in rows))
    values = {(row["target"], row["source"], row["metric"]): row["value"] for row in rows}
    columns = [
        Column("Target"),
        Column("Covered by"),
        *(Column(cut(metric.replace("_", " "), 40), "number") for metric in metrics),
    ]
    body: list[Sequence[Child]] = [
        [named(target), named(source), *(number(values.get((target, source, metric)), 3) for metric in metrics)]
        for target, source in pairs[:MOST_ROWS]
    ]
    more = f" {plural(len(pairs) - MOST_ROWS, 'more row')} in the view coverage." if len(pairs) > MOST_ROWS else ""
    return join(
        [table(columns, body, caption=f"What the pool holds of what each target needs.{more}"), _held(manifest)]
    )


def _held(manifest: Manifest) -> Html | None:
    """Return, for each recipe, the share of each target's rows whose cell its generalist rows hold."""
    recipes = manifest.sql("SELECT DISTINCT recipe_name FROM blends ORDER BY 1")["recipe_name"].to_list()
    if not recipes or manifest.sql("SELECT count(*) FROM cells").item() == 0:
        return None
    found: dict[str, dict[str, float]] = {}
    for recipe in recipes[:MOST_ROWS]:
        shares = manifest.sql(
            "SELECT target, avg(cell_recall) AS share FROM coverage_of(?) GROUP BY 1 ORDER BY 1", [recipe]
        )
        if shares.height:
            found[recipe] = dict(shares.iter_rows())
    targets = sorted({target for shares in found.values() for target in shares})
    columns = [Column("Recipe"), *(Column(cut(target, 40), "number") for target in targets)]
    body = [[named(recipe), *(percent(shares.get(target)) for target in targets)] for recipe, shares in found.items()]
    caption = "Share of each target's rows whose cell the recipe's generalist rows hold, mean over its seeds."
    return table(columns, body, caption=caption) if found else None
