"""Killed, interrupted, cut off from power: cases 63 to 67."""

from __future__ import annotations

import json
import signal
import threading
import time

import pytest

from manifests.store import Manifest
from tests.curate.fake_server import FakeServer
from tests.faults import injected, killing
from tests.faults.injected import power_cut
from tests.manifests.jobs import small_job

POINTS = [
    (point, side)
    for point in (*killing.FILES, *killing.OURS)
    for side in killing.SIDES.get(point, ("before", "after"))
    if point != "adapter save"
]


def sound(tally):
    assert [kill for kill in tally.kills if kill.torn or kill.lost] == []
    assert max(kill.repeated for kill in tally.kills) <= killing.IN_FLIGHT
    assert tally.completed == tally.equal > 0


def test_case_063_a_job_killed_at_random_times_loses_nothing_and_ends_the_same(forker, tmp_path):
    with FakeServer(small_job.answer) as server:
        tally = killing.campaign(tmp_path, forker, server, [], times=3)
    assert tally.count(killing.TIME) == 3
    sound(tally)


def test_case_064_a_job_killed_at_every_named_point_loses_nothing_and_ends_the_same(forker, tmp_path):
    with FakeServer(small_job.answer) as server:
        tally = killing.campaign(tmp_path, forker, server, dict(POINTS).items())
    assert {kill.point for kill in tally.kills} >= set(dict(POINTS))
    sound(tally)


def test_case_064_what_was_committed_before_a_kill_is_published_before_anything_else_is_done(forker, tmp_path):
    with FakeServer(small_job.answer) as server:
        victim = killing.Victim(tmp_path, forker, server, training=False)
        assert victim.at("publish", "before", 3).came
        committed = [json.loads(line)[0] for line in victim.notes.read_text().splitlines()]
        with Manifest(small_job.manifest(victim.path)) as published:
            assert committed[-1] not in published.status()["stage"]
        assert victim.at("begin", "before", 1).came
    with Manifest(small_job.manifest(victim.path)) as published:
        assert set(committed) == set(published.status()["stage"])


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_case_063_two_hundred_kills_at_random_times_lose_nothing(forker, tmp_path):
    with FakeServer(small_job.answer) as server:
        tally = killing.campaign(tmp_path, forker, server, [], times=200, seed=1)
    assert tally.count(killing.TIME) >= 200
    sound(tally)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_case_064_ten_kills_on_each_side_of_every_point_of_a_job_that_trains_lose_nothing(forker, tmp_path):
    asked = [(point, side) for point, side in [*POINTS, ("adapter save", "before"), ("adapter save", "after")]] * 10
    with FakeServer(small_job.answer) as server:
        tally = killing.campaign(tmp_path, forker, server, asked, seed=2, training=True)
    assert len(tally.kills) >= 200
    sound(tally)


def interrupted(forker, path, server, *signals):
    """Start the job, send it the signals while it judges, and return how it ended and the seconds that it then took."""
    pid = forker.start(["run", path], small_job.manifest(path))
    sent = []

    def send():
        while server.answered.total() < 6:
            time.sleep(0.02)
        sent.append(time.monotonic())
        for number in signals:
            injected.send(pid, number)
            time.sleep(0.1)

    thread = threading.Thread(target=send)
    thread.start()
    ended = forker.wait()
    thread.join()
    return ended, time.monotonic() - sent[0]


def case_interrupted(forker, tmp_path, *signals):
    with FakeServer(small_job.answer) as server:
        reference = small_job.without_training(small_job.write(tmp_path / "whole", small_job.served(server)))
        small_job.go(reference)
        for counter in (server.asked, server.answered):
            counter.clear()
        path = small_job.without_training(small_job.write(tmp_path / "stopped", small_job.served(server)))
        ended, _ = interrupted(forker, path, server, *signals)
        assert ended.code == 130, ended.text
        assert "Traceback" not in ended.text or len(signals) > 1  # Python tells of generators that were cut off
        assert injected.broken(path) == []
        assert "step:3-decontaminate" in small_job.keys(path)
        assert forker.run(path).code == 0
        assert small_job.ids(path) == small_job.ids(reference)
        assert small_job.repeats(server) <= killing.IN_FLIGHT
    return ended


def test_case_065_sigterm_keeps_what_is_answered_publishes_and_repeats_only_calls_in_flight(forker, tmp_path):
    assert "finished calls are kept" in case_interrupted(forker, tmp_path, signal.SIGTERM).text


def test_case_066_ctrl_c_keeps_what_is_answered_publishes_and_repeats_only_calls_in_flight(forker, tmp_path):
    assert "finished calls are kept" in case_interrupted(forker, tmp_path, signal.SIGINT).text


def test_case_066_a_second_ctrl_c_ends_the_job_at_once(forker, tmp_path):
    assert case_interrupted(forker, tmp_path, signal.SIGINT, signal.SIGINT).code == 130


IN_A_STATEMENT = """
import duckdb, os, signal, threading, time
from manifests.store import Store
publish = Store.publish
def twice():
    for _ in range(2):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)
def slow(store):
    if points.passed["publish"] == 2:
        one = duckdb.connect(config={"threads": 1})  # DuckDB does not interrupt a scan in its other threads
        threading.Thread(target=twice).start()
        one.execute("SELECT count(*) FROM range(1000000000000) AS t(n) WHERE n % 7 = 8")
    return publish(store)
Store.publish = slow
"""


def test_case_066_a_second_ctrl_c_ends_the_job_at_once_in_the_middle_of_a_statement(forker, tmp_path, whole):
    path = small_job.without_training(small_job.write(tmp_path / "job"))
    ended = forker.run(path, prepare=IN_A_STATEMENT)
    assert (ended.code, "Traceback" in ended.text) == (130, False)
    assert injected.broken(path) == []
    assert forker.run(path).code == 0
    assert small_job.ids(path) == small_job.ids(whole)


LONG = [pytest.param(point, marks=pytest.mark.long) for point in ("checkpoint", "publish")]


@pytest.mark.parametrize("point", ["commit", *LONG])
def test_case_067_what_was_not_forced_to_the_disk_is_lost_and_the_job_goes_on_from_what_was(
    forker, tmp_path, whole, point
):
    path = small_job.without_training(small_job.write(tmp_path / "job"))
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    fault = {"kinds": ["write", "fsync", "rename"], "action": "count", "shadow": shadow}
    notes = tmp_path / "committed"
    for at in (1, 3):
        ended = forker.run(path, fault=fault, point={"name": point, "at": at, "side": "after"}, notes=notes)
        assert ended.code == -signal.SIGKILL
        power_cut(small_job.manifest(path), shadow)
        assert injected.broken(path) == []
        assert injected.lost(path, notes) == []
    assert forker.run(path).code == 0
    assert small_job.ids(path) == small_job.ids(whole)
