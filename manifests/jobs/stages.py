"""The stages of a job and their keys: what is the same is skipped, what changed is run again.

A stage's key is the hash of its spec, its inputs' keys and its component's version. Training is keyed by the content of
the blend, not by how it was drawn: a changed recipe that draws the same rows trains nothing again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from manifests import serving
from manifests.component import spec_of
from manifests.names import canonical_json, digest, stage_key

if TYPE_CHECKING:
    from manifests.jobs.spec import Job

VERSION: Final = 2
"""Version of the job runner's own part in a stage's output; raise it when that changes."""

STATISTICS: Final = "3"
"""Version of the leaderboard and the comparisons; raise it when they are computed otherwise."""

BASE: Final = Path("bases") / "scratch"
"""Folder of the base model that a job makes, in its manifest folder; other jobs may start from it."""

EXPENSIVE: Final = ("train", "measure", "compare", "search")
"""Kinds kept until their new key is known, even when what came before them changed."""

APART: Final = ("labels", "quality")
"""Kinds that no part of a job names: labels by hand, which a job leaves alone, and what is measured at its end."""

FAILED: Final = "failed"
"""Recorded in place of its key for a stage that failed, so that it is tried again."""

AGAIN: Final = "/again"
"""Follows the name of a run that is measured a second time, to show how far two measurements of one run differ."""

RUNG: Final = "rung-"
"""Begins the last part of the name of a run that a search trains part-way: `blend@seed/rung-100`."""

_TRAINING: Final = (("base",), ("train",), ("measure",), ("compare",), ("search",))
_ORDER: Final = (("read",), ("step", "score"), ("cells",), ("mix",), *_TRAINING)
_SECTIONS: Final = {"read": "sources", "step": "curate", "score": "curate", "mix": "mix", "base": "train"}
_PLACES: Final = {kind: place for place, kinds in enumerate(_ORDER) for kind in kinds}
_ROOM: Final = 100_000
"""Most stages of a kind. With a range for each, a stage keeps its position when one of another kind comes or goes."""


@dataclass(frozen=True)
class Stage:
    """One unit of work: `name` is its place in the manifest, `component` does it, `seed` is a blend's or run's."""

    name: str
    kind: str
    component: Any
    key: str
    position: int
    spec: str
    seed: int = 0
    parent: str = ""
    """Name of the run that it fits or measures: `blend@seed`, or `blend@seed/unit` where there are several budgets.

    With `AGAIN` behind it where that run is measured a second time.
    """


@dataclass
class _Builder:
    """Collects stages in order and hands out positions."""

    job: Job
    stages: list[Stage]

    def add(self, name: str, component: Any, inputs: Iterable[str], *, seed: int = 0, parent: str = "") -> Stage:  # noqa: ANN401 - any component
        """Add a stage, its key made of its spec and the keys of its inputs, and return it."""
        kind = name.split(":", 1)[0]
        plain = vars(component) if is_dataclass(component) else component
        spec = {**(spec_of(component) if hasattr(component, "kind") else {"value": plain}), "seed": seed}
        spec.pop("seeds", None)
        spec = _portable(spec, (str(self.job.data), str(self.job.root)))
        key = stage_key(kind, spec, tuple(inputs), VERSION)
        place = _PLACES[kind]
        position = place * _ROOM + sum(_PLACES[stage.kind] == place for stage in self.stages)
        stage = Stage(name, kind, component, key, position, canonical_json(spec), seed, parent)
        self.stages.append(stage)
        return stage


def artefact(stage: Stage, root: Path) -> Path | None:
    """Return the folder that a stage keeps beside the database of the manifest folder `root`, None when it has none."""
    if stage.kind == "base":
        return root / BASE
    if stage.kind == "mix":
        return root / "blends" / stage.name.split(":", 1)[1]
    return root / "runs" / stage.parent if stage.kind == "train" else None


def place(job: Job, stage: Stage) -> str:
    """Return `file:line` of the part of the job that a stage does; empty for a job that was not read from a file."""
    section = _SECTIONS.get(stage.kind)
    if section is None or not job.located.file:
        return ""
    parts = getattr(job, section)
    at = next((i for i, part in enumerate(parts) if part is stage.component), None) if section != "train" else None
    if at is None:
        return job.where(section)
    return job.where(section, job.entries[at] if section == "mix" else at)


def step_label(position: int, kind: str) -> str:
    """Return how a curate entry is called in the manifest: its place in the job, from 1, and its kind."""
    return f"{position}-{kind}"


def data_stages(job: Job, labels: str = "") -> list[Stage]:
    """Return the stages up to the blends and the base model.

    Their keys follow from the job and its files; those of components with `reads_labels` from the hash `labels` too, of
    the labels by hand.
    """
    builder = _Builder(job, [])
    reads = {
        source.name: builder.add(f"read:{source.name}", source, (_fingerprint(job, source),)) for source in job.sources
    }
    steps: list[Stage] = []
    scores: list[Stage] = []
    for position, entry in enumerate(job.curate, 1):
        roles = (*entry.roles, *getattr(entry, "needs", ()))
        inputs = [*_keys(reads, job, roles), *(s.key for s in steps)]
        wanted = getattr(entry, "reads", ())
        inputs += [stage.key for stage in scores if stage.component.name in wanted]
        label = step_label(position, entry.kind)
        inputs.append(digest(entry.identity()) if hasattr(entry, "identity") else "")
        inputs += [labels] if getattr(entry, "reads_labels", False) else []
        if hasattr(entry, "decide"):
            steps.append(builder.add(f"step:{label}", entry, inputs))
        else:
            scores.append(builder.add(f"score:{label}", entry, inputs))
    curated = [*_keys(reads, job, ("generalist", "specialist")), *(s.key for s in steps)]
    cells: dict[Any, Stage] = {}
    for space in _spaces(job):
        cells[space] = builder.add(f"cells:{space.name}", space, [*curated, *_keys(reads, job, ("eval",))])
    mixes: dict[str, Stage] = {}
    for mixer in job.mix:
        for seed in mixer.seeds:
            inputs = [*curated, *(s.key for s in scores)]
            space = space_of(job, mixer)
            if space is not None:
                inputs.append(cells[space].key)
            like = getattr(mixer, "like", None)
            if like is not None:
                inputs.append(mixes[f"{like}@{seed}"].key)
            ref = f"{mixer.name}@{seed}"
            mixes[ref] = builder.add(f"mix:{ref}", mixer, inputs, seed=seed)
    if job.train is not None and hasattr(job.train.base, "build"):
        builder.add("base:scratch", job.train.base, curated)
    return builder.stages


def training_stages(
    job: Job,
    data: list[Stage],
    content: Mapping[str, str],
    base: str,
    asked: Mapping[str, Iterable[int]] | None = None,
) -> list[Stage]:
    """Return the stages after the blends; `content` maps a blend's ref to its content id, `base` names the base.

    In a job with a search, `asked` holds the amounts of the budget that it asked for, by recipe.
    """
    builder = _Builder(job, list(data))
    if job.train is None:
        return []
    reads = _reads(job, data)
    measures: list[Stage] = []
    tasks = (*job.measure, *((job.search.task,) if job.search is not None else ()))
    exams = {task.name: _exam(job, data, task) for task in tasks}
    source = held_out_source(job.train)
    beside = () if source is None else (reads[source].key, *(s.key for s in data if s.kind == "step"))
    for ref in content:
        seed = int(ref.rsplit("@", 1)[1])
        for run, trainer, part, exam in _trained(job, ref, asked or {}):
            train = builder.add(f"train:{run}", trainer, (content[ref], base, *beside, *part), seed=seed, parent=run)
            for task in exam:
                inputs = (train.key, *exams[task.name], *_log(task, run))
                names = (run,) if measures_alike(task) or ref != next(iter(content)) else (run, run + AGAIN)
                for name in names:
                    stage = builder.add(f"measure:{name}:{task.name}", task, (*inputs, *name[len(run) :]), parent=name)
                    measures.append(stage)
    answers = [*_keys(reads, job, ("specialist",)), *(stage.key for stage in data if stage.kind == "step")]
    layout = getattr(job.train, "template", "own")
    bases = [base] if layout == "own" else [base, layout]
    given = {"base": bases, "majority": answers, "copy": [], "demonstration": []}
    for name in job.baselines if content else ():
        measures += _stand_in(builder, name, given[name], exams)
    if measures:
        pairs = [list(pair) for pair in job.compare]
        builder.add("compare:all", pairs, [STATISTICS, *(measure.key for measure in measures)])
    if measures and job.search is not None:
        builder.add(f"search:{job.search.kind}", job.search, [measure.key for measure in measures])
    return builder.stages[len(data) :]


def _stand_in(builder: _Builder, name: str, given: list[str], exams: Mapping[str, Any]) -> list[Stage]:
    """Add the stages that measure a baseline, and return them; results of others that are read have the base alone."""
    return [
        builder.add(
            f"measure:{name}:{task.name}", task, (name, *given, *exams[task.name], *_log(task, name)), parent=name
        )
        for task in builder.job.measure
        if name == "base" or not hasattr(task, "read")
    ]


def _trained(
    job: Job, ref: str, asked: Mapping[str, Iterable[int]]
) -> list[tuple[str, Any, tuple[str, ...], tuple[Any, ...]]]:
    """Return (run, trainer, what its key has beside, tasks) for each run of a blend.

    A run that a search trains part-way is measured on the search's task alone; one trained to the end has the name and
    the key that it has without a search.
    """
    if job.search is None:
        return [(run, trainer, (), job.measure) for run, trainer in runs_of(job.train, ref)]
    from trainers.budget import budgets

    whole = budgets(job.train)[0].amount
    return [
        (ref, job.train, (), (job.search.task, *job.measure))
        if amount == whole
        else (f"{ref}/{RUNG}{amount}", job.train, (f"{amount} of {whole}",), (job.search.task,))
        for amount in sorted(set(asked.get(ref.rsplit("@", 1)[0], ())))
    ]


def runs_of(trainer: Any, ref: str) -> list[tuple[str, Any]]:  # noqa: ANN401 - a trainers.Trainer
    """Return (run, trainer) for every budget of a trainer: `blend@seed`, or `blend@seed/unit` where it has several.

    One that has variants gives `blend@seed/variant` for each.
    """
    from trainers.budget import budgets, narrowed

    if getattr(trainer, "variants", None):
        return [(f"{ref}/{name}", variant) for name, variant in trainer.narrowed().items()]
    given = budgets(trainer)
    if len(given) < 2:
        return [(ref, trainer)]
    return [(f"{ref}/{budget.unit}", narrowed(trainer, budget)) for budget in given]


def held_out_source(trainer: Any) -> str | None:  # noqa: ANN401 - a trainers.Trainer or None
    """Return the source that a trainer's `validate` names, or its `unseen` does; None when neither names one."""
    source: str | None = getattr(getattr(trainer, "validate", None), "source", None) or getattr(trainer, "unseen", None)
    return source


