"""How fast a run was: tokens per second, arithmetic per token, and the share of the hardware that it used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Write = Callable[[int, Mapping[str, float]], None]
"""Takes (step, name -> figure) of a run as it goes."""

PEAKS: Final = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12}
"""Part of a GPU's name -> dense bfloat16 operations per second, of the SXM part where there are two (data sheets)."""


def flops_per_token(model: Any, width: int) -> float:  # noqa: ANN401 - a model
    """Return the floating-point operations that training on one token takes in rows of `width` tokens.

    PaLM's count (Chowdhery et al. 2022, appendix B), 6 N + 12 L d T, where 2 N of the 6 N, the weights' gradients, are
    for trained weights only: 4 N + 2 N_trained. A table that is only looked up does not count; nor does recomputing.
    """
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    looked_up = {id(table.weight)} if head is None or head.weight is not table.weight else set()
    weights = [value for value in model.parameters() if id(value) not in looked_up]
    count = sum(value.numel() for value in weights)
    trained = sum(value.numel() for value in weights if value.requires_grad)
    config = model.config.get_text_config()
    attention = 12 * config.num_hidden_layers * config.hidden_size * width
    return float(4 * count + 2 * trained + attention)


def peak(device: str) -> float | None:
    """Return the operations per second of the GPU at most, None on a CPU or where they are not known."""
    if device == "cpu":
        return None
    import torch

    name = torch.cuda.get_device_name()
    return next((value for part, value in PEAKS.items() if part in name), None)


def beside(write: Write, model: Any, width: int, processes: int) -> Write:  # noqa: ANN401 - a model
    """Return `write` with a run's `mfu` beside its `tokens_per_second`, where the hardware's peak is known."""
    most, flops = peak(str(next(model.parameters()).device)), flops_per_token(model, width)

    def told(step: int, figures: Mapping[str, float]) -> None:
        """Write the figures and the share of the peak."""
        if most is not None and "tokens_per_second" in figures:
            figures = {**figures, "mfu": figures["tokens_per_second"] * flops / (most * processes)}
        write(step, figures)

    return told


def speed(model: Any, tokens: int, seconds: float, width: int, processes: int) -> dict[str, float | None]:  # noqa: ANN401
    """Return a run's `tokens_per_second`, `flops_per_token`, and `mfu`, the share of the hardware's peak, 0 to 1."""
    flops = flops_per_token(model, width)
    rate = tokens / seconds if seconds > 0 else None
    most = peak(str(next(model.parameters()).device))
    used = None if rate is None or most is None else rate * flops / (most * processes)
    return {"tokens_per_second": rate, "flops_per_token": flops, "mfu": used}
