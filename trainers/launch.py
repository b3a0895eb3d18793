"""One run in several processes of this machine, which its worker starts, watches and ends."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from manifests import engine
from manifests.errors import BlendsmithError, UserError
from trainers.processes import meet
from trainers.trainer import Fitted, Request

Work = Callable[[Request, bool], Fitted]
"""What each process does: its share of the request's run; the second argument tells the first process."""

_GRACE: Final = 10.0
"""Seconds that the others have to end by themselves once a process has failed: on GPUs they would wait for it."""
_END_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Died:
    """A process that ended without an answer: its exit code, negative for a signal, and its last words."""

    code: int | None
    said: str


Answer = Fitted | Exception | Died


@dataclass(frozen=True)
class Share:
    """One process of a run: its number, the pipe to it, and the file that its libraries' output goes to."""

    rank: int
    process: Any
    pipe: Connection
    log: Path

    def ask(self, request: Request) -> None:
        """Send what is to be done; a process that has died meanwhile is met when its answer is read."""
        with suppress(OSError):
            self.pipe.send(request)

    def answer(self) -> Answer:
        """Return what the process made or met; waits until it has said so, or has ended."""
        try:
            answer: Answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(_END_SECONDS)
            return Died(self.process.exitcode, engine.last_words(self.log))
        return answer


def launch(work: Work, request: Request, processes: int) -> Fitted:
    """Return what the first of `processes` processes made of `request`; `cpu_seconds` are those of all of them.

    `work` is importable and is called in each with (request, first). They die with this process. Where one fails the
    others are ended too: what the user should know is raised (BlendsmithError as it is), and UserError with its number
    and exit code for one that died. On GPUs process r has GPU r; raise UserError where there are fewer GPUs.
    """
    _check_devices(processes)
    with tempfile.TemporaryDirectory(prefix="blendsmith-") as folder, _started(work, processes, Path(folder)) as shares:
        for share in shares:
            share.ask(request)
        found = _gathered(shares)
    made = [found.get(share.rank) for share in shares]
    fitted = [one for one in made if isinstance(one, Fitted)]
    if len(fitted) < processes:
        raise cause(found, processes)
    spent = [one.cpu_seconds for one in fitted if one.cpu_seconds is not None]
    return dataclasses.replace(fitted[0], cpu_seconds=sum(spent) if len(spent) == processes else None)


def cause(found: Mapping[int, Answer], processes: int) -> Exception:
    """Return why a run failed, from what its processes came to, by number in the order in which it was known.

    What one says on purpose comes before that another died, and both before other errors: those of processes that have
    lost a third are the consequence.
    """
    failed = [(rank, one) for rank, one in found.items() if not isinstance(one, Fitted)]
    for _, one in failed:
        if isinstance(one, BlendsmithError):
            return one
    for rank, one in failed:
        if isinstance(one, Died):
            said = f"; its last lines:\n  {one.said}" if one.said else ""
            return UserError(
                f"process {rank} (of 0 to {processes - 1}) of this run died",
                value=f"exit code {one.code}",
                remedy="was it killed for memory? try fewer --workers or processes; the same command goes on from the"
                f" last checkpoint{said}",
            )
    return next(one for _, one in failed if isinstance(one, Exception))


def _gathered(shares: Sequence[Share]) -> dict[int, Answer]:
    """Return the processes' answers in the order in which they come; after a failure for a while only."""
    found: dict[int, Answer] = {}
    left: dict[Any, Share] = {share.pipe: share for share in shares}
    limit: float | None = None
    while left:
        ready = wait(list(left), None if limit is None else max(0.0, limit - time.monotonic()))
        if not ready:
            break
        for pipe in ready:
            share = left.pop(pipe)
            found[share.rank] = share.answer()
            if limit is None and not isinstance(found[share.rank], Fitted):
                limit = time.monotonic() + _GRACE
    return found


@contextmanager
def _started(work: Work, processes: int, folder: Path) -> Iterator[list[Share]]:
    """Give the processes, which meet over a file in `folder`; they end on leaving, or with this process."""
    spawn = multiprocessing.get_context("spawn")
    shares: list[Share] = []
    try:
        for rank in range(processes):
            here, there = spawn.Pipe()
            log = folder / f"log-{rank}"
            process = spawn.Process(target=_serve, args=(there, work, rank, processes, folder))
            process.start()
            there.close()
            shares.append(Share(rank, process, here, log))
        yield shares
    finally:
        for share in shares:
            share.process.kill()
            share.process.join()
            share.pipe.close()


def _serve(pipe: Connection, work: Work, rank: int, processes: int, folder: Path) -> None:
    """Do one process's share of the request that comes through the pipe, and send back what it made or met."""
    engine.start()
    file = os.open(folder / f"log-{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(WORLD_SIZE=str(processes), RANK=str(rank), LOCAL_RANK=str(rank))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a machine's name need not lead back to it
    with meet(init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=processes):
        try:
            pipe.send(work(pipe.recv(), rank == 0))
        except Exception as error:  # told before the others are left, for which a GPU may wait
            if not isinstance(error, BlendsmithError):
                error.add_note(f"in process {rank} of 0 to {processes - 1}:\n{traceback.format_exc()}")
            pipe.send(error)
            raise


def _check_devices(processes: int) -> None:
    """Raise UserError where there are GPUs, and fewer than processes."""
    import torch

    if torch.cuda.is_available() and torch.cuda.device_count() < processes:
        raise UserError(
            "each process of a run needs a GPU of its own",
            value=f"{processes} processes, {torch.cuda.device_count()} GPUs",
            remedy="use fewer processes, or make more GPUs visible (CUDA_VISIBLE_DEVICES)",
        )
