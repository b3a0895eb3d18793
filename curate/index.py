"""A stored index of rows that new data is deduplicated against: they come first, stay, and may be witnesses."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from manifests import schema
from manifests.atomic import replacing
from manifests.errors import UserError
from manifests.names import digest_bytes

COLUMNS: Final = ("sample_id", "content_id", "source", "prompt", "response", "system", "messages")
"""Columns of an index file: what any key compares, and who the row is."""


def write_index(samples: pl.DataFrame, path: str | Path) -> None:
    """Write the rows of `samples` (at least the columns `COLUMNS`) as an index, in one step, ordered by sample id.

    From a manifest: `write_index(manifest.sql("SELECT * FROM samples WHERE kept"), "old.parquet")`.
    """
    with replacing(Path(path)) as temporary:
        samples.select(COLUMNS).sort("sample_id").write_parquet(temporary, compression="zstd")


def read_index(path: str | Path) -> pl.DataFrame:
    """Return the rows of an index file, ordered by sample id; raise UserError when it is none."""
    remedy = "write it with curate.index.write_index(samples, path)"
    if not Path(path).is_file():
        raise UserError("no such index", value=str(path), remedy=remedy)
    try:
        found = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"not an index ({error})", value=str(path), remedy=remedy) from error
    wanted = {name: schema.SAMPLES[name] for name in COLUMNS}
    if any(found.schema.get(name) != kind for name, kind in wanted.items()):
        raise UserError("not an index: other columns", value=dict(found.schema), options=COLUMNS, remedy=remedy)
    return found.select(COLUMNS).unique("sample_id").sort("sample_id")


def index_digest(path: str | Path) -> str:
    """Return the hash of an index file's bytes, empty when there is no such file."""
    return digest_bytes(Path(path).read_bytes()) if Path(path).is_file() else ""


def with_index(ranked: pl.DataFrame, path: str | Path) -> pl.DataFrame:
    """Return the rows with those of the index before them, and columns `indexed` and `given`.

    A row of the index that is also given, by its sample id, is there once: indexed and given, so that it is never its
    own witness and never dropped. Only the columns that both have remain.
    """
    index = read_index(path)
    both = [name for name in COLUMNS if name in ranked.columns]
    mine = ranked.select(both).with_columns(
        indexed=pl.col("sample_id").is_in(index["sample_id"].implode()), given=pl.lit(value=True)
    )
    others = index.select(both).filter(~pl.col("sample_id").is_in(ranked["sample_id"].implode()))
    others = others.with_columns(indexed=pl.lit(value=True), given=pl.lit(value=False))
    return pl.concat([others, mine]).sort(~pl.col("indexed"), maintain_order=True)
