"""The shapes of bulk data: one Polars schema per table that crosses a boundary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

VERSION: Final = 5
"""Version of the manifest's tables; `migrations.py` holds the steps from each earlier one."""

Schema = Mapping[str, type[pl.DataType] | pl.DataType]

SAMPLES: Final[Schema] = {
    "sample_id": pl.String,  # 32 hex
    "content_id": pl.String,  # 32 hex
    "k64": pl.UInt64,  # names.k64(sample_id)
    "source": pl.String,
    "role": pl.String,  # generalist | specialist | eval | knowledge
    "task": pl.String,  # nullable
    "prompt": pl.String,  # turns before the last answer, system excluded, joined by blank lines
    "response": pl.String,  # the last assistant turn
    "system": pl.String,  # nullable
    "messages": pl.String,  # JSON list of {role, content}
    "n_turns": pl.Int32,
    "n_chars": pl.Int32,  # characters of all message contents
    "n_tokens": pl.Int32,  # estimate: UTF-8 bytes of all contents / 4, rounded up, at least 1
    "licence": pl.String,
    "meta": pl.String,  # JSON object: references, choices, user columns
}
REJECTS: Final[Schema] = {"source": pl.String, "line": pl.Int64, "reason": pl.String, "raw_hash": pl.String}
DECISIONS: Final[Schema] = {
    "sample_id": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,  # null when kept without remark
    "witness_id": pl.String,  # the sample kept in its stead, or the eval row that it overlaps
    "similarity": pl.Float64,  # 0..1, null when the reason has none
    "detail": pl.String,  # what was found, such as the n-gram that an eval row holds too; null when there is none
}
SCORES: Final[Schema] = {
    "sample_id": pl.String,
    "scorer": pl.String,
    "value": pl.Float64,  # finite or null
    "status": pl.String,  # ok | abstained | failed
    "why": pl.String,
    "key": pl.String,  # the call's cache key
}
VERDICTS: Final[Schema] = {
    "sample_id": pl.String,
    "judge": pl.String,
    "p_error": pl.Float64,
    "label": pl.String,  # correct | wrong | null
    "defect": pl.String,
    "claims": pl.String,  # JSON
    "evidence": pl.String,  # JSON
    "status": pl.String,
    "repair": pl.String,  # a corrected answer, null unless asked for
}
QUALITY: Final[Schema] = {
    "scorer": pl.String,
    "measured_on": pl.String,  # the labels or probes that it was measured on
    "metric": pl.String,
    "value": pl.Float64,  # finite or null
    "ci_low": pl.Float64,  # 95 % interval
    "ci_high": pl.Float64,
    "n": pl.Int64,  # rows that the number is about
    "note": pl.String,
}
LABELS: Final[Schema] = {
    "sample_id": pl.String,
    "label": pl.String,  # correct | wrong | unsure
    "defect": pl.String,
    "note": pl.String,
    "labelled_by": pl.String,
    "labelled_at": pl.Datetime("us"),
}
CELLS: Final[Schema] = {"sample_id": pl.String, "space": pl.String, "cell": pl.Int32}
COVERAGE: Final[Schema] = {"target": pl.String, "source": pl.String, "metric": pl.String, "value": pl.Float64}
MEMBERS: Final[Schema] = {
    "position": pl.Int64,  # 0.. in training order
    "sample_id": pl.String,
    "role": pl.String,  # generalist | specialist
    "weight": pl.Float64,
    "repeats": pl.Int32,
    "reason": pl.String,
}
STRATA: Final[Schema] = {
    "stratum": pl.String,
    "available": pl.Int64,
    "requested": pl.Float64,  # rows asked for before rounding and caps
    "taken": pl.Int64,
    "repeats": pl.Int32,
    "limited_by": pl.String,  # what kept taken below requested, null when nothing did
    "samples": pl.Int64,  # distinct rows taken
    "error_mass": pl.Float64,  # p_error x weight x repeats summed over the judged rows; null without one
    "note": pl.String,  # what a budget or a marginal did here, null when nothing
}
RESULTS: Final[Schema] = {
    "run": pl.String,
    "task": pl.String,
    "example_id": pl.String,
    "metric": pl.String,
    "value": pl.Float64,  # finite or null; every metric is oriented so that more is better
    "prediction": pl.String,
}
LEADERBOARD: Final[Schema] = {
    "blend": pl.String,
    "task": pl.String,
    "metric": pl.String,
    "mean": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "n_examples": pl.Int64,
    "n_seeds": pl.Int64,
}
COMPARISONS: Final[Schema] = {
    "task": pl.String,
    "metric": pl.String,
    "blend_a": pl.String,
    "blend_b": pl.String,
    "difference": pl.Float64,  # mean of a minus mean of b
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "p_value": pl.Float64,  # corrected for the number of comparisons of the task and metric
    "verdict": pl.String,  # helps | hurts | cannot tell   (a against b)
    "minimum_detectable": pl.Float64,  # at 80 % power, two-sided 5 %
    "n_examples": pl.Int64,  # examples and seeds that both blends have
    "n_seeds": pl.Int64,
    "p_permutation": pl.Float64,  # of sign flips over examples, corrected likewise
    "seeds_needed": pl.Int64,  # that would decide it; null when decided, or when none would
    "examples_needed": pl.Int64,
}
LOSSES: Final[Schema] = {"run": pl.String, "step": pl.Int64, "loss": pl.Float64}


def frame(rows: Iterable[Mapping[str, Any]] | Mapping[str, Any], schema: Schema) -> pl.DataFrame:
    """Return rows (mappings, or one mapping of columns) as a frame of exactly `schema`, columns in its order."""
    data: Any = dict(rows) if isinstance(rows, Mapping) else [dict(row) for row in rows]
    if not data:
        return pl.DataFrame(schema=dict(schema))
    return pl.DataFrame(data, schema=dict(schema), strict=True)
