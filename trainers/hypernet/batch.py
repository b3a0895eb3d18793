"""Rows of several tasks as one batch: as many of each, one task's after another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainers.evaluate import logits_at
from trainers.hypernet.adapted import Adapted, Factors
from trainers.hypernet.instruction import Prefixes, padded
from trainers.render import Rendered


@dataclass(frozen=True)
class Task:
    """A task: its instruction and its rows, which are rendered as they follow a prefix or stand alone."""

    instruction: str
    rows: tuple[Rendered, ...]


@dataclass(frozen=True)
class Batch:
    """The rows of one step.

    `ids` (tasks * rows, width) are filled up on the right; `where` are the flat positions whose next token is learnt,
    `targets` those tokens. `picked` says which row of its task each row is.
    """

    instructions: tuple[str, ...]
    picked: tuple[tuple[int, ...], ...]
    ids: Any
    where: Any
    targets: Any

    @property
    def rows(self) -> int:
        """Return the rows of each task."""
        return len(self.picked[0])


def batch_of(tasks: Sequence[Task], picked: Sequence[Sequence[int]], device: str) -> Batch:
    """Return the batch of the rows `picked` of each task."""
    rows = [task.rows[i] for task, chosen in zip(tasks, picked, strict=True) for i in chosen]
    ids, _ = padded([row.ids for row in rows], device)
    width = ids.shape[1]
    where = [n * width + at - 1 for n, row in enumerate(rows) for at in range(max(row.start, 1), len(row.ids))]
    targets = [token for row in rows for token in row.ids[max(row.start, 1) :]]
    return Batch(
        tuple(task.instruction for task in tasks),
        tuple(tuple(chosen) for chosen in picked),
        ids,
        torch.tensor(where, device=device),
        torch.tensor(targets, device=device),
    )


def logits(adapted: Adapted, batch: Batch, factors: Factors | None, prefixes: Prefixes | None) -> Any:  # noqa: ANN401
    """Return the logits at the batch's learnt positions, shape (learnt, vocabulary), under each task's factors.

    With `prefixes` each row follows its instruction's, which the base computed without the factors.
    """
    given: dict[str, Any] = {"input_ids": batch.ids}
    if prefixes is not None:
        cache, known = prefixes.cache(batch.instructions, batch.rows)
        width, device = batch.ids.shape[1], batch.ids.device
        causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        seen = torch.cat([known[:, None].expand(-1, width, -1), causal.expand(len(known), -1, -1)], dim=2)
        dtype = next(adapted.model.parameters()).dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, torch.finfo(dtype).min)
        given |= {
            "attention_mask": mask[:, None],
            "position_ids": known.sum(1)[:, None] + torch.arange(width, device=device),
            "past_key_values": cache,
        }
    with adapted.using(factors):
        return logits_at(adapted.model, given, batch.where)
