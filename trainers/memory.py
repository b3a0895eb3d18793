"""What a run does when memory runs out: the same step again in smaller parts, once."""

from __future__ import annotations

from manifests.errors import UserError


def halved(error: BaseException, bins: int, parts: int, processes: int, before: int) -> int:
    """Return the parts that a step of `bins` bins is computed in from now on: twice as many, half the size.

    Raises `error` again when it is not about memory, and UserError when memory ran out `before` (the step, or 0) or a
    part is one bin already.
    """
    if not out_of_memory(error):
        raise error
    if before or bins <= parts * processes:
        raise UserError(
            "out of memory" + (f", after the parts were halved at step {before}" if before else ""),
            value=f"{-(-bins // (parts * processes))} packed rows at once",
            remedy="use a smaller max_tokens, recompute: true, or a smaller base",
        ) from error
    return 2 * parts


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a GPU's or the machine's memory does not suffice."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def free() -> None:
    """Give back what torch keeps for later."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
