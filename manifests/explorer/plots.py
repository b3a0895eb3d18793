"""The drawings of the explorer, in Altair; each takes a frame that is not empty."""

from __future__ import annotations

from typing import Any, Final

import altair as alt
import polars as pl

COLOURS: Final = (
    "#35618e", "#d99a5b", "#74a67f", "#a58cc0", "#c9a93c", "#6fb0b3", "#b8462f", "#b9cde0", "#a6adb5",
)  # fmt: skip
"""Colours of sources in their order, as in the report; the last is for the other sources."""
CHANGES: Final = {"added": "#2a7d5b", "removed": "#b8462f", "changed": "#c9a93c", "same": "#b9c2cb"}
WIDTH: Final = 820
STEP: Final = 24
"""Pixels of a drawing's width, and of each of its rows."""

Drawing = Any
"""An Altair chart: its methods are made at run time and have no types that a checker can follow."""


def composition(frame: pl.DataFrame) -> Drawing:
    """Return a bar per blend, divided by source: (blend, source, n_rows, share)."""
    sources = sorted(frame["source"].unique().to_list(), key=lambda name: (name == "other sources", name))
    colour = alt.Color(
        "source:N", sort=sources, title=None, legend=alt.Legend(orient="top", columns=5, labelLimit=180),
        scale=alt.Scale(domain=sources, range=list(COLOURS[: len(sources)])),
    )  # fmt: skip
    bars = (
        alt.Chart(_inline(frame))
        .mark_bar(height=alt.RelativeBandSize(0.72), stroke="white", strokeWidth=0.6)
        .encode(
            x=alt.X(
                "share:Q", stack="zero", title="share of rows", axis=alt.Axis(format="%", tickCount=10), scale=_whole()
            ),
            y=_names("blend"),
            color=colour,
            tooltip=["blend:N", "source:N", alt.Tooltip("n_rows:Q", format=",d"), alt.Tooltip("share:Q", format=".1%")],
        )
    )
    return _finish(bars)


def reached(frame: pl.DataFrame) -> Drawing:
    """Return cell recall per recipe, one panel per target, the range over seeds as a line."""
    base = alt.Chart(_inline(frame)).encode(y=_names("recipe", sort="-x"))
    axis = alt.Axis(format="%", tickCount=5)
    span = base.mark_rule(strokeWidth=2, color="#b9cde0").encode(
        x=alt.X("least:Q", scale=_whole(), title="target rows whose cell the blend reaches", axis=axis), x2="most:Q"
    )
    dot = base.mark_point(filled=True, size=70, color="#35618e", opacity=1).encode(
        x=alt.X("mean:Q", scale=_whole()),
        tooltip=["target:N", "recipe:N", alt.Tooltip("mean:Q", format=".1%"), alt.Tooltip("n_rows:Q", format=",.0f")],
    )
    layered = (span + dot).properties(width=380, height=alt.Step(STEP))
    panel = alt.Facet("target:N", title=None, header=alt.Header(labelFontSize=13, labelFontWeight="bold"))
    return layered.facet(facet=panel, columns=2).configure_view(stroke=None)


def measured(frame: pl.DataFrame) -> Drawing:
    """Return a number of the coverage of each target by each source: (target, source, value)."""
    base = alt.Chart(_inline(frame)).encode(
        x=alt.X("source:N", title=None, axis=alt.Axis(labelAngle=-30, labelLimit=140)),
        y=alt.Y("target:N", title=None, axis=alt.Axis(labelLimit=220)),
    )
    fill = base.mark_rect().encode(
        color=alt.Color("value:Q", scale=alt.Scale(scheme="blues"), title=None),
        tooltip=["target:N", "source:N", alt.Tooltip("value:Q", format=".4f")],
    )
    values = [float(value) for value in frame["value"]]
    middle = (min(values) + max(values)) / 2
    text = base.mark_text(fontSize=12).encode(
        text=alt.Text("value:Q", format=".3"),
        color=alt.condition(alt.datum.value > middle, alt.value("white"), alt.value("#1d2126")),
    )
    sources = frame["source"].n_unique()
    return (
        (fill + text).properties(width=min(WIDTH, 90 * sources + 40), height=alt.Step(34)).configure_view(stroke=None)
    )


def leaderboard(frame: pl.DataFrame) -> Drawing:
    """Return the mean of each recipe with its 95 % interval, best first: one task and metric."""
    base = alt.Chart(_inline(frame)).encode(y=_names("blend", sort=frame["blend"].to_list()))
    title = f"{frame['measured'][0]} (more is better; lines: 95 % intervals)"
    scale = alt.Scale(zero=False, nice=True)
    span = base.mark_rule(strokeWidth=2, color="#8fb0d0").encode(
        x=alt.X("ci_low:Q", scale=scale, title=title), x2="ci_high:Q"
    )
    shown = [alt.Tooltip(f"{name}:Q", format=".4f") for name in ("mean", "ci_low", "ci_high")]
    dot = base.mark_point(filled=True, size=70, color="#35618e", opacity=1).encode(
        x=alt.X("mean:Q", scale=scale), tooltip=["blend:N", *shown, "n_examples:Q", "n_seeds:Q"]
    )
    return _finish(span + dot)


def difference(frame: pl.DataFrame) -> Drawing:
    """Return how many samples are added, removed, changed and the same, by source: (change, source, n)."""
    bars = (
        alt.Chart(_inline(frame))
        .mark_bar(height=alt.RelativeBandSize(0.72))
        .encode(
            x=alt.X("n:Q", stack="zero", title="distinct samples", axis=alt.Axis(tickCount=8, format=",d")),
            y=_names("source"),
            color=alt.Color(
                "change:N", title=None, legend=alt.Legend(orient="top"),
                scale=alt.Scale(domain=list(CHANGES), range=list(CHANGES.values())),
            ),
            order=alt.Order("change:N"),
            tooltip=["source:N", "change:N", alt.Tooltip("n:Q", format=",d")],
        )
    )  # fmt: skip
    return _finish(bars)


def _inline(frame: pl.DataFrame) -> Any:  # noqa: ANN401 - altair takes a mapping
    """Return a frame as data inside the chart: a file that is fetched beside it is lost when the page moves on."""
    return {"values": frame.to_dicts()}


def _names(column: str, sort: str | list[str] = "ascending") -> alt.Y:
    return alt.Y(f"{column}:N", sort=sort, title=None, axis=alt.Axis(labelLimit=240))


def _whole() -> alt.Scale:
    return alt.Scale(domain=[0, 1], nice=False)


def _finish(chart: Drawing) -> Drawing:
    return chart.properties(width=WIDTH, height=alt.Step(STEP)).configure_view(stroke=None)
