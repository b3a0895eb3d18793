"""Kill a small job: torn manifests, lost rows, repeated judge calls, and whether the results stay the same.

    python -m tests.benchmarks.kills --random 200 --each 10 --seed 0 [--training]
    python -m tests.benchmarks.kills --kills 50 --seed 0

The first kills a job in one process at random times, and before and after every named commit point (a write also in its
middle), `--each` times each, up to its blends or with `--training` to its end; see `tests/faults/killing.py`. After
each kill the published manifest must open, keep every law and hold as many rows as its stages say, and the work file
must hold every stage whose commit had returned.

The second kills the main process of several. The job is complete (every kind of stage, a judge over HTTP, two worker
processes). After each SIGKILL of the main
process the published manifest is opened and every law checked, and processes that outlive it are counted; then the
same command goes on. A job that completes is compared with the uninterrupted one and a new one is begun. The moment of
a kill lies between 0.5 s and what the rest of the job takes (as the uninterrupted job did), early moments being
likelier: most kinds of stages are done in the first seconds.
"""

from __future__ import annotations

import argparse
import functools
import math
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from manifests.errors import UserError
from tests.curate.fake_server import FakeServer
from tests.faults import killing
from tests.faults.injected import Forker
from tests.manifests.jobs import small_job

WORKERS = ("--workers", "2")


@dataclass
class Tally:
    """What was seen."""

    kills: int = 0
    torn: int = 0
    unopened: int = 0
    orphans: int = 0
    failed: int = 0
    completed: int = 0
    equal: int = 0
    repeated: list[int] = field(default_factory=list)
    stages: Counter[str] = field(default_factory=Counter)


class Job:
    """One copy of the job, killed until it completes."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.path, self.server = small_job.write(folder, small_job.served(server)), server
        self.log = folder / "log"
        with server.lock:
            server.asked.clear()

    def killed(self, seconds: float, tally: Tally) -> bool:
        """Start it and kill it after some seconds; return False when it ended before."""
        asked = small_job.repeats(self.server)
        process = small_job.start(self.path, *WORKERS, log=self.log)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            tally.kills += 1
            tally.orphans += len(small_job.orphans(process.pid))
            self._look(tally)
            tally.repeated.append(small_job.repeats(self.server) - asked)
            return True
        tally.failed += code != 0
        return False

    def _look(self, tally: Tally) -> None:
        try:
            stages = (
                small_job.keys(self.path) if small_job.manifest(self.path).joinpath("manifest.duckdb").exists() else {}
            )
            tally.torn += bool(stages and small_job.broken(self.path))
        except UserError:
            tally.unopened += 1
            return
        done = [kind for kind in small_job.KINDS if any(name.startswith(f"{kind}:") for name in stages)]
        tally.stages[done[-1] if done else "nothing"] += 1

    def published(self) -> int:
        """Return how many stages are published."""
        return len(small_job.keys(self.path))


@dataclass(frozen=True)
class Profile:
    """When, in seconds after its start, the uninterrupted job had published its 1st, 2nd, ... stage, and its end."""

    at: tuple[float, ...]
    total: float
    base: int
    """Stages published once the base is: from there on, workers must start anew."""
    workers: float
    """Seconds from the last blend to the base: what a worker's start takes, and a little more."""

    @classmethod
    def of(cls, path: Path, total: float) -> Profile:
        """Return the profile of a finished job that took `total` seconds."""
        rows = small_job.ask(path, "SELECT kind, epoch(finished_at) FROM stages ORDER BY finished_at").rows()
        begun = rows[-1][1] - total
        base = next(i for i, (kind, _) in enumerate(rows) if kind == "base")
        return cls(tuple(when - begun for _, when in rows), total, base + 1, rows[base][1] - rows[base - 1][1])

    def rest(self, published: int) -> float:
        """Return about how many seconds a job goes on that has so many stages."""
        if not published:
            return self.total
        again = self.at[0] + (self.workers if published >= self.base else 0.0)
        return self.total - self.at[published - 1] + again


