"""What a trainer and a task are: fit a model to rows, measure it on examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

from manifests.component import Context, Table

TRAINERS: Final = Table(
    "trainer",
    "blendsmith.trainers",
    {
        "full": "trainers.full:Full",
        "hypernet": "trainers.hypernet.hypernet:Hypernet",
        "lora": "trainers.lora:Lora",
    },
)
BASES: Final = Table("base", "blendsmith.bases", {"scratch": "trainers.scratch:Scratch"})
TASKS: Final = Table(
    "task",
    "blendsmith.tasks",
    {
        "accuracy": "trainers.tasks.accuracy:Accuracy",
        "edits": "trainers.tasks.rewrite:Edits",
        "factual": "trainers.tasks.factual:Factual",
        "gleu": "trainers.tasks.rewrite:Gleu",
        "ibleu": "trainers.tasks.rewrite:Ibleu",
        "imported": "trainers.tasks.imported:Imported",
        "loglik": "trainers.tasks.loglik:Loglik",
        "qa": "trainers.tasks.qa:QA",
        "robust": "trainers.tasks.robust:Robust",
        "rouge": "trainers.tasks.rouge:Rouge",
        "sari": "trainers.tasks.rewrite:Sari",
    },
)


LOGGERS: Final = Table(
    "logger",
    "blendsmith.loggers",
    {
        "mlflow": "trainers.loggers:mlflow",
        "tensorboard": "trainers.loggers:tensorboard",
        "trackio": "trainers.loggers:trackio",
        "wandb": "trainers.loggers:wandb",
    },
)
HELD_OUT: Final = "validation"
"""Role of a training row that is only measured on, to choose the best step."""


@dataclass(frozen=True, slots=True)
class Row:
    """One training row: a sample's turns as (role, content), the last one the answer to learn.

    `role` is that of the sample in the blend (`specialist`, `generalist`), or `HELD_OUT`.
    """

    sample_id: str
    messages: tuple[tuple[str, str], ...]
    weight: float = 1.0
    role: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One evaluation example: the turns of the prompt, the acceptable answers, the options when there are any.

    `source` is the text that a rewriting task starts from, where it is not the whole of the last user turn; `scores`
    the (scorer, value) pairs of the scorers that the task `reads`, where they gave the row a value.
    """

    example_id: str
    messages: tuple[tuple[str, str], ...]
    references: tuple[str, ...]
    choices: tuple[str, ...] = ()
    source: str = ""
    scores: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a run did.

    `content_id` is the hash of the weights it saved, `seconds` wall time, `peak_memory` bytes of the process (or of its
    GPU; of several the first), `tokens` the tokens trained on (padding excluded), `log` the (step, loss) pairs
    recorded. `skipped` counts the rows that could not be trained on, `truncated` those whose prompt was shortened.
    `validation` holds the (step, loss) pairs measured on held-out rows, `best` the step whose weights were saved, 0
    where none were held out: the last. `note` says what the user should know of the run. `cpu_seconds` is processor
    time (of several processes the sum), `parameters` counts those of base and adapter; both are None where they are not
    known.
    """

    path: Path
    content_id: str
    steps: int
    tokens: int
    seconds: float
    peak_memory: int
    log: tuple[tuple[int, float], ...] = ()
    skipped: int = 0
    truncated: int = 0
    validation: tuple[tuple[int, float], ...] = ()
    best: int = 0
    note: str = ""
    cpu_seconds: float | None = None
    parameters: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one example, oriented so that more is better; `value` is finite, or None when it is undefined."""

    example_id: str
    metric: str
    value: float | None
    prediction: str | None = None


@runtime_checkable
class Base(Protocol):
    """A base model that the job makes itself."""

    kind: ClassVar[str]
    version: ClassVar[int]

    def build(self, texts: Sequence[str], out: Path, context: Context) -> Path:
        """Train tokenizer and model on `texts` into the folder `out` (save_pretrained layout) and return it."""
        ...


@runtime_checkable
class Trainer(Protocol):
    """Fits a model to the rows of a blend.

    `base` is a hub id, a folder, or a `Base`. `steps`, `tokens`, `exposures` and `epochs` are budgets, the same for
    every blend, see `trainers.budget`; a trainer that has none of them trains as many steps as it likes.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    base: str | Base

    def fit(
        self,
        rows: Sequence[Row],
        base: Path | str,
        seed: int,
        out: Path,
        context: Context,
        tags: Mapping[str, str] | None = None,
    ) -> Fitted:
        """Train on `rows` from `base` into the folder `out`; an interrupted fit in `out` is resumed bit for bit.

        Weights of another run in `out` are replaced. `tags` are written into the metadata of the weights.
        """
        ...


@dataclass(frozen=True)
class Metric:
    """A metric's name, range and meaning; more is always better."""

    name: str
    low: float
    high: float
    doc: str = field(default="")


@runtime_checkable
class Task(Protocol):
    """Measures a fitted model.

    `source` names the eval source (or `task` the task of eval rows) whose samples are its examples; `limit` bounds them
    (the first by the sampling key of seed 0; None = all).
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    metrics: ClassVar[tuple[Metric, ...]]
    name: str
    source: str | None
    task: str | None
    limit: int | None

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return every metric of every example; `model` is a `trainers.evaluate.Model`."""
        ...


@dataclass(frozen=True)
class Request:
    """All that a worker process needs to fit one run and measure it; plain values, so that it can be sent."""

    run: str
    trainer: Mapping[str, Any]
    """The trainer as `worker.describe` gives it (`component.spec_of` plus inert fields), to be made again."""
    base: str
    seed: int
    rows: tuple[Row, ...]
    out: Path
    tags: Mapping[str, str] = field(default_factory=dict)
    """Written into the weights' metadata: blend id, recipe."""
    tasks: tuple[tuple[Mapping[str, Any], tuple[Example, ...]], ...] = ()
    """What to measure afterwards: each task as `worker.describe` gives it, and its examples."""
    stop: Path | None = None
    """A file whose existence asks the worker to stop: it writes a checkpoint and raises `errors.Interrupted`."""
    threads: int = 1
    """CPU threads of torch while measuring; fitting has the trainer's own."""
    baseline: str = ""
    """One of `baseline.BASELINES` to be measured in place of a run; `rows` hold the answers that majority counts."""
    part: tuple[int, int] = (1, 1)
    """(part, whole): how much of the run is trained now, see `trainers.pause`."""
    after: Path | None = None
    """Folder of the part before, from which it goes on."""
