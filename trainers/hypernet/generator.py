"""The generator: an instruction's vector in, low-rank factors for every slot out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn

from trainers.hypernet.adapted import Factors, Slot

FORMS: Final = ("full", "scaled")
"""`full`: both factors are generated. `scaled`: each slot has factors of its own, shared by all tasks, and a vector of
`rank` scales is generated between them (as in Zhyper, 2025): far fewer parameters."""


class Generator(nn.Module):  # type: ignore[misc]
    """Two-layer mixer over instruction, layer and module embeddings, then a head for each module's shape.

    Unlike TAGI's, which appends the layer's number to the features, layers and modules have learnt vectors (as in
    Text-to-LoRA, 2025). A starts as a LoRA's does and B near 0, so the base is hardly changed and both have gradients.
    The mixer starts at 0 and no norm follows it: what a factor owes to each part of an instruction is added up, until
    the tasks ask for more. With a norm there, tasks put together from known parts were answered at chance.
    """

    def __init__(self, slots: Sequence[Slot], features: int, width: int, rank: int, form: str) -> None:
        """Make it for instruction vectors of `features` numbers; weights come from torch's generator."""
        super().__init__()
        self.slots, self.rank, self.form = tuple(slots), rank, form
        self.kinds = sorted({slot.kind for slot in slots})
        layers = sorted({slot.layer for slot in slots})
        self.register_buffer("_layer_of", torch.tensor([layers.index(slot.layer) for slot in slots]), persistent=False)
        self.register_buffer(
            "_kind_of", torch.tensor([self.kinds.index(slot.kind) for slot in slots]), persistent=False
        )
        self.read = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, width))
        self.layer = nn.Embedding(len(layers), width)
        self.module = nn.Embedding(len(self.kinds), width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        shapes = {slot.kind: (slot.width_in, slot.width_out) for slot in slots}
        if form == "full":
            self.heads = nn.ModuleDict({kind: nn.Linear(width, rank * sum(shapes[kind])) for kind in self.kinds})
        else:
            self.heads = nn.ModuleDict({kind: nn.Linear(width, rank) for kind in self.kinds})
            self.ups = nn.ParameterList([torch.randn(s.width_out, rank) / math.sqrt(rank) for s in slots])
        self.downs = nn.ParameterList([_uniform(rank, s.width_in) for s in slots])
        nn.init.zeros_(self.mix[-1].weight)
        nn.init.zeros_(self.mix[-1].bias)
        for head in self.heads.values():
            nn.init.normal_(head.weight, std=0.02 / math.sqrt(width))
            nn.init.zeros_(head.bias)

    def forward(self, features: Any) -> Factors:  # noqa: ANN401 - a tensor
        """Return the factors for instruction vectors of shape (tasks, features), each task's apart."""
        read = self.read(features)[:, None] + self.layer(self._layer_of) + self.module(self._kind_of)
        mixed = read + self.mix(read)
        return [self._factors(number, slot, mixed[:, number]) for number, slot in enumerate(self.slots)]

    def _factors(self, number: int, slot: Slot, state: Any) -> tuple[Any, Any]:  # noqa: ANN401 - tensors
        made, down = self.heads[slot.kind](state), self.downs[number]
        if self.form == "scaled":
            return down.expand(len(state), -1, -1), self.ups[number] * made[:, None]
        cut = self.rank * slot.width_in
        below = made[:, :cut].view(-1, self.rank, slot.width_in)
        above = made[:, cut:].view(-1, slot.width_out, self.rank)
        return down + below, above


def _uniform(rank: int, width: int) -> Any:  # noqa: ANN401 - a tensor
    """Return a LoRA's first factor as PEFT draws it: Kaiming's uniform, |value| <= 1 / sqrt(width)."""
    return (torch.rand(rank, width) * 2 - 1) / math.sqrt(width)
