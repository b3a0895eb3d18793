"""Writes a blend as a folder that `datasets.load_dataset` reads, with a dataset card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests.atomic import replacing_folder
from manifests.errors import UserError
from manifests.licence import non_commercial
from manifests.names import canonical_json
from manifests.seal import seal

if TYPE_CHECKING:
    from mixers.blend import Blend

SHARD: Final = "data/train-00000-of-00001.parquet"
"""The one data file of an export, relative to its folder."""
_CARD_LICENCES: Final = frozenset(
    {
        *("apache-2.0", "mit", "cc0-1.0", "odbl", "odc-by", "gpl-3.0", "unknown", "cc-by-3.0", "cc-by-4.0"),
        *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0"),
    }
)


def export(blend: Blend, samples: pl.DataFrame, folder: Path) -> Path:
    """Write the blend to `folder`, replacing what was there, and return the folder.

    `samples` has sample_id, messages (JSON), source, task and licence of every member, and may have non_commercial.
    One row per member in training order: position, messages (list of {role, content}), sample_id, source, role, task,
    licence, weight, repeats, reason. A row to be seen n times is written once with repeats = n. `SHA256SUMS` holds the
    hash of every file. The same blend and samples give the same bytes under the same pyarrow. Raises UserError when a
    member is not among `samples`.
    """
    rows = rows_of(blend, samples)
    with replacing_folder(folder) as temporary:
        (temporary / "data").mkdir()
        write_parquet(rows, temporary / SHARD)
        (temporary / "README.md").write_text(card(blend, rows, SHARD), encoding="utf-8")
        (temporary / "recipe.json").write_text(recipe(blend), encoding="utf-8")
        seal(temporary, (path for path in temporary.rglob("*") if path.is_file()))
    return folder


def rows_of(blend: Blend, samples: pl.DataFrame) -> pl.DataFrame:
    """Return the members with their samples' text and facts in training order; `nc` flags non-commercial rows.

    Messages may be left out of `samples`. Raises UserError when a member is not among them.
    """
    columns = [name for name in ("sample_id", "messages", "source", "task", "licence") if name in samples.columns]
    limited = [name for name in samples["licence"].unique() if non_commercial(name)]
    flagged = pl.col("licence").is_in(limited)
    if "non_commercial" in samples.columns:
        flagged = flagged | pl.col("non_commercial").fill_null(value=False)
    facts = samples.select(*columns, flagged.alias("nc"))
    rows = blend.members.sort("position").join(facts, on="sample_id", how="left", maintain_order="left")
    absent = rows.filter(pl.col("nc").is_null())
    if absent.height:
        raise UserError(
            f"blend '{blend.ref}' has {absent.height} members that are not among the samples",
            value=absent["sample_id"][0],
            remedy="export with the samples of the manifest that the blend was drawn from",
        )
    return rows


def write_parquet(rows: pl.DataFrame, path: Path) -> None:
    """Write `rows` as one Parquet file, messages typed; the same rows give the same bytes under one pyarrow."""
    import pyarrow.parquet as pq

    pq.write_table(table_of(rows), path, compression="zstd", row_group_size=100_000, version="2.6", store_schema=False)


def table_of(rows: pl.DataFrame) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return rows of a blend as an Arrow table: messages as lists of {role, content}, beside the members' facts.

    Of the columns that an export has, those that `rows` has.
    """
    import pyarrow as pa

    message = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])
    types: dict[str, Any] = {
        "position": pa.int64(),
        "messages": pa.list_(message),
        **{name: pa.string() for name in ("sample_id", "source", "role", "task", "licence")},
        "weight": pa.float64(),
        "repeats": pa.int32(),
        "reason": pa.string(),
        "epoch": pa.int32(),
    }
    held = pa.schema([(name, kind) for name, kind in types.items() if name in rows.columns])
    frame = rows.select(held.names)
    if "messages" in held.names:
        turns = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
        frame = frame.with_columns(pl.col("messages").str.json_decode(turns))
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(held).combine_chunks()


def recipe(blend: Blend) -> str:
    """Return recipe.json: what drew the blend, and what was asked of and taken from each stratum."""
    facts = {
        "blend": blend.ref,
        "content_id": blend.content_id,
        "seed": blend.seed,
        "samples": blend.members.height,
        "rows": int(blend.members["repeats"].sum()),
        "recipe": dict(blend.recipe),
        "strata": blend.strata.sort("stratum").to_dicts(),
    }
    return json.dumps(json.loads(canonical_json(facts)), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def card(blend: Blend, rows: pl.DataFrame, data: str | None) -> str:
    """Return the dataset card: composition, licences, what is not for sale.

    `data` is the path or glob of the files that `datasets` reads, None where it reads none.
    """
    licences = rows["licence"].unique().sort().to_list()
    named = sorted({name.lower() if name.lower() in _CARD_LICENCES else "other" for name in licences})
    front: dict[str, Any] = {
        "license": named[0] if len(named) == 1 else named,
        "pretty_name": blend.ref,
    }
    if data is not None:
        front["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": data}]}]
    limited = rows.filter("nc")["licence"].unique().sort().to_list()
    total = int(rows["repeats"].sum())
    lines = [
        "---",
        *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()),
        "---",
        f"# {blend.ref}",
        "",
        f"{rows.height} samples, {total} rows with repeats, in training order. Content id `{blend.content_id}`. "
        "`recipe.json` holds the recipe that drew them, with what was asked of each stratum and what was taken.",
        "",
        "Each sample is one row; train on it `repeats` times, at loss weight `weight`. `reason` says why it is here.",
        "",
        "## Composition",
        "",
        "| role | source | licence | rows | share |",
        "|---|---|---|---:|---:|",
        *_composition(rows, total),
        "",
        "## Licences",
        "",
        *(f"* {_cell(name)}: {count} samples" for name, count in _per_licence(rows)),
        "",
        f"**Not for commercial use**: the blend holds rows under {', '.join(map(_cell, limited))}."
        if limited
        else "No row's licence is known to rule out commercial use.",
        "",
    ]
    return "\n".join(lines)


def _composition(rows: pl.DataFrame, total: int) -> list[str]:
    groups = rows.group_by("role", "source", "licence").agg(pl.col("repeats").sum()).sort("role", "source", "licence")
    return [
        f"| {_cell(role)} | {_cell(source)} | {_cell(licence)} | {count} | {count / total:.4f} |"
        for role, source, licence, count in groups.iter_rows()
    ]


def _per_licence(rows: pl.DataFrame) -> list[tuple[str, int]]:
    return [(str(name), int(count)) for name, count in rows.group_by("licence").len().sort("licence").iter_rows()]


def _cell(text: str) -> str:
    """Return `text` as one cell of a Markdown table: no pipes, markup or line breaks of its own."""
    plain = " ".join(text.split())
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", plain)
