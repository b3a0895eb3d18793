"""The part of the report about the blends: what is in them, how their models did, how they compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from manifests.report_answer import answer
from manifests.report_html import (
    Child,
    Column,
    Html,
    count,
    cut,
    decimals,
    duration,
    el,
    interval,
    join,
    named,
    number,
    p_value,
    percent,
    plural,
    table,
)
from manifests.report_plots import Scale, axis, bars, difference, scale, stack, whisker
from manifests.store import Manifest

MOST_ROWS: Final = 120
PALETTE: Final = 8
"""Colours for parts of a blend; sources past the seventh share the last one."""
MARKS: Final = {"helps": "▲", "hurts": "▼", "cannot tell": "○"}
TONES: Final = {"helps": "good", "hurts": "bad", "cannot tell": "open"}


def recipes(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return the fields of each recipe's mixer, recipes in the order in which they were drawn."""
    rows = manifest.sql(
        "SELECT recipe_name, any_value(recipe) FROM store.blends JOIN store.stages USING (stage)"
        " GROUP BY 1 ORDER BY min(position), 1"
    ).iter_rows()
    return {recipe: json.loads(fields) for recipe, fields in rows}


def verdict(manifest: Manifest) -> Html:
    """Return the answer of the job in words."""
    compared = manifest.sql("FROM comparisons WHERE NOT ends_with(blend_b, '/again')").to_dicts()
    found = answer(compared, recipes(manifest))
    points = el("ul", [el("li", point) for point in found.points]) if found.points else None
    more = (
        el("p", plural(found.left_out, "more sentence"), " left out: see the comparisons.") if found.left_out else None
    )
    return el("div", el("p", found.lead, class_="lead"), points, more, class_="answer")


def composition(manifest: Manifest) -> Html | None:
    """Return a stacked bar per recipe: the share of each source in its blends, mean over seeds."""
    rows = manifest.sql(
        "SELECT b.recipe_name AS recipe, c.source, c.role, sum(c.n_rows)::BIGINT AS n FROM composition c"
        " JOIN blends b USING (blend) GROUP BY ALL ORDER BY c.role DESC, c.source, recipe"
    ).to_dicts()
    if not rows:
        return None
    blends = manifest.sql(
        "SELECT recipe_name, count(*) AS n, avg(n_rows) AS rows, avg(n_tokens) AS tokens FROM blends GROUP BY 1"
    )
    sizes = {row["recipe_name"]: row for row in blends.to_dicts()}
    tones = {source: f"c{min(i, PALETTE - 1)}" for i, source in enumerate(dict.fromkeys(row["source"] for row in rows))}
    shown = list(recipes(manifest))[:MOST_ROWS]
    body = [_stacked(recipe, [r for r in rows if r["recipe"] == recipe], tones, sizes[recipe]) for recipe in shown]
    columns = [
        Column("Recipe"), Column("Sources", "plot"), Column("Rows", "number", "rows"),
        Column("Tokens (estimate)", "number", "tokens"), Column("Seeds", "number", "seeds"),
    ]  # fmt: skip
    entries = [
        el("span", el("span", class_=f"swatch {tone}"), cut(source, 40), class_="entry")
        for source, tone in tones.items()
    ]
    key = el("span", entries, class_="key")
    return table(columns, body, caption=["Share of a blend's rows by source; rows and tokens of one blend. ", key])


def _stacked(
    recipe: str, rows: Sequence[Mapping[str, Any]], tones: Mapping[str, str], size: Mapping[str, Any]
) -> list[Child]:
    whole = sum(row["n"] for row in rows)
    shares = {row["source"]: row["n"] / whole for row in rows}
    words = ", ".join(f"{cut(source, 40)} {percent(share)}" for source, share in shares.items())
    bar = stack(shares, tones, f"{recipe}: {words}")
    return [named(recipe), bar, count(size["rows"]), count(size["tokens"]), count(size["n"])]


def strata(manifest: Manifest) -> Html | None:
    """Return the strata that gave fewer rows than were asked for, and what limited them; None without blends."""
    if manifest.sql("SELECT count(*) FROM strata").item() == 0:
        return None
    rows = manifest.sql(
        "SELECT b.recipe_name AS recipe, stratum, limited_by, avg(available) AS available, avg(requested) AS requested,"
        " avg(taken) AS taken, max(repeats) AS repeats, count(*) AS n FROM strata JOIN blends b USING (blend)"
        " WHERE limited_by IS NOT NULL GROUP BY ALL ORDER BY avg(requested - taken) DESC, 1, 2, 3"
    )
    if rows.is_empty():
        return el("p", "Every stratum gave what was asked of it.")
    columns = [
        Column("Recipe"), Column("Stratum"), Column("Limited by"), Column("Available", "number"),
        Column("Requested", "number"), Column("Taken", "number"), Column("Repeats", "number"),
        Column("Blends", "number"),
    ]  # fmt: skip
    body: list[Sequence[Child]] = [
        [named(r["recipe"]), cut(r["stratum"], 60), cut(r["limited_by"], 40), count(r["available"]),
         number(r["requested"], 1), number(r["taken"], 1), count(r["repeats"]), count(r["n"])]
        for r in rows.head(MOST_ROWS).to_dicts()
    ]  # fmt: skip
    return table(
        columns,
        body,
        caption="Where a blend holds fewer rows than were asked for; mean over its seeds."
        + _more(rows.height, "strata"),
    )


