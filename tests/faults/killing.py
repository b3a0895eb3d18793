"""A small whole job killed at commit points and at random times until it completes, and what was seen at each kill."""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from manifests.store import ASIDE, FILE
from tests.curate.fake_server import FakeServer
from tests.faults import injected
from tests.faults.injected import Ended, Forker
from tests.manifests.jobs import small_job

FILES = ("write", "fsync", "rename")
"""Points that are file operations of any library, DuckDB's and SQLite's own among them."""
OURS = ("temp write", "begin", "commit", "checkpoint", "publish", "cache write", "adapter save")
"""Points of our own code."""
TIME = "random time"
SIDES = {"write": ("before", "middle", "after")}
IN_FLIGHT = 4
"""Calls that may be repeated after one kill: two connections, and an answer in hand for each."""


@dataclass
class Kill:
    """One kill: where it was asked for, whether it came before the job's end, and what was wrong after it."""

    point: str
    came: bool
    torn: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    repeated: int = 0


@dataclass
class Whole:
    """The uninterrupted job: its content ids, how often each point is passed, and the seconds it takes."""

    ids: dict[str, str]
    passed: dict[str, int]
    seconds: float


def job(folder: Path, server: FakeServer, training: bool) -> Path:
    """Write the job, up to its blends alone without `training`; return its file."""
    path = small_job.write(folder, small_job.served(server))
    return path if training else small_job.without_training(path)


def whole(folder: Path, forker: Forker, server: FakeServer, training: bool) -> Whole:
    """Run the job without a fault, twice: the second time every module is loaded, so that its seconds count."""
    passed: dict[str, int] = {}
    for name in ("first", *FILES):
        path = job(folder / name, server, training)
        begun = time.monotonic()
        fault = {"kinds": [name] if name in FILES else [], "action": "count"}
        ended = forker.run(path, learn=name == "first", fault=fault)
        assert ended.code == 0, ended.text
        seconds = time.monotonic() - begun
        passed |= {name: ended.counts["ops"]} if name in FILES else ended.counts["points"]
    return Whole(small_job.ids(path), passed, seconds)


class Victim:
    """A copy of the job that is killed again and again."""

    def __init__(self, folder: Path, forker: Forker, server: FakeServer, training: bool) -> None:
        self.path, self.forker, self.server = job(folder, server, training), forker, server
        self.notes = folder / "committed"
        self.ended: Ended | None = None
        with server.lock:
            server.asked.clear()

    def at(self, point: str, side: str, count: int) -> Kill:
        """Run it until the `count`-th passage of a point."""
        if point in FILES:
            return self._told(point, {"fault": {"kinds": [point], "at": count, "action": side}})
        return self._told(point, {"point": {"name": point, "at": count, "side": side}})

    def after(self, seconds: float) -> Kill:
        """Run it for some seconds."""
        return self._told(TIME, {}, seconds)

    def _told(self, point: str, request: dict[str, object], seconds: float | None = None) -> Kill:
        before = small_job.repeats(self.server)
        if seconds is None:
            self.ended = self.forker.run(self.path, notes=self.notes, **request)
        else:
            self.ended = self.forker.killed_after(self.path, seconds, notes=self.notes)
        came = self.ended.code == -signal.SIGKILL
        assert came or self.ended.code == 0, self.ended.text
        kill = Kill(point, came, injected.broken(self.path), injected.lost(self.path, self.notes))
        kill.repeated = small_job.repeats(self.server) - before
        return kill

    @property
    def done(self) -> bool:
        """Whether the last run came to its end."""
        return self.ended is not None and self.ended.code == 0


@dataclass
class Tally:
    """What was seen, kill by kill, how many jobs completed with equal content ids, and those with a file put aside."""

    kills: list[Kill] = field(default_factory=list)
    completed: int = 0
    equal: int = 0
    aside: int = 0

    def count(self, point: str) -> int:
        """Return how many kills came at a point."""
        return sum(kill.point == point for kill in self.kills)


def campaign(
    folder: Path,
    forker: Forker,
    server: FakeServer,
    asked: Sequence[tuple[str, str]],
    *,
    seed: int = 0,
    times: int = 0,
    training: bool = False,
    seconds: float = math.inf,
    tell: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Kill jobs once for each (point, side) of `asked` and `times` times at random, in an order drawn by `seed`.

    A point that a job no longer passes is asked for again in the next job. After `seconds` none is asked for any more.
    """
    chance, tally = random.Random(seed), Tally()
    reference = whole(folder / "whole", forker, server, training)
    left = [*asked, *[(TIME, "")] * times]
    chance.shuffle(left)
    number = 0
    victim = Victim(folder / f"job-{number}", forker, server, training)
    begun = time.monotonic()
    while left or not victim.done:
        left = left if time.monotonic() - begun < seconds else []
        point, side = left[0] if left else (TIME, "")
        if victim.done:
            number += 1
            victim = Victim(folder / f"job-{number}", forker, server, training)
        if not left:
            kill = victim.after(3600)
        elif point == TIME:
            kill = victim.after(0.05 + chance.random() * reference.seconds / 2)
        else:
            kill = victim.at(point, side, chance.randint(1, max(1, reference.passed[point] // 3)))
        if kill.came:
            tally.kills.append(kill)
            left = left[1:]
            if len(tally.kills) % 20 == 0:
                tell(f"{len(tally.kills)} kills, {tally.completed} jobs completed")
        else:
            tally.completed += 1
            tally.equal += small_job.ids(victim.path) == reference.ids
            tally.aside += (small_job.manifest(victim.path) / "work" / f"{FILE}{ASIDE}").exists()
            left = left[1:] + left[:1]
    return tally
