"""How the explorer shows values: every text of a manifest is escaped, and nothing is read as HTML or Markdown.

marimo's own table turns addresses in cells into links and pictures and reads Markdown in them; samples are not
trusted with that, so the tables of the page are made here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from manifests.explorer.data import Answer
from manifests.report_html import Html, count, cut, el, number, p_value, percent

WIDEST: Final = 110
"""Characters of a text that a table shows; the whole of it is in the sample's story and in the tooltip."""
TOOLTIP: Final = 1500
"""Most characters of a tooltip."""
SHARES: Final = ("share", "jaccard", "share_of_a", "share_of_b", "cell_recall")
TITLES: Final = {"n_rows": "rows", "n_samples": "samples", "n_tokens": "tokens", "n_both": "in both"}
OVERLAP: Final = {"share_of_a": "share of a in b", "share_of_b": "share of b in a"}
IDS: Final = ("sample_id", "content_id", "example_id", "witness_id", "conflict_id")


def style() -> Html:
    """Return the style sheet of the page."""
    return el("style", Html(Path(__file__).with_name("explorer.css").read_text(encoding="utf-8")))


def header(job: str, file: Path, facts: Mapping[str, int]) -> Html:
    """Return the head of the page: the job's name, its file, and the counts that say how large it is."""
    dropped = facts["samples"] - facts["kept"]
    numbers = (
        ("samples", facts["samples"], f"{count(dropped)} dropped" if dropped else "all kept"),
        ("sources", facts["sources"], ""),
        ("blends", facts["blends"], f"of {count(facts['recipes'])} recipes" if facts["recipes"] else ""),
        ("runs", facts["runs"], "" if facts["runs"] else "none yet"),
        ("judged", facts["judged"], "with a p_error" if facts["judged"] else "none yet"),
    )
    boxes = [
        el("div", el("b", count(value)), el("span", name), el("small", note or "\u00a0"), class_="bs-stat")
        for name, value, note in numbers
    ]
    title = el("div", el("h1", cut(job)), el("p", "Read-only copy: ", el("code", str(file)), class_="bs-soft"))
    return el("header", title, el("div", boxes, class_="bs-stats"), class_="bs-head")


def heading(title: str, text: str = "") -> Html:
    """Return the heading of a part, with a line that says how to read it."""
    return el("div", el("h2", title), el("p", text, class_="bs-soft") if text else None, class_="bs-part")


def empty(text: str, remedy: str = "") -> Html:
    """Return a box that says what is missing and how it would come to be there."""
    return el("div", el("b", text), el("span", remedy) if remedy else None, class_="bs-empty")


def error(text: str) -> Html:
    """Return a box with an error in the words of DuckDB."""
    return el("pre", text, class_="bs-error", role="alert")


def frame(rows: pl.DataFrame, *, titles: Mapping[str, str] | None = None) -> Html:
    """Return a frame as a table: texts cut, shares in per cent, ids shortened, the whole value as a tooltip."""
    return lined(rows, [None] * rows.height, titles=titles)


def lined(rows: pl.DataFrame, lead: Sequence[str | None], *, titles: Mapping[str, str] | None = None) -> Html:
    """Return `frame` with a first cell of markup per row, such as the button that chooses it."""
    named = {**TITLES, **(titles or {})}
    kinds = {name: "number" if dtype.is_numeric() else "text" for name, dtype in rows.schema.items()}
    first = any(lead)
    head = [el("th", named.get(name, name.replace("_", " ")), class_=kinds[name], scope="col") for name in rows.columns]
    body = []
    for mark, row in zip(lead, rows.iter_rows(named=True), strict=True):
        cells = [_cell(name, value, kinds[name]) for name, value in row.items()]
        body.append(el("tr", el("td", Html(mark or ""), class_="lead") if first else None, cells))
    top = el("thead", el("tr", el("th", "", class_="lead") if first else None, head))
    table = el("table", top, el("tbody", body), class_="bs-table")
    return el("div", table, class_="bs-scroll bs-short" if first else "bs-scroll")


def found(answer: Answer, noun: str = "row") -> Html:
    """Return the line above an answer: how many rows there are and how many of them are shown."""
    shown = answer.rows.height
    if answer.total is None:
        text = f"the first {count(shown)} {noun}s; there are more"
    elif answer.total > shown:
        text = f"{count(answer.total)} {noun}s; the first {count(shown)} are here"
    else:
        text = f"{count(answer.total)} {noun}{'' if answer.total == 1 else 's'}"
    return el("p", text, class_="bs-found", aria_live="polite")


def story(sample: Mapping[str, object], why: pl.DataFrame) -> Html:
    """Return one sample with its whole text, beside all that happened to it."""
    turns = [
        el("div", el("b", part), el("pre", str(sample[part])), class_="bs-turn")
        for part in ("system", "prompt", "response")
        if sample[part] is not None
    ]
    facts = el("p", f"{sample['source']}, {sample['role']}, {sample['sample_id']}", class_="bs-soft")
    text = el("div", el("h3", "Text"), facts, turns)
    happened = el("div", el("h3", "What happened to it"), frame(why.select("what", "name", "detail", "value")))
    return el("section", text, happened, class_="bs-story")


def _cell(name: str, value: object, kind: str) -> Html:
    text = _text(name, value)
    if name in IDS and isinstance(value, str):
        return el("td", el("code", value[:10]), title=value)
    tone = f" bs-{value.replace(' ', '-')}" if name == "verdict" and value in ("helps", "hurts", "cannot tell") else ""
    whole = cut(text, TOOLTIP) if len(text) > WIDEST else None
    return el("td", cut(" ".join(text.split()) if whole else text, WIDEST), class_=kind + tone, title=whole)


def _text(name: str, value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if name == "p_value":
            return p_value(value).removeprefix("=\u00a0")
        if name in SHARES or name.endswith("_share"):
            return percent(value)
        return count(value) if value.is_integer() and abs(value) < 1e15 else number(value, 3)
    if isinstance(value, int):
        return count(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
