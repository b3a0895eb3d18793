"""Engines: the same results in the same order wherever the parts are done, and a worker that dies costs nothing."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from manifests.component import Inline
from manifests.engine import ENGINES, Local, Ray
from manifests.errors import BusyError, Interrupted, UserError


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


class OwnError(Exception):
    """An error of a third party's component: its message is not its argument."""

    def __init__(self, left: int) -> None:
        super().__init__(left)
        self.left = left


class UnreadableError(Exception):
    """An error that pickle cannot build again: it takes more than its message."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(left + right)


ERRORS = (ValueError("v"), KeyError("k"), FileNotFoundError(2, "gone"), Interrupted("i"), OwnError(3), BusyError("b"))


def fail(n):
    raise ERRORS[n]


def pid_or_fail(n):
    return fail(0) if n else os.getpid()


def fail_unreadably(_):
    raise UnreadableError("left", "right")


def unsendable(_):
    return lambda: None


def wait_for(folder: str, n: int) -> int:
    """Note that this part was begun and wait: nothing ends it but its engine."""
    (Path(folder) / f"begun-{n}-{os.getpid()}").touch()
    time.sleep(30)
    return n


def gone(pids):
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{each}").exists() for each in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(Path(f"/proc/{each}").exists() for each in pids)


def begun(folder, n):
    deadline = time.monotonic() + 20
    while len(found := list(folder.glob("begun-*"))) < n and time.monotonic() < deadline:
        time.sleep(0.05)
    return {int(path.name.rpartition("-")[2]) for path in found}


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_an_error_keeps_its_type_and_what_it_says(two, number):
    with pytest.raises(type(ERRORS[number])) as caught:
        list(two.map(fail, [number]))
    assert caught.value.args == ERRORS[number].args
    assert str(caught.value) == str(ERRORS[number])
    assert getattr(caught.value, "left", 3) == 3


def test_a_result_or_a_part_that_cannot_be_sent_is_an_error_and_no_dead_worker(two):
    before = set(two.map(pid, range(8)))
    for function, part in ((unsendable, 1), (square, lambda: 1)):
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError), match="pickle"):
            list(two.map(function, [part]))
    assert set(two.map(pid, range(8))) == before


def test_an_error_that_cannot_be_sent_is_not_called_a_dead_worker(two):
    with pytest.raises(UserError, match="cannot be sent between processes") as caught:
        list(two.map(fail_unreadably, [1]))
    assert "missing 1 required positional argument: 'right'" in str(caught.value)
    assert list(two.map(square, range(3))) == [0, 1, 4]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_window_moves_on_with_the_results_that_are_taken(two, workers):
    taken = []
    parts = (taken.append(n) or n for n in range(30))
    with Local(workers=1).open() as one:
        for done, _ in enumerate((one if workers == 1 else two).map(square, parts), 1):
            assert len(taken) <= min(30, done + 2 * workers - 1)
    assert taken == list(range(30))


def test_results_that_nobody_takes_leave_the_engine_free(two):
    results = two.map(square, range(1000))
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert list(two.map(square, range(3))) == [0, 1, 4]


def test_two_maps_at_once_keep_their_results_apart(two):
    pairs = zip(two.map(square, range(9)), two.map(fail_at_three, (n for n in range(10, 19))), strict=True)
    assert list(pairs) == [(n * n, n + 10) for n in range(9)]


def test_a_worker_that_dies_while_others_work_loses_no_part_and_none_is_given_out_twice(two, tmp_path):
    results = two.map(partial(die_once, str(tmp_path)), (n for n in (5, 1, 2, 3, 4, 5, 6, 7)))
    assert list(results) == [25, 1, 4, 9, 16, 25, 36, 49]


def test_an_engine_closed_in_the_middle_leaves_no_process(tmp_path):
    asked = []
    with Local(workers=2).open(lambda: bool(asked)) as engine:
        results = engine.map(partial(wait_for, str(tmp_path)), range(9))

        def ask():
            pids.update(begun(tmp_path, 2))
            asked.append(True)

        pids = set()
        thread = threading.Thread(target=ask)
        thread.start()
        with pytest.raises(Interrupted, match="goes on from here"):
            next(results)
        thread.join()
    assert len(pids) == 2
    assert gone(pids)
    assert len(list(tmp_path.glob("begun-*"))) == 2


def test_an_engine_whose_job_fails_leaves_no_process(tmp_path):
    pids = []
    with pytest.raises(ValueError, match="v"), Local(workers=1).open() as engine:
        pids.extend(engine.map(pid_or_fail, range(2)))
    assert len(pids) == 1
    assert gone(pids)


def test_workers_die_with_their_parent(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        "from functools import partial\nfrom manifests.engine import Local\n"
        "from tests.manifests.test_engine import wait_for\n"
        "if __name__ == '__main__':\n"
        "    with Local(workers=1).open() as engine:\n"
        f"        list(engine.map(partial(wait_for, {str(tmp_path)!r}), range(2)))\n"
    )
    root = Path(__file__).parents[2]
    job = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(root)})
    pids = begun(tmp_path, 1)
    job.kill()
    job.wait()
    assert len(pids) == 1
    assert gone(pids)
