"""The stages after the blends: base, runs and measurements in worker processes, then the comparison."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import combinations
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests import schema
from manifests.component import Context
from manifests.errors import ContaminationError, Interrupted, UserError
from manifests.jobs import rows
from manifests.jobs.stages import AGAIN, BASE, RUNG, Stage, artefact, blend_of_run, held_out_source, measures_alike
from manifests.names import digest

if TYPE_CHECKING:
    from manifests.jobs.spec import Job
    from manifests.store import Store
    from trainers.trainer import Fitted, Measured, Request

Tables = dict[str, pl.DataFrame]
STOP_SECONDS: Final = 120.0
"""Most seconds that a stopping job waits for its workers to write their checkpoints."""


def base_identity(job: Job, data: Sequence[Stage]) -> str | None:
    """Return what identifies the base model: its recipe and texts, a folder's fingerprint, or the hub id.

    None when the job makes its base and it is not made yet. It is known by the texts it learnt and not by the stages
    that chose them: a changed step that keeps the same rows trains nothing again.
    """
    if job.train is None:
        return ""
    for stage in data:
        made = artefact(stage, job.manifest) if stage.kind == "base" else None
        if made is not None:
            record = made / "run.json"
            return str(json.loads(record.read_text("utf-8"))["key"]) if record.is_file() else None
    from trainers.state import identity

    return digest(identity(str(job.train.base)))


def base_path(job: Job, data: Sequence[Stage], root: Path) -> str:
    """Return the folder or hub id that runs start from."""
    built = [stage.key for stage in data if stage.kind == "base"]
    if built:
        return str(root / BASE)
    assert job.train is not None  # noqa: S101 - only called for jobs that train
    return str(job.train.base)


def check_contamination(job: Job, store: Store, context: Context) -> None:
    """Raise ContaminationError when a row of any blend, or a held-out row, overlaps an eval row (law 7).

    Whatever the job's own steps are.
    """
    from curate.decontaminate import Decontaminate

    own = [entry for entry in job.curate if isinstance(entry, Decontaminate)]
    check = own[0] if own else Decontaminate()
    members = store.query(
        "SELECT DISTINCT sample_id FROM blend_members UNION SELECT sample_id FROM store.samples WHERE source = ?",
        [held_out_source(job.train)],
    )
    samples = rows.kept(store, ("generalist", "specialist", "knowledge")).join(members, on="sample_id", how="semi")
    found = check.decide(samples, {"eval": rows.kept(store, ("eval",))}, context).filter(~pl.col("kept"))
    if found.height:
        first = found.sort("sample_id").row(0, named=True)
        raise ContaminationError(
            f"{found.height} rows of the blends overlap eval rows; the first is {first['sample_id']}",
            value=f"eval row {first['witness_id']}",
            remedy="add {kind: decontaminate} to the job's curate steps",
        )


def check_examples(job: Job, store: Store) -> None:
    """Raise UserError when a task has no example: a mean of nothing would be no result."""
    for task in (*job.measure, *((job.search.task,) if job.search is not None else ())):
        if not hasattr(task, "read") and rows.eval_rows(store, task).is_empty():
            raise UserError(
                "this task has no example to measure",
                value=task.name,
                remedy="see its eval sources: SELECT source, rows, samples, rejects FROM sources WHERE role = 'eval'",
            )


class Workers:
    """Worker processes that fit and measure; each keeps its imports between runs and dies with this process."""

    def __init__(self, count: int, stop: Path) -> None:
        """Prepare `count` processes, started on first use; the file `stop` asks them to stop."""
        self.stop = stop
        self._count = count
        self._pool: ProcessPoolExecutor | None = None
        self._steps: dict[Path, int] = {}
        stop.unlink(missing_ok=True)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:  # noqa: ANN401 - any picklable call
        """Run `work(*arguments)` in a worker."""
        if self._pool is None:
            from manifests.engine import start

            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._count, mp_context=spawn, initializer=start)
            resource_tracker.ensure_running()  # it unblocks both signals when it starts
        # A process is started here when none is idle, and inherits the mask: a Ctrl-C before it has set its own
        # handlers would end it and break the pool.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            return self._pool.submit(work, *arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def share(self, work: Callable[..., Any], parts: Sequence[Any]) -> list[Future[Any]]:
        """Run `work(parts)` in a worker, which returns a list; give a future for each of its results or exceptions."""
        futures: list[Future[Any]] = [Future() for _ in parts]
        for future in futures:
            future.set_running_or_notify_cancel()

        def deal(whole: Future[Any]) -> None:
            """Give each part its own result, or the error that all share."""
            if whole.cancelled():
                return
            error = whole.exception()
            results = whole.result() if error is None else [error] * len(futures)
            for future, result in zip(futures, results, strict=True):
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)

        self.submit(work, parts).add_done_callback(deal)
        return futures

    def gather(
        self, futures: Mapping[Future[Any], Stage], context: Context, each: Callable[[Stage, Any], None]
    ) -> None:
        """Call `each(stage, result)` in this process as results come; stop all when the user asked to.

        `result` is what the worker returned or the exception it raised; exceptions come after what came with them.
        """
        left = set(futures)
        while left:
            finished, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in sorted(finished, key=lambda f: (_failed(f), futures[f].position)):
                if not future.cancelled():
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise UserError(
                            f"a worker process died during {futures[future].name}",
                            value=str(error),
                            remedy="was it killed for memory? try fewer --workers; the same command goes on from here",
                        ) from error
                    each(futures[future], error if error is not None else future.result())
            context.progress(*self._progress(futures, left))
            if context.stopping() and left:
                self.stop.touch()
                for future in left:
                    future.cancel()
                wait([future for future in left if not future.cancelled()], timeout=STOP_SECONDS)
                raise Interrupted("stopped between training steps; the same command goes on from here")

    def _progress(self, futures: Mapping[Future[Any], Stage], left: set[Future[Any]]) -> tuple[int, int]:
        """Return (done, all) in training steps where the stages train, in stages otherwise."""
        from trainers.worker import progress

        if any(stage.kind not in {"base", "train"} for stage in futures.values()):
            return len(futures) - len(left), len(futures)
        root = self.stop.parent.parent
        done, total = 0, 0
        for future, stage in futures.items():
            folder = root / BASE.parent if stage.kind == "base" else root / "runs" / stage.parent
            inside = progress(folder) if future in left else None
            steps = int(
                getattr(stage.component, "steps", None) or (inside[1] if inside else self._steps.get(folder, 0))
            )
            self._steps[folder] = steps
            done += steps if future not in left else inside[0] if inside else 0
            total += steps
        return done, total

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self.stop.parent.mkdir(parents=True, exist_ok=True)
            self.stop.touch()
            self._pool.shutdown(wait=True, cancel_futures=True)
        self.stop.unlink(missing_ok=True)


def _failed(future: Future[Any]) -> bool:
    return not future.cancelled() and future.exception() is not None


@contextmanager
def workers(count: int, root: Path) -> Iterator[Workers]:
    """Give worker processes for the manifest folder `root`, ended on leaving."""
    held = Workers(max(1, count), root / "work" / "stop")
    try:
        yield held
    finally:
        held.close()


def banks(job: Job, todo: Sequence[Stage], workers: int) -> list[list[Stage]]:
    """Return the train stages that a worker is given at once: one, or with the trainer's `together` its whole share."""
    if getattr(job.train, "together", 1) == 1:
        return [[stage] for stage in todo]
    return [list(todo[first::workers]) for first in range(min(workers, len(todo)))]


