"""LoRA adapters for a served judge: what they are, and whether they fit the model.

vLLM (0.32) puts an adapter of another base on the model without a word when its matrices are smaller than the model's:
the shapes are compared here, before the engine starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from curate.judges.weights import contents, tensors
from manifests import pickled
from manifests.errors import UserError
from manifests.names import digest, read_json

ADAPTER: Final = "adapter_config.json"
"""File by which a folder is known as an adapter's."""
WEIGHTS: Final = "adapter_model.safetensors"
"""File of its weights; vLLM and PEFT read no other."""
_PREFIX: Final = "base_model.model."
_LOWS: Final = {"lora_A.weight": 1, "lora_B.weight": 0}
"""Matrices of an adapted module, (rank, in) and (out, rank): the axis shared with its weight, (out, in)."""


def adapter_fingerprint(folder: Path) -> str:
    """Return the hash of a LoRA adapter's settings and weights; 32 hex digits; UserError when it is not one."""
    settings = _settings(folder)
    weights = [[path.name, contents(path)] for path in sorted(folder.glob("*.safetensors"))]
    # Where its base was found when it was trained does not matter.
    return digest([{name: value for name, value in settings.items() if name != "base_model_name_or_path"}, weights])


def adapter_rank(folder: Path) -> int:
    """Return the largest rank of an adapter's matrices; UserError when it is not a LoRA adapter."""
    settings = _settings(folder)
    given = [settings.get("r"), *(settings.get("rank_pattern") or {}).values()]
    ranks = [rank for rank in given if isinstance(rank, int) and rank > 0]
    if len(ranks) < len(given):
        raise UserError("the adapter's rank is not a number above 0", value=settings.get("r"), where=str(folder))
    return max(ranks)


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / ADAPTER
    pickled.refuse(folder)
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise UserError(
            f"not an adapter's folder: {ADAPTER} and {WEIGHTS} are needed",
            value=str(folder),
            remedy="save the adapter with PEFT's save_pretrained",
        )
    try:
        settings = read_json(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{ADAPTER} is not JSON", where=str(path), remedy="copy the adapter again") from error
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        kind = settings.get("peft_type") if isinstance(settings, dict) else None
        raise UserError("not a LoRA adapter", where=str(path), value=kind, remedy="vLLM serves LoRA adapters only")
    return settings


def check_fit(adapter: Path, model: Path) -> None:
    """Raise UserError when a matrix of the adapter does not fit the module of the model folder that it changes.

    A model whose modules bear other names throughout is left for the engine to judge.
    """
    base = {name: tensor["shape"] for path in model.glob("*.safetensors") for name, tensor in tensors(path).items()}
    modules = {name.rpartition(".")[0] for name in base}
    lacking: list[str] = []
    found = 0
    for path in adapter.glob("*.safetensors"):
        for name, tensor in sorted(tensors(path).items()):
            module, low = _module(name)
            if low is None:
                continue
            if module not in modules:
                lacking.append(module)
                continue
            found += 1
            shape = base.get(f"{module}.weight", tensor["shape"])
            axis = _LOWS[low]
            if len(shape) == 2 and tensor["shape"][axis] != shape[axis]:
                raise _unfit(module, f"{tensor['shape']} beside {shape}", adapter)
    if found and lacking:
        raise _unfit(lacking[0], "the model has no such module", adapter)


def _module(name: str) -> tuple[str, str | None]:
    """Return the module that a matrix of an adapter belongs to and which of the two it is, None for another tensor."""
    for low in _LOWS:
        if name.endswith(f".{low}"):
            return name.removeprefix(_PREFIX).removesuffix(f".{low}"), low
    return name, None


def _unfit(module: str, why: str, adapter: Path) -> UserError:
    return UserError(
        f"the adapter does not fit the model: {module}: {why}",
        value=str(adapter),
        remedy="give the base model that the adapter was trained on",
    )
