"""What the explorer asks a manifest for: each answer is a frame in a stated order, and may be empty."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from manifests.errors import UserError
from manifests.store import Manifest

SHOWN: Final = 200
"""Most rows of a query that the page shows."""
MOST_SOURCES: Final = 8
"""Most sources that have a colour of their own; the rest are `other sources`."""
MOST_BARS: Final = 40
"""Most blends that are drawn at once; of more, the first blend of each recipe."""
COUNTS: Final = """
    SELECT (SELECT count(*) FROM samples) AS samples, (SELECT count(*) FROM samples WHERE kept) AS kept,
        (SELECT count(*) FROM sources) AS sources, (SELECT count(*) FROM blends) AS blends,
        (SELECT count(DISTINCT recipe_name) FROM blends) AS recipes, (SELECT count(*) FROM runs) AS runs,
        (SELECT count(*) FROM judged WHERE p_error IS NOT NULL) AS judged"""
COLUMNS: Final = "sample_id, source, role, task, kept, n_tokens, p_error, prompt, response"
SAMPLES: Final = "samples LEFT JOIN (SELECT sample_id, judge, p_error, label FROM judged) USING (sample_id)"


@dataclass(frozen=True)
class Answer:
    """Rows to show: the first ones, how many there are in all (None: more than shown), or the error instead."""

    rows: pl.DataFrame
    total: int | None = 0
    error: str = ""


def counts(manifest: Manifest) -> dict[str, int]:
    """Return how many samples, kept, sources, blends, recipes, runs and judged samples there are."""
    return manifest.sql(COUNTS).row(0, named=True)


def composition(manifest: Manifest, blends: Collection[str] = ()) -> pl.DataFrame:
    """Return (blend, source, n_rows, share) of `blends`, or of all; sources beyond the largest are taken together."""
    frame = manifest.sql("SELECT blend, source, sum(n_rows)::BIGINT AS n_rows FROM composition GROUP BY ALL")
    if blends:
        frame = frame.filter(pl.col("blend").is_in(list(blends)))
    largest = frame.group_by("source").agg(pl.col("n_rows").sum()).sort("n_rows", "source", descending=[True, False])
    named = largest["source"].head(MOST_SOURCES).implode()
    source = pl.when(pl.col("source").is_in(named)).then("source").otherwise(pl.lit("other sources"))
    summed = frame.group_by("blend", source.alias("source")).agg(pl.col("n_rows").sum())
    return summed.with_columns(share=pl.col("n_rows") / pl.col("n_rows").sum().over("blend")).sort("blend", "source")


def pictured(names: Sequence[str]) -> list[str]:
    """Return the blends to draw: all of them, or the first of each recipe when they are too many."""
    if len(names) <= MOST_BARS:
        return list(names)
    firsts = {name.split("@")[0]: name for name in reversed(names)}
    return sorted(firsts.values())[:MOST_BARS]


def pair(manifest: Manifest) -> tuple[str | None, str | None]:
    """Return two blends to compare first: of recipes whose results were compared, else of the first two recipes."""
    firsts = manifest.sql("SELECT recipe_name, min(blend) AS blend FROM blends GROUP BY ALL ORDER BY recipe_name")
    blends: dict[str, str] = dict(firsts.iter_rows())
    pairs = manifest.sql("SELECT blend_a, blend_b FROM comparisons ORDER BY task, metric, blend_a, blend_b").rows()
    recipes = [(a.partition("/")[0], b.partition("/")[0]) for a, b in pairs]
    for a, b in [*recipes, *zip(blends, list(blends)[1:], strict=False)]:
        if a in blends and b in blends:
            return blends[a], blends[b]
    return None, None


def strata(manifest: Manifest, blend: str) -> pl.DataFrame:
    """Return what was requested and taken per stratum of a blend."""
    return manifest.sql(
        "SELECT stratum, available, requested, taken, limited_by, note FROM strata WHERE blend = ? ORDER BY stratum",
        [blend],
    )


def reached(manifest: Manifest) -> pl.DataFrame:
    """Return (target, recipe, mean, least, most, n_rows) of cell recall over the seeds of each recipe."""
    return manifest.sql("""
        SELECT target || CASE WHEN count(DISTINCT space) OVER () > 1 THEN ' (' || space || ')' ELSE '' END AS target,
            recipe, mean, least, most, n_rows
        FROM (SELECT space, target, recipe_name AS recipe, avg(cell_recall) AS mean, min(cell_recall) AS least,
                max(cell_recall) AS most, avg(n_rows) AS n_rows
              FROM blend_coverage JOIN blends USING (blend) GROUP BY space, target, recipe_name)
        ORDER BY target, mean DESC, recipe""")


def leaderboard(manifest: Manifest) -> pl.DataFrame:
    """Return the leaderboard with `measured`, the task and its metric in one text."""
    return manifest.leaderboard().with_columns(measured=pl.col("task") + ", " + pl.col("metric"))


def samples(file: Path, condition: str, blend: str | None = None) -> Answer:
    """Return the samples that meet a SQL condition, by id, of all or of one blend; an error comes as its text.

    The condition runs read-only on a connection of its own, closed to files and network, so that nothing typed here
    outlives its answer. Columns of `judged` may be used beside those of `samples`.
    """
    where = f"({condition.strip().rstrip(';')}\n)" if condition.strip() else "true"
    member = "" if blend is None else " AND sample_id IN (SELECT sample_id FROM blend_members WHERE blend = ?)"
    given = [] if blend is None else [blend]
    body = f"FROM {SAMPLES} WHERE {where}{member}"
    try:
        with Manifest(file) as manifest:
            total = manifest.sql(f"SELECT count(*) {body}", given).item()
            rows = manifest.sql(f"SELECT {COLUMNS} {body} ORDER BY sample_id LIMIT {SHOWN}", given)
    except UserError as error:
        return Answer(pl.DataFrame(), error=told(error))
    return Answer(rows, total)


def query(file: Path, text: str) -> Answer:
    """Return the first rows of one SQL query, as `blendsmith sql` would; an error comes as its text."""
    body = text.strip().rstrip(";").strip()
    if not body:
        return Answer(pl.DataFrame(), error="Write a query, such as: FROM blend_facts")
    try:
        with Manifest(file) as manifest:
            rows = manifest.sql(f"SELECT * FROM ({body}\n) LIMIT {SHOWN + 1}")  # noqa: S608 - as above
    except UserError as error:
        return Answer(pl.DataFrame(), error=told(error))
    return Answer(rows.head(SHOWN), rows.height if rows.height <= SHOWN else None)


def told(error: UserError) -> str:
    """Return DuckDB's words of a failed query, without the echo of the query around it."""
    text = error.what.removeprefix("the query failed: ").removeprefix("the query failed")
    return text.split("\n\nLINE ")[0].strip()


