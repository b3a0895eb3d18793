"""What of a sample is compared with other samples: its prompt, its answer, both, or turn by turn."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl

from curate.text import Grams, grams_of
from curate.tokens import Unit

Key = Literal["both", "prompt", "response", "turns"]
"""What is compared. `prompt`: all before the last answer; `response`: the last answer; `both`: one after the other, as
one text; `turns`: every turn for itself, so that no n-gram spans two turns. System turns only where asked for."""
_COLUMNS: Final = {"both": ("prompt", "response"), "prompt": ("prompt",), "response": ("response",)}
_TURN: Final = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


def parts(samples: pl.DataFrame, key: Literal["both", "prompt", "response"], system: bool) -> list[pl.Series]:
    """Return the texts that the key compares, a value per sample each; an absent system turn is empty."""
    columns = (*(("system",) if system else ()), *_COLUMNS[key])
    return [samples[column].fill_null("") for column in columns]


def turns(samples: pl.DataFrame, system: bool) -> pl.DataFrame:
    """Return the turns of all samples in order: `row` (place of the sample), `role` and `content`."""
    listed = samples.select(pl.col("messages").str.json_decode(_TURN)).with_row_index("row")
    found = listed.explode("messages", empty_as_null=False).unnest("messages").cast({"row": pl.Int64})
    return found if system else found.filter(pl.col("role") != "system")


def texts(samples: pl.DataFrame, key: Key, system: bool) -> pl.Series:
    """Return the compared text of each sample, its parts or turns joined by line breaks."""
    if key != "turns":
        return pl.select(pl.concat_str(parts(samples, key, system), separator="\n").alias("text"))["text"]
    said = turns(samples, system).group_by("row").agg(pl.col("content").str.join("\n"))
    row = pl.DataFrame({"row": np.arange(len(samples))})
    return row.join(said, on="row", how="left", maintain_order="left")["content"].fill_null("").alias("text")


def grams(samples: pl.DataFrame, key: Key, system: bool, n: int, unit: Unit = "word") -> Grams:
    """Return the n-grams of each sample's compared text, with `turns` those of every turn.

    A text, or turn, of 1 to n - 1 units has the one gram of all its units.
    """
    if key != "turns":
        return grams_of(texts(samples, key, system), n, unit)
    said = turns(samples, system)
    found = grams_of(said["content"], n, unit)
    return Grams(said["row"].to_numpy()[found.row], found.gram, len(samples))
