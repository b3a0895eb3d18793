"""A job file as typed components: every mistake in it is reported at once, with file and line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as component_dataclass

from manifests.component import COMPONENT, Table
from manifests.errors import UserError, nearest, together
from manifests.jobs import build, checks, yaml_lines
from manifests.jobs.paths import Roots, beside, confine
from manifests.jobs.yaml_lines import Located


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Head:
    """The top level of a job file; its lists are read entry by entry."""

    kind: ClassVar[str] = "job"

    name: str
    """Name of the job: lower-case letters, digits and dashes."""
    sources: Annotated[tuple[Any, ...], Field(min_length=1)]
    """Where rows come from: at least one."""
    manifest: str | None = None
    """Folder of the results, relative to the job file; runs/NAME when left out."""
    data: str | None = None
    """Folder that the sources' paths start from, relative to the job file; the job file's own when left out."""
    curate: tuple[Any, ...] = ()
    """Steps and scorers, in the order in which they run."""
    mix: tuple[Any, ...] = ()
    """Recipes of blends, in the order in which they are drawn."""
    train: dict[str, Any] | None = None
    """The one trainer, as a mapping with a kind; left out, the job ends with its blends."""
    search: dict[str, Any] | None = None
    """Which blends are trained and how far, as a mapping with a kind; left out, all are trained to the end."""
    measure: tuple[Any, ...] = ()
    """Tasks to measure: mappings with a kind, or texts TASK-KIND such as fluency-gleu."""
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of recipes to compare, or of a recipe and a baseline; all pairs of recipes when left out."""
    baselines: tuple[Literal["base", "majority", "copy", "demonstration"], ...] = ()
    """What else is measured: the base model, the commonest answer, the input or a worked example copied."""
    commercial: bool = False
    """True for commercial use: sources whose licence forbids it or is unknown are refused, such rows rejected."""
    engine: str | dict[str, Any] | None = None
    """Where pieces of work are done: local or ray, or a mapping with that kind; changes no result."""
    error_budget: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of rejected rows and failed verdicts that a run tolerates, 0 to 1."""
    memory: Annotated[int, Field(ge=64)] | None = None
    """Most megabytes that the database holds, more goes to the disk: in a run, and for readers of its manifest."""
    notes: str = ""
    """Free text, for people."""


@dataclass(frozen=True)
class Job:
    """A job that passed every check that needs no data."""

    name: str
    file: Path
    """The job file, absolute."""
    root: Path
    """Folder of the job file: paths in the job stay inside it or inside `data`."""
    data: Path
    """Folder that source paths are relative to."""
    manifest: Path
    """Folder that holds `manifest.duckdb`, blends, runs and the report."""
    sources: tuple[Any, ...]
    """`curate.sources.Source` each."""
    curate: tuple[Any, ...] = ()
    """`curate.step.Step` or `Scorer` each, in order."""
    mix: tuple[Any, ...] = ()
    """`mixers.mixer.Mixer` each, in order."""
    train: Any = None
    """A `trainers.trainer.Trainer`, or None."""
    entries: tuple[int, ...] = ()
    """Place in the file of the entry that each recipe of `mix` comes from; a design or controls give several."""
    measure: tuple[Any, ...] = ()
    """`trainers.trainer.Task` each."""
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of recipe names; empty means all pairs."""
    search: Any = None
    """A `trainers.search.Search`, or None."""
    baselines: tuple[str, ...] = ()
    """`trainers.baseline.BASELINES` that are measured beside the runs."""
    engine: Any = None
    """A `manifests.engine.Opener`, or None for this process or as many as `--workers` says."""
    error_budget: float = 0.01
    """Share of rejects and of failed verdicts tolerated, 0 to 1."""
    memory: int | None = None
    """Most megabytes that DuckDB holds; None is four fifths of the machine's."""
    notes: str = ""
    located: Located = field(default_factory=lambda: Located({}, "", {}), repr=False, compare=False)
    """The file's values and their lines."""

    def where(self, *path: str | int) -> str:
        """Return `file:line` of a part of the job file, such as `where("mix", 0, "rows")`."""
        return self.located.where(path)


def load_job(path: Path, *, data: Path | None = None, manifest: Path | None = None, extras: bool = True) -> Job:
    """Return the job in the YAML file `path`; raise one UserError that shows every mistake with its line.

    `data` and `manifest`, relative to the working folder, replace the keys of the same name and may lie anywhere; the
    keys may not leave the job's folder. With `extras`, a component whose optional packages are absent is a mistake
    too. Reads the job file and looks for the sources' files; reads no data.
    """
    located = yaml_lines.load(path)
    if located.value is None:
        raise UserError("the job file is empty", where=str(path), remedy="write one to start from: blendsmith init")
    root = path.resolve().parent
    problems = build.Problems(located, Roots(root, root))
    head = build.component(Head, located.value, (), problems)
    if not isinstance(located.value, dict):
        raise together(problems.errors)
    name = head.name if head else "job"
    given = {"data": data, "manifest": manifest}
    folders = _folders(problems, [key for key, folder in given.items() if folder is None])
    folders |= {key: folder.resolve() for key, folder in given.items() if folder is not None}
    if data is not None and not data.is_dir():
        problems.errors.append(UserError("no such folder", where="--data", value=str(data)))
    problems.roots = Roots(root, folders.get("data", root))
    job = Job(
        name=name,
        file=path.resolve(),
        root=root,
        data=problems.roots.data,
        manifest=folders.get("manifest", root / "runs" / name),
        compare=head.compare if head else (),
        baselines=head.baselines if head else (),
        error_budget=head.error_budget if head else 0.0,
        memory=head.memory if head else None,
        notes=head.notes if head else "",
        located=located,
        **_parts(located.value, problems),
    )
    checks.check(job, problems, extras=extras)
    if problems.errors:
        raise together(sorted(problems.errors, key=_line))
    return job


