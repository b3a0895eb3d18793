"""A judge before a server that fails: scores, statuses and bills; then a job killed while it judges.

    python -m tests.benchmarks.flaky_server --calls 10000 --kills 12 --seed 0

Which call meets which fault hangs on a hash of its prompt: 5 % status 500, 502, 503 or 429, 2 % no answer in time, 2 %
malformed (half no JSON, half JSON of another shape), 1 % cut in the middle of the body, 1 % off the menu. A passing
fault hits the first attempt only; a lasting one all of them. An answer off the menu is the model's own and the same
each time, so it lasts in both runs. Each run is repeated as a user would repeat the command: the second time the
server is well. The kills are of `blendsmith run`, by SIGKILL, after a random number of answered calls.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sqlite3
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import polars as pl

from curate.inquiry import CACHE
from curate.judge import Judge
from curate.judges.openai import OpenAI
from curate.prompt import load_prompt, render
from manifests.component import Context
from tests.curate.fake_server import PROBE, Action, FakeServer
from tests.curate.judged import numbered
from tests.manifests.jobs import small_job

SHARES: Final = {"5xx": 50, "time-out": 20, "no JSON": 10, "another shape": 10, "cut": 10, "off the menu": 10}
"""Fault -> calls in a thousand."""
RATE: Final = sum(SHARES.values()) / 1000
SLACK: Final = 1.05
STATUSES: Final = (500, 502, 503, 429)
CONCURRENCY: Final = 16
JOB: Final = """\
name: small
sources:
  - {name: pool, path: data/pool.jsonl, format: prompt-completion, role: generalist, licence: CC0-1.0}
curate:
  - {kind: judge, judge: JUDGE}
mix:
  - {kind: proportional, name: all, rows: 10}
