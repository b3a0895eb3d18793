"""Small drawings in SVG: each stretches to the width of its place, so text and dots keep their size on a phone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from manifests.report_html import Html, count, el, number, percent

ROW: Final = 28
"""Height of one row of a drawing in a table, in pixels; as tall as the row, so that grid lines meet."""
TALL: Final = 46
"""Height of a row with two lines of text, in pixels."""
PLOT: Final = 170
"""Height of a histogram without its axis, in pixels."""
TOP: Final = 22
"""Room above a histogram for the names of its thresholds, in pixels a line."""


@dataclass(frozen=True)
class Scale:
    """A linear scale from values to per cent of a drawing's width, with its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    step: float

    def x(self, value: float) -> float:
        """Return the place of `value` in per cent; 3 % are left free on both sides."""
        return 3 + 94 * (value - self.low) / (self.high - self.low)

    @property
    def digits(self) -> int:
        """Fewest decimals that write every tick exactly."""
        return next((d for d in range(12) if all(abs(t - round(t, d)) < 1e-9 * self.step for t in self.ticks)), 12)


def scale(values: Sequence[float], ticks: int = 4) -> Scale:
    """Return the scale that holds all `values` between round ticks; a single value is given some room.

    Tick steps are 1, 2, 2.5 or 5 times a power of ten.
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low <= max(1e-9, 1e-9 * abs(low)):
        room = max(0.1 * abs(low), 0.1)
        low, high = low - room, high + room
    raw = (high - low) / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, last * step, tuple(round(i * step, 12) for i in range(first, last + 1)), step)


def _svg(height: int, title: str, *children: Html, desc: str = "", class_: str = "") -> Html:
    named = [el("title", title), el("desc", desc) if desc else None]
    return el("svg", named, children, width="100%", height=height, role="img", class_=class_ or None)


def _line(x: float, y1: float, y2: float, class_: str) -> Html:
    return el("line", x1=_at(x), x2=_at(x), y1=y1, y2=y2, class_=class_)


def _text(x: float, y: float, text: str, class_: str, anchor: str = "middle") -> Html:
    return el("text", text, x=_at(x), y=y, class_=class_, text_anchor=anchor)


def _at(x: float) -> str:
    return f"{x:.3f}%"


def _grid(on: Scale, height: int, zero: bool) -> list[Html]:
    marks = [_line(on.x(t), 0, height, "grid") for t in on.ticks]
    return [*marks, _line(on.x(0), 0, height, "zero")] if zero and on.low <= 0 <= on.high else marks


def whisker(
    on: Scale, value: float | None, low: float | None, high: float | None, title: str, *, tone: str = "point"
) -> Html:
    """Return one row of a dot plot: a dot at `value`, a line from `low` to `high`, grid lines behind."""
    parts = _grid(on, ROW, zero=False)
    return _svg(ROW, title, *parts, *_dot(on, value, (low, high), tone, ROW / 2), class_="strip")


def difference(
    on: Scale, value: float | None, ends: tuple[float | None, float | None], unseen: float | None, title: str, tone: str
) -> Html:
    """Return one row of a forest plot: as `whisker`, with the zero line and the band of what cannot be detected."""
    parts = []
    if unseen is not None:
        left, right = max(on.x(on.low), on.x(-unseen)), min(on.x(on.high), on.x(unseen))
        parts.append(el("rect", x=_at(left), width=_at(right - left), y=13, height=TALL - 26, class_="band"))
    parts += _grid(on, TALL, zero=True)
    return _svg(TALL, title, *parts, *_dot(on, value, ends, tone, TALL / 2), class_="strip")


def _dot(on: Scale, value: float | None, ends: tuple[float | None, float | None], tone: str, y: float) -> list[Html]:
    marks = []
    low, high = ends
    if low is not None and high is not None:
        marks.append(el("line", x1=_at(on.x(low)), x2=_at(on.x(high)), y1=y, y2=y, class_=f"span {tone}"))
    if value is not None:
        marks.append(el("circle", cx=_at(on.x(value)), cy=y, r=4.5, class_=f"dot {tone}"))
    return marks


def axis(on: Scale) -> Html:
    """Return the axis under a column of rows: ticks with their numbers."""
    marks = [_line(on.x(t), 0, 4, "tick") for t in on.ticks]
    texts = [_text(on.x(t), 17, number(t, on.digits), "label") for t in on.ticks]
    ends = f"axis from {number(on.low, on.digits)} to {number(on.high, on.digits)}"
    return _svg(22, ends, *marks, *texts, class_="strip")


def bars(parts: Sequence[tuple[float, str]], title: str, height: int = ROW) -> Html:
    """Return one bar of parts one after the other: (share of the full width in 0..1, class of its colour)."""
    drawn, at = [], 0.0
    for share, tone in parts:
        if share > 0:
            drawn.append(
                el("rect", x=_at(100 * at), width=_at(100 * share), y=height * 0.2, height=height * 0.6, class_=tone)
            )
        at += share
    return _svg(height, title, *drawn, class_="strip")


def stack(shares: Mapping[str, float], tones: Mapping[str, str], title: str) -> Html:
    """Return one stacked bar: name -> share in 0..1, in order; shares over 12 % are written into their part."""
    drawn, at = [], 0.0
    for name, share in shares.items():
        x, width = 100 * at, 100 * share
        drawn.append(el("rect", x=_at(x), width=_at(width), y=3, height=ROW - 6, class_=f"part {tones[name]}"))
        if share >= 0.12:
            drawn.append(_text(x + width / 2, ROW / 2 + 4, percent(share), f"inside {tones[name]}"))
        at += share
    return _svg(ROW, title, *drawn, class_="strip")


def histogram(counts: Sequence[int], on: Scale, thresholds: Sequence[float], title: str, *, flag: bool = False) -> Html:
    """Return a histogram of equal bins over the scale's range, with a line at each threshold.

    With `flag`, bins at or above the lowest threshold are drawn in the second tone.
    """
    top, peak = 6 + TOP * max(1, len(thresholds)), max([1, *counts])
    height, width = top + PLOT, (on.high - on.low) / max(1, len(counts))
    edge = min(thresholds, default=math.inf) if flag else math.inf
    drawn = [
        el("line", x1=_at(3), x2=_at(97), y1=top, y2=top, class_="grid"),
        _text(3, top - 5, f"{count(peak)} rows", "label", "start"),
    ]
    for i, n in enumerate(counts):
        left = on.low + i * width
        tall = PLOT * n / peak
        tone = "flagged" if left >= edge - width * 1e-6 else "held"
        inner = on.x(left + width) - on.x(left)
        drawn.append(
            el("rect", x=_at(on.x(left) + inner * 0.06), width=_at(inner * 0.88), y=round(height - tall, 2),
               height=round(tall, 2), class_=tone)
        )  # fmt: skip
    drawn.append(el("line", x1=_at(3), x2=_at(97), y1=height, y2=height, class_="tick"))
    for tick in on.ticks:
        drawn += [
            _line(on.x(tick), height, height + 4, "tick"),
            _text(on.x(tick), height + 18, number(tick, on.digits), "label"),
        ]
    for i, value in enumerate(sorted(thresholds)):
        x, y, right = on.x(value), TOP * i + 14, on.x(value) < 55
        place = (x + (0.8 if right else -0.8), y, f"threshold {value:g}", "label strong", "start" if right else "end")
        drawn += [_line(x, y - 11, height, "threshold"), _text(*place)]
    spoken = ", ".join(f"{number(on.low + i * width, 3)}: {n}" for i, n in enumerate(counts) if n)
    return _svg(height + 24, title, *drawn, desc=f"rows per bin, by its lower edge: {spoken}", class_="chart")
