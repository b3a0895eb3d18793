"""Data-parallel training: one run in several processes, which `trainers.launch` or `torchrun` starts."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from manifests.errors import UserError

LAUNCHED: Final = ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher of several processes sets in the environment of each."""


def forget() -> None:
    """Forget in a worker process what a launcher left in the environment: a worker makes a run by itself."""
    if multiprocessing.parent_process() is not None:
        for name in LAUNCHED:
            os.environ.pop(name, None)


@dataclass(frozen=True)
class Group:
    """The processes of a run: this one's number, from 0, and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Return whether this is the process that writes."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is true in any process; all must ask."""
        return flag if self.size == 1 else self.total([float(flag)])[0] > 0

    def total(self, numbers: Iterable[float]) -> list[float]:
        """Return the sums of the numbers over all processes, in double precision; all must ask."""
        import torch

        values = torch.tensor(list(numbers), dtype=torch.float64)
        if self.size > 1:
            values = values.to(_device())
            torch.distributed.all_reduce(values)
        return [float(value) for value in values]

    def reduce(self, parameters: Iterable[Any]) -> None:
        """Replace the parameters' gradients by their sums over all processes; one without any counts as 0."""
        import torch

        if self.size == 1:
            return
        held = list(parameters)
        for value in held:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        flat = torch.cat([value.grad.flatten() for value in held])
        torch.distributed.all_reduce(flat)
        at = 0
        for value in held:
            value.grad.copy_(flat[at : at + value.numel()].view_as(value))
            at += value.numel()

    def wait(self) -> None:
        """Return when all processes are here."""
        import torch

        if self.size > 1:
            torch.distributed.barrier()


@contextmanager
def joined() -> Iterator[Group]:
    """Join the processes that `torchrun` started, by gloo on CPUs and NCCL on GPUs; alone, without them.

    `torchrun` says how many they are in the environment (`WORLD_SIZE`, `RANK`, `LOCAL_RANK`, `MASTER_ADDR`). A group
    that the caller has joined is used, and left as it is. Raise UserError where the environment names several processes
    and not how to meet them: no launcher started this one.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield Group()
        return
    import torch

    mine = not torch.distributed.is_initialized()
    if mine:
        lacking = [name for name in LAUNCHED if name not in os.environ]
        if lacking:
            raise UserError(
                f"WORLD_SIZE names several processes, but {', '.join(lacking)} is not set",
                value=os.environ["WORLD_SIZE"],
                remedy="start the program by torchrun, or unset WORLD_SIZE",
            )
    with meet() if mine else nullcontext():
        yield Group(torch.distributed.get_rank(), torch.distributed.get_world_size())


@contextmanager
def meet(**where: Any) -> Iterator[None]:  # noqa: ANN401 - what torch takes
    """Be one of the processes of a run for a while, by gloo on CPUs and NCCL on GPUs, on the GPU of `LOCAL_RANK`.

    `where` is what `torch.distributed.init_process_group` needs to know beside the backend; without it, the
    environment says it.
    """
    import torch

    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    torch.distributed.init_process_group("nccl" if gpu else "gloo", **where)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def _device() -> str:
    import torch

    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
