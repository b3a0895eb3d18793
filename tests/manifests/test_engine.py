"""Engines: the same results in the same order wherever the parts are done, and a worker that dies costs nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from manifests.component import Inline
from manifests.engine import ENGINES, Local, Ray
from manifests.errors import Interrupted, UserError


def square(n: int) -> int:
    return n * n


def pid(_: int) -> int:
    return os.getpid()


def fail_at_three(n: int) -> int:
    if n == 3:
        raise UserError("three is not to be had", value=n, remedy="take four")
    return n


def die_once(folder: str, n: int) -> int:
    """End this worker as the kernel does when memory runs out, the first time that part 5 is done."""
    mark = Path(folder) / "died"
    if n == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n


def die(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def slow(n: int) -> int:
    time.sleep(0.2)
    return n


def recorded(folder: str, n: int) -> int:
    (Path(folder) / f"done-{n}").touch()
    return n


@pytest.fixture(scope="module")
def two():
    """Two processes, used by all tests that leave them whole."""
    with Local(workers=2).open() as engine:
        yield engine


@pytest.fixture(scope="module")
def ray_engine():
    """Ray on this machine, started once."""
    pytest.importorskip("ray")
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Ray(workers=2).open() as engine:
        assert list(engine.map(square, range(3))) == [0, 1, 4]
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
        yield engine


def test_results_come_in_the_order_of_the_parts(two):
    assert list(two.map(square, range(50))) == list(Inline().map(square, range(50)))
    assert list(two.map(square, ())) == []


def test_the_work_is_done_by_as_many_processes_as_asked(two):
    pids = set(two.map(pid, range(20)))
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_no_more_parts_are_taken_than_are_in_flight(two):
    taken = []

    def parts():
        for n in range(40):
            taken.append(n)
            yield n

    results = two.map(square, parts())
    assert next(results) == 0
    assert len(taken) <= 5
    assert list(results) == [n * n for n in range(1, 40)]


def test_an_error_of_the_function_is_raised_here_and_the_engine_goes_on(two):
    results = two.map(fail_at_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UserError, match="three is not to be had") as caught:
        next(results)
    assert (caught.value.value, caught.value.remedy) == (3, "take four")
    assert list(two.map(square, range(5))) == [0, 1, 4, 9, 16]


def test_an_error_among_the_parts_is_raised_here(two):
    def parts():
        yield 1
        raise UserError("the file changed")

    with pytest.raises(UserError, match="the file changed"):
        list(two.map(square, parts()))


def test_the_part_of_a_killed_worker_is_done_again(two, tmp_path):
    assert list(two.map(partial(die_once, str(tmp_path)), range(12))) == [n * n for n in range(12)]
    assert (tmp_path / "died").exists()


def test_a_worker_killed_from_outside_is_replaced(two):
    victim = next(iter(two.map(pid, range(1))))
    results = two.map(slow, range(6))
    assert next(results) == 0
    os.kill(victim, signal.SIGKILL)
    assert list(results) == [1, 2, 3, 4, 5]


def test_a_part_that_kills_every_worker_is_given_up(two):
    with pytest.raises(UserError, match="died 3 times over the same piece of work"):
        list(two.map(die, range(2)))
    assert list(two.map(square, range(3))) == [0, 1, 4]


def test_the_engine_stops_when_it_is_asked_to():
    asked = []
    with Local(workers=1).open(lambda: bool(asked)) as engine:
        results = engine.map(slow, range(100))
        assert next(results) == 0
        asked.append(True)
        begun = time.monotonic()
        with pytest.raises(Interrupted):
            list(results)
    assert time.monotonic() - begun < 2


def test_processes_end_with_the_engine():
    with Local(workers=2).open() as engine:
        pids = set(engine.map(pid, range(8)))
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{each}").exists() for each in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{each}").exists() for each in pids)


def test_nothing_starts_before_it_is_used(monkeypatch):
    monkeypatch.setattr("manifests.engine.ProcessPoolExecutor", None)
    with Local(workers=2).open() as engine:
        assert list(engine.map(square, ())) == []


def test_ray_gives_the_same_results_in_order_and_raises_the_function_s_errors(ray_engine):
    assert list(ray_engine.map(square, range(50))) == [n * n for n in range(50)]
    with pytest.raises(UserError, match="three is not to be had"):
        list(ray_engine.map(fail_at_three, range(6)))


def test_ray_does_the_part_of_a_killed_worker_again(ray_engine, tmp_path):
    assert list(ray_engine.map(partial(die_once, str(tmp_path)), range(12))) == [n * n for n in range(12)]
    assert (tmp_path / "died").exists()


def test_a_cluster_that_is_not_there_is_a_user_error(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def init(**_):
        raise ConnectionError("Could not find any running Ray instance.\nmore")

    monkeypatch.setattr(ray, "init", init)
    with Ray(address="auto").open() as engine, pytest.raises(UserError, match="no Ray cluster") as caught:
        list(engine.map(square, range(3)))
    assert "ray start --head" in str(caught.value)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"blendsmith\[ray\]"), Ray().open():
        pass


def test_engines_are_looked_up_by_kind():
    assert ENGINES.load("local") is Local
    with pytest.raises(UserError, match="did you mean 'local'"):
        ENGINES.load("locale")
