"""Starts jobs in forks of one process that has every library loaded, each with a fault armed; see `injected.py`.

Run with `LD_PRELOAD` set to the compiled `shim.c`, whose path is the only argument. Takes requests as JSON lines on
standard input, answers with the child's process id and then with its end.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

KINDS = {"write": 1, "fsync": 2, "rename": 4, "open": 8, "read": 16}
ACTIONS = {"count": 0, "once": 1, "from": 2, "before": 3, "after": 4, "middle": 5}

NEEDED = (
    *("duckdb", "polars", "pyarrow.parquet", "transformers", "safetensors.torch"),
    *("manifests.jobs.run", "manifests.jobs.spec", "trainers.full", "trainers.run", "trainers.worker"),
)
"""Modules to have before the first fork."""


class Points:
    """The commit points of our own code, counted as they are passed; the process dies at one of them."""

    def __init__(self, name: str = "", at: int = 0, side: str = "before", notes: Path | None = None) -> None:
        self.name, self.at, self.side, self.notes = name, at, side, notes
        self.passed: Counter[str] = Counter()
        self.dying: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def around(self, name: str) -> Iterator[None]:
        """Count the point and die before or after it when it is the one."""
        self.passed[name] += 1
        mine = name == self.name and self.passed[name] == self.at
        if mine and self.side == "before":
            self._die()
        yield
        if mine:
            self._die()

    def _die(self) -> None:
        self.dying()
        os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, owner: Any, verb: str, name: str, after: Callable[..., None] | None = None) -> None:
        """Make the function `verb` of a module or class a point called `name`."""
        real = getattr(owner, verb)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            with self.around(name):
                result = real(*arguments, **options)
                if after is not None:
                    after(*arguments)
                return result

        setattr(owner, verb, wrapped)

    def committed(self, store: Any, record: Any, *_: Any) -> None:
        """Note a stage whose commit has returned: it must never be lost."""
        if self.notes is not None:
            with self.notes.open("a") as file:
                file.write(json.dumps([record.stage, record.key]) + "\n")


class Connection:
    """A DuckDB connection whose transactions and checkpoints are points."""

    def __init__(self, real: Any, points: Points) -> None:
        self._real, self._points = real, points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()

    def execute(self, query: str, *arguments: Any) -> Any:
        """Execute as DuckDB does."""
        verb = query.split(maxsplit=1)[0].lower()
        if verb not in ("begin", "commit", "checkpoint"):
            return self._real.execute(query, *arguments)
        with self._points.around(verb):
            return self._real.execute(query, *arguments)


def plant(points: Points) -> None:
    """Put the points around the commits of the store, the cache and the trainers; workers work in this process."""
    import duckdb

    from curate import cache
    from manifests import atomic, store
    from manifests.jobs import training
    from tests.manifests.jobs.conftest import inline
    from trainers import run as running
    from trainers import state

    training.Workers.submit = inline
    connect = duckdb.connect
    patched = {**vars(duckdb), "connect": lambda *a, **k: Connection(connect(*a, **k), points)}
    store.duckdb = type("Patched", (), patched)
    points.wrap(store.Store, "commit", "stage", points.committed)
    points.wrap(store.Store, "publish", "publish")
    points.wrap(cache.CallCache, "put", "cache write")
    points.wrap(running.state, "stamp", "adapter save")
    points.wrap(running.state, "finish", "adapter save")
    points.wrap(state.Checkpoint, "save", "adapter save")
    replacing = atomic.replacing

    @contextlib.contextmanager
    def watched(path: Path) -> Iterator[Path]:
        with replacing(path) as temporary, points.around("temp write"):
            yield temporary

    store.atomic = type("Patched", (), {**vars(atomic), "replacing": staticmethod(watched)})
    state.replacing = watched


def child(request: Mapping[str, Any], shim: ctypes.CDLL) -> int:
    """Run one job with its fault; return its exit code."""
    given = request.get("point") or {}
    notes = request.get("notes")
    points = Points(given.get("name", ""), given.get("at", 0), given.get("side", ""), Path(notes) if notes else None)
    plant(points)
    if "prepare" in request:
        exec(request["prepare"], {"points": points})  # noqa: S102 - a test's own lines
    from manifests.cli import main

    sys.argv = ["blendsmith", *request["argv"]]
    fault = request.get("fault") or {}
    mask = sum(KINDS[kind] for kind in fault.get("kinds", ()))
    where = str(fault.get("below", request["below"])).encode()
    shim.fault_arm(
        where, mask, fault.get("at", 0), ACTIONS[fault.get("action", "count")], fault.get("errno", 0),
        str(fault.get("shadow", "")).encode(),
    )  # fmt: skip
    points.dying = lambda: count(request, points, shim)
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - a bug, told as Python tells it
        traceback.print_exc()
        code = 70
    count(request, points, shim)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def count(request: Mapping[str, Any], points: Points, shim: ctypes.CDLL) -> None:
    """Write what was counted, and end the fault."""
    seen = shim.fault_seen()
    shim.fault_arm(b"", 0, 0, 0, 0, b"")
    modules = sorted(sys.modules) if request.get("learn") else []
    Path(request["counts"]).write_text(json.dumps({"ops": seen, "points": points.passed, "modules": modules}))


def load() -> None:
    """Import what a job imports; nothing that starts a thread."""
    for name in NEEDED:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)


def tell(answer: Mapping[str, Any]) -> None:
    """Answer with one line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve requests until standard input ends."""
    shim = ctypes.CDLL(sys.argv[1])
    shim.fault_seen.restype = ctypes.c_long
    shim.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, *[ctypes.c_int] * 2, ctypes.c_char_p]
    load()
    tell({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        for name in request.get("modules", ()):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        pid = os.fork()
        if pid == 0:
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os._exit(child(request, shim))
        tell({"pid": pid})
        tell({"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})


if __name__ == "__main__":
    main()
