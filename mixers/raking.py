"""Draws rows so that several marginals hold at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests import schema
from manifests.component import COMPONENT
from manifests.errors import UserError
from mixers import draw, recipe
from mixers.cells import Space
from mixers.place import assemble
from mixers.stratum import Strata, stratify
from mixers.supply import Supply, generalists
from mixers.table import Marginals, fit, whole

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Raking(recipe.Recipe):
    """The blend has the wanted shares of every marginal: of sources, of tasks, of lengths, of any column, at once.

    Where the pool cannot hold them all, it comes as near as it can; `strata` has a line `marginal:COLUMN:VALUE` for
    each share, with what was wanted, what was taken and by how much it misses. Blends of two sizes are not nested.
    """

    kind: ClassVar[str] = "raking"
    version: ClassVar[int] = 1

    tokens: None = None
    """Not for marginals, which are shares of rows."""
    marginals: Annotated[
        Mapping[str, Mapping[str, Annotated[float, Field(ge=0, le=1)]] | Literal["pool", "equal"]], Field(min_length=1)
    ]
    """Column -> {value: share} that sum to 1, `pool` (as before the gate) or `equal`; values left out get none."""

    def __post_init__(self) -> None:
        """Refuse a recipe that does not say its size in exactly one unit."""
        recipe.check(self)
        for column, stated in self.marginals.items():
            total = math.fsum(stated.values()) if isinstance(stated, Mapping) else 1.0
            if abs(total - 1) > 1e-6:
                raise UserError(
                    f"blend '{self.name}': the shares of '{column}' do not add up to 1",
                    value=round(total, 9),
                    remedy="give each value its share of the rows, as in {short: 0.25, long: 0.75}",
                )

    @property
    def space(self) -> Space | None:
        """The coverage space that the pool's cells must come from, None when none is needed."""
        return Space(self.encoder, self.cells, self.cell_seed) if "cell" in self.marginals else None

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        specialist = draw.specialists(pool, self, seed)
        terms = recipe.Terms.of(self, by=tuple(self.marginals))
        supply = generalists(pool, terms, seed)
        sampler = draw.Draw(terms, pool)
        fill = sampler.fill(supply, dict.fromkeys(supply.names, 1))
        total = draw.size(self, supply, fill, specialist.shown)
        if total > fill.supply:
            sampler.by_rows(supply, fill, total, {})  # raises the error of a budget over the pool
        caps = supply.counts * self.max_epochs
        wanted, labels = self._wanted(pool, supply, total)
        fitted = fit(supply.counts.astype(np.float64), caps.astype(np.float64), wanted)
        quotas = whole(fitted, caps, wanted, total)
        reasons = {name: f"raking: {name}" for name in supply.names}
        generalist = sampler.drawn(supply, quotas, fitted, reasons)
        lines = _lines(supply, caps, quotas, wanted, labels)
        generalist = replace(generalist, strata=pl.concat([generalist.strata, lines]))
        return assemble(self, seed, pool, [generalist, specialist])

    def _wanted(self, pool: Pool, supply: Supply, total: int) -> tuple[Marginals, list[tuple[str, ...]]]:
        """Return the marginals in rows, and each dimension's values by name."""
        rows = pool.samples.filter(pl.col("role") == "generalist")
        joint = stratify(rows, tuple(self.marginals))
        first = np.unique(joint.codes, return_index=True)[1]
        parts = {name: stratify(rows, name) for name in self.marginals}
        wanted = [self._shares(name, part) * total for name, part in parts.items()]
        codes = np.array([part.codes[first] for part in parts.values()], dtype=np.int64)
        return Marginals(codes, tuple(wanted)), [part.names for part in parts.values()]

    def _shares(self, name: str, part: Strata) -> NDArray[np.float64]:
        stated = self.marginals[name]
        if not isinstance(stated, Mapping):
            counts = part.counts().astype(np.float64) if stated == "pool" else np.ones(len(part.names))
            return np.asarray(counts / counts.sum(), dtype=np.float64)
        known = [label.removeprefix(f"{name}:") for label in part.names]
        for value in stated:
            if value not in known:
                raise UserError(f"blend '{self.name}': no generalist row has this {name}", value=value, options=known)
        return np.array([stated.get(value, 0.0) for value in known], dtype=np.float64)


def _lines(
    supply: Supply, caps: NDArray[np.int64], quotas: NDArray[np.int64], wanted: Marginals, labels: list[tuple[str, ...]]
) -> pl.DataFrame:
    """Return a line of `schema.STRATA` for each share: what was wanted, what was taken, by how much it misses."""
    counts = wanted.sums(supply.counts)
    rows = []
    for d, names in enumerate(labels):
        held, room = wanted.sums(quotas)[d], wanted.sums(caps)[d]
        for i, name in enumerate(names):
            miss = float(held[i] - wanted.wanted[d][i])
            short = None if miss > -1 else "supply" if room[i] < wanted.wanted[d][i] - 1 else "infeasible"
            rows.append(
                {
                    "stratum": f"marginal:{name}",
                    "available": int(counts[d][i]),
                    "requested": float(wanted.wanted[d][i]),
                    "taken": int(held[i]),
                    "repeats": 1,
                    "limited_by": short,
                    "samples": None,
                    "error_mass": None,
                    "note": f"misses by {miss:+.1f} rows" if abs(miss) >= 1 else None,
                }
            )
    return schema.frame(rows, schema.STRATA)
