"""A small but complete job: every kind of stage, two recipes of two seeds, a base of 30,000 parameters."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from curate.sample import Message, content_id
from manifests.errors import UserError
from manifests.jobs.run import Outcome, run
from manifests.jobs.spec import Job, load_job
from manifests.store import Manifest
from tests.curate.fake_server import PROBE, Action, FakeServer

NAME = "small"
COMMAND = [sys.executable, "-c", "from manifests.cli import main; main()"]
ROOT = Path(__file__).parents[3]
REPLAY = "{kind: replay, path: data/verdicts.jsonl}"
KINDS = ("read", "step", "score", "cells", "mix", "base", "train", "measure", "compare")
TEXT = """\
name: small
notes: A test.
sources:
  - {name: pool, path: data/pool.jsonl, format: prompt-completion, role: generalist, keep: [wrong], licence: CC0-1.0}
  - {name: facts, path: data/facts.jsonl, format: question-answer, role: specialist, task: capitals, licence: CC0-1.0}
  - {name: held-out, path: data/held-out.jsonl, format: question-answer, role: eval, task: capitals, licence: CC0-1.0}
curate:
  - {kind: exact}
  - {kind: rules}
  - {kind: decontaminate, ngram: 6}
  - {kind: judge, judge: JUDGE}
mix:
  - {kind: proportional, name: plain, rows: 16, seeds: [0, 1]}
  - {kind: coverage, name: near, rows: 12, encoder: hash, cells: 4, where: "p_error < 0.5", seeds: [0, 1]}
train:
  kind: full
  base: {kind: scratch, layers: 1, width: 32, heads: 1, vocab: 300, context: 64, steps: 4, batch_tokens: 128}
  steps: 4
  batch_tokens: 128
  max_tokens: 64
measure:
  - {kind: loglik, name: capitals, task: capitals, limit: 3}
error_budget: 0.1
"""
COUNTRIES = (
    ("France", "Paris"),
    ("Italy", "Rome"),
    ("Spain", "Madrid"),
    ("Greece", "Athens"),
    ("Norway", "Oslo"),
    ("Egypt", "Cairo"),
    ("Japan", "Tokyo"),
    ("Peru", "Lima"),
    ("Kenya", "Nairobi"),
    ("Poland", "Warsaw"),
    ("Sweden", "Stockholm"),
    ("Ireland", "Dublin"),
    ("Portugal", "Lisbon"),
    ("Austria", "Vienna"),
    ("Cuba", "Havana"),
    ("Finland", "Helsinki"),
)


def answer(prompt: str, before: int, request: Mapping[str, Any]) -> Action:
    """Answer as a judge whose verdict hangs on the prompt alone, after a little while."""
    wrong = 0.9 if zlib.crc32(prompt.encode()) % 4 == 0 else 0.1
    return Action({" correct": 1 - wrong, " wrong": wrong}, delay=0.05)


def served(server: FakeServer) -> str:
    """Return the judge that asks `server`, two calls at once."""
    return f"{{kind: openai, url: '{server.url}', model: judge-1, concurrency: 2}}"


def repeats(server: FakeServer) -> int:
    """Return how many calls were made more than once."""
    return sum(n - 1 for prompt, n in server.asked.items() if prompt != PROBE)


def write(folder: Path, judge: str = REPLAY) -> Path:
    """Write the job and its data into `folder`; return the job file.

    The pool has 40 lines: one is no JSON, one repeats the row before it, one answers nothing, one holds an eval
    question. Every fourth row is wrong; the verdicts say so, and of row 1 too.
    """
    pool: list[dict[str, Any]] = [
        {
            "prompt": f"What is {i} plus {i + 2}?",
            "completion": f"The sum of {i} and {i + 2} is {2 * i + 2 + (i % 4 == 0)}.",
        }
        for i in range(36)
    ]
    pool += [pool[-1], {"prompt": "Say something.", "completion": ""}]
    pool += [{"prompt": "Tell me the capital city of Cuba, please. Now!", "completion": "It is Havana, I think."}]
    for i, row in enumerate(pool):
        row["wrong"] = i % 4 == 0 and i < 36
    facts = [{"question": f"Capital of {country}?", "answer": city} for country, city in COUNTRIES[:12]]
    held = [{"question": f"Tell me the capital city of {c}, please.", "answer": city} for c, city in COUNTRIES[12:]]
    verdicts = {
        key(row): {"content_id": key(row), "p_error": 0.9 if row["wrong"] or i == 1 else 0.1}
        for i, row in enumerate(pool)
    }
    lines(folder / "data" / "pool.jsonl", pool)
    with (folder / "data" / "pool.jsonl").open("a", encoding="utf-8") as file:
        file.write("{not json\n")
    lines(folder / "data" / "facts.jsonl", facts)
    lines(folder / "data" / "held-out.jsonl", held)
    lines(folder / "data" / "verdicts.jsonl", list(verdicts.values()))
    path = folder / "job.yaml"
    path.write_text(TEXT.replace("JUDGE", judge), "utf-8")
    return path


def key(row: dict[str, Any]) -> str:
    """Return the content id of a row of the pool."""
    return content_id([Message("user", row["prompt"]), Message("assistant", row["completion"])])


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def edit(path: Path, *pairs: tuple[str, str]) -> Path:
    """Replace each old text of the job file, which must be there, by the new one; return the file."""
    text = path.read_text("utf-8")
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return path


def without_training(path: Path) -> Path:
    """Cut the job off after its blends; return the file."""
    text = path.read_text("utf-8")
    path.write_text(text[: text.index("train:")] + "error_budget: 0.1\n", "utf-8")
    return path


def go(path: Path, **options: Any) -> Outcome:
    """Run the job in this process."""
    return run(load_job(path), **options)


def job(path: Path, **changes: Any) -> Job:
    """Return the job of a file, with some of its parts replaced."""
    return dataclasses.replace(load_job(path), **changes)


def manifest(path: Path) -> Path:
    """Return the manifest's folder of a job file."""
    return path.parent / "runs" / NAME


