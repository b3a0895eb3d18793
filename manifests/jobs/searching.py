"""A search within a job: what it asks for becomes stages, what it is told comes from the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests.jobs.stages import FAILED, RUNG, Stage, training_stages
from manifests.store import StageRecord

if TYPE_CHECKING:
    from manifests.jobs.rows import State
    from manifests.jobs.spec import Job
    from manifests.store import Store
    from trainers.search import Arms, Ask, Chosen, Evidence

MARK: Final = "search: "
"""Begins what a search writes into the note of a run."""


class Searching:
    """One pass of a job's search: the arms, and how far each has been asked for (`asked`: recipe -> amounts)."""

    def __init__(self, job: Job, data: list[Stage], content: Mapping[str, str], base: str) -> None:
        self.job, self.data, self.content, self.base = job, data, content, base
        self.asked: dict[str, list[int]] = {}

    def stages(self, asked: Mapping[str, Sequence[int]] | None = None) -> list[Stage]:
        """Return the stages of what was asked for so far, or of `asked`."""
        return training_stages(self.job, self.data, self.content, self.base, self.asked if asked is None else asked)

    def of(self, ask: Ask) -> list[Stage]:
        """Return the runs of one question and their measurements on the task of the search."""
        stages = self.stages({arm: [ask.amount] for arm in ask.arms})
        return [s for s in stages if s.kind == "train" or (s.kind == "measure" and s.component is self.job.search.task)]

    def walk(self, state: State, answer: Callable[[list[Stage]], bool]) -> Chosen | Ask:
        """Let the search choose; `answer` brings the stages of a question about, or says that they are not there."""
        from trainers.search import drive

        def told(ask: Ask) -> Evidence | None:
            """Return what is in the results once the question's stages are done."""
            for arm in ask.arms:
                self.asked.setdefault(arm, []).append(ask.amount)
            stages = self.of(ask)
            return evidence(self.job, state, ask, stages) if answer(stages) else None

        return drive(self.job.search.choose(arms_of(self.job, state, list(self.content))), told)


def total(job: Job) -> int:
    """Return the whole budget of a run, in its own unit."""
    from trainers.budget import budgets

    return budgets(job.train)[0].amount


def most(job: Job) -> tuple[int, str]:
    """Return the most that the search will train, over all seeds, and its unit."""
    from trainers.budget import budgets

    budget = budgets(job.train)[0]
    seeds = max(len(mixer.seeds) for mixer in job.mix)
    return seeds * job.search.most(len(job.mix), budget.amount), budget.unit


def warning(job: Job) -> str:
    """Return what to know of a first rung that is very short; empty when it is not."""
    from trainers.search import short_rung

    return short_rung(job.search, job.train, total(job))


def arms_of(job: Job, state: State, refs: Sequence[str]) -> Arms:
    """Return the recipes of the drawn blends with what they are made of, means over their seeds.

    Rows of each source and their logarithms, shares, the mass of p_error, and the share of each target's cells reached.
    """
    import numpy as np

    from trainers.search import Arms

    names = tuple(dict.fromkeys(ref.rsplit("@", 1)[0] for ref in refs))
    made = state.query(
        "SELECT blend, 'rows:' || if(role = 'specialist', role, source) AS label, sum(n_rows)::DOUBLE AS value"
        " FROM composition GROUP BY ALL UNION ALL"
        " SELECT blend, 'share:' || if(role = 'specialist', role, source), sum(share) FROM composition GROUP BY ALL"
        " UNION ALL SELECT blend, 'error mass', error_mass FROM blend_facts"
        " UNION ALL SELECT blend, 'cells:' || space || ':' || target, cell_recall FROM blend_coverage"
    )
    frame = made.with_columns(pl.col("blend").str.replace("@[0-9]+$", "").alias("arm"))
    means = frame.group_by("arm", "label").agg(pl.col("value").mean().fill_null(0.0))
    labels = sorted(means["label"].unique().to_list())
    found = {(arm, label): value for arm, label, value in means.select("arm", "label", "value").iter_rows()}
    x = np.array([[found.get((name, label), 0.0) for label in labels] for name in names], dtype=np.float64)
    counts = [j for j, label in enumerate(labels) if label.startswith("rows:")]
    wide = np.hstack([x, np.log1p(x[:, counts])])
    return Arms(names, total(job), wide, (*labels, *(f"log {labels[j]}" for j in counts)))


