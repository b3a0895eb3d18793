"""What a base model is dressed in before it trains: its arithmetic, recomputed activations, compiled layers, 4 bits."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from manifests.errors import UserError
from trainers.evaluate import load_model


def dressed(model: Any, trainer: Any) -> Any:  # noqa: ANN401 - a model, a trainer with `Hyperparameters`
    """Return the model as the trainer asks: arithmetic, attention, recomputed activations, compiled layers.

    Raise UserError for flex attention on a CPU, where torch has no backward pass of it.
    """
    if trainer.attention == "flex":
        if next(model.parameters()).device.type == "cpu":
            raise UserError(
                "torch cannot train by flex attention on a CPU", value="attention: flex", remedy="leave attention out"
            )
        model.set_attn_implementation("flex_attention")
    if trainer.precision is not None:
        model.arithmetic = trainer.precision
    if trainer.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if trainer.compile:
        for layer in layers(model):
            layer.compile(dynamic=True)
    return model


def arithmetic(model: Any) -> Any:  # noqa: ANN401 - a model, a context manager
    """Return a context in which the model's matrix products are computed as `dressed` was asked: `precision`.

    Not asked, they are computed in bfloat16 on a GPU and in the type of the weights on a CPU.
    """
    import torch

    kind = next(model.parameters()).device.type
    chosen = getattr(model, "arithmetic", None) or ("float32" if kind == "cpu" else "bfloat16")
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=chosen == "bfloat16")


def layers(model: Any) -> list[Any]:  # noqa: ANN401 - a model
    """Return the model's transformer layers: the longest list of modules in it."""
    import torch

    lists = [list(module) for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=len, default=[])


def quantised(base: Path | str, device: str) -> Any:  # noqa: ANN401 - a model
    """Load a base whose linear layers are held in 4 bits (NF4, doubly quantised) and computed in bfloat16 on a GPU.

    Dettmers et al., "QLoRA" (2023). Raise UserError where bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "quantize: 4 needs the package 'bitsandbytes', which is not installed",
            value=4,
            remedy="pip install bitsandbytes, or leave quantize out",
        )
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32 if device == "cpu" else torch.bfloat16,
    )
    loaded = load_model(base, device, quantization=config)
    return prepare_model_for_kbit_training(loaded, use_gradient_checkpointing=False)
