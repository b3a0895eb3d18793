"""Fine-tuning of low-rank adapters (Hu et al., "LoRA", ICLR 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.atomic import replacing
from manifests.component import COMPONENT, Context
from trainers.dressing import dressed, quantised
from trainers.evaluate import best_device, load_model
from trainers.hyperparameters import Hyperparameters
from trainers.run import Job, fit
from trainers.trainer import Fitted, Row


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Lora(Hyperparameters):
    """Trains a low-rank adapter beside a frozen base and saves it in PEFT's format, which vLLM serves."""

    kind: ClassVar[str] = "lora"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = Hyperparameters.inert | {"together"}

    lr: Annotated[float, Field(gt=0, le=1)] = 2e-4
    """Peak learning rate."""
    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of the adapters."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Scale of the adapters: what they add is multiplied by `alpha / rank`."""
    quantize: Literal[4] | None = None
    """4: the base is held in 4 bits (NF4, doubly quantised; QLoRA, Dettmers et al. 2023); needs bitsandbytes."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get an adapter; `all-linear` is every linear layer but the output."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the adapters; costs a fifth more small operations."""
    together: Annotated[int, Field(ge=1, le=1024)] = 1
    """Runs of a job that one process trains at once over one base; 1 is one after the other. Same adapters, less time:
    to the bit in float32 on a CPU, to rounding on a GPU."""

    def fit(
        self,
        rows: Sequence[Row],
        base: Path | str,
        seed: int,
        out: Path,
        context: Context,
        tags: Mapping[str, str] | None = None,
    ) -> Fitted:
        """Train on `rows` from `base` into `out` (an adapter folder); a finished or interrupted fit there is used.

        Equal rows (in any order), base, seed and fields give the same weights bit for bit on one machine. The adapters
        of two blends start from the same values when base, seed, rank and targets are the same.
        """
        job = Job(self, rows, base, seed, out, context, tags or {})
        return fit(job, lambda: adapted(self, base), lambda model: save_adapter(model, base, out))


def adapted(trainer: Lora, base: Path | str) -> Any:  # noqa: ANN401 - a PEFT model
    """Return the base with a new adapter, which is drawn from torch's generator and alone requires gradients."""
    from peft import LoraConfig, get_peft_model

    targets = trainer.targets if isinstance(trainer.targets, str) else list(trainer.targets)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=trainer.rank,
        lora_alpha=trainer.alpha,
        lora_dropout=trainer.dropout,
        target_modules=targets,
    )
    device = best_device()
    loaded = load_model(base, device, dtype=trainer.precision) if trainer.quantize is None else quantised(base, device)
    return dressed(get_peft_model(loaded, config), trainer)


def save_adapter(model: Any, base: Path | str, out: Path) -> None:  # noqa: ANN401 - a PEFT model
    """Write the adapter in PEFT's format: `adapter_model.safetensors` and `adapter_config.json`."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    with replacing(out / "adapter_model.safetensors") as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary, {"format": "pt"}
        )
    config = model.peft_config["default"]
    config.inference_mode = True
    config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).is_dir() else str(base)
    if not isinstance(config.target_modules, str):
        config.target_modules = sorted(config.target_modules)
    config.save_pretrained(out)