def exams(job: Job, todo: Sequence[Stage], workers: int) -> list[list[Stage]]:
    """Return the measure stages that a worker is given at once.

    One; its share of the adapters that a task measures stacked; or all that vLLM measures.
    """
    served = [stage for stage in todo if by_vllm(job, stage)]
    stacked: dict[str, list[Stage]] = {}
    for stage in todo:
        if by_stack(job, stage):
            stacked.setdefault(stage.component.name, []).append(stage)
    alone = [[stage] for stage in todo if not by_vllm(job, stage) and not by_stack(job, stage)]
    return [
        *alone,
        *(stages[n::workers] for stages in stacked.values() for n in range(min(workers, len(stages)))),
        *([served] if served else []),
    ]


def by_stack(job: Job, stage: Stage) -> bool:
    """Return whether a measure stage is of an adapter whose task says that they are stacked."""
    asked = getattr(stage.component, "engine", "torch") == "stacked"
    return asked and getattr(job.train, "kind", None) == "lora" and stage.parent not in job.baselines


def by_vllm(job: Job, stage: Stage) -> bool:
    """Return whether a measure stage is vLLM's: its task says so, and what it measures is a model."""
    return not measures_alike(stage.component) and (stage.parent not in job.baselines or stage.parent == "base")


def request(job: Job, store: Store, stage: Stage, base: str, stop: Path) -> Request:
    """Return all that a worker needs to fit the run of a train stage, or to measure the run of a measure stage.

    `base` is where a fit starts, and what the baseline `base` measures.
    """
    from trainers.trainer import Request
    from trainers.worker import describe

    if stage.parent in job.baselines:
        return Request(
            run=stage.parent,
            trainer=describe(job.train),
            base=base,
            seed=0,
            rows=rows.answers(store, stage.component) if stage.parent == "majority" else (),
            out=store.root / "runs" / stage.parent,
            tasks=((describe(stage.component), rows.examples(store, stage.component)),),
            stop=stop,
            baseline=stage.parent,
        )
    blend, run = blend_of_run(stage.parent), stage.parent.removesuffix(AGAIN)
    head = store.query("SELECT content_id, recipe FROM store.blends WHERE blend = ?", [blend]).row(0)
    measured = stage.kind == "measure"
    trainer = job.train if measured else stage.component
    examples = rows.examples(store, stage.component) if measured else ()
    if run != stage.parent:  # in other batches than before, as another blend's would be
        examples = examples[::-1]
    part, after = _part(job, store, stage)
    return Request(
        run=stage.parent,
        trainer=describe(trainer),
        base=base,
        seed=stage.seed,
        rows=() if measured else (*rows.training_rows(store, blend), *rows.held_out(store, job.train)),
        out=store.root / "runs" / run,
        tags={"blend": blend, "blend_content_id": str(head[0]), "recipe": str(head[1]), "key": stage.key},
        tasks=((describe(stage.component), examples),) if measured else (),
        stop=stop,
        part=part,
        after=after,
    )


