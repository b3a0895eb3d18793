"""Labels given by hand, resolved to one truth per sample: what measures, calibrates and counts from them.

A label's note begins with how its row was drawn, `drawn random 0.05`: the strategy and the chance that the row had. Of
several readers the majority holds; a tie and `unsure` are no truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import polars as pl

from manifests.names import digest

KIND: Final = "labels"
"""Kind of the stages that hold labels, one per reader; a job leaves them alone."""
WORDS: Final = ("correct", "wrong", "unsure")
STRATEGIES: Final = ("random", "stratified", "uncertain", "other")
"""How rows may have been drawn, those that say most of a pool first; only the first two know a row's chance."""
TRUTH: Final = {"label_wrong": pl.Boolean(), "label_drawn": pl.String(), "label_weight": pl.Float64()}
"""Columns beside a sample: truth or null, how it was drawn, one over its chance (null when not known)."""
_DRAWN: Final = re.compile(r"drawn (random|stratified|uncertain|other)(?: (1|0\.\d+|\d(?:\.\d+)?e-\d+))?(?:; |$)")


class Queried(Protocol):
    """Anything that answers a query: a store or a published manifest seen as one."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Return the rows of a query."""
        ...


def drawn(strategy: str, chance: float | None) -> str:
    """Return how a row was drawn, as a note begins."""
    return f"drawn {strategy}" + (f" {chance:.9g}" if chance is not None else "")


def parsed(note: str | None) -> tuple[str, float | None]:
    """Return (strategy, chance) from a note; `other` and None where it does not say."""
    found = _DRAWN.match(note or "")
    if found is None:
        return "other", None
    strategy, chance = found.group(1), float(found.group(2)) if found.group(2) else None
    return (strategy, chance) if strategy in STRATEGIES[:2] and chance else (strategy, None)


def truth(state: Queried) -> pl.DataFrame:
    """Return sample_id and the columns of `TRUTH`, one row per sample with a truth, ordered by sample_id.

    Where a row was drawn in several ways, the one that says most counts.
    """
    found: list[tuple[str, bool, str, float | None]] = []
    rows = state.query(
        "SELECT sample_id, label, note FROM store.labels WHERE label <> 'unsure' ORDER BY sample_id, labelled_by, label"
    )
    for (sample_id,), given in rows.group_by("sample_id", maintain_order=True):
        wrong = int((given["label"] == "wrong").sum())
        if 2 * wrong == given.height:
            continue
        strategy, chance = min((parsed(note) for note in given["note"]), key=_rank)
        found.append((str(sample_id), 2 * wrong > given.height, strategy, 1.0 / chance if chance else None))
    return pl.DataFrame(found, schema={"sample_id": pl.String(), **TRUTH}, orient="row")


def digest_for(state: Queried | None, components: Iterable[object]) -> str:
    """Return the hash of what `truth` says, for stages that read labels; empty where no component does.

    Without a manifest, and in one of a version that had no labels, it is that of none.
    """
    if not any(getattr(component, "reads_labels", False) for component in components):
        return ""
    there = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'store' AND table_name = 'labels'"
    return digest([]) if state is None or state.query(there).item() == 0 else digest_of(state)


def digest_of(state: Queried) -> str:
    """Return the hash of what `truth` says."""
    return digest([list(row) for row in truth(state).iter_rows()])


def beside(samples: pl.DataFrame, state: Queried) -> pl.DataFrame:
    """Return the samples with the columns of `TRUTH`."""
    return samples.join(truth(state), on="sample_id", how="left", maintain_order="left")


def _rank(way: tuple[str, float | None]) -> tuple[int, float]:
    return STRATEGIES.index(way[0]), -(way[1] or 0.0)
