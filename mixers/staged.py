"""A design: the same rows in several training orders."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Staged:
    """Stands for one recipe per order: the same members, mixed or one role after the other."""

    kind: ClassVar[str] = "staged"
    version: ClassVar[int] = 1

    name: str
    """Beginning of the blends' names: NAME-mixed, NAME-generalist-first, NAME-specialist-first."""
    of: dict[str, Any]
    """The recipe, without name and order, as in {kind: proportional, rows: 1000}."""
    orders: Annotated[tuple[Literal["mixed", "generalist_first", "specialist_first"], ...], Field(min_length=1)] = (
        "mixed",
        "generalist_first",
    )
    """Orders of training; `mixed` is the control."""

    def recipes(self) -> tuple[dict[str, Any], ...]:
        """Return the recipes, one an order."""
        return tuple(
            {**self.of, "name": f"{self.name}-{order.replace('_', '-')}", "order": order} for order in self.orders
        )
