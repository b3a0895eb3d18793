"""What must hold between the tables of a manifest: checked when a stage is written, and by `blendsmith doctor`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    import duckdb

TABLES: Final = (
    "sources", "samples", "rejects", "decisions", "scores", "verdicts", "quality", "labels", "coverage", "cells",
    "blends", "members", "reasons", "strata", "runs", "losses", "results", "leaderboard", "comparisons",
)  # fmt: skip
LAWS: Final[Mapping[str, str]] = {
    "rows read = samples + rejects": """
        SELECT source, rows, coalesce(n, 0) AS samples, coalesce(m, 0) AS rejects FROM store.sources
        LEFT JOIN (SELECT source, count(*) AS n FROM store.samples GROUP BY 1) USING (source)
        LEFT JOIN (SELECT source, count(*) AS m FROM store.rejects GROUP BY 1) USING (source)
        WHERE rows <> coalesce(n, 0) + coalesce(m, 0) OR samples <> coalesce(n, 0) OR rejects <> coalesce(m, 0)""",
    "sample ids are unique": """
        SELECT sample_id FROM store.samples GROUP BY 1 HAVING count(*) > 1
        UNION ALL
        SELECT min(sample_id) FROM store.samples GROUP BY sample_no HAVING count(*) > 1 OR sample_no IS NULL""",
    "each step decides once on each sample it saw": """
        SELECT step, count(*), count(DISTINCT sample_id) FROM store.decisions GROUP BY 1
        HAVING count(*) <> count(DISTINCT sample_id)""",
    "in = what the step before kept": """
        WITH counts AS (
            SELECT d.source, g.position, count(*) AS n_in, count(*) FILTER (WHERE d.kept) AS n_kept
            FROM store.decisions d JOIN store.stages g USING (stage) GROUP BY ALL
        ), chained AS (
            SELECT *, lag(n_kept) OVER (PARTITION BY source ORDER BY position) AS before FROM counts
        )
        SELECT c.source, c.position, c.n_in, coalesce(c.before, s.samples) AS expected
        FROM chained c JOIN store.sources s USING (source) WHERE c.n_in <> coalesce(c.before, s.samples)""",
    "no step sees a row that an earlier one dropped": """
        SELECT d.sample_id, d.step FROM store.decisions d JOIN store.stages g USING (stage) JOIN (
            SELECT sample_id, min(position) AS dropped FROM store.decisions JOIN store.stages USING (stage)
            WHERE NOT kept GROUP BY 1
        ) USING (sample_id) WHERE g.position > dropped""",
    "every decision, score, verdict and cell is of a sample": """
        SELECT sample_id FROM (
            SELECT sample_id FROM store.decisions UNION ALL SELECT sample_id FROM store.scores
            UNION ALL SELECT sample_id FROM store.verdicts UNION ALL SELECT sample_id FROM store.cells
        ) ANTI JOIN store.samples USING (sample_id)""",
    "one score per scorer and sample": """
        SELECT scorer, count(*) FROM store.scores GROUP BY 1 HAVING count(*) <> count(DISTINCT sample_id)""",
    "no eval row and no dropped row is in a blend": """
        SELECT m.blend, m.position, s.sample_id FROM store.members m LEFT JOIN store.samples s USING (sample_no)
        WHERE s.sample_id IS NULL OR s.role NOT IN ('generalist', 'specialist')
            OR s.sample_id IN (SELECT sample_id FROM store.decisions WHERE NOT kept)""",
    "a blend holds what it says": """
        SELECT b.blend, b.n_rows, b.n_samples FROM store.blends b
        LEFT JOIN (SELECT blend, sum(repeats) AS r, count(*) AS n FROM store.members GROUP BY 1) USING (blend)
        WHERE b.n_rows <> coalesce(r, 0) OR b.n_samples <> coalesce(n, 0)""",
}
"""Law -> SQL that returns the rows that break it. Before schema version 5 `sample_id` stood for `sample_no`."""


def verify(connection: duckdb.DuckDBPyConnection, tables: Collection[str] = TABLES) -> pl.DataFrame:
    """Return (law, ok, detail) for every conservation law on `tables`, detail being the first row that breaks it."""
    rows = []
    number = "sample_no" if "sample_no" in connection.sql("FROM store.members LIMIT 0").columns else "sample_id"
    for law, sql in LAWS.items():
        if not set(re.findall(r"store\.(\w+)", sql)).intersection(tables):
            continue
        found = connection.execute(f"SELECT * FROM ({sql.replace('sample_no', number)}) LIMIT 1").fetchall()  # noqa: S608
        rows.append({"law": law, "ok": not found, "detail": str(found[0]) if found else ""})
    return pl.DataFrame(rows, schema={"law": pl.String, "ok": pl.Boolean, "detail": pl.String})