def _part(job: Job, store: Store, stage: Stage) -> tuple[tuple[int, int], Path | None]:
    """Return how much of a run is trained, and the folder of the farthest part before that it can go on from."""
    if job.search is None or stage.kind != "train":
        return (1, 1), None
    from manifests.jobs.searching import reach, total
    from trainers.pause import NEXT

    whole = total(job)
    upto = reach(stage, whole)
    found = (store.root / "runs" / blend_of_run(stage.parent)).glob(f"{RUNG}*/{NEXT}")
    parts = sorted((int(path.parent.name.removeprefix(RUNG)), path.parent) for path in found)
    return (upto, whole), next((folder for at, folder in reversed(parts) if at < upto), None)


def run_tables(job: Job, stage: Stage, base: str, fitted: Fitted | None, note: str) -> Tables:
    """Return the row that records a run: done with its figures, or failed with the reason."""
    assert job.train is not None  # noqa: S101 - only called for jobs that train
    row = {
        "run": stage.parent,
        "blend": blend_of_run(stage.parent),
        "trainer": job.train.kind,
        "base": job.train.base if isinstance(job.train.base, str) else f"{job.train.base.kind}:{Path(base).name}",
        "seed": stage.seed,
        "status": "failed" if fitted is None else "done",
        "steps": fitted.steps if fitted else None,
        "tokens": fitted.tokens if fitted else None,
        "seconds": fitted.seconds if fitted else None,
        "peak_memory": fitted.peak_memory if fitted else None,
        "content_id": fitted.content_id if fitted else None,
        "note": note or (fitted.note if fitted else None) or None,
        "cpu_seconds": fitted.cpu_seconds if fitted else None,
        "parameters": fitted.parameters if fitted else None,
    }
    log = fitted.log if fitted else ()
    losses = [{"run": stage.parent, "step": step, "loss": loss} for step, loss in log]
    return {
        "runs": pl.DataFrame([row], infer_schema_length=None),
        "losses": schema.frame(losses, schema.LOSSES),
    }


