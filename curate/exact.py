"""Drop rows that say the same as another row, character for character after a stated normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import polars as pl
from pydantic.dataclasses import dataclass

from curate.step import decisions
from curate.text import Key, normalise
from manifests.component import COMPONENT, Context

REASON: Final = "exact duplicate"


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Exact:
    """Keeps one row of each group of equal rows; the row kept is the witness of the others, similarity 1.

    System turns are not compared. Texts are compared as they are, so there are no collisions. Cost: one pass and one
    group-by.
    """

    kind: ClassVar[str] = "exact"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    roles: tuple[str, ...] = ("generalist",)
    """Roles of the rows that are compared."""
    key: Key = "both"
    """What must be equal: `prompt`, `response`, or `both`. `prompt` also drops other answers to the same prompt."""
    nfc: bool = True
    """Compose characters (Unicode NFC) before the comparison."""
    case: bool = False
    """Ignore case (Unicode case folding)."""
    whitespace: bool = True
    """Take every run of white space as one space and ignore it at the ends."""
    prefer: Literal["length", "source", "id"] = "length"
    """Which row stays: longest response, first source by name, or smallest sample id. Ties go by the others in turn."""
    protect: tuple[str, ...] = ()
    """Sources that lose no row; their rows are preferred to all others."""

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample dropped: the sample kept in its stead, similarity 1."""
        columns = ("prompt", "response") if self.key == "both" else (self.key,)
        keys = [
            normalise(samples[c], nfc=self.nfc, case=self.case, whitespace=self.whitespace).alias(f"key_{c}")
            for c in columns
        ]
        ranked = samples.select(
            "sample_id",
            "source",
            guarded=pl.col("source").is_in(list(self.protect)),
            length=pl.col("response").str.len_chars(),
        ).with_columns(keys)
        orders = {"length": ["length", "source"], "source": ["source", "length"], "id": []}
        by = ["guarded", *orders[self.prefer], "sample_id"]
        ranked = ranked.sort(by, descending=[c in {"guarded", "length"} for c in by])
        witness = pl.col("sample_id").first().over([k.name for k in keys])
        dropped = ranked.with_columns(witness_id=witness).filter(
            pl.col("sample_id") != pl.col("witness_id"), ~pl.col("guarded")
        )
        return decisions(dropped["sample_id"], REASON, witness_id=dropped["witness_id"], similarity=1.0)