def _more(n: int, view: str) -> str:
    return f" {plural(n - MOST_ROWS, 'more row')} in the view {view}." if n > MOST_ROWS else ""


def leaderboard(manifest: Manifest) -> Html | None:
    """Return a dot plot per task and metric: the mean of each recipe with its 95 % interval."""
    rows = manifest.sql("FROM leaderboard ORDER BY task, metric, mean DESC NULLS LAST, blend").to_dicts()
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["metric"]), []).append(row)
    plots = [_board(task, metric, group[:MOST_ROWS]) for (task, metric), group in groups.items()]
    return join(plots) if plots else None


def _board(task: str, metric: str, rows: Sequence[Mapping[str, Any]]) -> Html:
    on = _shared([row[field] for row in rows for field in ("mean", "ci_low", "ci_high")])
    digits = _digits(rows)
    constant = len({(row["n_examples"], _seeds(row)) for row in rows}) == 1
    columns = [Column("Recipe"), Column(f"{metric}, more is better", "plot"), Column("Mean [95 % interval]", "number")]
    columns += [] if constant else [Column("Examples", "number", "examples"), Column("Seeds", "number", "seeds")]
    body: list[Sequence[Child]] = []
    for row in rows:
        text = f"{number(row['mean'], digits)} {interval(row['ci_low'], row['ci_high'], digits)}"
        drawn = whisker(on, row["mean"], row["ci_low"], row["ci_high"], f"{row['blend']}: {text}")
        counts = [] if constant else [count(row["n_examples"]), _seeds(row)]
        body.append([named(row["blend"]), drawn, text, *counts])
    n = f" {count(rows[0]['n_examples'])} examples, {_seeds(rows[0], 'seed')}." if constant else ""
    foot = ["", axis(on), *([""] * (len(columns) - 2))]
    return table(columns, body, caption=[el("b", f"{task}, {metric}."), n], foot=foot)


def _seeds(row: Mapping[str, Any], noun: str = "") -> str:
    """Return the seeds measured, and of how many where some are missing: a mean over survivors must show that it is."""
    n, planned = row["n_seeds"], max(row["n_seeds"], row["n_planned"])
    if n < planned:
        return f"{n} of {plural(planned, noun)}" if noun else f"{n} of {planned}"
    return plural(n, noun) if noun else count(n)


def _shared(values: Sequence[float | None], *, zero: bool = False) -> Scale:
    known = [value for value in values if value is not None]
    return scale([*known, 0.0] if zero else known)


def _digits(rows: Sequence[Mapping[str, Any]]) -> int:
    halves = [
        (row["ci_high"] - row["ci_low"]) / 2
        for row in rows
        if row["ci_low"] is not None and row["ci_high"] is not None and row["ci_high"] > row["ci_low"]
    ]
    return decimals(min(halves, default=None))


def comparisons(manifest: Manifest) -> Html | None:
    """Return a forest plot per task and metric: paired differences with intervals, p, and what could be detected."""
    rows = manifest.sql("FROM comparisons ORDER BY task, metric, p_value NULLS LAST, blend_a, blend_b").to_dicts()
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["metric"]), []).append(row)
    plots = [_forest(task, metric, group) for (task, metric), group in groups.items()]
    return join([*plots, el("p", _HOW, class_="note")]) if plots else None


_HOW: Final = (
    "A difference is the first recipe minus the second, paired on the same examples and seeds; "
    "its bar is the 95 % interval. "
    "The grey band holds differences too small to be found with 80 % power. "
    "p is corrected by Holm's method over the comparisons of one task and metric, not across tasks."
)


