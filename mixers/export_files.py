"""Writes a blend as shards in the layouts that trainers read, with a card and the stanzas that name the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests.atomic import replacing_folder
from manifests.errors import UserError
from manifests.seal import seal
from mixers.export import card, recipe, rows_of, write_parquet
from mixers.export_mds import write_index, write_mds
from mixers.export_stanzas import stanzas

if TYPE_CHECKING:
    from mixers.blend import Blend

Messages = list[dict[str, str]]
SHARD_ROWS: Final = 100_000
"""Rows in one file, unless told otherwise."""
_FACTS: Final = ("position", "sample_id", "source", "role", "task", "licence", "weight", "repeats", "reason")
_NAMED: Final = ("position", "sample_id", "weight", "repeats", "epoch")
_SPEAKERS: Final = {"system": "system", "user": "human", "assistant": "gpt"}


def export_as(
    blend: Blend,
    samples: pl.DataFrame,
    folder: Path,
    layout: str,
    *,
    expand: bool = False,
    shard_rows: int = SHARD_ROWS,
) -> Path:
    """Write the blend to `folder` in a layout of `LAYOUTS`, replacing what was there, and return the folder.

    `samples` is as for `export`, for `ids` also without messages. Files `data/train-*` hold `shard_rows` rows each, in
    training order, with the facts of `export` beside the text; those of `ids` hold position, sample_id, weight and
    repeats alone. Under `expand` a row with repeats n is written n times, with repeats 1 and `epoch` 0 to n - 1: first
    every row once, then those seen again. Stanzas for trainers are written only where the files hold every repeat.
    Raises UserError for an unknown layout, a size below 1, and a row that the layout cannot hold: none is changed or
    left out.
    """
    if layout not in LAYOUTS:
        raise UserError("no such layout", value=layout, options=sorted(LAYOUTS))
    if shard_rows < 1:
        raise UserError("a shard holds at least one row", value=str(shard_rows), remedy="give 1 or more")
    joined = rows_of(blend, samples)
    rows = _expanded(joined) if expand else joined
    text = card(blend, joined, None if layout == "mds" else f"data/train-*.{_end(layout)}")
    if expand:
        text = text.replace(
            "Each sample is one row; train on it `repeats` times, at loss weight `weight`.",
            "Each repeat is a row of its own, with its `epoch`; train on it once, at loss weight `weight`.",
        )
    with replacing_folder(folder) as temporary:
        (temporary / "data").mkdir()
        _write(rows, temporary / "data", layout, shard_rows)
        files = sorted(f"data/{path.name}" for path in (temporary / "data").iterdir())
        (temporary / "README.md").write_text(text, encoding="utf-8")
        (temporary / "recipe.json").write_text(recipe(blend), encoding="utf-8")
        if layout in STANZAS and int(rows["repeats"].max() or 1) == 1:  # type: ignore[arg-type]
            for name, content in stanzas(layout, blend.ref, files).items():
                (temporary / name).write_text(content, encoding="utf-8")
        seal(temporary, (path for path in temporary.rglob("*") if path.is_file()))
    return folder


def _write(rows: pl.DataFrame, data: Path, layout: str, shard_rows: int) -> None:
    """Write rows into the folder `data` as shards of a layout, and the index that MDS has."""
    facts = [name for name in (*_FACTS, "epoch") if name in rows.columns]
    count = max(1, -(-rows.height // shard_rows))
    entries = []
    for i in range(count):
        part = rows.slice(i * shard_rows, shard_rows)
        path = data / f"train-{i:05d}-of-{count:05d}.{_end(layout)}"
        if layout == "parquet":
            write_parquet(part, path)
        elif layout == "ids":
            write_parquet(part.select(name for name in facts if name in _NAMED), path)
        elif layout == "mds":
            entries.append(write_mds(part.select("messages", *facts), path))
        else:
            path.write_text("".join(_lines(part.select("messages", *facts), layout)), encoding="ascii")
    if entries:
        write_index(entries, data)


def _end(layout: str) -> str:
    """Return the suffix of a layout's files."""
    return {"parquet": "parquet", "ids": "parquet", "mds": "mds"}.get(layout, "jsonl")


def _expanded(rows: pl.DataFrame) -> pl.DataFrame:
    epochs = pl.int_ranges(0, pl.col("repeats")).alias("epoch")
    spread = rows.with_columns(epochs).explode("epoch").sort("epoch", "position")
    return spread.with_columns(repeats=pl.lit(1, dtype=pl.Int32), epoch=pl.col("epoch").cast(pl.Int32))


def _lines(rows: pl.DataFrame, layout: str) -> Iterator[str]:
    for row in rows.iter_rows(named=True):
        shaped = _SHAPES[layout](json.loads(row.pop("messages")))
        if shaped is None:
            raise UserError(
                f"the layout '{layout}' cannot hold this sample: it has a system prompt, several turns or another role",
                value=row["sample_id"],
                remedy="export with --format messages, or draw the blend with a `where:` that leaves such rows out",
            )
        yield json.dumps({**shaped, **row}) + "\n"


def _messages(messages: Messages) -> Mapping[str, Any]:
    return {"messages": [{"role": turn["role"], "content": turn["content"]} for turn in messages]}


def _sharegpt(messages: Messages) -> Mapping[str, Any] | None:
    if any(turn["role"] not in _SPEAKERS for turn in messages):
        return None
    return {"conversations": [{"from": _SPEAKERS[turn["role"]], "value": turn["content"]} for turn in messages]}


def _alpaca(messages: Messages) -> Mapping[str, Any] | None:
    pair = _pair(messages)
    return pair and {"instruction": pair[0], "input": "", "output": pair[1]}


def _completion(messages: Messages) -> Mapping[str, Any] | None:
    pair = _pair(messages)
    return pair and {"prompt": pair[0], "completion": pair[1]}


def _pair(messages: Messages) -> tuple[str, str] | None:
    if [turn["role"] for turn in messages] != ["user", "assistant"]:
        return None
    return messages[0]["content"], messages[1]["content"]


_SHAPES: Final[Mapping[str, Callable[[Messages], Mapping[str, Any] | None]]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _completion,
}
"""Layout of JSON lines to what it makes of a row's messages: None for a row that it cannot hold."""
STANZAS: Final = ("parquet", *_SHAPES)
"""Layouts that the trainers of `export_stanzas` read."""
LAYOUTS: Final = (*STANZAS, "mds", "ids")
"""Parquet with typed messages, JSON lines, MDS, and Parquet without text."""
