"""Writers and readers of one manifest, clocks, filesystems, changed jobs and code: cases 72 to 75 and 80 to 83."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading

import pytest

from curate.exact import Exact
from manifests import filesystem
from manifests.errors import BusyError
from manifests.jobs.plan import plan
from manifests.jobs.spec import load_job
from manifests.lock import Lock
from manifests.store import FILE, Manifest, Store
from tests.faults import injected
from tests.manifests.jobs import small_job
from tests.manifests.test_store import read, record

HOLD = """
import sys
from pathlib import Path
from manifests.store import Store
with Store(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(root):
    """Start a process that writes a manifest, and return it once it does."""
    environment = {**os.environ, "PYTHONPATH": str(injected.ROOT)}
    command = [sys.executable, "-c", HOLD, str(root)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert started.stdout.readline() == b"held\n"
    return started


@pytest.fixture
def path(tmp_path):
    return small_job.without_training(small_job.write(tmp_path / "job"))


def test_case_072_a_second_run_exits_with_3_and_names_the_process_that_writes(forker, path):
    first = holder(small_job.manifest(path))
    for _ in range(2):
        second = forker.run(path)
        assert second.code == 3
        assert f"process {first.pid}" in second.text
        assert "Traceback" not in second.text
    first.communicate()
    assert forker.run(path).code == 0


def test_case_073_the_lock_of_a_process_that_died_is_taken_over(tmp_path):
    held = holder(tmp_path)
    with pytest.raises(BusyError):
        Store(tmp_path).__enter__()
    held.kill()
    held.communicate()
    assert (tmp_path / ".lock").read_text() == str(held.pid)
    with Store(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_case_074_a_reader_that_is_open_during_a_job_hinders_nobody(forker, path):
    with Store(small_job.manifest(path)) as store:
        store.publish()
    with Manifest(small_job.manifest(path)) as reader:
        assert forker.run(path).code == 0
        assert reader.status().is_empty()
        assert reader.verify()["ok"].all()
    assert small_job.broken(path) == []


@pytest.mark.parametrize("opens", [50, pytest.param(1000, marks=pytest.mark.long)])
def test_case_074_readers_that_come_and_go_while_a_job_publishes_are_never_refused(tmp_path, opens):
    opened, stages, stop = [], [], threading.Event()
    with Store(tmp_path) as store:
        store.commit(record("read:s"), read("s", 3))
        store.publish()

        def write():
            for n in range(10**6):
                if stop.is_set():
                    return
                store.commit(record(f"read:s{n % 5}", n, key=str(n)), read(f"s{n % 5}", 20))
                store.publish()
                stages.append(n)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(opens):
            with Manifest(tmp_path) as manifest:
                row = "SELECT (SELECT sum(n_rows) FROM store.stages), (SELECT count(*) FROM store.samples)"
                written, samples = manifest.sql(f"{row} + (SELECT count(*) FROM store.sources)").row(0)
                opened.append(written == samples)
        stop.set()
        writer.join()
    assert len(opened) == opens
    assert all(opened)
    assert stages


def test_case_075_a_reader_across_a_publication_keeps_its_snapshot(tmp_path):
    with Store(tmp_path) as store:
        store.commit(record("read:a"), read("a", 5))
        store.publish()
        with Manifest(tmp_path) as reader:
            before = reader.sql("FROM samples ORDER BY sample_id")
            for n in range(3):
                store.commit(record("read:a", key=str(n)), read("a", 50 + n))
                store.publish()
                assert reader.sql("FROM samples ORDER BY sample_id").equals(before)
                with Manifest(tmp_path) as later:
                    assert later.sql("SELECT count(*) FROM samples").item() == 50 + n


BACKWARDS = """
import itertools
from datetime import datetime, timedelta
from manifests import migrations, store
from manifests.jobs import execute
count = itertools.count()
def utc():
    return datetime(2020, 1, 1) - timedelta(days=next(count))
migrations.utc = execute.utc = utc
"""


def test_case_080_a_clock_that_goes_backwards_changes_no_content_and_repeats_no_stage(forker, path, whole):
    assert forker.run(path, prepare=BACKWARDS).code == 0
    assert small_job.ids(path) == small_job.ids(whole)
    assert small_job.broken(path) == []
    order = small_job.ask(path, "SELECT stage FROM stages")["stage"].to_list()
    assert order == small_job.ask(whole, "SELECT stage FROM stages")["stage"].to_list()
    again = forker.run(path)
    assert again.code == 0
    assert "nothing to do" in again.text


def test_case_080_a_report_made_before_the_clock_was_set_back_is_made_again(tmp_path):
    from manifests.report import refresh

    with Store(tmp_path) as store:
        store.commit(record("read:a"), read("a", 5))
        store.publish()
        page = refresh(tmp_path)
        before = page.read_text("utf-8")
        store.commit(record("read:b", 1), read("b", 7))
        store.publish()
    os.utime(tmp_path / FILE, (1, 1))
    assert refresh(tmp_path).read_text("utf-8") != before
    stamp = page.stat()
    refresh(tmp_path)
    assert page.stat() == stamp


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_case_081_a_filesystem_without_locks_is_warned_of_and_the_job_goes_on(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("manifests.lock.fcntl.flock", refuse)
    with pytest.warns(UserWarning, match="knows no locks here") as caught:
        lock = Lock(tmp_path)
    lock.release()
    assert str(tmp_path) in str(caught[0].message)


def test_case_081_a_network_filesystem_is_known_by_its_mount(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    root = tmp_path.resolve()
    mounts.write_text(f"none / ext4 rw 0 0\nhost:/x {root} nfs4 rw 0 0\nnone {root}/local tmpfs rw 0 0\n")
    assert filesystem.network(tmp_path) == "nfs4"
    assert filesystem.network(tmp_path / "local" / "m") is None
    with pytest.warns(UserWarning, match="nfs4"):
        Lock(tmp_path / "m").release()
    mounts.unlink()
    assert filesystem.network(tmp_path) is None


@pytest.fixture
def finished(whole, tmp_path):
    """Return the job file of a copy of a job that ran to its blends."""
    shutil.copytree(whole.parent, tmp_path / "copy")
    return tmp_path / "copy" / whole.name


def test_case_082_a_plan_says_what_an_edit_between_runs_changes_and_why(finished):
    assert plan(load_job(finished)).totals()["run"] == 0
    small_job.edit(finished, ("rows: 12", "rows: 10"))
    frame = plan(load_job(finished)).frame()
    changed = {row["stage"]: row["why"] for row in frame.iter_rows(named=True) if row["action"] == "run"}
    assert set(changed) == {"mix:near@0", "mix:near@1"}
    assert all(changed.values())
    before = small_job.finished(finished)
    small_job.go(finished)
    after = small_job.finished(finished)
    assert {stage for stage in after if after[stage] != before[stage]} == set(changed)


def test_case_083_code_of_another_version_is_run_again_with_all_that_follows_and_nothing_else(finished, monkeypatch):
    monkeypatch.setattr(Exact, "version", Exact.version + 1)
    kinds = {row["stage"] for row in plan(load_job(finished)).frame().iter_rows(named=True) if row["action"] == "run"}
    assert "step:1-exact" in kinds
    assert not {stage for stage in kinds if stage.startswith("read:")}
    ids = small_job.ids(finished)
    small_job.go(finished)
    assert small_job.ids(finished) == ids
