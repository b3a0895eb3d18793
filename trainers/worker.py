"""Fits and measures runs in processes of their own."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from manifests.component import Context, Table, spec_of
from manifests.engine import start
from manifests.errors import Interrupted, UserError
from manifests.seal import check
from trainers.hyperparameters import Hyperparameters
from trainers.launch import launch
from trainers.pause import Pausing
from trainers.processes import forget
from trainers.state import CHECKPOINT, read_header
from trainers.trainer import BASES, TASKS, TRAINERS, Example, Fitted, Measured, Request

PROGRESS: Final = "progress"
"""File in a run's folder: `step steps`, replaced about twice a second while it trains."""

_EVERY: Final = 0.5


def describe(component: Any) -> dict[str, Any]:  # noqa: ANN401 - any component dataclass
    """Return the component as plain values with its inert fields, from which `build` makes an equal one."""
    spec = spec_of(component)
    for item in dataclasses.fields(component):
        value = getattr(component, item.name)
        nested = dataclasses.is_dataclass(value) and hasattr(value, "kind")
        spec[item.name] = describe(value) if nested else spec.get(item.name, value)
    return spec


def build(table: Table | type[Any], spec: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any component dataclass
    """Return the component that `describe` or `component.spec_of` described; inert fields left out are defaults.

    `table` is where its kind is looked up, or its class. Raise UserError when its kind is unknown, or was described by
    another version of its class.
    """
    made = table.load(str(spec["kind"])) if isinstance(table, Table) else table
    if spec.get("version", made.version) != made.version:
        noun = table.noun if isinstance(table, Table) else "component"
        raise UserError(f"the {noun} '{made.kind}' has another version here", value=spec["version"])
    nested: Mapping[str, Table | type[Any]] = getattr(made, "nested", {})
    fields: dict[str, Any] = {}
    for name, value in spec.items():
        if name in nested and isinstance(value, Mapping):
            fields[name] = build(nested[name], value)
        elif name not in ("kind", "version"):
            fields[name] = _frozen(value)
    return made(**fields)


def fit(request: Request) -> Fitted:
    """Fit the run of `request` into its folder, or go on with it, or return it when it is finished.

    In as many processes as its trainer's `processes` says, see `trainers.launch`.
    """
    start()
    forget()
    if _stopper(request)():
        raise Interrupted(f"stopped before {request.run} was fitted")
    processes = _processes(request)
    try:
        fitted = fit_share(request) if processes == 1 else launch(fit_share, request, processes)
    finally:
        (request.out / PROGRESS).unlink(missing_ok=True)
    return dataclasses.replace(fitted, parameters=_parameters(request))


def fit_share(request: Request, first: bool = True) -> Fitted:
    """Fit the run of `request`, or this process's share of it where several have met; the `first` shows the progress.

    `cpu_seconds` are this process's, None for a run that it goes on with or finds finished.
    """
    trainer, context = build(TRAINERS, request.trainer), _context(request)
    if not first:
        context = dataclasses.replace(context, progress=lambda step, steps: None)
    begun = (request.out / CHECKPOINT).exists() or request.after is not None
    began, cpu = time.perf_counter(), time.process_time()
    fitted: Fitted = trainer.fit(request.rows, request.base, request.seed, request.out, context, request.tags)
    whole = not begun and time.perf_counter() - began >= fitted.seconds
    return dataclasses.replace(fitted, cpu_seconds=time.process_time() - cpu if whole else None)


def _processes(request: Request) -> int:
    """Return how many processes make a run: what our trainers' field says, one for those of third parties."""
    trainer = build(TRAINERS, request.trainer)
    return trainer.processes if isinstance(trainer, Hyperparameters) else 1


def parameters(base: Path, out: Path) -> int | None:
    """Return the parameters of the model in `out`, those of the folder `base` too when it is an adapter; None: unknown.

    Counted in the headers of safetensors files; a base that is a hub id is not looked up.
    """
    beside = any((out / name).is_file() for name in ("adapter_config.json", "hypernet.json"))
    folders = [out, base] if beside else [out]
    total = 0
    for folder in folders:
        files = [path for path in sorted(folder.glob("*.safetensors")) if path.name != CHECKPOINT]
        if not files:
            return None
        for path in files:
            header, _ = read_header(path)
            total += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total


def fit_together(requests: Sequence[Request]) -> list[Fitted | BaseException]:
    """Fit the runs of `requests`, of `Lora` trainers, over one base at once, as many as the first one's `together`.

    Return for each in order what `fit` returns or raises.
    """
    start()
    forget()
    from trainers.bank.together import together
    from trainers.run import Job

    jobs = [
        Job(build(TRAINERS, one.trainer), one.rows, one.base, one.seed, one.out, _context(one), one.tags)
        for one in requests
    ]
    began, cpu = time.perf_counter(), time.process_time()
    try:
        found = together(jobs, jobs[0].trainer.together)
    finally:
        for request in requests:
            (request.out / PROGRESS).unlink(missing_ok=True)
    spent = shares(found, time.perf_counter() - began, time.process_time() - cpu)
    return [
        one
        if isinstance(one, BaseException)
        else dataclasses.replace(one, cpu_seconds=seconds, parameters=_parameters(request))
        for one, request, seconds in zip(found, requests, spent, strict=True)
    ]


def shares(found: Sequence[Fitted | BaseException], wall: float, cpu: float) -> list[float | None]:
    """Return each run's share of the processor time of runs that were trained together, by the seconds it was trained.

    All None where some of it is another's: a run failed, was resumed, or was finished before.
    """
    seconds = [math.nan if isinstance(one, BaseException) else one.seconds for one in found]
    total = math.fsum(seconds)
    if not 0 < total <= wall:  # not so for NaN
        return [None] * len(found)
    return [cpu * part / total for part in seconds]


def _context(request: Request) -> Context:
    shown, stopping, root = _reporter(request.out / PROGRESS), _stopper(request), request.out.parent
    if request.part == (1, 1) and request.after is None:
        return Context(root, progress=shown, stopping=stopping)
    part, whole = request.part
    return Pausing(root, progress=shown, stopping=stopping, part=part, whole=whole, after=request.after)


def _parameters(request: Request) -> int | None:
    return parameters(Path(request.base), request.out)


def make_base(spec: Mapping[str, Any], texts: Sequence[str], out: Path, stop: Path | None = None) -> Path:
    """Make the base model that `describe` described from `texts` into `out`, or return it when it is there."""
    start()
    forget()
    out.parent.mkdir(parents=True, exist_ok=True)
    shown = out.parent / PROGRESS
    stopping = stop.exists if stop is not None else lambda: False
    context = Context(root=out.parent, progress=_reporter(shown), stopping=stopping)
    try:
        made: Path = build(BASES, spec).build(texts, out, context)
    finally:
        shown.unlink(missing_ok=True)
    return made


def measure(request: Request, path: Path | None = None) -> list[tuple[str, Measured]]:
    """Measure the model in `path` (by default the request's folder) on its tasks: (task name, value) per example."""
    start()
    if not request.tasks:
        return []
    from trainers.baseline import stand_in
    from trainers.evaluate import Model
    from trainers.loop import threads

    found: list[tuple[str, Measured]] = []
    tasks = _tasks(request)
    found += [(task.name, one) for task, _ in tasks if hasattr(task, "read") for one in task.read(request.run)]
    tasks = [(task, examples) for task, examples in tasks if not hasattr(task, "read")]
    if not tasks:
        return found
    with threads(request.threads):
        folder = path or request.out
        if not request.baseline:
            _check(folder)
        model = stand_in(request) if request.baseline else Model.load(folder)
        try:
            found += _measured(request, tasks, model)
        finally:
            model.close()
    return _defined(found) if request.baseline else found


def measure_served(requests: Sequence[Request]) -> list[list[tuple[str, Measured]] | BaseException]:
    """Measure the runs of `requests` by vLLM, all those of one base on one engine.

    Return for each in order what `measure` returns, or that the user stopped before it; a base's engine that fails
    raises for all.
    """
    start()
    from trainers.served import Weights, grouped, served

    models = []
    for request in requests:
        if request.baseline:
            models.append(Weights.of(request.base, str(request.trainer.get("template", "own"))))
        else:
            _check(request.out)
            models.append(Weights.of(request.out))
    found: dict[int, list[tuple[str, Measured]] | BaseException] = {}
    for numbers in grouped(models):
        with served([models[number] for number in numbers]) as ready:
            for number, model in zip(numbers, ready, strict=True):
                try:
                    found[number] = _measured(requests[number], _tasks(requests[number]), model)
                except Interrupted as stopped:
                    found[number] = stopped
    return [found[number] for number in range(len(requests))]


def measure_stacked(requests: Sequence[Request]) -> list[list[tuple[str, Measured]] | BaseException]:
    """Measure the adapters of `requests`, those of one base and shape in one pass over it.

    Return for each in order what `measure` returns or raises. Its values do not depend on the others.
    """
    start()
    from trainers.bank.seats import examined
    from trainers.loop import threads

    found: dict[int, list[tuple[str, Measured]] | BaseException] = {}
    for number, request in enumerate(requests):
        try:
            _check(request.out)
        except UserError as error:
            found[number] = error
    sound = [request for number, request in enumerate(requests) if number not in found]

    def exam(number: int, model: Any) -> list[tuple[str, Measured]]:  # noqa: ANN401 - acts as an evaluate.Model
        """Measure one run."""
        return _measured(sound[number], _tasks(sound[number]), model)

    with threads(requests[0].threads):
        results = iter(examined([request.out for request in sound], exam, _stopper(requests[0])))
    return [found[number] if number in found else next(results) for number in range(len(requests))]


def _check(folder: Path) -> None:
    """Raise UserError when a run's files are not as they were written."""
    check(folder, f"remove {folder} and run the job again: the run is made anew")


Exam = tuple[Any, tuple[Example, ...]]


def _tasks(request: Request) -> list[Exam]:
    return [(build(TASKS, spec), examples) for spec, examples in request.tasks]


def _measured(request: Request, tasks: Sequence[Exam], model: Any) -> list[tuple[str, Measured]]:  # noqa: ANN401
    stopping = _stopper(request)
    context = Context(root=request.out.parent, stopping=stopping)
    found: list[tuple[str, Measured]] = []
    for task, examples in tasks:
        if stopping():
            raise Interrupted(f"stopped while measuring {request.run}")
        found += [(task.name, measured) for measured in task.measure(model, examples, context)]
    return found


def _defined(found: list[tuple[str, Measured]]) -> list[tuple[str, Measured]]:
    """Return the values of the metrics that have any: a copied input has no likelihood, for one."""
    some = {(task, one.metric) for task, one in found if one.value is not None}
    return [(task, one) for task, one in found if (task, one.metric) in some]


def run(request: Request) -> tuple[Fitted, list[tuple[str, Measured]]]:
    """Fit the run of `request` and measure it."""
    fitted = fit(request)
    return fitted, measure(request, fitted.path)


def progress(out: Path) -> tuple[int, int] | None:
    """Return (step, steps) of the run that another process trains in `out`, None when none is known."""
    try:
        step, steps = (out / PROGRESS).read_text("utf-8").split()
    except FileNotFoundError:
        return None
    return int(step), int(steps)


def _stopper(request: Request) -> Callable[[], bool]:
    stop = request.stop
    return stop.exists if stop is not None else lambda: False


def _reporter(path: Path) -> Callable[[int, int], None]:
    """Return a progress function that writes `path`, at most about twice a second."""
    last = [0.0]

    def show(step: int, steps: int) -> None:
        """Write how far the run is, unless it was written just before."""
        now = time.monotonic()
        if now - last[0] >= _EVERY or step == steps:
            last[0] = now
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_text(f"{step} {steps}", "utf-8")
            os.replace(temporary, path)

    return show


def _frozen(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """Return `value` with tuples for lists, as components hold them."""
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value
