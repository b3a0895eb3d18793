"""How a run trains: the fields that trainers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Table
from trainers.scratch import Scratch
from trainers.trainer import BASES
from trainers.validation import Validate


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Hyperparameters:
    """Base, budget, optimizer, memory and records of a run; those of one kind of training are added to them."""

    inert: ClassVar[frozenset[str]] = frozenset({"checkpoint_steps", "log_to", "threads"})
    nested: ClassVar[Mapping[str, Table | type]] = {"base": BASES, "validate": Validate}

    base: Annotated[
        str | Scratch,
        Field(
            description=(
                "Model to start from: a folder, a hub id (`name@revision` pins it) or a base that the job makes."
            )
        ),
    ]
    template: Annotated[
        Literal["own", "alpaca"],
        Field(
            description=(
                "Layout of prompts: the base's own chat template (role lines where it has none), or alpaca, Stanford "
                "Alpaca's to the byte, the text after a turn's first blank line being its input."
            )
        ),
    ] = "own"
    steps: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Field(
            description=(
                "Optimizer steps of every blend: the positions are the same, not the epochs. Each of "
                "`steps`, `tokens`, `exposures` and `epochs` that is given makes a run of its own; with "
                "none, there are two: `tokens` of 100 full steps, and 3 `exposures`."
            )
        ),
    ] = None
    tokens: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Field(description="Tokens trained on, prompts included, the same for every blend to within one row."),
    ] = None
    exposures: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Field(
            description=(
                "How often each specialist row is shown, the same for every blend; generalist rows come "
                "beside in proportion."
            )
        ),
    ] = None
    epochs: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Field(description="How often each row of the blend is shown, repeats as the blend states them."),
    ] = None
    lr: Annotated[float, Field(gt=0, le=1, description="Peak learning rate.")] = 5e-4
    batch_tokens: Annotated[
        int,
        Field(
            ge=16, description="Positions of one optimizer step: `batch_tokens / max_tokens` packed rows, at least one."
        ),
    ] = 2048
    max_tokens: Annotated[
        int,
        Field(
            ge=16,
            description="Longest row in tokens; a longer prompt is cut from the left, a longer answer skips the row.",
        ),
    ] = 256
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="Share of the steps over which the learning rate rises.")
    ] = 0.05
    schedule: Annotated[
        Literal["linear", "cosine", "constant"], Field(description="How the learning rate falls after the warm-up.")
    ] = "cosine"
    weight_decay: Annotated[
        float, Field(ge=0, le=1, description="Decay of the matrices in AdamW; norms and biases are not.")
    ] = 0.0
    clip: Annotated[float, Field(gt=0, description="Largest norm of the gradient of a step.")] = 1.0
    accumulate: Annotated[
        int,
        Field(
            ge=1,
            description=(
                "Parts that a step is computed in: more need less memory; the gradient is the same up to rounding."
            ),
        ),
    ] = 1
    recompute: Annotated[
        bool,
        Field(
            description="Activations are computed again in the backward pass: a third more arithmetic, far less memory."
        ),
    ] = False
    shard: Annotated[
        bool,
        Field(
            description=(
                "Of several `processes` each holds a part of weights, gradients and optimizer "
                "state (FSDP2): less memory, the same weights up to rounding."
            )
        ),
    ] = False
    processes: Annotated[
        int,
        Field(
            ge=1,
            description=(
                "Processes that share each step of a run, on GPUs one for each: with --workers W, W times as many "
                "work at once. They compute a step in `accumulate` parts each: two give the weights of one with twice "
                "the parts bit for bit in float32 on a CPU without dropout, more the same up to rounding."
            ),
        ),
    ] = 1
    attention: Annotated[
        Literal["sdpa", "flex"],
        Field(
            description=(
                "How the layers attend: sdpa, everywhere, or on a GPU flex, which skips what packed rows do "
                "not see of each other and holds no mask; it compiles kernels first."
            )
        ),
    ] = "sdpa"
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        Field(
            description=(
                "Arithmetic of the matrix products; left out, float32 on a CPU and bfloat16 on a GPU. A base beside "
                "adapters is held in it, what is trained in float32. bfloat16 is faster on a CPU that has it."
            )
        ),
    ] = None
    compile: Annotated[
        bool,
        Field(
            description=(
                "The layers are compiled by torch: faster on a GPU after a minute or two; needs a "
                "compiler on the machine."
            )
        ),
    ] = False
    validate: Annotated[
        Validate | None,
        Field(
            description=(
                "Rows held out to choose the best step, as {share: 0.1, every: 20}; left out, the last step is saved."
            )
        ),
    ] = None
    log_to: Annotated[
        tuple[str, ...], Field(description="Where figures go beside the manifest: tensorboard, trackio, wandb, mlflow.")
    ] = ()
    log_steps: Annotated[int, Field(ge=1, description="Steps between two recorded losses.")] = 10
    checkpoint_steps: Annotated[
        int, Field(ge=1, description="Steps between two checkpoints, from which a killed run goes on.")
    ] = 100
    threads: Annotated[int, Field(ge=1, description="CPU threads of torch; two on busy cores are slower than one.")] = 1
