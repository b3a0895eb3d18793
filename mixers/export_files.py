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
from mixers.export_stanzas import stanzas

if TYPE_CHECKING:
    from mixers.blend import Blend

Messages = list[dict[str, str]]
SHARD_ROWS: Final = 100_000
"""Rows in one file, unless told otherwise."""
_FACTS: Final = ("position", "sample_id", "source", "role", "task", "licence", "weight", "repeats", "reason")
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

    `samples` is as for `export`. Files `data/train-*` hold `shard_rows` rows each, in training order, with the facts of
    `export` beside the text. Under `expand` a row with repeats n is written n times, with repeats 1 and `epoch` 0 to
    n - 1: first every row once, then those seen again. Stanzas for trainers are written only where the files hold every
    repeat. Raises UserError for an unknown layout, a size below 1, and a row that the layout cannot hold: none is
    changed or left out.
    """
    if layout not in LAYOUTS:
        raise UserError("no such layout", value=layout, options=sorted(LAYOUTS))
    if shard_rows < 1:
        raise UserError("a shard holds at least one row", value=str(shard_rows), remedy="give 1 or more")
    joined = rows_of(blend, samples)
    rows = _expanded(joined) if expand else joined
    shape = LAYOUTS[layout]
    end = "parquet" if shape is None else "jsonl"
    text = card(blend, joined, f"data/train-*.{end}")
    if expand:
        text = text.replace(
            "Each sample is one row; train on it `repeats` times, at loss weight `weight`.",
            "Each repeat is a row of its own, with its `epoch`; train on it once, at loss weight `weight`.",
        )
    count = max(1, -(-rows.height // shard_rows))
    with replacing_folder(folder) as temporary:
        (temporary / "data").mkdir()
        for i in range(count):
            part = rows.slice(i * shard_rows, shard_rows)
            path = temporary / "data" / f"train-{i:05d}-of-{count:05d}.{end}"
            if shape is None:
                write_parquet(part, path)
            else:
                path.write_text("".join(_lines(part, shape, layout)), encoding="ascii")
        files = sorted(f"data/{path.name}" for path in (temporary / "data").iterdir())
        (temporary / "README.md").write_text(text, encoding="utf-8")
        (temporary / "recipe.json").write_text(recipe(blend), encoding="utf-8")
        if int(rows["repeats"].max() or 1) == 1:  # type: ignore[arg-type]
            for name, content in stanzas(layout, blend.ref, files).items():
                (temporary / name).write_text(content, encoding="utf-8")
        seal(temporary, (path for path in temporary.rglob("*") if path.is_file()))
    return folder


def _expanded(rows: pl.DataFrame) -> pl.DataFrame:
    epochs = pl.int_ranges(0, pl.col("repeats")).alias("epoch")
    spread = rows.with_columns(epochs).explode("epoch").sort("epoch", "position")
    return spread.with_columns(repeats=pl.lit(1, dtype=pl.Int32), epoch=pl.col("epoch").cast(pl.Int32))


def _lines(rows: pl.DataFrame, shape: Callable[[Messages], Mapping[str, Any] | None], layout: str) -> Iterator[str]:
    facts = [*_FACTS, *(["epoch"] if "epoch" in rows.columns else [])]
    for row in rows.select("messages", *facts).iter_rows(named=True):
        shaped = shape(json.loads(row.pop("messages")))
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


LAYOUTS: Final[Mapping[str, Callable[[Messages], Mapping[str, Any] | None] | None]] = {
    "parquet": None,
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _completion,
}
"""Layout to what it makes of a row's messages: None for a row that it cannot hold. Parquet keeps them typed."""