def evidence(job: Job, state: State, ask: Ask, stages: Sequence[Stage]) -> Evidence:
    """Return the results of a question: seeds x examples for each arm, NaN for a run that failed."""
    import numpy as np

    from trainers.search import Evidence

    runs = {stage.parent: stage.seed for stage in stages if stage.kind == "train"}
    found = state.query(
        "SELECT r.run, r.example_id, r.value, coalesce(json_extract_string(s.meta, '$.cluster'), md5(s.prompt),"
        " r.example_id) AS cluster FROM store.results r LEFT JOIN store.samples s ON s.sample_id = r.example_id"
        " WHERE r.task = ? AND r.metric = ? AND r.run IN (SELECT unnest(?)) ORDER BY r.example_id, r.run",
        [job.search.task.name, job.search.metric, sorted(runs)],
    )
    examples = found.unique("example_id").sort("example_id")
    column = {example: i for i, example in enumerate(examples["example_id"])}
    row = {seed: i for i, seed in enumerate(sorted(set(runs.values())))}
    tables = {arm: np.full((len(row), len(column)), np.nan) for arm in ask.arms}
    for run, example, value in found.select("run", "example_id", "value").iter_rows():
        if value is not None:
            tables[run.rsplit("@", 1)[0]][row[runs[run]], column[example]] = value
    return Evidence(tables, np.unique(examples["cluster"].to_numpy(), return_inverse=True)[1].astype(np.int64))


def present(stages: Sequence[Stage], have: Mapping[str, str]) -> bool:
    """Return whether all stages are in the manifest; a run that failed is not."""
    return all(have.get(stage.name) == stage.key for stage in stages)


def note(store: Store, searching: Searching, chosen: Chosen) -> int:
    """Write into the note of each arm's last run what stopped it, or that it was chosen; return how many changed."""
    last = {arm: max(amounts) for arm, amounts in searching.asked.items()}
    changed = 0
    for stage in searching.stages():
        arm = stage.parent.rsplit("@", 1)[0]
        if stage.kind != "train" or reach(stage, total(searching.job)) != last[arm]:
            continue
        why = "chosen" if arm == chosen.best else f"stopped, {chosen.stopped[arm]}"
        changed += _noted(store, stage, f"{MARK}{why}")
    return changed


def reach(stage: Stage, whole: int) -> int:
    """Return the amount of the budget up to which a train stage trains."""
    unit = stage.parent.partition("/")[2]
    return int(unit.removeprefix(RUNG)) if unit.startswith(RUNG) else whole


def _noted(store: Store, stage: Stage, text: str) -> bool:
    """Put `text` in the place of what a search wrote before into the note of a run; return whether it changed."""
    head = store.query("SELECT key, spec, position, seconds FROM store.stages WHERE stage = ?", [stage.name])
    run = store.query("SELECT * EXCLUDE (stage) FROM store.runs WHERE stage = ?", [stage.name])
    if not run.height or head["key"][0] == FAILED:
        return False
    before = str(run["note"][0] or "")
    after = "; ".join(part for part in (before.partition(MARK)[0].rstrip("; "), text) if part)
    if before == after:
        return False
    losses = store.query("SELECT * EXCLUDE (stage) FROM store.losses WHERE stage = ?", [stage.name])
    record: dict[str, Any] = head.row(0, named=True)
    store.commit(
        StageRecord(stage.name, stage.kind, **record),
        {"runs": run.with_columns(pl.lit(after).alias("note")), "losses": losses},
    )
    return True
