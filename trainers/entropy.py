"""Cross-entropy over a large vocabulary without all of its logits at once."""

from __future__ import annotations

from typing import Any, Final

from trainers.evaluate import BUCKET, headed, logits_at

LOGITS: Final = 1 << 25
"""Logits held at once: 128 MiB in float32. Fewer are computed in one piece."""


def summed(model: Any, inputs: dict[str, Any], where: Any, targets: Any, weights: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the weighted sum of the negative log-likelihoods of `targets` at the flat positions `where`.

    `where`, `targets` and `weights` have shape (n,). Where n times the vocabulary exceeds `LOGITS`, the output layer is
    applied to a slice of the positions at a time, and once more in the backward pass: the logits' memory is that of a
    slice. A model that changes its output layer's logits (scaled, capped) is computed in one piece.
    """
    head = model.get_output_embeddings()
    size = max(BUCKET, LOGITS // int(head.weight.shape[0])) if head is not None else 0
    if head is None or len(where) <= size:
        return _loss(logits_at(model, inputs, where), targets, weights)
    from torch.utils.checkpoint import checkpoint

    hidden, first = _hidden(model, inputs, where)
    if not bool((head(hidden[:BUCKET]).float() == first.float()).all()):
        return _loss(logits_at(model, inputs, where), targets, weights)

    def part(states: Any, wanted: Any, weight: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the loss of a slice of the positions."""
        return _loss(head(states), wanted, weight)

    total = hidden.new_zeros((), dtype=weights.dtype)
    for at in range(0, len(where), size):
        cut = slice(at, at + size)
        total = total + checkpoint(part, hidden[cut], targets[cut], weights[cut], use_reentrant=False)
    return total


def _loss(logits: Any, targets: Any, weights: Any) -> Any:  # noqa: ANN401 - tensors
    import torch

    wide = logits if logits.dtype == torch.float64 else logits.float()
    return (torch.nn.functional.cross_entropy(wide, targets, reduction="none") * weights).sum()


def _hidden(model: Any, inputs: dict[str, Any], where: Any) -> tuple[Any, Any]:  # noqa: ANN401 - tensors
    """Return what the output layer is given at `where`, and the model's logits of the first `BUCKET` of them."""
    seen: list[Any] = []

    def choose(states: Any) -> Any:  # noqa: ANN401 - tensors
        """Keep the states wanted and give the output layer the first of them."""
        seen.append(states.flatten(0, 1)[where])
        return seen[0][:BUCKET].detach().unsqueeze(0)

    logits = headed(model, inputs, choose)[0]
    return seen[0], logits
