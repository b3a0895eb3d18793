"""Runs a job: every stage whose key is not in the manifest, in order; the same command again resumes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from manifests import fault, labels
from manifests.component import Context, Engine, Inline
from manifests.engine import Local
from manifests.errors import EXIT_OK, EXIT_OVER_BUDGET, BlendsmithError, Interrupted, UserError
from manifests.jobs import execute, quality, rows, searching, training
from manifests.jobs.progress import Reporter, Silent
from manifests.jobs.stages import (
    AGAIN,
    APART,
    BASE,
    EXPENSIVE,
    FAILED,
    Stage,
    artefact,
    data_stages,
    place,
    training_stages,
)
from manifests.store import Manifest, StageRecord, Store

if TYPE_CHECKING:
    from manifests.jobs.spec import Job


@dataclass(frozen=True)
class Outcome:
    """What a run did: its exit code, stages run and re-used, wall seconds, and one sentence."""

    exit_code: int
    ran: int
    reused: int
    seconds: float
    message: str


def run(
    job: Job, *, workers: int = 1, batch: int = 0, reporter: Reporter | None = None, max_cost: float | None = None
) -> Outcome:
    """Bring the job's manifest up to date and publish it after every stage.

    `workers` processes train and measure at once, and do pieces of work where the job names no engine; neither that
    nor `batch` changes a result. Raises Interrupted (exit code 130) after Ctrl-C or SIGTERM with all finished work
    published, BusyError when another process writes the manifest, UserError for the user's mistakes, and when a stage's
    calls to a model are expected to cost more than `max_cost`, in the currency of its price fields. The outcome's exit
    code is 1 when more than `error_budget` of the rows were rejects or failed verdicts, or when a run failed.
    """
    started = time.monotonic()
    opener = job.engine or (Local(workers=workers) if workers > 1 else None)
    with (
        _stopping() as stopping,
        Store(job.manifest, job.memory or 0) as store,
        training.workers(workers, job.manifest) as pool,
        opener.open(stopping) if opener is not None else nullcontext(Inline()) as engine,
    ):
        runner = _Runner(job, store, pool, reporter or Silent(), stopping, workers, batch, engine, max_cost)
        try:
            runner.data()
            runner.training()
            runner.finish()
        except Interrupted:
            store.publish()
            raise
        finally:
            runner.reporter.close()
        code, message = _verdict(job, store)
    seconds = time.monotonic() - started
    done = "nothing to do" if runner.ran == 0 else f"{runner.ran} stages run"
    return Outcome(code, runner.ran, runner.reused, seconds, f"{done}, {runner.reused} re-used; {message}")


@dataclass
class _Runner:
    """One pass over the stages of a job."""

    job: Job
    store: Store
    pool: training.Workers
    reporter: Reporter
    stopping: Callable[[], bool]
    workers: int
    batch: int
    engine: Engine = field(default_factory=Inline)
    max_cost: float | None = None
    ran: int = 0
    reused: int = 0
    planned: list[Stage] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)
    """Train stages that a search had done in this pass."""

    @property
    def context(self) -> Context:
        """What the components of this run may use of their surroundings."""
        return Context(
            self.job.manifest,
            self.workers,
            self.batch,
            self.reporter.advance,
            self.stopping,
            self.engine,
            self.reporter.say,
            self.max_cost,
        )

    def data(self) -> None:
        """Run every stage up to the blends and the base model.

        What a killed run committed and did not publish is published first: should the work file be damaged later, no
        more than one stage is in it alone.
        """
        if self.store.keys() and not self._current():
            self.store.publish()
        self.planned = data_stages(self.job, labels.digest_for(self.store, self.job.curate))
        wanted = {stage.name: stage.key for stage in self.planned}
        have = self.store.keys()
        held = (*EXPENSIVE, *APART)
        stale = [n for n, k in have.items() if n.split(":")[0] not in held and wanted.get(n) != k]
        self.store.retire(stale)
        memory = str(self.job.memory or "")
        self.store.set_meta(
            {"job": self.job.name, "file": self.job.file.name, "notes": self.job.notes, "memory": memory}
        )
        have = self.store.keys()
        for stage in self.planned:
            if have.get(stage.name) == stage.key and self._artefact(stage):
                self.reused += 1
            elif stage.kind == "base":
                self._base(stage)
            else:
                self._do(stage, partial(execute.WORK[stage.kind], self.job, self.store, stage, self.context))

    def _artefact(self, stage: Stage) -> bool:
        """Return whether what a stage keeps outside the database is still there."""
        folder = artefact(stage, self.job.manifest)
        return folder is None or folder.is_dir()

    def training(self) -> None:
        """Run the base's followers: fits, measurements, comparison."""
        job, store = self.job, self.store
        if job.train is None:
            return
        drawn = store.query(
            "SELECT blend, content_id FROM store.blends JOIN store.stages USING (stage) ORDER BY position"
        )
        content = dict(drawn.iter_rows())
        base = training.base_identity(job, self.planned) or ""
        if job.search is None:
            self._bring(training_stages(job, self.planned, content, base))
            return
        from trainers.search import Chosen

        search = searching.Searching(job, list(self.planned), content, base)
        if known := searching.warning(job):
            self.reporter.say(known)
        chosen = search.walk(store, self._answer)
        self._bring(search.stages())
        if isinstance(chosen, Chosen):
            self.ran += searching.note(store, search, chosen)
            self.reporter.say(f"search: '{chosen.best}' is chosen; runs.note says what stopped the others")

    def _answer(self, stages: list[Stage]) -> bool:
        """Bring about what a search asks for; a run that fails is not tried again for it."""
        self._bring(stages, whole=False)
        self.tried |= {stage.name for stage in stages if stage.kind == "train"}
        return True

    def _bring(self, stages: list[Stage], *, whole: bool = True) -> None:
        """Run what is not in the manifest of `stages`: all that follow the blends, or those a search asks for."""
        job, store = self.job, self.store
        wanted = {stage.name: stage.key for stage in stages}
        have = store.keys()
        mine = {stage.name for stage in self.planned} | {name for name in have if name.split(":")[0] in APART}
        stale = [name for name, key in have.items() if name not in mine and wanted.get(name) != key]
        store.retire([name for name in stale if whole or name in wanted])
        have = store.keys()
        changed = {stage.name for stage in stages if have.get(stage.name) != stage.key}
        gone = {  # runs whose weights are read
            s.parent.removesuffix(AGAIN) for s in stages if s.name in changed and s.kind == "measure"
        }
        todo = [s for s in stages if s.name in changed or (s.parent in gone and not self._artefact(s))]
        todo = [s for s in todo if s.name not in self.tried]
        if todo:  # a comparison made without a failed run has the key of the one with it
            todo += [s for s in stages if s.kind == "compare" and s not in todo]
            store.retire([s.name for s in todo if s.kind == "compare"])
            training.check_examples(job, store)
            training.check_contamination(job, store, self.context)
        if whole:
            self.reused += len([s for s in stages if s.name not in self.tried]) - len(todo)
            self.planned += stages
        self._fit([s for s in todo if s.kind == "train"])
        self._measure([s for s in todo if s.kind == "measure"])
        for stage in todo:
            if stage.kind == "compare":
                self._do(stage, lambda: training.compare_tables(job, store))
            elif stage.kind == "search":
                self._do(stage, dict)

    def _base(self, stage: Stage) -> None:
        from trainers.worker import describe, make_base

        out = self.job.manifest / BASE
        texts = rows.texts(self.store, stage.component.sources)

        def work() -> dict[str, pl.DataFrame]:
            """Make the base model in a worker."""
            future = self.pool.submit(make_base, describe(stage.component), texts, out, self.pool.stop)
            self.pool.gather({future: stage}, self.context, _raise)
            return {}

        self._do(stage, work)

    def _fit(self, todo: Sequence[Stage]) -> None:
        from trainers.worker import fit, fit_together

        base = training.base_path(self.job, self.planned, self.job.manifest)

        def start(stages: Sequence[Stage]) -> list[Future[Any]]:
            """Hand the stages to a worker and return a future for each."""
            asked = [training.request(self.job, self.store, stage, base, self.pool.stop) for stage in stages]
            return [self.pool.submit(fit, asked[0])] if len(asked) == 1 else self.pool.share(fit_together, asked)

        self._together(
            training.banks(self.job, todo, self.workers),
            start,
            lambda stage, fitted, note: training.run_tables(self.job, stage, base, fitted, note),
        )

    def _measure(self, todo: Sequence[Stage]) -> None:
        from trainers.worker import measure, measure_served, measure_stacked

        done = {run for (run,) in self.store.query("SELECT run FROM store.runs WHERE status = 'done'").iter_rows()}
        base = training.base_path(self.job, self.planned, self.job.manifest)

        def start(stages: Sequence[Stage]) -> list[Future[Any]]:
            """Hand the stages to a worker and return a future for each."""
            asked = [training.request(self.job, self.store, stage, base, self.pool.stop) for stage in stages]
            if training.by_vllm(self.job, stages[0]):
                return self.pool.share(measure_served, asked)
            if training.by_stack(self.job, stages[0]):
                return self.pool.share(measure_stacked, asked)
            return [self.pool.submit(measure, one) for one in asked]

        ready = [s for s in todo if s.parent.removesuffix(AGAIN) in {*done, *self.job.baselines}]
        self._together(
            training.exams(self.job, ready, self.workers),
            start,
            lambda stage, measured, note: training.result_tables(stage, measured),
        )

    def _together(
        self,
        shares: Sequence[Sequence[Stage]],
        start: Callable[[Sequence[Stage]], Sequence[Future[Any]]],
        tables: Callable[[Stage, Any, str], dict[str, pl.DataFrame]],
    ) -> None:
        """Do stages in the workers, a share in one, committing each; a failed run is recorded and tried again."""
        todo = [stage for stages in shares for stage in stages]
        if not todo:
            return
        label = f"{todo[0].kind}: {len(todo)}"
        self.reporter.start(label, len(todo), "runs")
        begun = time.monotonic()

        def each(stage: Stage, result: Any) -> None:  # noqa: ANN401 - a worker's result or error
            """Commit what a stage came to, or that its run failed."""
            if isinstance(result, Interrupted):
                return
            if isinstance(result, BlendsmithError) and stage.kind == "train":
                failed = StageRecord(stage.name, stage.kind, FAILED, stage.spec, stage.position)
                self._commit(failed, tables(stage, None, str(result)))
                return
            if isinstance(result, BaseException):
                raise result
            record = StageRecord(
                stage.name, stage.kind, stage.key, stage.spec, stage.position, time.monotonic() - begun
            )
            self._commit(record, tables(stage, result, ""))

        futures = {future: stage for stages in shares for future, stage in zip(start(stages), stages, strict=True)}
        self.pool.gather(futures, self.context, each)
        if self.stopping():
            raise Interrupted("stopped; the same command goes on from here")
        self.reporter.finish(label, time.monotonic() - begun, "done")

    def _do(self, stage: Stage, work: Callable[[], dict[str, pl.DataFrame]]) -> None:
        """Do one stage here and commit it."""
        if self.stopping():
            raise Interrupted("stopped between stages; the same command goes on from here")
        self.reporter.start(stage.name, 0, "rows")
        begun = time.monotonic()
        try:
            tables = work()
        except UserError as error:
            raise error.at(place(self.job, stage)) from error
        seconds = time.monotonic() - begun
        record = StageRecord(stage.name, stage.kind, stage.key, stage.spec, stage.position, seconds)
        written = self._commit(record, tables)
        self.reporter.finish(stage.name, seconds, f"{written:,} rows")

    def _commit(self, record: StageRecord, tables: dict[str, pl.DataFrame]) -> int:
        written = self.store.commit(record, tables)
        self.store.publish()
        self.ran += 1
        return written

    def finish(self) -> None:
        """Remove what is no longer in the job, publish, and record how good the judges are."""
        names = {stage.name for stage in self.planned}
        have = sorted(self.store.keys())
        self.store.retire([n for n in have if n not in names and n.split(":")[0] not in APART])
        if not self._current():
            self.store.publish()
        self.ran += quality.record(self.job, self.store, self.planned)

    def _current(self) -> bool:
        """Return whether the published copy holds what the work file does: a kill may have come between the two."""
        queries = ("SELECT stage, key, finished_at FROM store.stages ORDER BY 1", "SELECT * FROM store.meta ORDER BY 1")
        try:
            with Manifest(self.store.published) as published:
                return all(published.sql(query).equals(self.store.query(query)) for query in queries)
        except UserError:
            return False


