"""The trainer of adapters from instructions, and the controls that it must beat, each a run of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context, Table
from manifests.errors import UserError
from trainers.lora import Lora
from trainers.scratch import Scratch
from trainers.trainer import BASES, Fitted, Row

Scalar = bool | int | float | str


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Hypernet:
    """Learns to make a task's adapter from its instruction alone: a row's system turn is its task's instruction.

    Rows of the blend with a system turn are the meta-train tasks; those without are plain text for the pretraining.
    Tasks are drawn in proportion to their rows, so a blend balanced over types of task balances the training. The
    answers of a run to an instruction that it never saw need no training: the adapter is generated.
    """

    kind: ClassVar[str] = "hypernet"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = frozenset({"checkpoint_steps", "threads", "teachers_together"})
    nested: ClassVar[Mapping[str, Table | type]] = {"base": BASES}

    base: str | Scratch
    """Frozen base: a folder, a hub id (`name@revision` pins it) or a base that the job makes."""
    method: Literal["generated", "none", "prompt", "multi-task", "nearest", "mean", "own"] = "generated"
    """`generated`: the adapter comes from the instruction. Controls: `none`, no adapter and no instruction; `prompt`,
    the instruction as a prefix computed once, no adapter; `multi-task`, one LoRA on all tasks, instruction in the
    prompt; `nearest`, the LoRA of the meta-train task with the nearest instruction; `mean`, the mean change of all
    LoRAs; `own`, a LoRA trained on the test task's own rows, those of the source `unseen`: the ceiling."""
    instructions: Literal["own", "shuffled", "random"] = "own"
    """What a test task's adapter is generated from: its instruction, that of another task, or random letters."""
    variants: Mapping[str, Mapping[str, Scalar]] = dataclasses.field(default_factory=dict)
    """Name -> the fields that it changes; each makes a run of its own for every blend and seed."""
    unseen: str | None = None
    """Source, of a role that enters no blend (knowledge), with training rows of the test tasks, for `own` alone."""
    steps: Annotated[int, Field(ge=1)] = 1500
    """Optimizer steps of the meta-training, and of `multi-task`."""
    tasks_per_step: Annotated[int, Field(ge=1)] = 8
    """Tasks in one step."""
    rows_per_task: Annotated[int, Field(ge=1)] = 8
    """Rows of each task in one step."""
    meta_tasks: Annotated[int, Field(ge=1)] | None = None
    """Meta-train tasks at most: the first by a hash of instruction and seed, so that fewer are some of more."""
    max_tokens: Annotated[int, Field(ge=16)] = 256
    """Longest row in tokens, without the instruction; longer inputs are cut from the left, longer answers skipped."""
    instruction_tokens: Annotated[int, Field(ge=8)] = 256
    """Tokens of an instruction that are read at most, its first."""
    lr: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Peak learning rate, for a base of a million parameters; 1e-4 over 135M, where 1e-3 ruins the answers."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps over which the learning rate rises."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient of a step."""
    encoder: str = "base"
    """What reads an instruction: `base`, the frozen base itself; `minilm` or another local sentence embedder."""
    width: Annotated[int, Field(ge=8, le=8192)] = 128
    """Width of the generator."""
    form: Literal["full", "scaled"] = "full"
    """`full` factors are generated; `scaled`: shared factors with generated scales, far fewer parameters."""
    rank: Annotated[int, Field(ge=1, le=256)] = 4
    """Rank of every adapter, generated or trained."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get an adapter; `all-linear` is every linear layer but the output."""
    fusion: bool = False
    """True: the instruction is a prefix of the input as well; its keys and values are computed once per task."""
    ce: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the cross-entropy of the answers."""
    kl: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the KL divergence from the teacher's stored distribution at the answers; TAGI has 5."""
    match: Annotated[float, Field(ge=0)] | Literal["sigmoid"] = 1.0
    """Weight of the relative squared distance from the teacher's change of the weights; `sigmoid`: its own, as TAGI."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the KL term."""
    top_k: Annotated[int, Field(ge=1)] = 16
    """Tokens of the teacher's distribution that are stored at each position."""
    guidance: Literal["constant", "falling"] = "constant"
    """`falling`: the weights of the KL and the parameter term fall linearly to 0 over the run."""
    pretrain_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of pretraining on plain text cut in a, b, c before: the rows without a system turn, or all when none."""
    pretrain_lr: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Peak learning rate of the pretraining."""
    teacher_steps: Annotated[int, Field(ge=1)] = 100
    """Optimizer steps of each task's own LoRA."""
    teacher_lr: Annotated[float, Field(gt=0, le=1)] = 5e-3
    """Peak learning rate of the tasks' own LoRAs, and of `multi-task`."""
    teacher_tokens: Annotated[int, Field(ge=16)] = 512
    """Positions of one step of a task's own LoRA."""
    teachers_together: Annotated[int, Field(ge=1, le=1024)] = 16
    """LoRAs trained at once over one base."""
    log_steps: Annotated[int, Field(ge=1)] = 10
    """Steps between two recorded losses."""
    checkpoint_steps: Annotated[int, Field(ge=1)] = 200
    """Steps between two checkpoints, from which a killed run goes on."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of torch."""

    def __post_init__(self) -> None:
        """Raise UserError when no term has a weight, or a variant does not fit."""
        if self.method == "generated" and not (self.ce or self.kl or self.match):
            raise UserError("no term of the loss has a weight", value=0, remedy="give ce, kl or match a weight")
        if self.method == "own" and self.unseen is None:
            raise UserError("`own` needs training rows of the test tasks", value=None, remedy="name a source: unseen:")
        self.narrowed()

    def narrowed(self) -> dict[str, Hypernet]:
        """Return the variants by name, each a trainer without variants; raise UserError for an unknown field."""
        known = {item.name for item in dataclasses.fields(self)} - {"base", "variants"}
        for name, changes in self.variants.items():
            for given in changes:
                if given not in known:
                    raise UserError(f"variant '{name}' changes no field of a hypernet", value=given, options=known)
        return {
            name: dataclasses.replace(self, variants={}, **changes)  # type: ignore[arg-type]
            for name, changes in self.variants.items()
        }

    @property
    def taught(self) -> bool:
        """Return whether a term needs the teachers."""
        return self.kl > 0 or self.match != 0

    def lora(self, *, steps: int | None = None, tokens: int | None = None) -> Lora:
        """Return the trainer of a task's own LoRA, or of one on all tasks."""
        return Lora(
            base=self.base,
            steps=steps or self.teacher_steps,
            lr=self.teacher_lr,
            batch_tokens=tokens or self.teacher_tokens,
            max_tokens=self.max_tokens,
            rank=self.rank,
            alpha=2.0 * self.rank,
            targets=self.targets,
            together=self.teachers_together,
            checkpoint_steps=max(self.checkpoint_steps, self.teacher_steps),
            threads=self.threads,
        )

    def fit(
        self,
        rows: Sequence[Row],
        base: Path | str,
        seed: int,
        out: Path,
        context: Context,
        tags: Mapping[str, str] | None = None,
    ) -> Fitted:
        """Train on `rows` from `base` into the folder `out`; a finished or interrupted fit there is used.

        What several runs need, teachers and generators, is kept in `context.root / parts` and made once. Equal rows (in
        any order), base, seed and fields give the same weights bit for bit on one machine.
        """
        from trainers.hypernet.learn import fit
        from trainers.run import Job

        return fit(Job(self, rows, base, seed, out, context, tags or {}))
