"""A design: one recipe at several amounts of generalist and specialist rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from manifests.errors import UserError


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Sweep:
    """Stands for one recipe per amount. `added_on` and `fixed_total` ask different questions.

    `added_on` adds generalist rows to the same specialist rows: is more of them better? `fixed_total` puts them in the
    place of specialist rows, at the same cost of training: which share is best?
    """

    kind: ClassVar[str] = "sweep"
    version: ClassVar[int] = 1

    name: str
    """Beginning of the blends' names: NAME-s500-g1000 has 500 specialist and 1,000 generalist rows."""
    of: dict[str, Any]
    """The recipe, without name and amounts, as in {kind: coverage, where: "p_error < 0.3"}."""
    design: Literal["added_on", "fixed_total"]
    """Whether generalist rows are added to the specialist rows or take their place."""
    generalist_rows: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Amounts of generalist rows; 0 is the blend of specialist rows only."""
    shares: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = ()
    """Instead of amounts, generalist shares of all rows of the blend."""
    specialist_rows: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Amounts of specialist rows, each a subset of the larger ones; without them all (`added_on` only)."""
    total_rows: Annotated[int, Field(ge=1)] | None = None
    """Rows of every blend, for `fixed_total`."""

    def __post_init__(self) -> None:
        """Refuse amounts that do not belong to the design."""
        if bool(self.generalist_rows) == bool(self.shares):
            raise UserError(f"sweep '{self.name}' needs either generalist_rows or shares", value=self.name)
        fixed = self.design == "fixed_total"
        if fixed != (self.total_rows is not None) or (fixed and self.specialist_rows):
            raise UserError(
                f"sweep '{self.name}': {self.design} does not fit its amounts",
                value=self.design,
                remedy="fixed_total needs total_rows and no specialist_rows, added_on no total_rows",
            )
        if fixed and max(self.generalist_rows, default=0) > (self.total_rows or 0):
            raise UserError(f"sweep '{self.name}' has more generalist rows than rows", value=max(self.generalist_rows))
        if not fixed and self.shares and not self.specialist_rows:
            raise UserError(
                f"sweep '{self.name}' needs specialist_rows for its shares to be shares of",
                value=list(self.shares),
                remedy="add specialist_rows: [500, 1000], or give generalist_rows",
            )

    def recipes(self) -> tuple[dict[str, Any], ...]:
        """Return the recipes, in order of specialist, then of generalist rows; equal ones once."""
        found = {}
        for specialist in self.specialist_rows or (None,):
            for amount in self.generalist_rows or self.shares:
                own, rows = self._amounts(specialist, amount)
                name = f"{self.name}{'' if own is None else f'-s{own}'}-g{rows}"
                found[name] = {**self.of, "name": name, "rows": rows, "specialist_rows": own}
        return tuple(found.values())

    def _amounts(self, specialist: int | None, amount: float) -> tuple[int | None, int]:
        """Return specialist and generalist rows of one recipe."""
        if self.total_rows is not None:
            rows = int(amount) if self.generalist_rows else int(self.total_rows * amount + 0.5)
            return self.total_rows - rows, rows
        if self.shares and specialist is not None:
            return specialist, int(specialist * amount / (1 - amount) + 0.5)
        return specialist, int(amount)
