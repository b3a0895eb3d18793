"""Where a run's figures can go beside its record: each package is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from manifests.errors import UserError
from trainers.trainer import LOGGERS

Write = Callable[[int, Mapping[str, float]], None]


def silent(step: int, figures: Mapping[str, float]) -> None:
    """Tell nobody."""


def opened(kinds: Sequence[str], folder: Path, facts: Mapping[str, Any], stack: ExitStack) -> Write:
    """Return a function that tells the loggers of these kinds (step, figures); they are closed with the stack."""
    name = f"{folder.parent.name}/{folder.name}" if "@" not in folder.name else folder.name
    writes = [stack.enter_context(LOGGERS.load(kind)(name, folder, facts)) for kind in kinds]

    def write(step: int, figures: Mapping[str, float]) -> None:
        """Tell the figures of a step."""
        for each in writes:
            each(step, figures)

    return write if writes else silent


@contextmanager
def tensorboard(name: str, folder: Path, facts: Mapping[str, Any]) -> Iterator[Write]:
    """Write event files into `tensorboard/` of the run's folder."""
    with_events = _package("torch.utils.tensorboard", "tensorboard")
    writer = with_events.SummaryWriter(str(folder / "tensorboard"))

    def write(step: int, figures: Mapping[str, float]) -> None:
        """Tell the figures of a step."""
        for figure, value in figures.items():
            writer.add_scalar(figure, value, step)

    try:
        yield write
    finally:
        writer.close()


@contextmanager
def wandb(name: str, folder: Path, facts: Mapping[str, Any]) -> Iterator[Write]:
    """Log to Weights & Biases, as its own environment variables say; the project is `blendsmith`."""
    run = _package("wandb").init(project="blendsmith", name=name, dir=str(folder), config=dict(facts))
    try:
        yield lambda step, figures: run.log(dict(figures), step=step)
    finally:
        run.finish()


@contextmanager
def trackio(name: str, folder: Path, facts: Mapping[str, Any]) -> Iterator[Write]:
    """Log to trackio's local database; the project is `blendsmith`."""
    package = _package("trackio")
    package.init(project="blendsmith", name=name, config=dict(facts))
    try:
        yield lambda step, figures: package.log(dict(figures), step=step)
    finally:
        package.finish()


@contextmanager
def mlflow(name: str, folder: Path, facts: Mapping[str, Any]) -> Iterator[Write]:
    """Log to MLflow, at the address in `MLFLOW_TRACKING_URI`; the experiment is `blendsmith`."""
    package = _package("mlflow")
    package.set_experiment("blendsmith")
    with package.start_run(run_name=name):
        package.set_tags({key: str(value) for key, value in facts.items()})
        yield lambda step, figures: package.log_metrics(dict(figures), step=step)


def _package(module: str, name: str = "") -> Any:  # noqa: ANN401 - a module
    try:
        return import_module(module)
    except ImportError as error:
        name = name or module
        raise UserError(
            f"log_to: {name} needs a package that is not installed", value=name, remedy=f"pip install {name}"
        ) from error
