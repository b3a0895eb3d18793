"""Engine processes behind pipes, and the questions on their way to them."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import IO, Any, Final, cast

from curate.judges import OK, Call, Menu, Reply, Text, Writing, failed, seed_of
from curate.judges.shard import shards
from manifests.errors import UserError

_LAST_LINES: Final = 8
_CLOSE_SECONDS: Final = 20.0
_WINDOWS: Final = 2
"""Chunks that one process has in hand: while the answers of one are stored, it works on the other."""
Lines = SimpleQueue[tuple[int, bytes]]
"""What the processes wrote: the number of the process, and a line; an empty one when it has ended."""


def start(environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start one engine process; what its libraries print goes to `log`."""
    command = [sys.executable, "-P", "-m", "curate.judges.vllm_worker", str(os.getpid())]
    return subprocess.Popen(  # noqa: S603 - our own module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=dict(environment),
        start_new_session=True,
    )


class Replica:
    """One engine process. It ends with `stop`, or with this process however that ends."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self._process = start(environment, self._log)
        self._listener: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def listen(self, lines: Lines, number: int) -> None:
        """Put what the process writes into `lines`, from a thread of its own, under its number."""
        self._listener = threading.Thread(target=self._pass_on, args=(lines, number), daemon=True)
        self._listener.start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one line; that the process is gone shows in what it wrote."""
        requests = cast("IO[bytes]", self._process.stdin)
        with suppress(BrokenPipeError):
            requests.write(json.dumps(message).encode() + b"\n")
            requests.flush()

    def died(self, what: str) -> UserError:
        """Return the error that says `what` with the process's exit status and its last words; end it if it hangs."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_SECONDS)
        self._kill()
        self._log.seek(0)
        lines = [line for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        last = "\n  ".join(lines[-_LAST_LINES:]) or "it wrote nothing"
        return UserError(what, value=self._process.returncode, remedy=f"its last lines:\n  {last}")

    def stop(self, *, force: bool) -> None:
        """End the process and what it started: by closing its input, or by force."""
        with suppress(BrokenPipeError):
            cast("IO[bytes]", self._process.stdin).close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if force else _CLOSE_SECONDS)
        self._kill()
        if self._listener is not None:
            self._listener.join()
        cast("IO[bytes]", self._process.stdout).close()
        self._log.close()

    def _kill(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _pass_on(self, lines: Lines, number: int) -> None:
        for line in cast("IO[bytes]", self._process.stdout):
            if line.endswith(b"\n"):
                lines.put((number, line))
        lines.put((number, b""))


class VllmSession:
    """Loaded engines, which answer together: each takes the conversations whose hash is its own."""

    def __init__(self, replicas: Sequence[Replica], chunk: int, menus: Sequence[Menu]) -> None:
        self._replicas, self._chunk, self._menus = list(replicas), chunk, list(menus)
        self._lines: Lines = SimpleQueue()
        self._asked = 0
        for number, replica in enumerate(self._replicas):
            replica.listen(self._lines, number)

    @property
    def pids(self) -> list[int]:
        """Process ids of the engines."""
        return [replica.pid for replica in self._replicas]

    def start(self, settings: Mapping[str, Any], seconds: float) -> None:
        """Load the models; raise UserError when that fails or takes longer than `seconds`."""
        for replica in self._replicas:
            replica.send(settings)
        end = time.monotonic() + seconds
        for done in range(len(self._replicas)):
            try:
                number, line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                self._replicas[done].stop(force=True)
                raise UserError(
                    f"the vLLM engine did not start within {seconds:g} s", remedy="raise start_seconds"
                ) from None
            self._parsed(number, line, "the vLLM engine did not start")

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        """Yield the replies as they come; raise UserError when an engine dies."""
        yield from self._flow(calls, {"op": "ask", "menu": self._menus.index(menu)}, None)

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        """Yield the replies as they come; raise UserError when an engine dies."""
        yield from self._flow(calls, {"op": "write", "how": asdict(how)}, how if how.temperature > 0.0 else None)

    def _flow(self, calls: Sequence[Call], what: Mapping[str, Any], seeded: Writing | None) -> Iterator[list[Reply]]:
        """Keep `_WINDOWS` chunks in the hands of each engine; what one sends back makes room for as much."""
        waiting = [deque(part) for part in shards(calls, len(self._replicas))]
        asked: dict[int, Call] = {}
        for number, queue in enumerate(waiting):
            for _ in range(_WINDOWS):
                self._send(number, queue, self._chunk, what, seeded, asked)
        while asked:
            number, line = self._lines.get()
            answer = self._parsed(number, line, "the vLLM engine died; finished calls are kept")
            # What an earlier question left behind, when its asker turned away, is not among `asked`.
            found = [(asked.pop(i), said) for i, said in answer["replies"] if i in asked]
            self._send(number, waiting[number], len(found), what, seeded, asked)
            # The engines share one machine, and so its time.
            seconds = float(answer["seconds"]) / max(1, len(answer["replies"])) / len(self._replicas)
            yield [_reply(call.key, said, seconds) for call, said in found]

    def _send(
        self,
        number: int,
        queue: deque[Call],
        n: int,
        what: Mapping[str, Any],
        seeded: Writing | None,
        asked: dict[int, Call],
    ) -> None:
        """Send the first n calls of the queue to an engine and note them in `asked`."""
        part = [queue.popleft() for _ in range(min(n, len(queue)))]
        if not part:
            return
        seeds = {} if seeded is None else {"seeds": [seed_of(seeded, call.prompt) for call in part]}
        first, self._asked = self._asked, self._asked + len(part)
        asked.update(enumerate(part, first))
        self._replicas[number].send({**what, "first": first, "prompts": [call.prompt for call in part], **seeds})

    def _parsed(self, number: int, line: bytes, otherwise: str) -> dict[str, Any]:
        if not line:
            raise self._replicas[number].died(otherwise)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"], value=answer["value"], remedy=answer["remedy"])
        return answer


def _reply(key: str, found: Mapping[str, Any], seconds: float) -> Reply:
    """Return the reply of one prompt: `found` has the labels' natural log-probabilities, texts, or why neither."""
    if found.get("why"):
        return failed(key, str(found["why"]))
    labels = found.get("logprobs")
    return Reply(
        key=key,
        status=OK,
        probabilities=None if labels is None else tuple(math.exp(min(float(value), 1.0)) for value in labels),
        texts=tuple(Text(str(text), str(finish)) for text, finish in found.get("texts", ())),
        finish=str(found["finish"]),
        tokens_in=int(found["tokens_in"]),
        tokens_cached=int(found.get("tokens_cached", 0)),
        tokens_out=int(found["tokens_out"]),
        seconds=seconds,
    )