def measures_alike(task: Any) -> bool:  # noqa: ANN401 - a trainers.Task
    """Return whether a task measures a run alike each time: vLLM does not."""
    return getattr(task, "engine", "torch") != "vllm"


def blend_of_run(run: str) -> str:
    """Return the ref of the blend that a run was trained on: the run's name without its budget."""
    return run.partition("/")[0]


def _reads(job: Job, data: list[Stage]) -> dict[str, Stage]:
    return {source.name: stage for source, stage in zip(job.sources, data, strict=False)}


def _exam(job: Job, data: list[Stage], task: Any) -> tuple[str, ...]:  # noqa: ANN401 - a trainers.Task
    """Return the keys of what a task's examples come from: the eval sources, and the scorers that it reads.

    And which vLLM measures, where it does: another version may round otherwise.
    """
    wanted = getattr(task, "reads", ())
    scores = [stage.key for stage in data if stage.kind == "score" and stage.component.name in wanted]
    engine = () if measures_alike(task) else (serving.installed(),)
    return (*_keys(_reads(job, data), job, ("eval",)), *scores, *engine)


def _log(task: Any, run: str) -> tuple[str, ...]:  # noqa: ANN401 - a trainers.Task
    """Return the hash of what a task that reads a run's log would read."""
    return (task.identity(run),) if hasattr(task, "read") else ()


