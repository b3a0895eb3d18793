"""Drop rows that say the same as another row, character for character after a stated normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import polars as pl
from pydantic.dataclasses import dataclass

from curate.key import Key, parts, turns
from curate.merit import Prefer, ranked, scorers
from curate.step import decisions
from curate.text import normalise
from manifests.component import COMPONENT, Context

REASON: Final = "exact duplicate"


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Exact:
    """Keeps one row of each group of equal rows; the row kept is the witness of the others, similarity 1.

    Texts are compared as they are, so there are no collisions. Cost: one pass and one group-by.
    """

    kind: ClassVar[str] = "exact"
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ()

    roles: tuple[str, ...] = ("generalist",)
    """Roles of the rows that are compared."""
    key: Key = "both"
    """What must be equal: `prompt`, `response`, `both`, or all `turns` with their roles.

    `prompt` also drops other answers to the same prompt.
    """
    system: bool = False
    """Compare system turns too."""
    nfc: bool = True
    """Compose characters (Unicode NFC) before the comparison."""
    case: bool = False
    """Ignore case (Unicode case folding)."""
    whitespace: bool = True
    """Take every run of white space as one space and ignore it at the ends."""
    prefer: Prefer = ("length",)
    """Which row stays: `length`, `source`, `id`, `high SCORER`, `low meta.KEY`, in the order in which they decide."""
    protect: tuple[str, ...] = ()
    """Sources that lose no row; their rows are preferred to all others."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The scorers that `prefer` names."""
        return scorers(self.prefer)

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample dropped: the sample kept in its stead, similarity 1."""
        best = ranked(samples, self.prefer, self.protect)
        keys = [text.alias(f"key_{at}") for at, text in enumerate(self._keys(best))]
        found = best.select("sample_id", "source").with_columns(keys)
        witness = pl.col("sample_id").first().over([key.name for key in keys])
        repeats = found.with_columns(witness_id=witness).filter(
            pl.col("sample_id") != pl.col("witness_id"), ~pl.col("source").is_in(list(self.protect))
        )
        return decisions(repeats["sample_id"], REASON, witness_id=repeats["witness_id"], similarity=1.0)

    def _keys(self, samples: pl.DataFrame) -> list[pl.Series]:
        """Return what must be equal, each with a text per sample."""
        if self.key != "turns":
            return [self._plain(text) for text in parts(samples, self.key, self.system)]
        said = turns(samples, self.system)
        said = said.with_columns(self._plain(said["content"]))
        # With their lengths, so that no two lists of turns give one text.
        length = pl.col("content").str.len_bytes()
        joined = said.group_by("row").agg(pl.format("{}:{}:{}", "role", length, "content").str.join("\n").alias("said"))
        return [joined.sort("row")["said"]]

    def _plain(self, texts: pl.Series) -> pl.Series:
        return normalise(texts, nfc=self.nfc, case=self.case, whitespace=self.whitespace)
