"""Questions answered by a job's engine: the same replies as here, a model per worker, a death survived."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from curate import spread
from curate.cache import CallCache
from curate.inquiry import CACHE, Inquiry
from curate.judge import Judge
from curate.judges import Call, Menu, Writing
from curate.judges.openai import OpenAI
from curate.judges.vllm import Vllm
from curate.spread import Held, Part, spreads
from manifests.component import Context, Inline
from manifests.engine import Local
from manifests.errors import Interrupted, UserError
from tests.curate import tiny_model
from tests.curate.judged import numbered
from tests.curate.remembering import Remembering, notes

MENU = Menu((" yes", " no"), "?")
ROWS = numbered(300)


@pytest.fixture
def log(tmp_path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def two():
    with Local(workers=2).open() as engine:
        yield engine


def scores(judge, root: Path, engine=None):
    return Judge(judge=judge, prompt="plain").score(ROWS, Context(root=root, engine=engine or Inline())).scores


def calls(n: int) -> list[Call]:
    return [Call(f"k{i}", f"prompt {i}", f"s{i}", f"c{i}") for i in range(n)]


def test_workers_answer_as_this_process_does_and_each_opens_the_model_once(two, log, tmp_path):
    here = scores(Remembering(log=str(log)), tmp_path / "here")
    assert list(notes(log)) == [os.getpid()]
    there = scores(Remembering(log=str(log), spread=True), tmp_path / "there", two)
    assert there.equals(here)
    assert there["value"].n_unique() > 290
    seen = {pid: said for pid, said in notes(log).items() if pid != os.getpid()}
    assert len(seen) == 2
    assert [said.count("open") for said in seen.values()] == [1, 1]
    asked = Counter(what for said in seen.values() for what in said if what != "open")
    assert len(asked) == 300
    assert set(asked.values()) == {1}


def test_texts_are_written_by_the_workers_too(two, log, tmp_path):
    with Inquiry(Remembering(log=str(log), spread=True), (), Context(root=tmp_path, engine=two)) as inquiry:
        how = Writing(4, n=2)
        replies = inquiry.write([inquiry.call(f"p{i}", how, "s", f"c{i}") for i in range(70)], how)
    assert {len(reply.texts) for reply in replies.values()} == {2}
    assert os.getpid() not in notes(log)


def test_a_worker_that_is_killed_is_replaced_and_its_part_asked_again(two, log, tmp_path):
    here = scores(Remembering(log=str(log)), tmp_path / "here")
    deadly = Remembering(log=str(log), spread=True, deadly="What is 123 plus")
    there = scores(deadly, tmp_path / "there", two)
    assert (log / "killed").exists()
    assert there.equals(here)
    asked = Counter(what for pid, said in notes(log).items() if pid != os.getpid() for what in said)
    repeated = sum(n - 1 for what, n in asked.items() if what not in ("open", "close"))
    assert repeated < spread._LEAST + 2, "more was asked again than the part in hand"


def test_an_engine_that_fails_in_a_worker_is_reported_and_finished_parts_are_kept(two, log, tmp_path):
    judge = Remembering(log=str(log), spread=True, refused="What is 123 plus")
    context = Context(root=tmp_path, engine=two)
    with pytest.raises(UserError, match="had enough"):
        Judge(judge=judge, prompt="plain").score(ROWS, context)
    left = Judge(judge=judge, prompt="plain").pending(ROWS, context)
    assert 0 < left < 300
    log_before = Counter(what for said in notes(log).values() for what in said)
    found = Judge(judge=Remembering(log=str(log), spread=True), prompt="plain").score(ROWS, context)
    assert found.scores["status"].to_list() == ["ok"] * 300
    log_after = Counter(what for said in notes(log).values() for what in said)
    assert sum((log_after - log_before)[key] for key in log_after if key not in ("open", "close")) == left


def test_a_stop_is_obeyed_between_parts(log, tmp_path):
    stopping = [False]
    with Local(workers=1).open(lambda: stopping[0]) as engine:
        context = Context(
            root=tmp_path,
            engine=engine,
            stopping=lambda: stopping[0],
            progress=lambda done, _: stopping.__setitem__(0, done > 0),
        )
        judge = Judge(judge=Remembering(log=str(log), spread=True), prompt="plain")
        with pytest.raises(Interrupted):
            judge.score(ROWS, context)
    assert 0 < judge.pending(ROWS, Context(root=tmp_path)) < 300


class Cluster(Inline):
    cluster = True


@pytest.mark.parametrize(
    ("wanted", "engine", "expected"),
    [
        (None, Inline(), False),
        (None, Cluster(), True),
        (False, Cluster(), False),
        (True, Inline(), True),
    ],
)
def test_a_judge_spreads_over_a_cluster_unless_it_says_otherwise(tmp_path, wanted, engine, expected):
    assert spreads(Vllm(model="a/b", spread=wanted), Context(root=tmp_path, engine=engine)) is expected


def test_processes_of_one_machine_are_no_cluster_and_a_server_is_asked_from_here(tmp_path, two):
    assert not spreads(Vllm(model="a/b"), Context(root=tmp_path, engine=two))
    assert not spreads(OpenAI(url="http://h", model="m"), Context(root=tmp_path, engine=Cluster()))


def part(log: Path, **fields) -> Part:
    return Part(Remembering(log=str(log), **fields), (MENU,), log, MENU, tuple(calls(3)))


def test_another_engine_or_another_menu_closes_the_one_that_is_open(log):
    held = Held()
    first = held.session(part(log))
    assert held.session(part(log)) is first
    assert held.session(part(log, batch=7)) is not first
    assert notes(log)[os.getpid()] == ["open", "close", "open"]
    held.close()
    assert notes(log)[os.getpid()] == ["open", "close", "open", "close"]


def test_a_worker_that_is_asked_nothing_gives_its_memory_back(log, monkeypatch):
    monkeypatch.setattr(spread, "IDLE", 0.05)
    held = Held()
    monkeypatch.setattr(spread, "_HELD", held)
    assert len(spread.answer(part(log))) == 3
    end = time.monotonic() + 10
    while notes(log)[os.getpid()][-1] != "close" and time.monotonic() < end:
        time.sleep(0.01)
    assert notes(log)[os.getpid()][-1] == "close"
    assert len(spread.answer(part(log))) == 3
    held.close()


def test_a_session_that_failed_is_not_used_again(log, monkeypatch):
    held = Held()
    monkeypatch.setattr(spread, "_HELD", held)
    with pytest.raises(UserError):
        spread.answer(part(log, refused="prompt 1"))
    spread.answer(part(log, refused="nothing"))
    assert notes(log)[os.getpid()].count("open") == 2
    held.close()


def test_the_size_of_a_part_lets_every_worker_have_some_and_bounds_what_a_death_costs(log, tmp_path):
    sizes = []

    class Noting(Inline):
        def map(self, function, parts):
            for one in parts:
                sizes.append(len(one.calls))
                yield function(one)

    session = spread.Spread(Remembering(log=str(log)), (MENU,), Context(root=tmp_path, engine=Noting()))
    for n, size in ((40, 32), (1600, 100), (40_000, spread.MOST)):
        sizes.clear()
        found = [reply.key for batch in session.ask(calls(n), MENU) for reply in batch]
        assert sorted(found) == sorted(call.key for call in calls(n))
        assert max(sizes) == size


RAY = """
import sys
from pathlib import Path
from curate.judge import Judge
from curate.judges.vllm import Vllm
from manifests.component import Context
from manifests.engine import Ray
from tests.curate.test_spread import ROWS