def _raise(stage: Stage, result: Any) -> None:  # noqa: ANN401 - a worker's result or error
    if isinstance(result, BaseException):
        raise result


def _verdict(job: Job, store: Store) -> tuple[int, str]:
    """Return the exit code and a sentence on rejects, failed verdicts and failed runs."""
    query = (
        "SELECT (SELECT coalesce(sum(rejects), 0) FROM store.sources),"
        " (SELECT coalesce(sum(rows), 0) FROM store.sources),"
        " (SELECT count(*) FROM store.scores WHERE status = 'failed'), (SELECT count(*) FROM store.scores),"
        " (SELECT count(*) FROM store.runs WHERE status = 'failed')"
    )
    rejects, read, failed, asked, runs = (int(v) for v in store.query(query).row(0))
    share = max(rejects / read if read else 0.0, failed / asked if asked else 0.0)
    over = share > job.error_budget or runs > 0
    message = f"{rejects:,} of {read:,} rows rejected, {failed:,} of {asked:,} scores failed, {runs} runs failed"
    if over:
        message += f" (error budget {job.error_budget:.1%})"
    return (EXIT_OVER_BUDGET if over else EXIT_OK), message


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Give a function that turns true on SIGINT or SIGTERM; a second signal ends the process at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:  # noqa: ANN401 - signal's frame
        """Remember the first signal; the second one ends the process."""
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    except Exception as error:
        if fault.interrupted(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
