"""Every file operation of a small job fails once: what is left, what is said, and whether the job then completes."""

from __future__ import annotations

import errno
import hashlib
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.laws import TABLES
from manifests.store import Manifest
from tests.faults import injected
from tests.faults.injected import Forker
from tests.manifests.jobs import small_job

KINDS = ("write", "fsync", "rename")
FAULTS = {"ENOSPC": (errno.ENOSPC, "from"), "EIO": (errno.EIO, "once")}
"""A disk that is full stays full until the job has ended; an error of the disk comes once."""
PUBLISHED = {"point": {"name": "publish", "at": 1, "side": "after"}}
TIMES = ("finished_at", "seconds", "created_at", "cpu_seconds", "peak_memory", "labelled_at")
_COVERAGE = (
    '  - {kind: coverage, name: near, rows: 12, encoder: hash, cells: 4, where: "p_error < 0.5", seeds: [0, 1]}\n'
)


@dataclass
class Tally:
    """What was seen: operations that failed, by stage; how the jobs ended; what was wrong."""

    failed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def tiny(folder: Path, *, training: bool = True) -> Path:
    """Write a job of ten stages: one of each kind but cells, two steps and two recipes fewer than the small job."""
    path = small_job.edit(
        small_job.write(folder),
        ("  - {kind: rules}\n  - {kind: decontaminate, ngram: 6}\n", ""),
        (_COVERAGE, ""),
        ("rows: 16, seeds: [0, 1]", "rows: 16, seeds: [0]"),
        ("steps: 4, batch_tokens: 128}", "steps: 1, batch_tokens: 128}"),
        ("  steps: 4", "  steps: 1"),
    )  # fmt: skip
    # The eval row in the pool would stop the training without decontamination.
    pool = path.parent / "data" / "pool.jsonl"
    pool.write_text("".join(line + "\n" for line in pool.read_text("utf-8").splitlines() if "Cuba" not in line))
    return path if training else small_job.without_training(path)


def content(path: Path) -> dict[str, dict[str, str]]:
    """Return stage -> table -> hash of its published rows, times left out, and the hash of each blend's files."""
    found: dict[str, dict[str, str]] = {}
    with Manifest(small_job.manifest(path)) as opened:
        for table in (*TABLES, "stages"):
            frame = opened.sql(f"SELECT * EXCLUDE (stage), stage FROM store.{table}")
            frame = frame.drop([name for name in TIMES if name in frame.columns])
            for (stage,), rows in frame.group_by(["stage"]):
                lines = sorted(map(repr, rows.iter_rows()))
                found.setdefault(str(stage), {})[table] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    for stage, hashes in found.items():
        kind, _, ref = stage.partition(":")
        if kind == "mix":
            for file in sorted((small_job.manifest(path) / "blends" / ref).rglob("*.*")):
                hashes[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


class Sweep:
    """The states of a job after each publication, from each of which the next stage is run with faults."""

    def __init__(self, path: Path, forker: Forker) -> None:
        self.path, self.forker = path, forker
        self.states: list[Path] = []
        self.ops: list[int] = []
        fault = {"kinds": KINDS, "action": "count"}
        forker.run(self._take(path.parent, "learnt") / path.name, learn=True)
        code = -9
        while code != 0:
            self.states.append(self._take(path.parent, f"state-{len(self.states)}"))
            ended = forker.run(path, fault=fault, **PUBLISHED)
            code = ended.code
            assert code in (0, -9), ended.text
            self.ops.append(int(ended.counts["ops"]))
        self.wanted = content(path)
        keys = [small_job.keys(state / path.name) for state in self.states[1:]] + [dict.fromkeys(self.wanted, "")]
        before = [{}, *keys]
        self.names = [next((n for n in after if n not in had), "end") for had, after in zip(before, keys, strict=False)]
        self.after = [{name: self.wanted[name] for name in names} for names in keys]

    def _take(self, folder: Path, name: str) -> Path:
        return Path(shutil.copytree(folder, self.path.parent.with_name(name)))

    def points(self, every: int = 1, first: int = 0) -> Iterator[tuple[int, int]]:
        """Give (state, n) for every operation, or each `every`-th of the whole job from `first` on."""
        whole = [(state, n) for state, ops in enumerate(self.ops) for n in range(1, ops + 1)]
        yield from whole[first::every]

    def fail(self, state: int, n: int, name: str, tally: Tally) -> None:
        """Fail the n-th operation from a state, look, resume, and compare with the uninterrupted job."""
        shutil.rmtree(self.path.parent)
        shutil.copytree(self.states[state], self.path.parent)
        number, action = FAULTS[name]
        notes = self.path.parent / "committed"
        fault = {"kinds": KINDS, "at": n, "action": action, "errno": number}
        stage = self.names[state]
        where = f"{name} at operation {n} of {stage}"
        ended = self.forker.run(self.path, fault=fault, notes=notes, **PUBLISHED)
        tally.failed[f"{name} {stage}"] += 1
        tally.ended[_end(ended.code)] += 1
        if ended.code not in (2, 0, -9) or "Traceback" in ended.text:
            tally.wrong.append(f"{where}: exit code {ended.code}: {ended.text}")
        tally.wrong += [f"{where}: {what}" for what in injected.broken(self.path)]
        tally.wrong += [f"{where}: lost {what}" for what in injected.lost(self.path, notes)]
        again = self.forker.run(self.path, **PUBLISHED)
        if again.code not in (0, -9):
            tally.wrong.append(f"{where}: the second run ends with {again.code}: {again.text}")
            return
        have = content(self.path)
        for name_, tables in self.after[state].items():
            if have.get(name_) != tables:
                tally.wrong.append(f"{where}: {name_} differs after the second run")


def _end(code: int) -> str:
    return {2: "told, exit code 2", 0: "went on", -9: "went on"}.get(code, f"exit code {code}")


def sweep(
    path: Path,
    forker: Forker,
    every: int = 1,
    first: int = 0,
    *,
    seconds: float = math.inf,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Sweep, Tally]:
    """Fail every operation of a job, or each `every`-th from `first` on, with every fault; until `seconds` are over."""
    begun = time.monotonic()
    swept, tally = Sweep(path, forker), Tally()
    points = list(swept.points(every, first))
    for done, (state, n) in enumerate(points):
        if time.monotonic() - begun > seconds:
            break
        for name in FAULTS:
            swept.fail(state, n, name, tally)
        if done % 10 == 0:
            tell(f"{done} of {len(points)}, {len(tally.wrong)} wrong")
    return swept, tally


def rows(swept: Sweep, tally: Tally) -> dict[str, Any]:
    """Return the figures of a sweep."""
    return {
        "stages": len(swept.states) - 1,
        "file operations of the job": sum(swept.ops),
        "operations failed": tally.failed.total(),
        **{f"jobs that ended: {end}": count for end, count in sorted(tally.ended.items())},
        "wrong": len(tally.wrong),
    }