def ask(path: Path, sql: str) -> pl.DataFrame:
    """Return the rows of a query over the published manifest of a job file."""
    with Manifest(manifest(path)) as opened:
        return opened.sql(sql)


def ids(path: Path) -> dict[str, str]:
    """Return content id by blend and by run."""
    sql = "SELECT 'blend ' || blend, content_id FROM blends UNION ALL SELECT 'run ' || run, content_id FROM runs"
    return dict(ask(path, sql).iter_rows())


def keys(path: Path) -> dict[str, str]:
    """Return key by published stage; nothing when nothing is published yet."""
    try:
        return dict(ask(path, "SELECT stage, key FROM stages").iter_rows())
    except UserError:
        return {}


def finished(path: Path) -> dict[str, Any]:
    """Return when each published stage ended: a stage that was run again has another time."""
    return dict(ask(path, "SELECT stage, finished_at FROM stages").iter_rows())


def broken(path: Path) -> list[str]:
    """Return the laws that the published manifest breaks."""
    with Manifest(manifest(path)) as opened:
        return [row["law"] for row in opened.verify().iter_rows(named=True) if not row["ok"]]


def start(path: Path, *arguments: str, log: Path | None = None) -> subprocess.Popen[str]:
    """Start `blendsmith run` in a process group of its own, its standard error in `log` (joined to a pipe if None)."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with (log or Path(os.devnull)).open("w") as errors:
        return subprocess.Popen(
            [*COMMAND, "run", str(path), *arguments],
            stdout=subprocess.DEVNULL if log else subprocess.PIPE,
            stderr=errors if log else subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )


def until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60.0) -> bool:
    """Wait until the condition holds; return False when the process ends first or the time is over."""
    limit = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > limit:
            return condition()
        time.sleep(0.01)
    return True


def members(group: int) -> list[int]:
    """Return the processes of a process group that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def orphans(group: int, seconds: float = 5.0) -> list[int]:
    """Return the processes of a group that still live after some seconds, and end them."""
    limit = time.monotonic() + seconds
    while (left := members(group)) and time.monotonic() < limit:
        time.sleep(0.02)
    for process in left:
        os.kill(process, signal.SIGKILL)
    return left
