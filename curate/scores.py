"""What every scorer answers: one row per sample, a finite number or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from curate.step import Scored
from manifests import schema

NOT_FINITE: Final = "the value is not a finite number"


def scored(ids: pl.Series, name: str, values: pl.Series, why: pl.Series | Sequence[str | None]) -> Scored:
    """Return `schema.SCORES` rows, one per id and ordered by it.

    A number is `ok`, null `abstained`, NaN or infinity `failed`. `why` is the reason for a null or NaN, or a remark
    beside a number.
    """
    value, reason = pl.col("value"), pl.col("why")
    broken = value.is_not_null() & ~value.is_finite()
    frame = pl.DataFrame(
        [
            ids.cast(pl.String).alias("sample_id"),
            values.cast(pl.Float64).alias("value"),
            pl.Series("why", why, dtype=pl.String),
        ]
    ).with_columns(
        pl.lit(name).alias("scorer"),
        pl.when(broken).then(pl.lit("failed")).when(value.is_null()).then(pl.lit("abstained")).otherwise(pl.lit("ok"))
        .alias("status"),
        pl.when(~broken).then(value).alias("value"),
        pl.when(broken & reason.is_null()).then(pl.lit(NOT_FINITE)).otherwise(reason).alias("why"),
        pl.lit(None, pl.String).alias("key"),
    )  # fmt: skip
    return Scored(frame.select(*schema.SCORES).sort("sample_id"))
