"""Markup that cannot be broken by data: elements escape their text, tables align their numbers."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

VOID: Final = frozenset({"br", "meta"})
MINUS: Final = "\u2212"
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")
"""Characters that hide, reorder or cannot be written: shown as the replacement character."""


class Html(str):
    """Text that is markup already; only `el`, `esc` and `join` make it."""

    __slots__ = ()


Child = str | int | None | Sequence["Child"]


def esc(value: object) -> Html:
    """Return any value as text that no browser reads as markup; invisible characters become U+FFFD."""
    return value if isinstance(value, Html) else Html(html.escape(_UNSEEN.sub("\ufffd", str(value)), quote=True))


def join(children: Iterable[Child]) -> Html:
    """Return the children one after the other, text escaped, None left out."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, str | int):
            parts.append(esc(child))
        elif child is not None:
            parts.append(join(child))
    return Html("".join(parts))


def el(name: str, /, *children: Child, **attributes: object) -> Html:
    """Return an element; `class_` is `class`, `_` in attribute names is `-`, attributes that are None are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{esc(value)}"' for key, value in attributes.items() if value is not None
    )
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{join(children)}</{name}>")


def cut(value: object, limit: int = 80) -> str:
    """Return the value as text of at most `limit` characters."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def named(value: object) -> Html:
    """Return a name that is kept on one line, cut to 40 characters with the whole of it as a tooltip."""
    return el("span", cut(value, 40), class_="name", title=value if len(str(value)) > 40 else None)


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, what it holds, and its short name where the heading has no room."""

    title: str
    kind: str = "text"
    """text, number, plot or `plot narrow`; numbers are right-aligned, a plot takes the width that is left."""
    short: str = ""
    """Written before each value on a narrow screen, where a table with a plot has no line of headings."""


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Child]], *, caption: Child, foot: Sequence[Child] = ()
) -> Html:
    """Return a figure with a table that scrolls on narrow screens; the first cell of each row is its heading.

    A table with a plot column is laid out so that on a narrow screen the drawing has a line of its own.
    """
    head = el("tr", [el("th", c.title, scope="col", class_=c.kind) for c in columns])
    plotted = any(c.kind.startswith("plot") for c in columns)
    parts = [el("thead", head), el("tbody", [_row(columns, row) for row in rows])]
    if foot:
        cells = [el("td", cell, class_=c.kind) for c, cell in zip(columns, foot, strict=True)]
        parts.append(el("tfoot", el("tr", cells)))
    body = el("table", parts, class_="plotted" if plotted else None)
    scroll = el("div", body, class_="scroll", tabindex=0, role="region", aria_label=_plain(caption))
    return el("figure", el("figcaption", caption), scroll)


def _row(columns: Sequence[Column], row: Sequence[Child]) -> Html:
    cells = []
    for i, (column, cell) in enumerate(zip(columns, row, strict=True)):
        short = column.short if column.short and cell != "" else None
        cells.append(el("td" if i else "th", cell, class_=column.kind, scope=None if i else "row", data_short=short))
    return el("tr", cells)


def _plain(caption: Child) -> str:
    """Return the words of a caption, for the name of its region."""
    return html.unescape(re.sub(r"<[^>]*>", "", join([caption]))).strip()


def count(value: float | None) -> str:
    """Return a whole number with commas; an en dash when there is none."""
    return "–" if value is None else f"{round(value):,}".replace("-", MINUS)


def percent(share: float | None) -> str:
    """Return a share in 0..1 as a percentage: whole above 10 %, one decimal below, never 0 or 100 by rounding."""
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    digits = 1 if 0 < share < 0.0995 or 0.995 <= share < 1 else 0
    return f"{100 * share:.{digits}f} %"


def decimals(half_width: float | None) -> int:
    """Return how many decimals a value needs so that an interval of this half width has one or two digits."""
    if half_width is None or not math.isfinite(half_width) or half_width <= 0:
        return 3
    return min(6, max(0, -math.floor(math.log10(half_width / 5))))


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """Return a number with `digits` decimals and a true minus; an en dash when there is none."""
    if value is None:
        return "–"
    shown = round(value, digits) or 0.0
    text = f"{shown:+,.{digits}f}" if sign and shown else f"{shown:,.{digits}f}"
    return text.replace("-", MINUS)


def interval(low: float | None, high: float | None, digits: int) -> str:
    """Return `[low, high]`, or nothing when either end is missing."""
    if low is None or high is None:
        return ""
    return f"[{number(low, digits)},\u00a0{number(high, digits)}]"


def p_value(p: float | None) -> str:
    """Return a p-value with its relation and no place to break the line: `= .03`, `< .001`, `> .99`."""
    if p is None:
        return "not known"
    if p < 0.001:
        return "<\u00a0.001"
    if p > 0.99:
        return ">\u00a0.99"
    return "=\u00a0" + f"{p:.{3 if p < 0.0995 else 2}f}"[1:]


def duration(seconds: float | None) -> str:
    """Return a time span in words: `0.4 s`, `75 s`, `12 min`, `3 h 20 min`."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def plural(n: int, noun: str, many: str | None = None) -> str:
    """Return `1 row`, `2 rows`; `many` is the plural where it is not the noun and an s."""
    return f"{count(n)} {noun if n == 1 else many or noun + 's'}"
