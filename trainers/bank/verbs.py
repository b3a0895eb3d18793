"""What the adapters of a stack answer to token ids, and how likely they find given ones; many in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from manifests.errors import Interrupted
from trainers.bank.stack import Stack, Tail
from trainers.evaluate import BUCKET, batches, greedy, logits_at
from trainers.pack import Batch, Item, collate
from trainers.render import Rendered

CACHED: Final = {"cpu": 1 << 14, "cuda": 1 << 17}
"""Positions of which a pass holds keys and values at most, unless one adapter's answers have more.

More than `stack.POSITIONS` on a CPU: a step computes one position of each row, and is faster with many rows.
"""

Ids = Sequence[int]
Found = TypeVar("Found")
Part = TypeVar("Part")
Places = tuple[int, list[int]]
"""A batch: its padded length and the numbers of its rows."""


def score(
    stack: Stack, work: Mapping[int, Sequence[tuple[Ids, int]]], context: int, stopping: Callable[[], bool]
) -> dict[int, list[float]]:
    """Return by slot the summed log-likelihood of each row's ids from its start on; `context` is the model's.

    On a CPU in float32 a sum is the same to the bit whatever the other rows and slots. Raise Interrupted when
    `stopping` says so between two passes.
    """
    items = {slot: [Item(Rendered(tuple(ids), start)) for ids, start in rows] for slot, rows in work.items()}
    found = {slot: [0.0] * len(rows) for slot, rows in work.items()}

    def sums(group: Mapping[int, tuple[Batch, Places]]) -> dict[int, list[float]]:
        """Return the sums of one pass."""
        return dict(zip(group, _sums(stack, {slot: batch for slot, (batch, _) in group.items()}), strict=True))

    parts = {
        slot: [
            (collate(rows, [[i] for i in numbers], width), (width, numbers))
            for width, numbers in batches([row.rendered.ids for row in rows], context)
        ]
        for slot, rows in items.items()
    }
    for group in _passes(stack.passes(parts, lambda part: part[0].ids.shape), stopping):
        for slot, totals in _fitting(group, sums).items():
            for i, total in zip(group[slot][1][1], totals, strict=True):
                found[slot][i] = total
    return found


def generate(
    stack: Stack,
    work: Mapping[int, tuple[Sequence[Ids], frozenset[int]]],
    context: int,
    most: int,
    stopping: Callable[[], bool],
) -> dict[int, list[list[int]]]:
    """Return by slot the greedy ids after each prompt, at most `most`, up to the first of the slot's stops.

    A part of a pass is as large as the keys and values that it holds at last. Otherwise as `score`.
    """

    def shape(part: Places) -> tuple[int, int]:
        """Return rows and positions that a batch has in the end."""
        return -(-len(part[1]) // BUCKET) * BUCKET, part[0] + most

    def answers(group: Mapping[int, Places]) -> dict[int, list[list[int]]]:
        """Return the answers of one pass."""
        slots = list(group)
        width, _ = group[slots[0]]
        rows = [[work[slot][0][i] for i in group[slot][1]] for slot in slots]
        stops = [work[slot][1] for slot in slots]
        given = greedy(stack.model, rows, width, most, stops, lambda at: stack.using([slots[n] for n in at]))
        return dict(zip(slots, given, strict=True))

    found: dict[int, list[list[int]]] = {slot: [[] for _ in rows] for slot, (rows, _) in work.items()}
    parts = {slot: list(batches(rows, context)) for slot, (rows, _) in work.items()}
    for group in _passes(stack.passes(parts, shape, CACHED), stopping):
        for slot, ids in _fitting(group, answers).items():
            for i, answer in zip(group[slot][1], ids, strict=True):
                found[slot][i] = answer
    return found


def _passes(groups: Iterator[dict[int, Part]], stopping: Callable[[], bool]) -> Iterator[dict[int, Part]]:
    for group in groups:
        if stopping():
            raise Interrupted("stopped while measuring")
        yield group


def _fitting(group: Mapping[int, Part], compute: Callable[[Mapping[int, Part]], dict[int, Found]]) -> dict[int, Found]:
    """Return what `compute` gives for the slots of a group; for one half and then the other where memory is short."""
    import torch

    try:
        return compute(group)
    except torch.OutOfMemoryError:
        if len(group) == 1:
            raise
    torch.cuda.empty_cache()
    slots = list(group)
    halves = (slots[: len(slots) // 2], slots[len(slots) // 2 :])
    one, two = (_fitting({slot: group[slot] for slot in half}, compute) for half in halves)
    return one | two


def _sums(stack: Stack, group: Mapping[int, Batch]) -> Iterator[list[float]]:
    """Yield the summed log-likelihood of each bin's learnt tokens; one slot's logits alone take memory."""
    import torch

    with stack.using(tuple(group)):
        states: Any = stack.states(list(group.values()))
    for part, batch in zip(states.unbind(0), group.values(), strict=True):
        where, targets = (torch.from_numpy(one).to(stack.device) for one in (batch.where, batch.targets))
        owner = torch.from_numpy(batch.where // batch.ids.shape[1])
        logits = logits_at(Tail(stack.model, part), {}, where)
        chosen = logits.float().log_softmax(-1).gather(1, targets[:, None])[:, 0]
        totals = torch.zeros(len(batch.ids), dtype=torch.float64).index_add_(0, owner, chosen.double().cpu())
        yield totals.tolist()