def _line(error: UserError) -> int:
    digits = error.where.rpartition(":")[2]
    return int(digits) if digits.isdecimal() else 0


def _folders(problems: build.Problems, keys: Iterable[str]) -> dict[str, Path]:
    """Return the folders that the job's `keys` name, where they are there and allowed."""
    root = problems.roots.root
    found: dict[str, Path] = {}
    for key in keys:
        given = problems.located.value.get(key)
        if not isinstance(given, str):
            continue
        try:
            found[key] = confine(given, root, (root,))
        except UserError as error:
            problems.keep(error, (key,))
    folder = found.get("data")
    if folder is not None and not folder.is_dir():
        options = beside(folder, root, folders=True)
        problems.add("no such folder", ("data",), problems.located.value["data"], options=options)
        del found["data"]
    return found


def _parts(value: dict[str, Any], problems: build.Problems) -> dict[str, Any]:
    """Return the components of every section; those that could not be built stand as None."""
    from curate.sources import Source
    from curate.step import STEPS
    from mixers.mixer import MIXERS
    from trainers.search import SEARCHES
    from trainers.trainer import TASKS, TRAINERS

    if value.get("commercial") is True:
        entries = tuple(
            {"commercial": True, **entry} if isinstance(entry, dict) else entry
            for entry in _entries(value.get("sources"))
        )
        value = {**value, "sources": entries}
    tables: dict[str, Table | type[Any]] = {"sources": Source, "curate": STEPS}
    parts: dict[str, Any] = {
        key: tuple(
            build.component(table, entry, (key, i), problems) for i, entry in enumerate(_entries(value.get(key)))
        )
        for key, table in tables.items()
    }
    parts["mix"], parts["entries"] = _recipes(MIXERS, _entries(value.get("mix")), problems)
    train = value.get("train")
    parts["engine"] = _engine(value.get("engine"), problems)
    parts["train"] = build.component(TRAINERS, train, ("train",), problems) if isinstance(train, dict) else None
    search = value.get("search")
    parts["search"] = build.component(SEARCHES, search, ("search",), problems) if isinstance(search, dict) else None
    parts["measure"] = tuple(
        _measure(entry, ("measure", i), problems)
        if isinstance(entry, str)
        else build.component(TASKS, entry, ("measure", i), problems)
        for i, entry in enumerate(_entries(value.get("measure")))
    )
    return parts


def _recipes(
    table: Table, entries: tuple[Any, ...], problems: build.Problems
) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Return the recipes that the entries of mix stand for, and the entry of each: designs and controls are several."""
    from mixers.control import siblings

    found: list[tuple[Any, int]] = []
    for i, entry in enumerate(entries):
        part = build.component(table, entry, ("mix", i), problems)
        parts = [part]
        if part is not None and hasattr(part, "recipes"):
            before, parts = len(problems.errors), []
            for given in part.recipes():
                if len(problems.errors) == before:
                    parts.append(build.component(table, given, ("mix", i, "of"), problems))
        for each in parts:
            found += [(recipe, i) for recipe in (each, *(siblings(each) if each is not None else ()))]
    return tuple(recipe for recipe, _ in found), tuple(place for _, place in found)


def _engine(value: object, problems: build.Problems) -> Any | None:  # noqa: ANN401 - a manifests.engine.Opener
    from manifests.engine import ENGINES

    given = {"kind": value} if isinstance(value, str) else value
    return build.component(ENGINES, given, ("engine",), problems) if isinstance(given, dict) else None


def _entries(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


def _measure(text: str, path: tuple[str | int, ...], problems: build.Problems) -> Any | None:  # noqa: ANN401
    """Return the task that the text `TASK-KIND` stands for."""
    from trainers.trainer import TASKS

    task, dash, kind = text.rpartition("-")
    kinds = sorted(TASKS.kinds())
    if not dash or not task or kind not in kinds:
        close = nearest(kind, kinds) if dash else None
        meant = f"did you mean '{task}-{close}'? " if close else ""
        remedy = f"{meant}write TASK-KIND, as in fluency-gleu; kinds: {', '.join(kinds)}"
        problems.add("a task must end in '-' and a kind", path, text, remedy=remedy)
        return None
    return build.construct(TASKS.load(kind), {"name": text, "task": task}, path, problems)
