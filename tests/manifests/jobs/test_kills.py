"""Killed, interrupted, shut out: what is left of a job in a process of its own, and how it goes on."""

from __future__ import annotations

import os
import signal

import pytest

from tests.curate.fake_server import FakeServer
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import edit, ids, manifest, orphans, start, until

AFTER = {"read": None, "step": "read:held-out", "score": "step:3", "cells": "score:4", "mix": "cells:"}
SLOW = {"train": "base:scratch", "measure": "train: 4", "compare": "measure: 4"}


def said(log, text):
    return log.exists() and any(line.startswith(text) for line in log.read_text("utf-8").splitlines())


def judging(server, calls):
    return sum(server.answered.values()) >= calls


def moment(kind, path, log, server):
    """Return a condition that turns true while a stage of this kind is at work, or is next."""
    if kind == "read":
        return lambda: said(log, "read:pool")
    if kind == "score":
        return lambda: judging(server, 12)
    if kind == "base":
        return lambda: said(log, "mix:near@1") and (manifest(path) / "bases").is_dir()
    if kind == "train":
        return lambda: any((manifest(path) / "runs").glob("*/run.json"))
    return lambda: said(log, {**AFTER, **SLOW}[kind])


def killed_at(kinds, path, server, *options):
    """Kill the job once at each kind of stage, then let it end; check what is left after each kill."""
    log = path.parent / "log"
    for kind in kinds:
        log.unlink(missing_ok=True)
        before = small_job.repeats(server)
        process = start(path, *options, log=log)
        assert until(moment(kind, path, log, server), process), (kind, log.read_text("utf-8"))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert orphans(process.pid) == []
        assert small_job.broken(path) == []
        assert small_job.repeats(server) - before <= 2 * 2, kind  # two connections, and an answer in hand for each
    process = start(path, *options, log=log)
    assert process.wait(300) == 0, log.read_text("utf-8")


def test_a_job_killed_before_training_draws_the_same_blends(here, tmp_path):
    with FakeServer(small_job.answer) as server:
        whole = small_job.without_training(small_job.write(tmp_path / "whole", small_job.served(server)))
        small_job.go(whole)
        server.asked.clear()
        server.answered.clear()
        path = small_job.without_training(small_job.write(tmp_path / "killed", small_job.served(server)))
        killed_at(AFTER, path, server)
        assert ids(path) == ids(whole)
        assert len(server.asked) == 36 + 1


def test_a_job_killed_while_training_gives_the_same_weights(done, tmp_path):
    with FakeServer() as server:
        path = small_job.write(tmp_path)
        killed_at(["base", "train"], path, server, "--workers", "2")
    assert ids(path) == ids(done)


@pytest.mark.long
def test_a_job_killed_at_every_kind_of_stage_gives_the_same_content(here, tmp_path):
    with FakeServer(small_job.answer) as server:
        whole = small_job.write(tmp_path / "whole", small_job.served(server))
        small_job.go(whole)
        server.asked.clear()
        server.answered.clear()
        path = small_job.write(tmp_path / "killed", small_job.served(server))
        killed_at([*AFTER, "base", *SLOW], path, server, "--workers", "2")
        assert ids(path) == ids(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_the_job_with_what_is_finished(number, done, tmp_path):
    path, log = small_job.write(tmp_path), tmp_path / "log"
    process = start(path, "--workers", "2", log=log)
    assert until(lambda: said(log, "mix:near@1"), process)  # workers start: they have no handlers yet
    os.killpg(process.pid, number)
    assert process.wait(120) == 130
    text = log.read_text("utf-8")
    assert "Traceback" not in text
    assert "goes on from here" in text
    assert orphans(process.pid) == []
    assert small_job.broken(path) == []
    assert "mix:near@1" in small_job.keys(path)
    assert ids(path).items() <= ids(done).items()


def test_the_exit_code_is_that_of_the_mistake(tmp_path):
    path = small_job.without_training(small_job.write(tmp_path))
    edit(path, ("rows: 16", "rows: 160"))
    process = start(path)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "160" in text
    assert "Traceback" not in text
    edit(path, ("rows: 160", "rows: 16"), ("error_budget: 0.1", "error_budget: 0.001"))
    process = start(path, "--error-budget", "0.01")
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "2 of 56 rows rejected" in text


def test_a_second_process_is_told_who_writes(tmp_path):
    with FakeServer(small_job.answer) as server:
        path, log = small_job.without_training(small_job.write(tmp_path, small_job.served(server))), tmp_path / "log"
        first = start(path, log=log)
        assert until(lambda: judging(server, 2), first)
        second = start(path)
        text, _ = second.communicate(timeout=120)
        assert second.returncode == 3
        assert f"process {first.pid}" in text
        assert "Traceback" not in text
        assert first.wait(120) == 0
