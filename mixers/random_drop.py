"""The control for any filter: as many rows as another blend, dropped at random instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from manifests.errors import UserError
from manifests.names import check_name
from mixers import draw, recipe
from mixers.place import assemble
from mixers.stratum import stratify
from mixers.supply import generalists

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class RandomDrop:
    """Takes as many generalist rows as `like`, at random before its gate, and the same specialist rows."""

    kind: ClassVar[str] = "random_drop"
    version: ClassVar[int] = 1

    name: str
    """Name of the blend."""
    like: str
    """Name of the blend whose size and specialist rows it takes, seed by seed; drawn earlier in the same job."""
    where: str | None = None
    """SQL predicate that generalist rows must satisfy, instead of the other blend's; NULL does not satisfy it."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(min_length=1)] = (0,)
    """One blend is drawn for each; `like` must have them."""
    match: Literal["total", "source", "cell"] = "total"
    """What stays as in `like`: only the number of rows, or that of each source or coverage cell too."""
    max_epochs: recipe.Epochs = 1
    order: recipe.Order = "mixed"

    def __post_init__(self) -> None:
        """Refuse a name that is not valid or a blend that is like itself."""
        check_name(self.name, noun="blend name")
        if self.like == self.name:
            raise UserError("a blend cannot be like itself", value=self.like, remedy="name another blend of the job")

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`, sized by `earlier['like@seed']`; raise UserError when there is none."""
        model = self._model(seed, earlier)
        terms = recipe.Terms.of(self, by="role" if self.match == "total" else self.match)
        supply = generalists(pool, terms, seed, purpose="random_drop")
        rows, often = _rows(pool, model, "generalist")
        strata = stratify(pool.samples[rows], terms.by)
        counts = np.bincount(strata.codes, weights=often, minlength=len(strata.names)).astype(int).tolist()
        quotas = {**dict.fromkeys(supply.names, 0), **dict(zip(strata.names, counts, strict=True))}
        self._within(supply.available, quotas)
        sampler = draw.Draw(terms, pool)
        fill = sampler.fill(supply, {name: quotas[name] for name in supply.names})
        reasons = dict.fromkeys(supply.names, f"random drop, sized like {model.ref}")
        generalist = sampler.by_rows(supply, fill, int(often.sum()), reasons)
        return assemble(self, seed, pool, [generalist, _specialists(pool, model)])

    def _model(self, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        found = {blend.seed: blend for blend in earlier.values() if blend.name == self.like}
        if not found:
            names = sorted({blend.name for blend in earlier.values()})
            raise UserError(
                f"blend '{self.name}' is like a blend that is not drawn before it",
                value=self.like,
                options=names,
                remedy=f"blends so far: {', '.join(names) or 'none'}",
            )
        if seed not in found:
            raise UserError(
                f"blend '{self.name}' has a seed that '{self.like}' has not",
                value=seed,
                remedy=f"seeds of '{self.like}': {', '.join(map(str, sorted(found)))}",
            )
        return found[seed]

    def _within(self, available: Mapping[str, int], quotas: Mapping[str, int]) -> None:
        """Raise UserError when a stratum to be matched holds too few rows behind this blend's own gate."""
        for name, quota in sorted(quotas.items()):
            held = available.get(name, 0) * self.max_epochs
            if quota > held:
                raise UserError(
                    f"blend '{self.name}' cannot match '{self.like}': {name} holds {held} rows",
                    value=quota,
                    remedy="loosen `where`, or set match: total",
                )


def _rows(pool: Pool, model: Blend, role: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places in the pool of the model's rows of a role, and how often each is shown."""
    members = model.members.filter(pl.col("role") == role).select("sample_id", "repeats")
    found = pool.samples.select("sample_id").with_row_index("place").join(members, on="sample_id").sort("place")
    return found["place"].to_numpy().astype(np.int64), found["repeats"].to_numpy().astype(np.int64)


def _specialists(pool: Pool, model: Blend) -> draw.Drawn:
    """Return the model's specialist rows as they were drawn, with their strata."""
    rows, repeats = _rows(pool, model, "specialist")
    strata = stratify(pool.samples.select("source")[rows], "source", prefix="specialist")
    lines = model.strata.filter(pl.col("stratum").str.starts_with("specialist:"))
    reasons = dict.fromkeys(strata.names, "specialist")
    ones = np.ones(rows.size, dtype=np.float64)
    return draw.Drawn("specialist", rows, strata.codes, strata.names, reasons, repeats, ones, lines)
