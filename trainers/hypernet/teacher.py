"""The bank of teachers: an adapter per task, trained together, and what each says of its own rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from manifests.atomic import replacing
from manifests.component import Context
from manifests.names import digest
from trainers import state
from trainers.hypernet.adapted import Adapted, Factors, Slot
from trainers.hypernet.batch import Task, batch_of, logits
from trainers.hypernet.instruction import without
from trainers.hypernet.terms import top
from trainers.lora import Lora
from trainers.trainer import Row

CHUNK = 64
"""Rows of one pass when a teacher is asked for its distributions."""


def bank(
    lora: Lora, groups: Mapping[str, Sequence[Row]], base: Path | str, seed: int, context: Context
) -> dict[str, Path]:
    """Train an adapter for each instruction on its rows, which do not show it; return its folder.

    They are made by the many-adapters engine, `lora.together` at once, into `context.root / parts`; those that are
    there already are used, whichever run they were made for.
    """
    from trainers.bank.together import together
    from trainers.run import Job

    jobs = {}
    for text, rows in groups.items():
        bare = [replace(row, messages=without(row.messages)) for row in rows]
        out = context.root / "parts" / f"teacher-{state.run_key(lora, bare, base, seed)}"
        jobs[text] = Job(lora, bare, base, seed, out, replace(context, progress=lambda done, total: None))
    with guarded(context.root / "parts", "bank"):
        for found in together(list(jobs.values()), lora.together):
            if isinstance(found, BaseException):
                raise found
    return {text: job.out for text, job in jobs.items()}


@contextmanager
def guarded(folder: Path, part: str) -> Iterator[None]:
    """Hold a part of the folder within: another process that wants it waits."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{part}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def factors_in(folder: Path, slots: Sequence[Slot], device: str) -> Factors:
    """Return the factors of the adapter in a PEFT folder, its scale multiplied into B; of one task."""
    import json

    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    tensors, scale = load_file(folder / "adapter_model.safetensors", device=device), config["lora_alpha"] / config["r"]
    parts = ("lora_A.weight", "lora_B.weight")
    pairs = [[tensors[f"base_model.model.{slot.name}.{part}"].float() for part in parts] for slot in slots]
    return [(down[None], up[None] * scale) for down, up in pairs]


@dataclass
class Teachers:
    """The teachers of the meta-train tasks, by the tasks' numbers: their factors, and their stored distributions."""

    stacked: Factors
    tops: Sequence[Sequence[tuple[Any, Any]]]
    """For each task and row the ids and log-probabilities of the likeliest tokens, (answer's tokens, k) each."""

    @classmethod
    def load(
        cls, folders: Sequence[Path], adapted: Adapted, tasks: Sequence[Task], k: int, temperature: float
    ) -> Teachers:
        """Read the adapters, and what they said of their tasks' rows; ask those that were not asked before."""
        device = str(next(adapted.model.parameters()).device)
        each = [factors_in(folder, adapted.slots, device) for folder in folders]
        tops = [
            _tops(folder / "top", adapted, task, factors, k, temperature)
            for folder, task, factors in zip(folders, tasks, each, strict=True)
        ]
        return cls(joined(each), tops)

    def factors(self, chosen: Sequence[int]) -> Factors:
        """Return the factors of the tasks `chosen`."""
        index = torch.tensor(list(chosen), device=self.stacked[0][0].device)
        return [(down[index], up[index]) for down, up in self.stacked]

    def stored(self, chosen: Sequence[int], picked: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Return (ids, log-probabilities) at the learnt positions of the rows `picked` of the tasks `chosen`."""
        rows = [self.tops[task][i] for task, some in zip(chosen, picked, strict=True) for i in some]
        return torch.cat([ids for ids, _ in rows]), torch.cat([logs for _, logs in rows])


def joined(each: Sequence[Factors]) -> Factors:
    """Return the factors of several tasks as one, in their order."""
    return [tuple(torch.cat(parts) for parts in zip(*slot, strict=True)) for slot in zip(*each, strict=True)]


def _tops(
    folder: Path, adapted: Adapted, task: Task, factors: Factors, k: int, temperature: float
) -> list[tuple[Any, Any]]:
    """Return the teacher's likeliest tokens at the answer of each row, from its folder when they are there."""
    from safetensors.torch import load_file, save_file

    asked = digest([k, temperature, [[list(row.ids), row.start] for row in task.rows]])
    path, device = folder / f"{asked}.safetensors", str(next(adapted.model.parameters()).device)
    lengths = [len(row.ids) - max(row.start, 1) for row in task.rows]
    if not path.is_file():
        parts = []
        for first in range(0, len(task.rows), CHUNK):
            rows = range(first, min(first + CHUNK, len(task.rows)))
            batch = batch_of([task], [list(rows)], device)
            with torch.no_grad():
                parts.append(top(logits(adapted, batch, factors, None), k, temperature))
        ids, logs = (torch.cat(tensors).cpu().contiguous() for tensors in zip(*parts, strict=True))
        folder.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            save_file({"ids": ids.to(torch.int32), "logs": logs.float()}, temporary)
    held = load_file(path, device=device)
    return list(zip(held["ids"].long().split(lengths), held["logs"].split(lengths), strict=True))