def folders() -> Iterator[Path]:
    """Give one new folder after another, removed at the end."""
    with tempfile.TemporaryDirectory() as root:
        number = 0
        while True:
            number += 1
            yield Path(root) / f"job-{number}"


def main() -> None:
    """Parse the arguments, kill, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--each", type=int, default=0)
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf)
    given = parser.parse_args()
    if given.random or given.each:
        _points(given)
    if given.kills:
        _processes(given)


def _points(given: argparse.Namespace) -> None:
    """Kill one process at commit points and at random times; print the table."""
    ours = [point for point in killing.OURS if given.training or point != "adapter save"]
    asked = [
        (point, side)
        for point in (*killing.FILES, *ours)
        for side in killing.SIDES.get(point, ("before", "after"))
        for _ in range(given.each)
    ]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as root, FakeServer(small_job.answer) as server:
        (Path(root) / "forks").mkdir()
        with Forker(Path(root) / "forks") as forker:
            options = {"seed": given.seed, "times": given.random, "training": given.training, "seconds": given.seconds}
            tell = functools.partial(print, file=sys.stderr, flush=True)
            tally = killing.campaign(Path(root), forker, server, asked, **options, tell=tell)
    print(f"{'point':<14} {'kills':>5} {'torn':>5} {'lost':>5} {'calls repeated':>15} {'at most':>8}")
    for point in (killing.TIME, *killing.FILES, *killing.OURS, "all"):
        mine = [kill for kill in tally.kills if point in (kill.point, "all")]
        torn, lost = sum(bool(kill.torn) for kill in mine), sum(bool(kill.lost) for kill in mine)
        calls = [kill.repeated for kill in mine]
        print(f"{point:<14} {len(mine):>5} {torn:>5} {lost:>5} {sum(calls):>15} {max(calls, default=0):>8}")
    print(
        f"{tally.completed} jobs completed, {tally.equal} with equal content ids, {tally.aside} with a damaged file put"
        f" aside; in flight at most {killing.IN_FLIGHT}"
    )
    for kill in tally.kills:
        if kill.torn or kill.lost:
            print(kill)
    print(f"{time.monotonic() - begun:.0f} s")


def _processes(given: argparse.Namespace) -> None:
    """Kill the main process of several at random times; print the table."""
    chance, tally, places = random.Random(given.seed), Tally(), folders()
    begun = time.monotonic()
    with FakeServer(small_job.answer) as server:
        whole = Job(next(places), server)
        whole.killed(3600, tally)
        profile = Profile.of(whole.path, time.monotonic() - begun)
        wanted = small_job.ids(whole.path)
        print(f"uninterrupted: {profile.total:.1f} s, {len(wanted)} content ids, {len(server.asked) - 1} judge calls")
        job, had, stuck = Job(next(places), server), 0, 0
        while True:
            last = tally.kills >= given.kills
            most = profile.rest(job.published()) * 1.5**stuck
            if job.killed(3600 if last else 0.5 + chance.random() ** 2 * most, tally):
                now = job.published()
                had, stuck = now, stuck + 1 if now == had else 0
                print(f"kill {tally.kills}: {now} of 22 stages published", file=sys.stderr, flush=True)
                continue
            tally.completed += 1
            tally.equal += small_job.ids(job.path) == wanted
            if last:
                break
            job, had, stuck = Job(next(places), server), 0, 0
    _show(tally, time.monotonic() - begun)


def _show(tally: Tally, seconds: float) -> None:
    rows = {
        "kills": tally.kills,
        "torn states": tally.torn,
        "manifests that did not open": tally.unopened,
        "processes that outlived a kill": tally.orphans,
        "jobs completed": tally.completed,
        "of them with equal content ids": tally.equal,
        "exit codes other than 0": tally.failed,
        "judge calls repeated, in all": sum(tally.repeated),
        "judge calls repeated, most after one kill": max(tally.repeated, default=0),
        "calls in flight at most": 4,
    }
    for name, value in rows.items():
        print(f"{name:<42} {value:>5}")
    print("last kind of stage published at the kill:", ", ".join(f"{k} {n}" for k, n in tally.stages.most_common()))
    print(f"{seconds:.0f} s")


if __name__ == "__main__":
    main()
