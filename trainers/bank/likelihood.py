"""The same answers scored under several adapters in one pass over their base."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from manifests import pickled
from manifests.errors import UserError
from trainers.bank.stack import Stack, Tail, stackable
from trainers.evaluate import BUCKET, POSITIONS, Loglik, base_of, best_device, load_model, load_tokenizer, logits_at
from trainers.pack import Batch, Item, collate
from trainers.render import Messages, Rendered, Renderer

SHAPE: Final = ("r", "lora_alpha", "target_modules", "use_rslora")
"""Entries of PEFT's configuration that adapters scored together have in common, beside their base."""


def loglik(
    folders: Sequence[Path], pairs: Sequence[tuple[Messages, str]], device: str | None = None
) -> list[list[Loglik | None]]:
    """Return for each adapter folder what `evaluate.Model.loglik` gives for the pairs of prompt and answer.

    The rows are rendered and loaded into the base once for all adapters. Values agree to rounding with those of a model
    of its own, which has the adapter merged into its weights on a CPU: 1e-4 of a total or better in float32. Raise
    UserError when the adapters differ in base or shape, or cannot be stacked.
    """
    import torch

    stack, renderer, context = _load(folders, device or best_device())
    rendered = [renderer.row([*prompt, ("assistant", answer)], context) for prompt, answer in pairs]
    numbers = [n for n, row in enumerate(rendered) if isinstance(row, Rendered)]
    items = [Item(row) for row in rendered if isinstance(row, Rendered)]
    found: list[list[Loglik | None]] = [[None] * len(pairs) for _ in folders]
    with torch.inference_mode():
        for rows in _batches(items):
            for slot, sums in _sums(stack, collate(items, [[i] for i in rows])):
                for i, total in zip(rows, sums, strict=True):
                    n, row = numbers[i], items[i].rendered
                    found[slot][n] = Loglik(total, len(row.ids) - row.start, len(pairs[n][1]))
    return found


def _load(folders: Sequence[Path], device: str) -> tuple[Stack, Renderer, int]:
    """Return the adapters stacked over their base, the renderer of its tokenizer, and the positions it takes."""
    from peft import PeftModel, set_peft_model_state_dict
    from safetensors.torch import load_file

    shapes = {folder: _shape(folder) for folder in folders}
    other = next((folder for folder in folders if shapes[folder] != shapes[folders[0]]), None)
    if other is not None:
        raise UserError(
            "adapters of different bases or shapes cannot be scored together",
            value=f"{folders[0]} and {other}",
            remedy="score them one by one",
        )
    model = PeftModel.from_pretrained(load_model(base_of(folders[0]), device), str(folders[0]), is_trainable=True)
    model.eval()
    if not stackable(model):
        raise UserError(
            "these adapters cannot be stacked over their base", value=str(folders[0]), remedy="score them one by one"
        )
    stack = Stack(model, len(folders))
    for slot, folder in enumerate(folders):
        set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
        stack.take(slot)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 4096
    return stack, Renderer(load_tokenizer(folders[0])), int(limit)


def _shape(folder: Path) -> list[Any]:
    pickled.refuse(folder)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    return [base_of(folder), *(config.get(name) for name in SHAPE)]


def _batches(items: Sequence[Item]) -> Iterator[list[int]]:
    """Yield item indexes of rows of about one length, `POSITIONS` positions at most."""
    lengths = [-(-len(item.rendered.ids) // BUCKET) for item in items]
    held: list[int] = []
    for i in sorted(range(len(items)), key=lambda i: (-lengths[i], i)):
        if held and (lengths[i] != lengths[held[0]] or (len(held) + 1) * lengths[i] * BUCKET > POSITIONS):
            yield held
            held = []
        held.append(i)
    if held:
        yield held


def _sums(stack: Stack, batch: Batch) -> Iterator[tuple[int, list[float]]]:
    """Yield (slot, summed log-likelihood of each bin's learnt tokens), as many adapters in a pass as there is room."""
    import torch

    where, targets = (torch.from_numpy(part).to(stack.device) for part in (batch.where, batch.targets))
    owner = torch.from_numpy(batch.where // batch.ids.shape[1])
    count = stack.room(batch.ids.size)
    for first in range(0, stack.slots, count):
        slots = range(first, min(first + count, stack.slots))
        with stack.using(slots):
            states = stack.states([batch] * len(slots))
            for slot, part in zip(slots, states.unbind(0), strict=True):
                logits = logits_at(Tail(stack.model, part), {}, where)
                chosen = logits.float().log_softmax(-1).gather(1, targets[:, None])[:, 0]
                sums = torch.zeros(len(batch.ids), dtype=torch.float64).index_add_(0, owner, chosen.double().cpu())
                yield slot, sums.tolist()