def views(manifest: Manifest) -> pl.DataFrame:
    """Return (view, about) of every public view."""
    return manifest.sql(
        "SELECT view_name AS view, comment AS about FROM duckdb_views()"
        " WHERE NOT internal AND database_name = 'manifest' ORDER BY view_name"
    )


def difference(manifest: Manifest, a: str, b: str) -> pl.DataFrame:
    """Return (change, source, n): distinct samples that blend b adds to a, removes, changes or keeps."""
    return manifest.sql(
        "SELECT change, source, count(*) AS n FROM blend_diff(?, ?) JOIN samples USING (sample_id)"
        " GROUP BY ALL ORDER BY change, source",
        [a, b],
    )


def overlap(manifest: Manifest, a: str, b: str) -> pl.DataFrame:
    """Return (n_both, jaccard, share_of_a, share_of_b) of two blends: one row, or none for a blend with itself."""
    return manifest.sql(
        "SELECT n_both, jaccard, share_of_a, share_of_b FROM blend_overlap WHERE blend_a = ? AND blend_b = ?"
        " UNION ALL SELECT n_both, jaccard, share_of_b, share_of_a FROM blend_overlap"
        " WHERE blend_a = ? AND blend_b = ?",
        [a, b, b, a],
    )


def compared(manifest: Manifest, a: str, b: str) -> pl.DataFrame:
    """Return the paired comparisons of the recipes of two blends, in that direction; one `budget` after the other."""
    recipes = [a.split("@", maxsplit=1)[0], b.split("@", maxsplit=1)[0]]
    budgets = manifest.sql("SELECT DISTINCT split_part(blend_a, '/', 2) AS budget FROM comparisons ORDER BY budget")
    frame = pl.concat([_compared(manifest, recipes, budget) for budget in budgets["budget"].to_list() or [""]])
    return frame if any(frame["budget"]) else frame.drop("budget")


def _compared(manifest: Manifest, recipes: Sequence[str], budget: str) -> pl.DataFrame:
    ends = [f"{recipe}/{budget}" if budget else recipe for recipe in recipes]
    return manifest.sql(
        "SELECT ? AS budget, task, metric, difference, ci_low, ci_high, p_value, verdict, minimum_detectable"
        " FROM compare(?, ?) ORDER BY task, metric",
        [budget, *ends],
    )
