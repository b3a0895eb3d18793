"""The page that a job ends with: one HTML file with its drawings inside, made from the published manifest alone.

The page holds no script and loads nothing. Every text from the manifest is escaped. The same manifest gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from manifests import atomic, report_pool, report_results
from manifests.report_html import Html, cut, duration, el, esc, join, plural
from manifests.store import Manifest

FILE: Final = "report.html"
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
SECTIONS: Final[Sequence[tuple[str, str, Callable[[Manifest], Html | None]]]] = (
    ("leaderboard", "Leaderboard", report_results.leaderboard),
    ("comparisons", "Comparisons", report_results.comparisons),
    ("sources", "Sources", report_pool.sources),
    ("funnel", "Funnel", report_pool.funnel),
    ("scores", "Scores", report_pool.scores),
    ("judge", "Quality of the judge", report_pool.judge_quality),
    ("coverage", "Coverage", report_pool.coverage),
    ("blends", "Blends", report_results.composition),
    ("strata", "Requested and taken", report_results.strata),
    ("runs", "Runs", report_results.runs),
    ("stages", "Time", report_results.stages),
)
"""Anchor, heading and body of each part of the page, in order; a part without anything to show is named at the end."""

NOT_SHOWN: Final = (
    "The text of samples and predictions: it is in the manifest, in the views samples and results.",
    "The course of each training: losses are not stored.",
    "Uncertainty from the choice of pool, base model and test set: intervals cover examples and seeds only.",
    "Correction across tasks and metrics: p-values are corrected within each.",
)


def report(path: Path) -> Path:
    """Write `report.html` beside the published manifest `path` (its folder or file), atomically, and return its path.

    Works at any stage of a job; raises UserError when there is no readable manifest.
    """
    with Manifest(path) as manifest:
        text = page(manifest)
        out = manifest.root / FILE
    atomic.write_text(out, text)
    return out


def page(manifest: Manifest) -> str:
    """Return the whole page as HTML."""
    name = manifest.meta().get("job") or "Blendsmith job"
    parts = [(anchor, title, body(manifest)) for anchor, title, body in SECTIONS]
    shown = [(anchor, title, body) for anchor, title, body in parts if body is not None]
    absent = [title.lower() for _, title, body in parts if body is None]
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", cut(name), ": report"),
        el("style", Html(style)),
    )
    links = [(anchor, title) for anchor, title, _ in shown]
    links += [("queries", "Queries"), ("not-shown", "Not shown")]
    nav = el("nav", [el("a", title, href=f"#{anchor}") for anchor, title in links], aria_label="Contents")
    main = el(
        "main",
        [el("section", el("h2", title), body, id=anchor) for anchor, title, body in shown],
        _queries(manifest),
        _not_shown(absent),
    )
    return f"<!DOCTYPE html>\n{el('html', head, el('body', _header(manifest, name), nav, main), lang='en')}\n"


def _header(manifest: Manifest, name: str) -> Html:
    n, seconds, last = manifest.sql(
        "SELECT count(*), coalesce(sum(seconds), 0), strftime(max(finished_at), '%-d %B %Y, %H:%M UTC') FROM stages"
    ).row(0)
    laws = manifest.verify()
    broken = laws.filter(~laws["ok"])["law"].to_list()
    held = f"all {laws.height} conservation laws hold" if not broken else f"broken laws: {'; '.join(broken)}"
    when = f"As of {last}: {plural(n, 'stage')}, {duration(seconds)} of work" if n else "Nothing has been run yet"
    notes = manifest.meta().get("notes", "").strip()
    return el(
        "header",
        el("p", "Blendsmith report", class_="kicker"),
        el("h1", cut(name, 120)),
        el("p", cut(notes, 600), class_="notes") if notes else None,
        report_results.verdict(manifest),
        el("p", f"{when}; {held}. ", el("a", "What is not shown", href="#not-shown"), ".", class_="meta"),
    )


def _queries(manifest: Manifest) -> Html:
    blocks = [[el("span", f"-- {title}", class_="remark"), "\n", sql, "\n\n"] for title, sql in queries(manifest)]
    how = el(
        "p", "The manifest is a DuckDB file. Open it with ", el("code", f"duckdb {manifest.file.name}"), " and try:"
    )
    return el("section", el("h2", "Queries to try"), how, el("pre", esc(join(blocks).rstrip("\n"))), id="queries")


def _not_shown(absent: Sequence[str]) -> Html:
    items = (
        [*NOT_SHOWN, f"Not there, because nothing was recorded for it: {', '.join(absent)}."] if absent else NOT_SHOWN
    )
    return el("section", el("h2", "What is not shown"), el("ul", [el("li", item) for item in items]), id="not-shown")


def queries(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """Return five (what it answers, SQL) pairs that run on this manifest, with its own names in them."""
    dropped = _first(manifest, "SELECT min(sample_id) FROM decisions WHERE NOT kept")
    sample = dropped or _first(manifest, "SELECT min(sample_id) FROM samples") or "0"
    pair = manifest.sql("SELECT blend_a, blend_b FROM comparisons ORDER BY p_value NULLS LAST, 1, 2 LIMIT 1")
    names = manifest.sql("SELECT blend FROM blends ORDER BY seed, blend")["blend"].to_list()
    a, b = (names[0], names[-1]) if names else ("a@0", "b@0")
    x, y = pair.row(0) if pair.height else (a.split("@")[0], b.split("@")[0])
    if f"{x}@0" in names and f"{y}@0" in names:
        a, b = f"{x}@0", f"{y}@0"
    return (
        (
            "Why were rows dropped?",
            "SELECT step, reason, sum(n_dropped) AS n FROM funnel\n"
            "WHERE reason IS NOT NULL GROUP BY ALL ORDER BY n DESC;",
        ),
        ("What happened to one sample?", f"FROM why({_text(sample[:12])});"),
        (
            "Which rows is the judge surest are wrong?",
            "SELECT s.source, round(v.p_error, 3) AS p_error, s.prompt, s.response\n"
            "FROM verdicts v JOIN samples s USING (sample_id) ORDER BY v.p_error DESC NULLS LAST LIMIT 10;",
        ),
        (
            "How do two blends differ?",
            f"SELECT change, count(*) AS n FROM blend_diff({_text(a)}, {_text(b)}) GROUP BY ALL;",  # noqa: S608
        ),
        ("How do their recipes compare?", f"FROM compare({_text(x)}, {_text(y)});"),
    )


def _first(manifest: Manifest, sql: str) -> str | None:
    value: str | None = manifest.sql(sql).item()
    return value


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
