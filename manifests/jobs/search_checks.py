"""What must hold for a search in a job: a trainer that can pause, a metric, rows that no final task reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manifests.jobs.build import Problems
from manifests.tasks import wider

if TYPE_CHECKING:
    from manifests.jobs.spec import Job


def check(job: Job, problems: Problems) -> None:
    """Add to `problems` every mistake between a search and the other parts of `job`."""
    if job.search is None:
        return
    if job.train is None:
        if "train" not in job.located.value:
            problems.add("search needs a trainer", ("search",), remedy="add train: {kind: lora, ...}, or remove search")
        return
    _budget(job, problems)
    _task(job, problems)


def _budget(job: Job, problems: Problems) -> None:
    """Require one budget, and for a rung within it a trainer that can stop part-way and go on."""
    from trainers.budget import budgets
    from trainers.hyperparameters import Hyperparameters

    given = budgets(job.train)
    if len(given) != 1:
        remedy = "keep one of steps, tokens, exposures, epochs: two budgets can choose differently"
        problems.add("search needs a trainer with one budget", ("train",), len(given), remedy=remedy)
        return
    rung, amount = getattr(job.search, "rung", None), given[0].amount
    if rung is not None and rung > amount:
        remedy = f"a rung is in the trainer's unit: at most {amount} {given[0].unit}"
        problems.add("the rung is longer than the whole run", ("search", "rung"), rung, remedy=remedy)
    if job.search.first(amount) < amount and not isinstance(job.train, Hyperparameters):
        remedy = "use kind: lora or full, or a search without a rung"
        problems.add("this trainer cannot stop at a rung and go on", ("search",), job.train.kind, remedy=remedy)


def _task(job: Job, problems: Problems) -> None:
    """Require a metric of the task, a name of its own, and rows that no final task reads."""
    task, metrics = job.search.task, {metric.name for metric in getattr(job.search.task, "metrics", ())}
    if hasattr(task, "read"):
        remedy = "use a task that measures a model"
        problems.add("a search cannot decide on imported results", ("search", "task"), task.kind, remedy=remedy)
    elif metrics and job.search.metric not in metrics:
        problems.add("the search's task has no such metric", ("search", "metric"), job.search.metric, options=metrics)
    for final in job.measure:
        if final is None:
            continue
        if final.name == task.name:
            remedy = "give the search's task a name of its own"
            problems.add("a task of measure has this name", ("search", "task", "name"), task.name, remedy=remedy)
        shared = sorted(_sources(job, final) & _sources(job, task))
        if shared and not _apart(final, task):
            problems.add(
                f"the search would choose on rows that '{final.name}' measures, and its figures would be too good",
                ("search", "task"),
                shared[0],
                remedy="give the search an eval source of its own, cut from the test rows",
            )


def _sources(job: Job, task: Any) -> set[str]:  # noqa: ANN401 - a trainers.Task
    """Return the eval sources that a task may read."""
    evals = [s for s in job.sources if s is not None and s.role == "eval"]
    if getattr(task, "source", None) is not None:
        return {task.source}
    wanted = getattr(task, "task", None)
    return set() if wanted is None else {s.name for s in evals if s.task is None or wanted in wider([s.task])}


def _apart(one: Any, other: Any) -> bool:  # noqa: ANN401 - tasks
    """Return whether two tasks choose their rows by names of tasks of which neither is a part of the other."""
    if one.source is not None or other.source is not None:
        return False
    return one.task not in wider([other.task]) and other.task not in wider([one.task])