def _forest(task: str, metric: str, rows: Sequence[Mapping[str, Any]]) -> Html:
    shown = rows[:MOST_ROWS]
    reach = [row[field] for row in shown for field in ("difference", "ci_low", "ci_high")]
    seen = [row["minimum_detectable"] for row in shown if row["minimum_detectable"] is not None]
    on = _shared([*reach, *seen, *(-value for value in seen)], zero=True)
    digits = _digits(shown)
    body: list[Sequence[Child]] = []
    for row in shown:
        text = f"{number(row['difference'], digits, sign=True)} {interval(row['ci_low'], row['ci_high'], digits)}"
        ends, unseen, tone = (row["ci_low"], row["ci_high"]), row["minimum_detectable"], TONES[row["verdict"]]
        drawn = difference(
            on,
            row["difference"],
            ends,
            unseen,
            f"{row['blend_a']} against {row['blend_b']}: {text}, {row['verdict']}",
            tone,
        )
        said = el("span", MARKS[row["verdict"]], " ", row["verdict"], class_=f"verdict {tone}")
        p = p_value(row["p_value"]).removeprefix("=\u00a0")
        body.append(
            [
                [named(row["blend_a"]), " ", el("span", el("i", "against "), named(row["blend_b"]), class_="name")],
                drawn,
                text,
                p,
                number(unseen, digits),
                said,
            ]
        )
    columns = [
        Column("Recipes"), Column("Paired difference", "plot narrow"), Column("Mean [95 % interval]", "number"),
        Column("p (Holm)", "number", "p"), Column("Detectable", "number", "detectable"), Column("Verdict"),
    ]  # fmt: skip
    pairs = {(row["n_examples"], row["n_seeds"]) for row in rows}
    n = [f" {plural(examples, 'example')}, {plural(seeds, 'seed')}." for examples, seeds in pairs]
    caption = [el("b", f"{task}, {metric}."), n[0] if len(n) == 1 else None, _more(len(rows), "comparisons")]
    return table(columns, body, caption=caption, foot=["", axis(on), "", "", "", ""])


def runs(manifest: Manifest) -> Html | None:
    """Return the table of runs: steps, tokens, time, memory, how each ended."""
    rows = manifest.sql(
        "SELECT r.* FROM runs r LEFT JOIN blends b USING (blend) ORDER BY b.recipe_name, r.seed, r.run"
    ).to_dicts()
    if not rows:
        return None
    columns = [
        Column("Run"), Column("Steps", "number"), Column("Tokens", "number"), Column("Seconds", "number"),
        Column("Peak memory, MiB", "number"), Column("Status"),
    ]  # fmt: skip
    body: list[Sequence[Child]] = [
        [named(r["run"]), count(r["steps"]), count(r["tokens"]), number(r["seconds"], 1),
         count(None if r["peak_memory"] is None else r["peak_memory"] / 2**20), _status(r)]
        for r in rows[:MOST_ROWS]
    ]  # fmt: skip
    kinds = sorted({(r["trainer"], r["base"]) for r in rows})
    how = "; ".join(f"{trainer} from {cut(base.rstrip('/').rsplit('/', 1)[-1], 20)}" for trainer, base in kinds[:4])
    failed = sum(r["status"] == "failed" for r in rows)
    bad = f" {plural(failed, 'run')} failed." if failed else ""
    spent = duration(sum(r["seconds"] or 0.0 for r in rows))
    caption = f"{plural(len(rows), 'run')} ({how}), {spent} of training.{bad}{_more(len(rows), 'runs')}"
    return table(columns, body, caption=caption)


def _status(row: Mapping[str, Any]) -> Child:
    if row["status"] == "done":
        return "done"
    return [el("span", "failed", class_="tag warn"), " ", cut(row["note"] or "", 120)]


def stages(manifest: Manifest) -> Html | None:
    """Return the time of each kind of stage, with its longest one."""
    rows = manifest.sql(
        "SELECT kind, count(*) AS n, sum(seconds) AS seconds, sum(n_rows)::BIGINT AS rows,"
        " arg_max(stage, seconds) AS longest FROM store.stages GROUP BY 1 ORDER BY min(position), 1"
    ).to_dicts()
    if not rows:
        return None
    most = max(row["seconds"] for row in rows) or 1.0
    columns = [
        Column("Stage"), Column("Seconds", "number", "s"), Column("Time", "plot narrow"),
        Column("Stages", "number", "stages"), Column("Rows written", "number", "rows"),
        Column("Longest", "text", "longest"),
    ]  # fmt: skip
    body: list[Sequence[Child]] = [
        [cut(r["kind"], 40), number(r["seconds"], 1), _bar(r["seconds"] / most, f"{r['kind']}: {r['seconds']:.1f} s"),
         count(r["n"]), count(r["rows"]), named(r["longest"])]
        for r in rows
    ]  # fmt: skip
    note = "Wall time of the stages as they were last run; runs side by side each count in full."
    return table(columns, body, caption=note)


def _bar(share: float, title: str) -> Html:
    return bars([(share, "held")], title)
