"""Recipes that look at the rows' vectors: the vectors, greedy's order, the strata's centres, and what it was worth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from manifests.errors import UserError
from manifests.names import sampling_key
from mixers import cells, location
from mixers.recipe import Recipe
from mixers.stratified import Stratified
from mixers.stratum import columns, stratify

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.cells import Mask, Vectors
    from mixers.mixer import Pool
    from mixers.pick import Ints, Keys

ASKED: Final = 2000
"""Rows by which the coverage of a blend is measured."""
_FINE: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Embedded(Recipe):
    """A recipe that compares the rows' vectors: a stage that embeds them comes before it."""

    embeds: ClassVar[bool] = True

    @property
    def space(self) -> cells.Space:
        """The coverage space whose vectors are compared, and whose cells divide a large stratum."""
        return cells.Space(self.encoder, self.cells, self.cell_seed)


def grid(pool: Pool, recipe: Any, rows: pl.DataFrame) -> Vectors:  # noqa: ANN401 - any mixer with an encoder
    """Return the vectors of rows of the pool or target, on `cells.rounded`'s grid; raise UserError without any."""
    if pool.vectors is None:
        raise UserError(
            f"blend '{recipe.name}' needs the vectors of the rows, and the pool has none",
            value=recipe.encoder,
            remedy="give the pool `vectors`; a job does so by itself",
        )
    found = pool.vectors(recipe.encoder, rows)
    if len(found) != rows.height:
        raise UserError(f"blend '{recipe.name}': vectors and rows differ in number", value=(len(found), rows.height))
    return cells.rounded(found)


def line(rows: pl.DataFrame, uniform: Keys) -> Ints:
    """Return the places of rows in the order of their sampling keys, equal ones by id."""
    keyed = rows.select("sample_id").with_columns(pl.Series("key", uniform, dtype=pl.UInt64)).with_row_index("place")
    return keyed.sort("key", "sample_id")["place"].to_numpy().astype(np.int64)


def ranked(pool: Pool, recipe: Any, rows: pl.DataFrame, uniform: Keys, worth: Ints) -> Keys:  # noqa: ANN401 - any mixer
    """Return the keys of rows by which greedy's come first, stratum by stratum; see `location.order`."""
    there = line(rows, uniform)
    strata = stratify(rows, recipe.by).codes[there]
    cell = stratify(rows.select("cell"), "cell").codes[there]
    vectors = grid(pool, recipe, rows)[there]
    keys = np.empty(rows.height, dtype=np.uint64)
    keys[there] = location.order(vectors, location.blocks(vectors, strata, cell), worth[there])
    return keys


def centres(pool: Pool, recipe: Any) -> tuple[tuple[str, ...], Vectors]:  # noqa: ANN401 - any mixer
    """Return the strata of all generalist rows and the centre of each, unit rows on the grid (strata, d)."""
    rows = pool.samples.filter(pl.col("role") == "generalist")
    strata = stratify(rows, recipe.by)
    if len(strata.names) > location.BLOCK:
        raise UserError(
            f"blend '{recipe.name}' has too many strata to compare each with each",
            value=len(strata.names),
            remedy=f"at most {location.BLOCK}; use fewer columns in by",
        )
    vectors = grid(pool, recipe, rows)
    found = np.zeros((len(strata.names), vectors.shape[1]), dtype=np.float32)
    order = np.argsort(strata.codes, kind="stable")
    ends = np.cumsum(strata.counts())
    for code, (begin, end) in enumerate(zip((ends - strata.counts()).tolist(), ends.tolist(), strict=True)):
        total = vectors[order[begin:end]].sum(axis=0, dtype=np.float64)  # whole numbers far below 2^53
        mean = np.rint(total * (_FINE / (cells.SCALE * max(1, end - begin)))).astype(np.int64)
        length = float(np.sqrt(float((mean * mean).sum())))
        found[code] = np.rint(mean * (cells.SCALE / length)) if length else 0
    return strata.names, found


def compared(pool: Pool, recipe: Any, seed: int, blend: Blend) -> Blend:  # noqa: ANN401 - any mixer
    """Return the blend with its coverage, and that of a stratified draw of its size, in its strata's notes.

    Coverage, 0..1: the mean, over at most 2,000 rows that pass `where`, of the best similarity to a row drawn. The
    stratified draw is of the recipe's strata (of source, where those are cells or none), behind `where` alone.
    """
    size = blend.members.filter(pl.col("role") == "generalist").height
    if not size:
        return blend
    by = tuple(name for name in columns(recipe.by) if name != "cell") or ("source",)
    control = Stratified(name=recipe.name, rows=size, where=recipe.where, by=by).blend(pool, seed, {})
    rows = pool.samples.filter(pl.col("role") == "generalist")
    if recipe.where is not None:
        passed = pl.Series(sorted(pool.select(recipe.where)), dtype=pl.String)
        rows = rows.filter(pl.col("sample_id").is_in(passed.implode()))
    asked = rows[line(rows, sampling_key(rows["k64"].to_numpy(), seed, "coverage"))[:ASKED]]
    sought = grid(pool, recipe, asked)
    ours, theirs = (_coverage(pool, recipe, sought, drawn) for drawn in (blend, control))
    worse = "; a stratified draw is as good" if ours - theirs < 0.01 else ""
    note = f"coverage {ours:.3f}, of a stratified draw {theirs:.3f}{worse}"
    mine = ~pl.col("stratum").str.starts_with("specialist:")
    both = pl.concat_str(pl.col("note"), pl.lit(note), separator="; ", ignore_nulls=True)
    return replace(blend, strata=blend.strata.with_columns(note=pl.when(mine).then(both).otherwise("note")))


def _coverage(pool: Pool, recipe: Any, sought: Vectors, blend: Blend) -> float:  # noqa: ANN401 - any mixer
    members = blend.members.filter(pl.col("role") == "generalist").select("sample_id")
    return location.coverage(sought, grid(pool, recipe, pool.samples.join(members, on="sample_id", how="semi")))


def shares(weights: NDArray[np.float64]) -> list[int]:
    """Return weights > 0 as whole millionths of the largest, none below 1."""
    return [max(1, round(weight)) for weight in (weights * (1_000_000 / weights.max())).tolist()]


def everyone(rows: pl.DataFrame) -> tuple[Mask, Ints]:
    """Return that every row may be drawn, and that none is worth more than another."""
    return np.ones(rows.height, dtype=bool), np.zeros(rows.height, dtype=np.int64)
