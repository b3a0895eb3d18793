"""The judge on trial: a manifest's verdicts against labels that its samples carry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from manifests.errors import UserError

if TYPE_CHECKING:
    from manifests.store import Manifest


def evaluate(
    manifest: Manifest,
    label: str,
    *,
    judge: str | None = None,
    group: str | None = None,
    threshold: float = 0.5,
    seed: int = 0,
) -> dict[str, Any]:
    """Return how well a judge's `p_error` finds the rows whose `meta[label]` is true (the row is wrong).

    Rows without the label are left out and counted under `unlabelled`. Rows of one value of `meta[group]` are resampled
    together for the intervals. The numbers are those of `curate.calibrate.evaluate`. Raises UserError when the judge is
    not named and there are several, when no row has the label and when a label is not true or false.
    """
    from curate import calibrate

    name = _judge(manifest, judge)
    rows = manifest.sql(
        "SELECT s.sample_id, s.meta, v.p_error, v.status FROM verdicts v JOIN samples s USING (sample_id)"
        " WHERE v.judge = ? ORDER BY s.sample_id",
        [name],
    )
    judged = rows.with_columns(calibrate.labelled(rows, label).alias("wrong")).filter(pl.col("wrong").is_not_null())
    groups = [str(json.loads(text or "{}").get(group)) for text in judged["meta"]] if group else None
    found = calibrate.evaluate(
        judged["wrong"].to_list(), judged["p_error"].to_list(), judged["status"].to_list(), groups, threshold, seed
    )
    return {"judge": name, "label": label, "unlabelled": rows.height - judged.height, **found}


def metrics_frame(found: dict[str, Any]) -> pl.DataFrame:
    """Return the statistics of `evaluate` as rows: metric, value, low, high (95 % interval)."""
    rows = [(name, item["value"], item["low"], item["high"]) for name, item in found["metrics"].items()]
    shape = {"metric": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=shape, orient="row")


def _judge(manifest: Manifest, judge: str | None) -> str:
    names = manifest.sql("SELECT DISTINCT judge FROM verdicts ORDER BY judge")["judge"].to_list()
    if not names:
        remedy = "add a judge to the job, under curate"
        raise UserError("no verdicts in this manifest", value=str(manifest.file), remedy=remedy)
    if judge is None and len(names) > 1:
        raise UserError("several judges gave verdicts", value=names, remedy="name one with --judge")
    if judge is not None and judge not in names:
        raise UserError("no verdicts of this judge", value=judge, options=names)
    return judge or str(names[0])
