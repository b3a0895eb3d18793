"""The page that a job ends with: one HTML file with its drawings inside, made from the published manifest alone.

The page holds no script and loads nothing. Every text from the manifest is escaped. The same manifest gives the same
bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from manifests import atomic, report_judge, report_pool, report_results
from manifests.report_html import Child, Html, cut, duration, el, plural
from manifests.store import FILE as MANIFEST_FILE
from manifests.store import Manifest

FILE: Final = "report.html"
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
SECTIONS: Final[Sequence[tuple[str, str, Callable[[Manifest], Html | None]]]] = (
    ("leaderboard", "Leaderboard", report_results.leaderboard),
    ("comparisons", "Comparisons", report_results.comparisons),
    ("sources", "Sources", report_pool.sources),
    ("funnel", "Funnel", report_pool.funnel),
    ("scores", "Scores", report_pool.scores),
    ("judge", "Quality of the judge", report_judge.judge_quality),
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
        made = manifest.file.stat().st_mtime_ns
        text = page(manifest)
        out = manifest.root / FILE
    atomic.write_text(out, text)
    os.utime(out, ns=(made, made))
    return out


def refresh(path: Path) -> Path:
    """Write the report of a manifest folder when it is absent or of another publication; return its path.

    A report has the time of the file that it was made from, which holds where a clock was set back too.
    """
    out, published = path / FILE, path / MANIFEST_FILE
    if not out.exists() or (published.exists() and out.stat().st_mtime_ns != published.stat().st_mtime_ns):
        report(path)
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
    lines: list[Child] = []
    for title, sql in queries(manifest):
        lines += ["\n\n" if lines else None, el("span", f"-- {title}", class_="remark"), f"\n{sql}"]
    how = [
        "The manifest is a DuckDB file: open it with ",
        el("code", f"duckdb {manifest.file.name}"),
        ". Its views and their columns carry comments; SHOW TABLES lists them.",
    ]
    return el("section", el("h2", "Queries to try"), el("p", how), el("pre", lines), id="queries")


def _not_shown(absent: Sequence[str]) -> Html:
    items = (
        [*NOT_SHOWN, f"Not there, because nothing was recorded for it: {', '.join(absent)}."] if absent else NOT_SHOWN
    )
    return el("section", el("h2", "What is not shown"), el("ul", [el("li", item) for item in items]), id="not-shown")


def queries(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """Return five (question, SQL) pairs that run on this manifest as it is, with its own names in them."""
    return tuple([*_own_queries(manifest), *_ANY_QUERIES][:5])


_ANY_QUERIES: Final = (
    ("Which rows are not samples, and why?", "SELECT source, reason, count(*) AS n FROM rejects GROUP BY ALL;"),
    (
        "What is in each source?",
        "SELECT source, task, kept, count(*) AS n, avg(n_tokens) AS tokens FROM samples GROUP BY ALL ORDER BY ALL;",
    ),
    ("What took longest?", "SELECT stage, seconds, n_rows FROM stages ORDER BY seconds DESC LIMIT 10;"),
    ("Under which licences?", "SELECT licence, kept, count(*) AS n FROM samples GROUP BY ALL ORDER BY n DESC;"),
    ("Which samples repeat another?", "SELECT content_id, count(*) AS n FROM samples GROUP BY 1 HAVING n > 1;"),
)


def _own_queries(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the queries whose rows are there: what was compared first, then what was drawn, judged and dropped."""
    pair = manifest.sql(
        "SELECT c.blend_a, c.blend_b, min(a.blend), min(b.blend) FROM comparisons c"
        " JOIN blends a ON a.recipe_name = c.blend_a JOIN blends b ON b.recipe_name = c.blend_b"
        " GROUP BY ALL ORDER BY min(p_value) NULLS LAST, 1, 2 LIMIT 1"
    )
    if pair.height:
        x, y, a, b = (_text(name) for name in pair.row(0))
        yield "How do two recipes compare?", f"FROM compare({x}, {y});"
        yield (
            "How do their blends differ?",
            f"SELECT change, count(*) AS n FROM blend_diff({a}, {b}) GROUP BY ALL;",  # noqa: S608
        )
    if manifest.sql("SELECT count(*) FROM verdicts").item():
        yield (
            "Which rows is the judge surest are wrong?",
            "SELECT s.source, round(v.p_error, 3) AS p_error, s.prompt, s.response\n"
            "FROM verdicts v JOIN samples s USING (sample_id) ORDER BY v.p_error DESC NULLS LAST LIMIT 10;",
        )
    dropped = manifest.sql("SELECT min(sample_id) FROM decisions WHERE NOT kept").item()
    if dropped:
        yield (
            "Why were rows dropped?",
            "SELECT step, reason, sum(n_dropped) AS n FROM funnel\n"
            "WHERE reason IS NOT NULL GROUP BY ALL ORDER BY n DESC;",
        )
        yield "What happened to one of them?", f"FROM why({_text(dropped[:12])});"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
