"""A frozen base whose linear layers add what low-rank factors make of their inputs, one pair of products per task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from manifests.errors import UserError

Factors = Sequence[tuple[Any, Any]]
"""For each slot the tensors A (tasks, rank, in) and B (tasks, out, rank); the layer's change is B A, unscaled."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A linear layer that gets an adapter: its module's name, the layer's number, the kind of module, its sizes."""

    name: str
    layer: int
    kind: str
    width_in: int
    width_out: int


def slots_of(model: Any, targets: str | Sequence[str]) -> tuple[Slot, ...]:  # noqa: ANN401 - a model
    """Return the adapted layers of a base in the order of its modules.

    `targets` are last parts of module names (`q_proj`), or `all-linear`: every linear layer but the output. Raise
    UserError when a name fits none.
    """
    head = model.get_output_embeddings()
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    kinds = sorted({name.rpartition(".")[2] for name in linear})
    wanted = kinds if targets == "all-linear" else [targets] if isinstance(targets, str) else list(targets)
    for kind in wanted:
        if kind not in kinds:
            raise UserError("the base has no linear layer of this name", value=kind, options=kinds)
    found = []
    for name, module in linear.items():
        kind, number = name.rpartition(".")[2], re.search(r"\.(\d+)\.", name)
        if kind in wanted:
            layer = int(number[1]) if number else 0
            found.append(Slot(name, layer, kind, module.in_features, module.out_features))
    return tuple(found)


class Adapted:
    """Takes over a base: within `using`, its slots answer with the factors given there, else as they are."""

    def __init__(self, model: Any, slots: Sequence[Slot]) -> None:  # noqa: ANN401 - a model
        """Freeze `model` and put the products into the layers of `slots`."""
        self.model = model
        self.slots = tuple(slots)
        self._factors: Factors | None = None
        model.requires_grad_(False)
        model.eval()
        for number, slot in enumerate(self.slots):
            layer = model.get_submodule(slot.name)
            layer.forward = partial(self._forward, layer.forward, number)

    @contextmanager
    def using(self, factors: Factors | None) -> Iterator[None]:
        """Let the model answer with `factors` within: the rows of a batch in as many equal parts as there are tasks."""
        before, self._factors = self._factors, factors
        try:
            yield
        finally:
            self._factors = before

    def _forward(self, base: Any, number: int, x: Any) -> Any:  # noqa: ANN401 - a function, tensors
        """Return the layer's answer and what the factors add: x A^T B^T, two batched products whatever the tasks."""
        result = base(x)
        if self._factors is None:
            return result
        down, up = self._factors[number]
        rows = x.reshape(len(down), -1, x.shape[-1])
        added = torch.bmm(torch.bmm(rows, down.to(x.dtype).transpose(1, 2)), up.to(x.dtype).transpose(1, 2))
        return result + added.view(result.shape)
