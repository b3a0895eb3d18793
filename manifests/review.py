"""Rows for a person to read: drawn so that what the labels say of the pool is known, written as a table or a page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from manifests import atomic
from manifests.errors import UserError
from manifests.judging import Reader, scored_by, threshold_of
from manifests.labels import STRATEGIES, drawn
from manifests.names import sampling_key

if TYPE_CHECKING:
    from manifests.store import Manifest

COLUMNS: Final = ("sample_id", "prompt", "response", "p_error", "label", "defect", "note", "drawn")
SUFFIXES: Final = (".html", ".csv", ".jsonl")
STRATA: Final = 5
"""Equal parts of the scale that a stratified draw takes the same number of rows from."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def review(
    manifest: Manifest, out: Path, *, judge: str | None = None, n: int = 100, seed: int = 0, strategy: str = "random"
) -> int:
    """Write at most `n` rows of those that a judge gave a number to a review file, and return how many there are.

    `random` draws them alike, and 200 rows hold the 100 of the same seed; `stratified` takes as many from each fifth of
    the scale of `p_error`, each row noting its chance; `uncertain` takes those nearest to the judge's threshold, which
    teach a calibration most and tell nothing of how many rows are wrong. The format is that of the file's suffix: a
    page (.html), a table (.csv) or lines (.jsonl). A row that already has a label carries it. Raises UserError when the
    judge is not there or gave no number, and for another suffix.
    """
    if out.suffix not in SUFFIXES:
        raise UserError("a review file is a page, a table or lines", value=out.name, options=SUFFIXES)
    if strategy not in STRATEGIES[:3]:
        raise UserError("no such way to draw rows", value=strategy, options=STRATEGIES[:3])
    name, rows = scored_by(manifest, judge)
    rows = rows.filter(pl.col("status") == "ok")
    if rows.is_empty():
        raise UserError("this judge gave no row a number", value=name, remedy="see SELECT status, why FROM scores")
    places, chance = _chosen(rows, n, seed, strategy, threshold_of(manifest, name))
    chosen = rows[places.tolist()].with_columns(
        pl.Series("drawn", [drawn(strategy, None if p is None else float(p)) for p in chance], dtype=pl.String)
    )
    chosen = chosen.join(_held(manifest), on="sample_id", how="left", maintain_order="left").select(*COLUMNS)
    write(chosen, out, f"{name}: {chosen.height} rows, {strategy} draw, seed {seed}")
    return len(places)


def write(rows: pl.DataFrame, out: Path, title: str) -> None:
    """Write rows with the columns `COLUMNS` to a file of one of the `SUFFIXES`, atomically."""
    if out.suffix == ".html":
        from manifests.review_page import page

        text = page(rows, title)
    else:
        text = _table(rows) if out.suffix == ".csv" else _lines(rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(out, text)


def _chosen(
    rows: pl.DataFrame, n: int, seed: int, strategy: str, threshold: float
) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the places of the rows drawn, in an order that says nothing of them, and the chance of each."""
    order = np.argsort(sampling_key(rows["k64"].to_numpy(), seed, "review"), kind="stable")
    size, p = min(n, rows.height), rows["p_error"].to_numpy()
    if strategy == "random":
        return order[:size], [size / rows.height] * size
    if strategy == "uncertain":
        near = order[np.argsort(np.abs(p[order] - threshold), kind="stable")[:size]]
        return near[np.argsort(np.argsort(order)[near])], [None] * size
    stratum = np.minimum((p * STRATA).astype(np.int64), STRATA - 1)
    held = np.bincount(stratum, minlength=STRATA)
    taken = _alike(held, size)
    chance = taken / np.maximum(held, 1)
    rank = np.empty(rows.height, np.int64)
    for k in range(STRATA):
        mine = order[stratum[order] == k]
        rank[mine] = np.arange(len(mine))
    chosen = order[rank[order] < taken[stratum[order]]]
    return chosen, chance[stratum[chosen]].tolist()


def _alike(held: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return how many rows each stratum gives: the same number, as far as it has them, `n` in all."""
    taken = np.zeros(len(held), np.int64)
    while taken.sum() < n:
        room = np.flatnonzero(taken < held)
        share, rest = divmod(int(n - taken.sum()), len(room))
        more = np.zeros(len(held), np.int64)
        more[room] = share
        more[room[:rest]] += 1
        taken = np.minimum(taken + more, held)
    return taken


def _held(manifest: Manifest) -> pl.DataFrame:
    """Return the labels that rows have: that of the last reader in the order of their names."""
    found = Reader(manifest).query(
        "SELECT sample_id, last(label ORDER BY labelled_by) AS label, last(defect ORDER BY labelled_by) AS defect"
        " FROM labels GROUP BY 1 ORDER BY 1"
    )
    shape = {"sample_id": pl.String, "label": pl.String, "defect": pl.String}
    return found.cast(shape).with_columns(pl.lit("").alias("note"))  # type: ignore[arg-type]


def _table(rows: pl.DataFrame) -> str:
    """Return rows as CSV; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in rows.iter_rows():
        writer.writerow([_harmless(cell) for cell in row])
    return out.getvalue()


def _harmless(cell: object) -> object:
    if isinstance(cell, float):
        return f"{cell:.6f}"
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(rows: pl.DataFrame) -> str:
    blank = {"label": "", "defect": "", "note": ""}
    return "".join(
        json.dumps({name: blank.get(name) if value is None else value for name, value in row.items()}) + "\n"
        for row in rows.iter_rows(named=True)
    )