def space_of(job: Job, mixer: Any) -> Any | None:  # noqa: ANN401 - a mixers.Mixer and its cells.Space
    """Return the coverage space whose cells the mixer sees: its own, else that of the recipe it is like."""
    by_name = {other.name: other for other in job.mix}
    while mixer is not None:
        if getattr(mixer, "space", None) is not None:
            return mixer.space
        mixer = by_name.get(getattr(mixer, "like", None))
    return None


def _portable(value: Any, folders: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON values
    """Return `value` with the paths inside `folders` relative to them: a project that is moved keeps its keys."""
    if isinstance(value, dict):
        return {name: _portable(item, folders) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item, folders) for item in value]
    if isinstance(value, str):
        return next((value[len(f) + 1 :] for f in folders if value.startswith(f"{f}/")), value)
    return value


def _keys(reads: Mapping[str, Stage], job: Job, roles: Iterable[str]) -> list[str]:
    wanted = set(roles)
    return [reads[source.name].key for source in job.sources if source.role in wanted]


def _spaces(job: Job) -> list[Any]:
    spaces = {mixer.space for mixer in job.mix if getattr(mixer, "space", None) is not None}
    return sorted(spaces, key=lambda space: str(space.name))


def _fingerprint(job: Job, source: Any) -> str:  # noqa: ANN401 - curate.sources.Source
    found: str = source.fingerprint(job.data, (job.root, job.data))
    return found