"""


def fault_of(prompt: str, seed: int) -> str | None:
    """Return the fault that a call meets, None for most."""
    place = zlib.crc32(f"{seed} {prompt}".encode()) % 1000
    for name, share in SHARES.items():
        if place < share:
            return name
        place -= share
    return None


def answer(prompt: str) -> Action:
    """Return the clean answer: its probabilities hang on the prompt alone."""
    wrong = (zlib.crc32(prompt.encode()) % 97 + 1) / 100
    return Action({" correct": 0.99 - wrong, " wrong": wrong})


@dataclass
class Flaky:
    """A script for the fake server: which faults it makes, and whether they last."""

    seed: int
    late: float
    """Seconds after which a late answer comes: more than the client waits."""
    lasting: bool = False
    well: bool = False
    """Whether the server has recovered from all but the answers off the menu."""

    def __call__(self, prompt: str, before: int, request: Mapping[str, Any]) -> Action:
        """Return the answer or the fault."""
        fault = None if prompt == PROBE else fault_of(prompt, self.seed)
        if fault == "off the menu":
            return Action({" maybe": 0.9, " correct": 0.02})
        if fault is None or self.well or (before and not self.lasting):
            return answer(prompt)
        if fault == "5xx":
            return Action(status=STATUSES[zlib.crc32(prompt.encode()) % len(STATUSES)], body=b"{}")
        if fault == "time-out":
            return Action(answer(prompt).tokens, delay=self.late)
        if fault == "cut":
            return Action(answer(prompt).tokens, cut=True)
        return Action(body=b"<html>bad gateway</html>" if fault == "no JSON" else b'{"choices": []}')


@dataclass(frozen=True)
class Run:
    """What one run of the judge gave, and how many calls the server was asked."""

    scores: pl.DataFrame
    billed: int

    @property
    def counts(self) -> dict[str, int]:
        """Rows by status."""
        return dict(sorted(self.scores["status"].value_counts().iter_rows()))

    @property
    def reasons(self) -> dict[str, int]:
        """Failed rows by the beginning of their reason."""
        return dict(Counter(" ".join(why.split()[:3]) for why in self.scores["why"].drop_nulls()).most_common())


def judged(samples: pl.DataFrame, server: FakeServer, root: Path, retries: int, timeout: float) -> Run:
    """Score the samples once; failed calls of an earlier run under `root` are asked again."""
    before = server.asked.total() - server.asked[PROBE]
    engine = OpenAI(
        url=server.url, model="judge-1", concurrency=CONCURRENCY, retries=retries, backoff=0.01, timeout=timeout
    )
    scores = Judge(judge=engine, prompt="plain").score(samples, Context(root=root)).scores
    return Run(scores.drop("key"), server.asked.total() - server.asked[PROBE] - before)


def flaky_runs(
    samples: pl.DataFrame, root: Path, *, lasting: bool, retries: int, seed: int = 0, timeout: float = 2.5
) -> tuple[Run, Run]:
    """Return the run before a failing server, and the same once more when the server is well."""
    script = Flaky(seed, 1.5 * timeout, lasting)
    with FakeServer(script) as server:
        first = judged(samples, server, root, retries, timeout)
        script.well = True
        return first, judged(samples, server, root, retries, timeout)


def clean_run(samples: pl.DataFrame, root: Path, seed: int = 0) -> Run:
    """Return the run before a server that is always well; answers off the menu are there too."""
    with FakeServer(Flaky(seed, 0.0, well=True)) as server:
        return judged(samples, server, root, 0, 60.0)


def faults(server_prompts: Mapping[str, int], seed: int) -> Counter[str | None]:
    """Return how many of the prompts meet each fault."""
    return Counter(fault_of(prompt, seed) for prompt in server_prompts if prompt != PROBE)


@dataclass(frozen=True)
class Kill:
    """One SIGKILL of a job that judged: the calls answered, stored, and asked again afterwards."""

    answered: int
    stored: int
    repeated: int
    stored_and_repeated: int


def write_job(folder: Path, server: FakeServer, rows: int, concurrency: int) -> Path:
    """Write a job whose work is judging `rows` rows; return its file."""
    pool = [{"prompt": f"What is {i} plus {i}?", "completion": f"It is {2 * i}."} for i in range(rows)]
    small_job.lines(folder / "data" / "pool.jsonl", pool)
    judge = f"{{kind: openai, url: '{server.url}', model: judge-1, concurrency: {concurrency}}}"
    (folder / "job.yaml").write_text(JOB.replace("JUDGE", judge), "utf-8")
    return folder / "job.yaml"


def killed_while_judging(folder: Path, kills: int, rows: int, concurrency: int, seed: int) -> Iterator[Kill]:
    """Kill `blendsmith run` again and again while it judges, then let it end; give what each kill cost."""
    chance, most = random.Random(seed), rows // (kills + 1) - 2 * concurrency
    with FakeServer(lambda prompt, *_: _numbered_answer(prompt, rows)) as server:
        path, log = write_job(folder, server, rows, concurrency), folder / "log"
        states = []
        for _ in range(kills):
            least = _answered(server) + chance.randint(1, most)
            process = small_job.start(path, log=log)
            reached = small_job.until(lambda least=least: _answered(server) >= least, process)
            assert reached, log.read_text("utf-8")
            process.kill()
            process.wait()
            time.sleep(0.2)
            states.append((_answered(server), _stored(small_job.manifest(path), rows), Counter(server.asked)))
        process = small_job.start(path, log=log)
        assert process.wait(300) == 0, log.read_text("utf-8")
        assert small_job.broken(path) == []
        states.append((_answered(server), _stored(small_job.manifest(path), rows), Counter(server.asked)))
    assert len(states[-1][1]) == rows
    for (answered, stored, asked), (_, _, after) in pairwise(states):
        again = {_number(prompt) for prompt, n in asked.items() if prompt != PROBE and after[prompt] > n}
        yield Kill(answered, len(stored), len(again), len(again & stored))


def _number(prompt: str) -> int:
    return int(re.findall(r"What is (\d+) plus", prompt)[0])


def _numbered_answer(prompt: str, rows: int) -> Action:
    """Return an answer whose probability tells which row it is about."""
    wrong = 0.5 if prompt == PROBE else 0.9 * (_number(prompt) + 1) / rows
    return Action({" correct": 1 - wrong, " wrong": wrong}, delay=0.05)


def _answered(server: FakeServer) -> int:
    return server.answered.total() - server.answered[PROBE]


def _stored(root: Path, rows: int) -> set[int]:
    """Return the rows whose answers are in the call cache."""
    if not (root / CACHE).exists():
        return set()
    with closing(sqlite3.connect(root / CACHE)) as cache:
        replies = [json.loads(text.partition("\n")[0]) for (text,) in cache.execute("SELECT reply FROM calls")]
    return {round(reply["probabilities"][1] / 0.9 * rows) - 1 for reply in replies}


def main() -> None:
    """Parse the arguments, run, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("synthetic: a local server with planted faults")
    samples = numbered(given.calls)
    with tempfile.TemporaryDirectory() as folder:
        clean = clean_run(samples, Path(folder) / "clean", given.seed)
        print(f"clean: {clean.counts}, {clean.billed:,} calls")
        for lasting, retries in ((False, 1), (False, 5), (True, 1)):
            root = Path(folder) / f"{lasting} {retries}"
            started = time.perf_counter()
            first, second = flaky_runs(samples, root, lasting=lasting, retries=retries, seed=given.seed)
            print(f"{'lasting' if lasting else 'passing'} faults, {retries} retries, at first and when run again:")
            for run in (first, second):
                same = run.scores.equals(clean.scores)
                bound = given.calls * (1 + RATE) * SLACK
                print(f"  {run.counts}; equal to the clean run: {same}; {run.billed:,} calls (bound {bound:,.0f})")
                print(f"    {run.reasons}")
            print(f"  both {first.billed + second.billed:,} calls, {time.perf_counter() - started:.0f} s")
        planted = faults({prompt: 1 for prompt in prompts(samples)}, given.seed)
        print(f"planted: {dict(planted)}")
        cost = list(killed_while_judging(Path(folder) / "kills", given.kills, 60 * given.kills, 4, given.seed))
    print(f"{len(cost)} kills of `blendsmith run` while it judges, 4 connections, so at most 8 calls in flight:")
    for kill in cost:
        print(
            f"  {kill.answered} answered, {kill.stored} stored, {kill.repeated} asked again,"
            f" {kill.stored_and_repeated} of them stored"
        )


def prompts(samples: pl.DataFrame) -> list[str]:
    """Return the prompts that the judge makes of the samples."""
    template = load_prompt("plain").text
    rows = samples.select("prompt", "response").iter_rows()
    return [render(template, {"instruction": asked, "response": said}, "") for asked, said in rows]


if __name__ == "__main__":
    main()
