"""A design: one recipe for targets from broad to narrow."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Ladder:
    """Stands for one recipe per target, each narrower than the one before.

    Does breadth decide what helps?
    """

    kind: ClassVar[str] = "ladder"
    version: ClassVar[int] = 1

    name: str
    """Beginning of the blends' names: NAME-1-TARGET, NAME-2-TARGET and so on."""
    of: dict[str, Any]
    """The recipe, without name and target, as in {kind: coverage, rows: 1000}."""
    targets: Annotated[tuple[str, ...], Field(min_length=2)]
    """Sources or tasks from broad to narrow; each becomes `target` of its recipe."""

    def recipes(self) -> tuple[dict[str, Any], ...]:
        """Return the recipes, broadest target first."""
        return tuple(
            {**self.of, "name": f"{self.name}-{i}-{_slug(target)}", "target": target}
            for i, target in enumerate(self.targets, 1)
        )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "target"
