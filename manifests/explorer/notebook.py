"""The explorer of a manifest: `blendsmith explore M` serves it as an app; with `--edit` add cells of your own.

`manifest` is the opened copy, `engine` its read-only connection for SQL cells: `mo.sql("FROM blends", engine=engine)`.
"""

import marimo

app = marimo.App(width="medium", app_title="Blendsmith explorer", sql_output="polars")

with app.setup:
    from functools import partial
    from pathlib import Path
    from typing import Any

    import marimo as mo

    from manifests.explorer import data, plots, view
    from manifests.store import Manifest

    TABS = ("Overview", "Blends", "Coverage", "Samples", "Compare", "SQL")
    NO_BLEND = "No blend was drawn yet"
    draw = partial(mo.ui.altair_chart, chart_selection=False, legend_selection=False)

    def show(markup: str) -> Any:
        """Return markup as an output; marimo sends only plain strings to the page."""
        return mo.Html(str(markup))

    MIX = "Blends come from the part mix: of a job; run the job to its end: blendsmith run JOB"


@app.cell
def _() -> Any:
    manifest = Manifest(Path(str(mo.cli_args().get("manifest") or ".")))
    engine = manifest.connection
    facts = data.counts(manifest)
    mo.vstack(
        [
            show(view.style()),
            show(view.header(manifest.meta().get("job") or "Blendsmith job", manifest.file, facts)),
        ]
    )
    return engine, facts, manifest


@app.cell
def _() -> Any:
    tabs = mo.ui.tabs(dict.fromkeys(TABS, ""))
    tabs
    return (tabs,)


@app.cell
def _(engine: Any) -> Any:
    sources = mo.sql(
        """
        SELECT source, role, licence, rows, samples, rejects, kept, n_tokens, samples - kept AS dropped
        FROM sources LEFT JOIN (
            SELECT source, count(*) FILTER (WHERE kept) AS kept, sum(n_tokens)::BIGINT AS n_tokens
            FROM samples GROUP BY source
        ) USING (source) ORDER BY role, source
        """,
        output=False,
        engine=engine,
    )
    steps = mo.sql(
        """
        SELECT step, reason, sum(n_dropped)::BIGINT AS dropped FROM funnel WHERE reason IS NOT NULL
        GROUP BY ALL HAVING dropped > 0 ORDER BY step, dropped DESC, reason
        """,
        output=False,
        engine=engine,
    )
    blend_facts = mo.sql(
        """
        SELECT blend, n_rows, n_samples, n_tokens, specialist_share, non_commercial_share, error_mass,
            unjudged_share, licences FROM blend_facts ORDER BY blend
        """,
        output=False,
        engine=engine,
    )
    return blend_facts, sources, steps


@app.cell
def _(manifest: Any) -> Any:
    board = data.leaderboard(manifest)
    metrics = sorted(set(board["measured"]))
    metric = mo.ui.dropdown(metrics, value=metrics[0] if metrics else None, label="Task and metric")
    return board, metric


@app.cell
def _(board: Any, metric: Any, sources: Any, steps: Any, tabs: Any) -> Any:
    mo.stop(tabs.value != "Overview")
    if board.is_empty():
        ranked = [
            show(
                view.empty(
                    "No blend was measured yet",
                    "Results come from train: and measure: of a job; run the job to its end.",
                )
            )
        ]
    else:
        rows = board.filter(board["measured"] == metric.value)
        ranked = [metric, draw(plots.leaderboard(rows))]
    mo.vstack(
        [
            show(
                view.heading(
                    "Leaderboard",
                    "Recipes over all seeds. Overlapping intervals do not mean that two "
                    "recipes are equal: Compare has the paired differences.",
                )
            ),
            *ranked,
            show(view.heading("Sources")),
            show(view.frame(sources)),
            show(view.heading("What was dropped, and why")),
            show(view.empty("No step dropped a row") if steps.is_empty() else view.frame(steps)),
        ]
    )


@app.cell
def _(blend_facts: Any) -> Any:
    names = blend_facts["blend"].to_list()
    chosen = mo.ui.dropdown(names, value=names[0] if names else None, label="Blend", searchable=True)
    return chosen, names


@app.cell
def _(blend_facts: Any, chosen: Any, manifest: Any, names: Any, tabs: Any) -> Any:
    mo.stop(tabs.value != "Blends")
    mo.stop(not names, show(view.empty(NO_BLEND, MIX)))
    drawn = data.strata(manifest, chosen.value)
    mo.vstack(
        [
            show(
                view.heading(
                    "What each blend is made of",
                    "Shares of rows, repeats included."
                    + ("" if len(names) <= data.MOST_BARS else " Of each recipe the first blend is drawn."),
                )
            ),
            draw(plots.composition(data.composition(manifest, data.pictured(names)))),
            show(
                view.heading(
                    "Facts",
                    "error mass: wrong generalist rows expected, over the judged ones; read it "
                    "beside the share that was not judged.",
                )
            ),
            show(view.frame(blend_facts)),
            show(view.heading("Requested and taken", "What limited a draw stands beside each stratum.")),
            chosen,
            show(view.empty("This blend has no strata") if drawn.is_empty() else view.frame(drawn)),
        ]
    )


@app.cell
def _(engine: Any) -> Any:
    covered = mo.sql("SELECT target, source, metric, value FROM coverage ORDER BY ALL", output=False, engine=engine)
    kinds = sorted(set(covered["metric"]))
    kind = mo.ui.dropdown(kinds, value=kinds[0] if kinds else None, label="Number")
    return covered, kind


