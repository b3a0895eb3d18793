"""Rows held out of a run to choose its best step: never those of a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT
from manifests.errors import UserError
from manifests.names import digest, k64, sampling_key
from trainers.budget import SPECIALIST
from trainers.pack import Item, collate
from trainers.trainer import HELD_OUT, Row

BINS: Final = 8
"""Rows of one forward pass over the held-out rows."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Validate:
    """Which rows are held out, and how often a run is measured on them; one of `share`, `rows` and `source`."""

    kind: ClassVar[str] = "validate"
    version: ClassVar[int] = 1

    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the blend's specialist prompts held out."""
    rows: Annotated[int, Field(ge=1)] | None = None
    """Specialist rows of the blend held out: whole prompts, until there are that many."""
    source: str | None = None
    """Source, not of role eval, whose kept rows are held out; rows of the blend with one of its prompts are too."""
    every: Annotated[int, Field(ge=1)] = 20
    """Steps between two measurements; the last step is measured too."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Measurements without a new best after which the run ends; left out, it goes on to its end."""

    def __post_init__(self) -> None:
        """Raise UserError unless exactly one of `share`, `rows` and `source` is given."""
        given = [name for name in ("share", "rows", "source") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UserError(
                "validate needs one of share, rows and source",
                value=given,
                remedy="for example {share: 0.1, every: 20}",
            )


def split(rows: Sequence[Row], validate: Validate | None) -> tuple[list[Row], list[Row]]:
    """Return (rows to train on, rows held out): rows of one prompt are on one side.

    The prompts held out are the first of the blend's specialist prompts by a hash of their own, so that blends that
    share rows hold out the same ones, whatever the seed; repeats of a row held out count once. Rows of the role
    `validation` are held out always. Raise UserError when either side is empty.
    """
    if validate is None:
        return list(rows), []
    outside = [row for row in rows if row.role == HELD_OUT]
    held = {_prompt(row) for row in outside} if outside else _drawn(rows, validate)
    kept = [row for row in rows if _prompt(row) not in held]
    chosen = outside or [row for row in rows if _prompt(row) in held and row.role == SPECIALIST]
    once = {(row.sample_id, row.messages): row for row in chosen}
    if not kept or not once:
        lacking = "train on" if once else "hold out for validation"
        raise UserError(
            f"no row is left to {lacking}",
            value=f"{len(rows)} rows, {len(held)} prompts held out",
            remedy="hold out fewer rows" if once else "validate needs specialist rows in the blend, or a source",
        )
    return kept, [once[key] for key in sorted(once)]


def _prompt(row: Row) -> tuple[tuple[str, str], ...]:
    return row.messages[:-1]


def _drawn(rows: Sequence[Row], validate: Validate) -> set[tuple[tuple[str, str], ...]]:
    """Return the specialist prompts held out."""
    samples: dict[tuple[tuple[str, str], ...], set[str]] = {}
    for row in rows:
        if row.role == SPECIALIST:
            samples.setdefault(_prompt(row), set()).add(row.sample_id)
    prompts = sorted(samples)
    keys = np.array([k64(digest([list(turn) for turn in prompt])) for prompt in prompts], dtype=np.uint64)
    ordered = [prompts[n] for n in np.argsort(sampling_key(keys, 0, "validation"), kind="stable").tolist()]
    if validate.share is not None:
        return set(ordered[: max(1, round(validate.share * len(ordered)))])
    held: set[tuple[tuple[str, str], ...]] = set()
    count = 0
    for prompt in ordered:
        if count >= (validate.rows or 0):
            break
        held.add(prompt)
        count += len(samples[prompt])
    return held


@plain_dataclass(frozen=True)
class Watch:
    """Measures a model on the held-out items while it trains."""

    items: Sequence[Item]
    every: int
    patience: int | None = None

    def due(self, step: int, steps: int) -> bool:
        """Return whether the model is measured after `step` of `steps`, counted from 1."""
        return step % self.every == 0 or step == steps

    def over(self, losses: Sequence[tuple[int, float]], best: int) -> bool:
        """Return whether `patience` measurements came after the `best` step."""
        return self.patience is not None and sum(step > best for step, _ in losses) >= self.patience

    def loss(self, model: Any) -> float:  # noqa: ANN401 - a model
        """Return the mean negative log-likelihood of the held-out answers' tokens; dropout is off meanwhile."""
        import torch

        from trainers.loop import loss_of

        order = sorted(range(len(self.items)), key=lambda i: (len(self.items[i].rendered.ids), self.items[i].key))
        total = weight = 0.0
        model.eval()
        with torch.no_grad():
            for first in range(0, len(order), BINS):
                batch = collate(self.items, [[i] for i in order[first : first + BINS]])
                total += float(loss_of(model, batch))
                weight += float(batch.weights.sum())
        model.train()
        return total / weight
