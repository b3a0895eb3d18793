"""Fine-tuning of all weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context, Table
from trainers.dressing import dressed
from trainers.evaluate import best_device, load_model
from trainers.run import Job, fit
from trainers.scratch import Scratch
from trainers.trainer import BASES, Fitted, Row
from trainers.validation import Validate


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Full:
    """Trains every weight of the base and saves a whole model; float32 weights, bfloat16 arithmetic on a GPU."""

    kind: ClassVar[str] = "full"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = frozenset({"checkpoint_steps", "log_to", "threads"})
    nested: ClassVar[Mapping[str, Table | type]] = {"base": BASES, "validate": Validate}

    base: str | Scratch
    """Model to start from: a folder, a hub id (`name@revision` pins it) or a base that the job makes."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps of every blend: the positions are the same, not the epochs. 100 when no budget is given; each of
    `steps`, `tokens`, `exposures` and `epochs` that is given makes a run of its own."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens trained on, prompts included, the same for every blend to within one row."""
    exposures: Annotated[int, Field(ge=1)] | None = None
    """How often each specialist row is shown, the same for every blend; generalist rows come beside in proportion."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """How often each row of the blend is shown, repeats as the blend states them."""
    lr: Annotated[float, Field(gt=0, le=1)] = 5e-4
    """Peak learning rate."""
    batch_tokens: Annotated[int, Field(ge=16)] = 2048
    """Positions of one optimizer step: `batch_tokens / max_tokens` packed rows, at least one."""
    max_tokens: Annotated[int, Field(ge=16)] = 256
    """Longest row in tokens; a longer prompt is cut from the left, a longer answer skips the row."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps over which the learning rate rises."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decay of the matrices in AdamW; norms and biases are not decayed."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient of a step."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Parts that a step is computed in: more need less memory; the gradient is the same up to rounding."""
    recompute: bool = False
    """Activations are computed again in the backward pass: a third more arithmetic, far less memory."""
    compile: bool = False
    """The layers are compiled by torch: faster on a GPU after a minute or two; needs a compiler on the machine."""
    validate: Validate | None = None
    """Rows held out to choose the best step, as {share: 0.1, every: 20}; left out, the last step is saved."""
    log_to: tuple[str, ...] = ()
    """Where figures go beside the manifest: tensorboard, trackio, wandb, mlflow."""
    log_steps: Annotated[int, Field(ge=1)] = 10
    """Steps between two recorded losses."""
    checkpoint_steps: Annotated[int, Field(ge=1)] = 100
    """Steps between two checkpoints, from which a killed run goes on."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of torch; two on busy cores are slower than one."""

    def fit(
        self,
        rows: Sequence[Row],
        base: Path | str,
        seed: int,
        out: Path,
        context: Context,
        tags: Mapping[str, str] | None = None,
    ) -> Fitted:
        """Train on `rows` from `base` into `out` (a model folder); a finished or interrupted fit there is used.

        Equal rows (in any order), base, seed and fields give the same weights bit for bit on one machine.
        """
        job = Job(self, rows, base, seed, out, context, tags or {})

        def prepare() -> Any:  # noqa: ANN401 - a model
            loaded = load_model(base, best_device(), dtype="float32")
            return dressed(loaded, recompute=self.recompute, compiled=self.compile)

        return fit(job, prepare, lambda model: model.save_pretrained(out))