@app.cell
def _(covered: Any, kind: Any, manifest: Any, tabs: Any) -> Any:
    mo.stop(tabs.value != "Coverage")
    recall = data.reached(manifest)
    if covered.is_empty():
        how = "A recipe in mix: that needs cells has it measured: one of kind coverage, or with by: cell."
        pool = [show(view.empty("Coverage was not measured", how))]
    else:
        numbers = plots.measured(covered.filter(covered["metric"] == kind.value))
        pool = [kind, draw(numbers)]
    if recall.is_empty():
        blends = show(view.empty("No blend's coverage is known", "It needs blends and coverage cells."))
    else:
        blends = draw(plots.reached(recall))
    mo.vstack(
        [
            show(
                view.heading(
                    "What blends reach",
                    "Share of each target's rows whose cell holds a generalist row "
                    "of the blend: mean over seeds, and their range. Compare recipes of one size: more "
                    "rows always reach more.",
                )
            ),
            blends,
            show(view.heading("How well the sources cover each target", "pool: all generalist rows together.")),
            *pool,
        ]
    )


@app.cell
def _(names: Any) -> Any:
    condition = mo.ui.text(
        placeholder="kept AND n_tokens > 200 AND prompt ILIKE '%capital%'", label="SQL condition", full_width=True
    )
    within = mo.ui.dropdown(names, label="In blend", searchable=True)
    get_sample, set_sample = mo.state(None)
    return condition, get_sample, set_sample, within


@app.cell
def _(condition: Any, manifest: Any, set_sample: Any, tabs: Any, within: Any) -> Any:
    mo.stop(tabs.value != "Samples")
    answer = data.samples(manifest.file, condition.value, within.value)

    def _opener(sample: str) -> Any:
        return mo.ui.button(label="why", on_change=lambda _: set_sample(sample))

    openers = mo.ui.array([_opener(sample) for sample in answer.rows.get_column("sample_id", default=[])])
    return answer, openers


@app.cell
def _(answer: Any, condition: Any, openers: Any, within: Any) -> Any:
    if answer.error:
        listed = show(view.error(answer.error))
    elif answer.rows.is_empty():
        listed = show(view.empty("No sample meets this condition"))
    else:
        listed = show(view.lined(answer.rows, [opener.text for opener in openers]))
    mo.vstack(
        [
            show(
                view.heading(
                    "Samples",
                    "Columns of samples and of judged may be used. Press Enter to filter, and "
                    "why to read a sample and all that happened to it.",
                )
            ),
            mo.hstack([condition, within], widths=[3, 1], align="end"),
            show("" if answer.error else view.found(answer, "sample")),
            listed,
        ]
    )


@app.cell
def _(get_sample: Any, manifest: Any, tabs: Any) -> Any:
    mo.stop(tabs.value != "Samples" or get_sample() is None)
    sample = manifest.sql("FROM samples WHERE sample_id = ?", [get_sample()]).row(0, named=True)
    show(view.story(sample, manifest.why(get_sample())))


@app.cell
def _(manifest: Any, names: Any) -> Any:
    first, second = data.pair(manifest)
    left = mo.ui.dropdown(names, value=first, label="Blend a", searchable=True)
    right = mo.ui.dropdown(names, value=second, label="Blend b", searchable=True)
    return left, right


@app.cell
def _(left: Any, manifest: Any, names: Any, right: Any, tabs: Any) -> Any:
    mo.stop(tabs.value != "Compare")
    mo.stop(len(names) < 2, show(view.empty("There are no two blends to compare", MIX)))
    mo.stop(
        left.value is None or right.value is None or left.value == right.value,
        mo.vstack([mo.hstack([left, right], justify="start"), show(view.empty("Choose two blends"))]),
    )
    changes = data.difference(manifest, left.value, right.value)
    verdicts = data.compared(manifest, left.value, right.value)
    both = data.composition(manifest, (left.value, right.value))
    mo.vstack(
        [
            show(
                view.heading(
                    "Compare two blends", "From a to b: samples that b adds, removes, shows at another weight or keeps."
                )
            ),
            mo.hstack([left, right], justify="start"),
            show(view.frame(data.overlap(manifest, left.value, right.value), titles=view.OVERLAP)),
            draw(plots.difference(changes)),
            show(view.heading("Composition")),
            draw(plots.composition(both)),
            show(view.heading("Results of their recipes", "Paired over examples and seeds; difference: a minus b.")),
            show(
                view.empty("These recipes were not compared", "Comparisons come with measure: of a job.")
                if verdicts.is_empty()
                else view.frame(verdicts)
            ),
        ]
    )


@app.cell
def _(manifest: Any) -> Any:
    editor = mo.ui.code_editor("FROM blend_facts ORDER BY blend", language="sql", min_height=90).form(
        submit_button_label="Run", bordered=False
    )
    known = data.views(manifest)
    return editor, known


@app.cell
def _(editor: Any, known: Any, manifest: Any, tabs: Any) -> Any:
    mo.stop(tabs.value != "SQL")
    asked = data.query(manifest.file, editor.value or editor.element.value)
    mo.vstack(
        [
            show(view.heading("SQL", "One read-only query over the views and macros; docs/COOKBOOK.md has many.")),
            editor,
            show(view.error(asked.error) if asked.error else view.found(asked) + view.frame(asked.rows)),
            show(view.heading("Views")),
            show(view.frame(known)),
        ]
    )


if __name__ == "__main__":
    app.run()
