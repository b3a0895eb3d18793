"""The page that rows are read on: one HTML file that loads nothing and sends nothing; labels are saved as a file."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Final

from manifests.report_html import Html, cut, el

if TYPE_CHECKING:
    import polars as pl

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
)
STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 52rem; padding: 1rem; }
h1 { font-size: 1.1rem; } h2 { font-size: .9rem; margin: 1rem 0 .2rem; opacity: .7; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8885; border-radius: .4rem; padding: .7rem;
  margin: 0; font: inherit; max-height: 45vh; overflow-y: auto; }
button { font: inherit; padding: .35rem .8rem; margin: .2rem .3rem .2rem 0; }
button[aria-pressed="true"] { outline: 3px solid Highlight; }
input { font: inherit; width: 100%; box-sizing: border-box; margin-bottom: .4rem; padding: .3rem; }
kbd { border: 1px solid #8888; border-radius: .2rem; padding: 0 .3rem; }
.bar { position: sticky; bottom: 0; background: Canvas; padding: .5rem 0; border-top: 1px solid #8885; }
"""
SCRIPT: Final = """
"use strict";
const rows = JSON.parse(document.getElementById("rows").textContent);
const at = id => document.getElementById(id);
const words = {c: "correct", w: "wrong", u: "unsure"};
let place = 0, saved = true;
for (const row of rows) for (const name of ["label", "defect", "note"]) row[name] = row[name] || "";
function show() {
  const row = rows[place];
  at("prompt").textContent = row.prompt;
  at("response").textContent = row.response;
  at("defect").value = row.defect;
  at("note").value = row.note;
  at("said").textContent = at("reveal").checked ? "The judge says P(wrong) = " + row.p_error.toFixed(3) + "." : "";
  const done = rows.filter(r => r.label).length;
  at("place").textContent = `${place + 1} of ${rows.length}, ${done} labelled${saved ? "" : ", not saved"}`;
  for (const word of Object.values(words)) at(word).setAttribute("aria-pressed", String(row.label === word));
}
function move(step) { place = Math.min(rows.length - 1, Math.max(0, place + step)); show(); }
function mark(word) {
  rows[place].label = rows[place].label === word ? "" : word;
  saved = false;
  if (rows[place].label) move(1); else show();
}
function cell(value) {
  const text = /^[=+@\\t\\r-]/.test(value) ? "'" + value : value;
  return '"' + text.replaceAll('"', '""') + '"';
}
function save(name, kind) {
  const keys = ["sample_id", "label", "defect", "note", "drawn"];
  const done = rows.filter(r => r.label);
  const text = kind === "csv"
    ? [keys.join(",")].concat(done.map(r => keys.map(k => cell(String(r[k]))).join(","))).join("\\n") + "\\n"
    : done.map(r => JSON.stringify(Object.fromEntries(keys.map(k => [k, r[k]]))) + "\\n").join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/plain"}));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
  saved = true;
  show();
}
for (const word of Object.values(words)) at(word).addEventListener("click", () => mark(word));
for (const name of ["defect", "note"])
  at(name).addEventListener("input", event => { rows[place][name] = event.target.value; saved = false; });
at("back").addEventListener("click", () => move(-1));
at("next").addEventListener("click", () => move(1));
at("reveal").addEventListener("change", show);
at("lines").addEventListener("click", () => save("labels.jsonl", "jsonl"));
at("table").addEventListener("click", () => save("labels.csv", "csv"));
document.addEventListener("keydown", event => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (words[event.key]) mark(words[event.key]);
  else if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "ArrowRight") move(1);
});
window.addEventListener("beforeunload", event => { if (!saved) event.preventDefault(); });
show();
"""


def page(rows: pl.DataFrame, title: str) -> str:
    """Return the page of `review.COLUMNS` rows.

    What a row holds reaches the page as text only: as JSON that cannot end its element, set with `textContent`. The
    policy allows the page's own script, by its hash, and no other. The judge's number is hidden until asked for, so
    that it does not lead the reader.
    """
    script_hash = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY.format(script_hash)),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", cut(title, 120), ": review"),
        el("style", Html(STYLE)),
    )
    body = el(
        "body",
        el("h1", cut(title, 120)),
        el("p", el("span", id="place"), " ", el("label", _input(), " show the judge's number"), " ", _span("said")),
        *[part for name in ("prompt", "response") for part in (el("h2", name), el("pre", id=name, tabindex=0))],
        el(
            "div",
            *[_button(word, el("kbd", word[0]), f" {word}") for word in ("correct", "wrong", "unsure")],
            _button("back", "\N{LEFTWARDS ARROW} back"),
            _button("next", "next \N{RIGHTWARDS ARROW}"),
            el("h2", "defect (a word), note"),
            Html('<input id="defect" aria-label="defect" autocomplete="off">'),
            Html('<input id="note" aria-label="note" autocomplete="off">'),
            _button("lines", "Save labels.jsonl"),
            _button("table", "Save labels.csv"),
            class_="bar",
        ),
        el("script", Html(_embedded(rows)), type="application/json", id="rows"),
        el("script", Html(SCRIPT)),
    )
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


def _embedded(rows: pl.DataFrame) -> str:
    """Return the rows as JSON without a character that HTML could read."""
    text = json.dumps(rows.to_dicts(), ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _input() -> Html:
    return Html('<input type="checkbox" id="reveal" style="width: auto">')


def _span(name: str) -> Html:
    return el("span", id=name)


def _button(name: str, *content: str) -> Html:
    return el("button", *content, id=name, type="button")