def result_tables(stage: Stage, found: Sequence[tuple[str, Measured]]) -> Tables:
    """Return the per-example results of a measure stage."""
    measured = [value for _, value in found]
    columns = {
        "run": [stage.parent] * len(found),
        "task": [name for name, _ in found],
        "example_id": [m.example_id for m in measured],
        "metric": [m.metric for m in measured],
        "value": [m.value for m in measured],
        "prediction": [m.prediction for m in measured],
    }
    return {"results": schema.frame(columns, schema.RESULTS)}


def compare_tables(job: Job, store: Store) -> Tables:
    """Return the leaderboard and the comparisons over every result in the store.

    Runs of several budgets stand as `recipe/unit`; recipes are compared within a budget.
    Examples of one prompt are one cluster, or those of one `cluster` where their meta says so. A run that was measured
    again is compared with itself alone.
    """
    from trainers.compare import comparisons, leaderboard

    results = store.query(
        "SELECT if(b.blend IS NULL, r.run, concat_ws('/', b.recipe_name, nullif(split_part(u.run, '/', 2), '')))"
        " AS blend, coalesce(b.seed, 0) AS seed, r.run, r.task, r.metric, r.example_id, r.value,"
        " coalesce(json_extract_string(s.meta, '$.cluster'), md5(s.prompt), r.example_id) AS cluster"
        " FROM store.results r LEFT JOIN store.runs u USING (run) LEFT JOIN store.blends b ON b.blend = u.blend"
        " LEFT JOIN store.samples s ON s.sample_id = r.example_id"
        " ORDER BY r.task, r.metric, 1, 2, r.example_id"
    )
    again = [name for name in results["blend"].unique().sort().to_list() if name.endswith(AGAIN)]
    fixed = [*job.baselines, *again]
    blends = [name for name in results["blend"].unique().sort().to_list() if name not in fixed]
    tables = [comparisons(results, compared(blends, job.compare, job.baselines), fixed)]
    twice = results.with_columns(blend="run", seed=pl.lit(0, pl.Int64))
    for name in again:
        run = name.removesuffix(AGAIN)
        tables.append(comparisons(twice.filter(pl.col("run").is_in([run, name])), [(run, name)]))
    ranges = {(task.name, one.name): (one.low, one.high) for task in job.measure for one in task.metrics}
    return {"leaderboard": leaderboard(results, ranges), "comparisons": pl.concat(tables)}


def compared(
    names: Sequence[str], wanted: Sequence[tuple[str, str]], baselines: Collection[str] = ()
) -> list[tuple[str, str]] | None:
    """Return the pairs of `recipe` or `recipe/unit` to compare: `wanted` within each budget, None for all pairs.

    Those of `baselines` have no budget; a pair that names a unit itself is compared as it is.
    """
    units = sorted({name.partition("/")[2] for name in names})
    if units in ([], [""]):
        return list(wanted) or None
    pairs = [pair for pair in wanted if any("/" in name for name in pair)]
    wanted = [pair for pair in wanted if pair not in pairs]
    for unit in units if wanted or not pairs else ():
        inside = sorted(name.partition("/")[0] for name in names if name.partition("/")[2] == unit)
        for pair in wanted or combinations(inside, 2):
            a, b = (name if name in baselines or not unit else f"{name}/{unit}" for name in pair)
            pairs.append((a, b))
    return pairs
