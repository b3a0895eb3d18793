"""The engine of a Ray cluster: one task for each piece of work.

Plain tasks and not Ray Data: a piece of work is any value and its result any value, in order, and Ray Data's operators
are such tasks over Arrow tables; the retries, the reconstruction after a lost node and the scheduling are the same.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from manifests.errors import Interrupted, UserError, missing_extra

DEATHS: Final = 3
"""Workers that may die over one part before it is given up."""
AHEAD: Final = 2
"""Parts in flight for each worker: one in hand, one waiting."""
LOOK: Final = 0.2
"""Seconds between two looks at whether the user asked to stop."""
_STORE: Final = 256 * 2**20
"""Bytes of shared memory of a Ray that is started here."""


class Tasks:
    """Tasks of a Ray cluster; Ray does a task again whose worker or node died."""

    cluster: ClassVar[bool] = True
    """Its workers need not share a machine, nor its GPUs."""

    def __init__(self, address: str | None, workers: int | None, stopping: Callable[[], bool], gpus: int = 0) -> None:
        try:
            self._ray = _import_ray()
        except ImportError as error:
            raise missing_extra("ray", "ray") from error
        self._address, self._workers, self._stopping, self._gpus = address, workers, stopping, gpus
        self._mine = False

    def map(self, function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """Yield `function(part)` for every part in order, two parts in flight for each task at once.

        Raises UserError when the cluster cannot be reached or `DEATHS` workers died over one part, Interrupted when the
        user asks to stop.
        """
        ray = self._connected()
        gpus = {"num_gpus": self._gpus} if self._gpus else {}
        task = ray.remote(_call).options(max_retries=DEATHS - 1, num_cpus=1, **gpus)
        shared = ray.put(function)
        source = iter(parts)
        flying: deque[Any] = deque()
        try:
            while True:
                while len(flying) < AHEAD * self._slots():
                    try:
                        part = next(source)
                    except StopIteration:
                        break
                    flying.append(task.remote(shared, part))
                if not flying:
                    return
                self._await(flying[0])
                yield self._result(flying.popleft())
        finally:
            for waiting in flying:
                ray.cancel(waiting, force=True)

    def close(self) -> None:
        """Leave the cluster; end the Ray that was started here."""
        if self._mine:
            self._ray.shutdown()
            self._mine = False

    def _await(self, reference: Any) -> None:  # noqa: ANN401 - a Ray reference
        while not self._ray.wait([reference], timeout=LOOK)[0]:
            if self._stopping():
                raise Interrupted("stopped between pieces of work; the same command goes on from here")

    def _result(self, reference: Any) -> Any:  # noqa: ANN401 - what the function returned
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from error
        except (errors.RayError, ConnectionError) as error:
            raise UserError(
                f"a task of the Ray cluster failed for good ({str(error).partition(chr(10))[0]})",
                remedy="was a worker killed for memory, or a node lost for long? the same command goes on from here",
            ) from error

    def _slots(self) -> int:
        return self._workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _connected(self) -> Any:  # noqa: ANN401 - the module ray
        ray = self._ray
        if ray.is_initialized():
            return ray
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._address is None:
            options |= {
                "num_cpus": self._workers,
                "object_store_memory": _STORE,
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
            }
        try:
            with _own_signals():
                ray.init(address=self._address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            why = str(error).partition("\n")[0]
            remedy = "start it with: ray start --head, or leave address out"
            raise UserError(f"no Ray cluster ({why})", value=self._address, remedy=remedy) from error
        self._mine = True
        return ray


def _import_ray() -> Any:  # noqa: ANN401 - the module ray
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    with _own_signals():
        import ray
        import ray.exceptions

    return ray


def _call(function: Callable[[Any], Any], part: Any) -> Any:  # noqa: ANN401 - any part and result
    return function(part)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handlers of SIGINT and SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
