"""Where a job's independent pieces of work are done: processes of this machine, or tasks of a Ray cluster.

Both keep the promises of `component.Engine`: results in the order of the parts whatever runs where, a bounded number of
parts in flight, a part done again when its worker dies, errors of the function raised here. So an engine changes no
result, and none of it is part of a stage's key.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass as component_dataclass

from manifests.cluster import AHEAD, DEATHS, LOOK, Tasks
from manifests.component import COMPONENT, Engine, Table
from manifests.errors import Interrupted, UserError

ENGINES: Final = Table(
    noun="engine",
    group="blendsmith.engines",
    entries={"local": "manifests.engine:Local", "ray": "manifests.engine:Ray"},
)

_PR_SET_PDEATHSIG: Final = 1


class Opener(Protocol):
    """What a job's `engine` is: it opens an engine for the time of a run."""

    @contextmanager
    def open(self, stopping: Callable[[], bool]) -> Iterator[Engine]:
        """Give the engine; its workers end with the context. `stopping` turns true when the user asks to stop."""
        ...


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Local:
    """Processes of this machine."""

    kind: ClassVar[str] = "local"
    version: ClassVar[int] = 1

    workers: Annotated[int, Field(gt=0)] = 1
    """Processes that work at once."""

    @contextmanager
    def open(self, stopping: Callable[[], bool] = lambda: False) -> Iterator[Engine]:
        """Give an engine whose processes start on first use and end with the context."""
        engine = Processes(self.workers, stopping)
        try:
            yield engine
        finally:
            engine.close()


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Ray:
    """Tasks of a Ray cluster (the extra `ray`); its nodes need this package installed."""

    kind: ClassVar[str] = "ray"
    version: ClassVar[int] = 1

    address: str | None = None
    """Address of a cluster, HOST:PORT or auto; left out, a Ray is started here for the time of the run."""
    workers: Annotated[int, Field(gt=0)] | None = None
    """Tasks at once; left out, one for each core of the cluster."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of each task: as many as the judge's `tensor_parallel`, where a judge is asked on the cluster."""

    @contextmanager
    def open(self, stopping: Callable[[], bool] = lambda: False) -> Iterator[Engine]:
        """Give an engine that connects on first use; raises UserError when the package `ray` is missing."""
        engine = Tasks(self.address, self.workers, stopping, self.gpus)
        try:
            yield engine
        finally:
            engine.close()


@dataclass
class _Job:
    """One part on its way: which worker has it, and how many workers died over it."""

    part: Any
    future: Future[Any]
    worker: int
    deaths: int = 0


class Processes:
    """Worker processes, each an executor of its own: one that dies takes no other with it."""

    def __init__(self, workers: int, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._executors: list[ProcessPoolExecutor | None] = [None] * workers

    def map(self, function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """Yield `function(part)` for every part in order, `2 * workers` parts in flight at most.

        Raises UserError when `DEATHS` workers died over one part, Interrupted when the user asks to stop.
        """
        source = iter(parts)
        jobs: deque[_Job] = deque()
        load = [0] * len(self._executors)
        try:
            while True:
                while len(jobs) < AHEAD * len(load):
                    try:
                        part = next(source)
                    except StopIteration:
                        break
                    worker = load.index(min(load))
                    load[worker] += 1
                    jobs.append(_Job(part, self._submit(worker, function, part), worker))
                if not jobs:
                    return
                self._await(jobs, function)
                job = jobs.popleft()
                load[job.worker] -= 1
                yield job.future.result()
        finally:
            for job in jobs:
                job.future.cancel()

    def close(self) -> None:
        """End the processes at once, finished or not."""
        for worker in range(len(self._executors)):
            self._end(worker)

    def _await(self, jobs: deque[_Job], function: Callable[[Any], Any]) -> None:
        """Return when the first job has its result or its function's error; parts of dead workers begin again."""
        while True:
            for job in jobs:
                if _broken(job.future):
                    self._again(job, jobs, function)
            if jobs[0].future.done() and not _broken(jobs[0].future):
                return
            wait([job.future for job in jobs if not job.future.done()], LOOK, FIRST_COMPLETED)
            if self._stopping():
                raise Interrupted("stopped between pieces of work; the same command goes on from here")

    def _again(self, dead: _Job, jobs: deque[_Job], function: Callable[[Any], Any]) -> None:
        """Replace the worker of `dead` and give it its parts anew; only the part in hand counts as a cause."""
        self._end(dead.worker)
        dead.deaths += 1
        if dead.deaths >= DEATHS:
            unread = _unread(dead.future)
            if unread is not None:
                raise UserError(
                    f"the result or the error of a piece of work cannot be sent between processes ({unread})",
                    remedy="it must be a value, or an exception, that pickle can read back",
                )
            raise UserError(
                f"a worker process died {DEATHS} times over the same piece of work",
                remedy="was it killed for memory? try fewer workers; a script needs its work under"
                " if __name__ == '__main__'",
            )
        for job in jobs:
            if job.worker == dead.worker and _lost(job.future):
                job.future = self._submit(job.worker, function, job.part)

    def _submit(self, worker: int, function: Callable[[Any], Any], part: Any) -> Future[Any]:  # noqa: ANN401 - any part
        executor = self._executors[worker]
        if executor is None:
            spawn = multiprocessing.get_context("spawn")
            executor = ProcessPoolExecutor(1, mp_context=spawn, initializer=start)
            self._executors[worker] = executor
            resource_tracker.ensure_running()  # it unblocks both signals when it starts
        # The process that is started here inherits the mask: a Ctrl-C before it set its own handlers would end it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            return executor.submit(function, part)
        except BrokenProcessPool as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _end(self, worker: int) -> None:
        executor, self._executors[worker] = self._executors[worker], None
        if executor is None:
            return
        processes = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()


def _lost(future: Future[Any]) -> bool:
    """Return whether the worker of a part that is not done is gone, seen from the moment that it was ended."""
    return not future.done() or _broken(future)


def _broken(future: Future[Any]) -> bool:
    """Return whether a part has no result because its worker died."""
    return future.done() and (future.cancelled() or isinstance(future.exception(), BrokenProcessPool))


def _unread(future: Future[Any]) -> str | None:
    """Return why what a worker sent could not be read, None where it sent nothing or stopped in the middle of it."""
    error = None if future.cancelled() else future.exception()
    said = str(error.__cause__ or "") if error is not None else ""
    said = said.replace("'''", "").strip().rpartition("\n")[2]
    return said if said and not said.startswith(("EOFError", "OSError")) else None


def last_words(log: Path, lines: int = 8) -> str:
    """Return the last lines of a process's log that are not empty, indented; empty where it wrote none."""
    text = log.read_text("utf-8", "replace") if log.is_file() else ""
    return "\n  ".join([line for line in text.splitlines() if line.strip()][-lines:])


def start() -> None:
    """Make this worker process die with its parent and leave SIGINT and SIGTERM to it; does nothing in a main process.

    Give it to a pool as `initializer`. On Linux the kernel kills the worker when the thread that started it ends, so
    start the pool from a thread that outlives it (the main one) and with the `spawn` method. Elsewhere only Ctrl-C is
    handled.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if not parent.is_alive():
            os._exit(1)
