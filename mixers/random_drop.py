"""The control for any filter: as many rows as another blend, dropped at random instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from manifests.errors import UserError
from manifests.names import check_name
from mixers import draw
from mixers.quota import Fill

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
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """One blend is drawn for each; `like` must have them."""
    match: Literal["total", "source", "cell"] = "total"
    """What stays as in `like`: only the number of rows, or that of each source or coverage cell too."""

    def __post_init__(self) -> None:
        """Refuse a name that is not valid or a blend that is like itself."""
        check_name(self.name, noun="blend name")
        if self.like == self.name:
            raise UserError("a blend cannot be like itself", value=self.like, remedy="name another blend of the job")

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`, sized by `earlier['like@seed']`; raise UserError when there is none."""
        model = self._model(seed, earlier)
        by = "role" if self.match == "total" else self.match
        everything = draw.generalists(pool, None, by)
        taken = model.members.filter(pl.col("role") == "generalist").join(everything.rows, on="sample_id")
        quotas = dict(taken.group_by("stratum").len().iter_rows())
        supply = draw.generalists(pool, self.where, by)
        self._within(supply, quotas)
        fill = Fill({name: quotas.get(name, 0) for name in supply.available}, supply.available)
        reasons = dict.fromkeys(fill.weights, f"random drop, sized like {model.ref}")
        order = draw.Draw(self.name, "generalist", seed, purpose="random_drop")
        generalist = order.by_rows(supply, fill, taken.height, reasons)
        return draw.assemble(self, seed, pool, [generalist, _specialists(pool, model)])

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

    def _within(self, supply: draw.Supply, quotas: Mapping[str, int]) -> None:
        """Raise UserError when a stratum to be matched holds too few rows behind this blend's own gate."""
        for name, quota in sorted(quotas.items()):
            if quota > supply.available[name]:
                raise UserError(
                    f"blend '{self.name}' cannot match '{self.like}': {name} holds {supply.available[name]} rows",
                    value=quota,
                    remedy="loosen `where`, or set match: total",
                )


def _specialists(pool: Pool, model: Blend) -> draw.Drawn:
    """Return the model's specialist rows as they were drawn, with their strata."""
    members = (
        model.members.filter(pl.col("role") == "specialist")
        .join(pool.samples.select("sample_id", "source"), on="sample_id", how="left")
        .select("sample_id", "role", pl.concat_str(pl.lit("specialist:"), "source").alias("stratum"), "reason")
    )
    return draw.Drawn(members, model.strata.filter(pl.col("stratum").str.starts_with("specialist:")))