model, root, where = sys.argv[1:]
judge = Judge(judge=Vllm(model=model, max_model_len=128, chunk=32), prompt="plain")
if where == "here":
    found = judge.score(ROWS, Context(root=Path(root)))
else:
    with Ray(workers=2).open() as engine:
        found = judge.score(ROWS, Context(root=Path(root), engine=engine))
found.scores.sort("sample_id").write_parquet(Path(root) / "scores.parquet")
"""


@pytest.mark.vllm
@pytest.mark.long
def test_a_ray_cluster_of_real_engines_gives_the_scores_of_one(tmp_path):
    pytest.importorskip("ray")
    import polars as pl

    model = tiny_model.build(tmp_path / "model", steps=30)
    found = {}
    for where in ("here", "ray"):
        root = tmp_path / where
        root.mkdir()
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        subprocess.run([sys.executable, "-c", RAY, str(model), str(root), where], check=True, env=environment)
        found[where] = pl.read_parquet(root / "scores.parquet")
        with CallCache(root / CACHE) as cache:
            assert len(cache.get(found[where]["key"])) == 300
    assert found["ray"]["sample_id"].equals(found["here"]["sample_id"])
    assert found["ray"]["key"].equals(found["here"]["key"])
    assert found["ray"]["status"].to_list() == ["ok"] * 300
    assert (found["ray"]["value"] - found["here"]["value"]).abs().max() < 1e-5
    assert ((found["ray"]["value"] > 0.5) == (found["here"]["value"] > 0.5)).all()
