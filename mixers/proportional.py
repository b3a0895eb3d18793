"""Draws generalist rows in the pool's own proportions, or evened out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from mixers import draw
from mixers.cells import Space
from mixers.quota import Fill, tempered

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import Pool


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Proportional:
    """Every stratum gives rows in proportion to what it holds behind the gate: the control for any other mix."""

    kind: ClassVar[str] = "proportional"
    version: ClassVar[int] = 1

    name: str
    """Name of the blend."""
    rows: Annotated[int, Field(ge=0)] | Literal["all"] | None = None
    """Generalist rows: 0 gives a blend of specialist rows only, `all` every row that passes `where`."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Generalist tokens (UTF-8 bytes / 4): rows are taken until the next would pass it."""
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Generalist share of all rows of the blend."""
    where: str | None = None
    """SQL predicate that generalist rows must satisfy; a row whose value is NULL (not judged) does not."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """One blend is drawn for each."""
    specialist_rows: Annotated[int, Field(ge=0)] | None = None
    """Specialist rows; without it all."""
    by: Literal["source", "task", "cell"] = "source"
    """What the strata are."""
    temperature: Annotated[float, Field(ge=1)] = 1.0
    """Weights are count^(1/temperature): 1 keeps the pool's proportions, higher ones even them out."""
    encoder: str = "minilm"
    """Embedding that `by: cell` needs (see `curate.embed`)."""
    cells: Annotated[int, Field(ge=2, le=4096)] = 64
    """Number of cells, for `by: cell`."""
    cell_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the clustering, for `by: cell`."""

    def __post_init__(self) -> None:
        """Refuse a recipe that does not say its size in exactly one unit."""
        draw.check(self)

    @property
    def space(self) -> Space | None:
        """The coverage space that the pool's cells must come from, None when none is needed."""
        return Space(self.encoder, self.cells, self.cell_seed) if self.by == "cell" else None

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` is not used."""
        specialist = draw.specialists(pool, self, seed)
        supply = draw.generalists(pool, self.where, self.by)
        fill = Fill(tempered(supply.available, self.temperature), supply.available)
        reasons = {name: f"proportional: {name}" for name in fill.weights}
        order = draw.Draw(self.name, "generalist", seed)
        generalist = draw.sized(order, self, supply, fill, (specialist.members.height, reasons))
        return draw.assemble(self, seed, pool, [generalist, specialist])
