"""Shards in MDS, which MosaicML's `streaming` reads, written without that library.

A shard is: uint32 rows; uint32 offsets of each row and of the end, from the file's beginning; the shard's facts as
JSON; the rows. A row is: uint32 sizes of those of its columns whose size varies; the columns' bytes, in order of their
names. Numbers are little-endian. `index.json` beside the shards holds their facts (format version 2, streaming 0.13).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from manifests.errors import UserError

INDEX: Final = "index.json"
LIMIT: Final = 2**32
"""Bytes that offsets of 32 bits can tell apart."""
_ENCODINGS: Final[Mapping[str, str]] = {
    "position": "int64",
    "weight": "float64",
    "repeats": "int32",
    "epoch": "int32",
    "messages": "json",
    "task": "json",
}
"""Column to its encoding; the others are `str`, which holds no null, so a task is JSON."""


def write_mds(rows: pl.DataFrame, path: Path) -> dict[str, Any]:
    """Write rows as one shard and return its entry of the index; the same rows give the same bytes.

    The columns are those of `rows`: messages hold JSON, no column but task holds a null. Raises UserError for a shard
    that 32-bit offsets cannot address.
    """
    names = sorted(rows.columns)
    encodings = [_ENCODINGS.get(name, "str") for name in names]
    widths = [np.dtype(kind).itemsize if kind not in ("str", "json") else None for kind in encodings]
    cells = [_cells(rows[name], kind) for name, kind in zip(names, encodings, strict=True)]
    varied = [column for column, width in zip(cells, widths, strict=True) if width is None]
    sizes = np.array([[len(cell) for cell in column] for column in varied], dtype="<u4").T.tobytes()
    heads = _cut(sizes, 4 * len(varied))
    samples = [b"".join(parts) for parts in zip(heads, *cells, strict=True)]
    facts = {
        "column_encodings": encodings,
        "column_names": names,
        "column_sizes": widths,
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": None,
        "version": 2,
    }
    head = json.dumps(facts, sort_keys=True).encode("ascii")
    offsets = np.cumsum([4 + 4 * (len(samples) + 1) + len(head), *map(len, samples)], dtype=np.int64)
    if offsets[-1] >= LIMIT:
        raise UserError(
            "an MDS shard holds less than 4 GiB", value=f"{offsets[-1]} bytes", remedy="write fewer rows in a shard"
        )
    path.write_bytes(
        np.array([len(samples)], dtype="<u4").tobytes() + offsets.astype("<u4").tobytes() + head + b"".join(samples)
    )
    data = {"basename": path.name, "bytes": int(offsets[-1]), "hashes": {}}
    return {**facts, "raw_data": data, "samples": len(samples), "zip_data": None}


def write_index(shards: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the index of the shards, in their order, into their folder."""
    text = json.dumps({"shards": list(shards), "version": 2}, sort_keys=True)
    (folder / INDEX).write_text(text, encoding="ascii")


def _cells(values: pl.Series, kind: str) -> list[bytes]:
    """Return the bytes of each row's value."""
    if values.name == "messages":
        return [text.encode() for text in values]
    if kind == "json":
        return [json.dumps(value).encode("ascii") for value in values]
    if kind == "str":
        return [value.encode() for value in values]
    data = values.to_numpy().astype(np.dtype(kind).newbyteorder("<"))
    return _cut(data.tobytes(), data.itemsize)


def _cut(data: bytes, width: int) -> list[bytes]:
    """Return `data` in pieces of `width` bytes."""
    return [data[at : at + width] for at in range(0, len(data), width)]
