"""Disks that are full, fail or refuse: cases 68 to 71. The whole sweep: `python -m tests.benchmarks.io_sweep`."""

from __future__ import annotations

import errno
import shutil

import pytest

from tests.faults import injected, sweep
from tests.manifests.jobs import small_job


def test_case_068_a_full_or_failing_disk_leaves_the_old_state_is_told_and_the_job_then_completes(forker, tmp_path):
    path = sweep.tiny(tmp_path / "job", training=False)
    swept, tally = sweep.sweep(path, forker, every=64, first=13)
    assert tally.wrong == []
    assert tally.ended["told, exit code 2"] > tally.ended["went on"]
    assert sum(swept.ops) > 200


@pytest.mark.long
@pytest.mark.timeout(14400)
def test_case_068_every_write_fsync_and_rename_may_fail(forker, tmp_path):
    swept, tally = sweep.sweep(sweep.tiny(tmp_path / "job"), forker)
    assert tally.wrong == []
    assert tally.failed.total() == 2 * sum(swept.ops)


@pytest.fixture(scope="module")
def begun(forker, tmp_path_factory):
    """Return the folder of a job that was killed after its first publication."""
    path = small_job.without_training(small_job.write(tmp_path_factory.mktemp("begun")))
    forker.run(path, **sweep.PUBLISHED)
    return path.parent


@pytest.fixture
def job(begun, tmp_path):
    shutil.copytree(begun, tmp_path / "job")
    return tmp_path / "job" / "job.yaml"


def told(ended):
    """Return what a run said that ended as one with a user's mistake does."""
    assert ended.code == 2, ended.text
    assert "Traceback" not in ended.text
    return ended.text.lower()


def completed(forker, job):
    """Return the content ids after the same command again, the manifest having been whole before."""
    assert injected.broken(job) == []
    assert forker.run(job).code == 0
    return small_job.ids(job)


@pytest.mark.parametrize("at", [3])
def test_case_069_an_error_in_reading_the_manifest_is_told_and_passes(forker, job, whole, at):
    fault = {"kinds": ["read"], "at": at, "action": "once", "errno": errno.EIO}
    assert "manifest.duckdb" in told(forker.run(job, fault=fault))
    assert completed(forker, job) == small_job.ids(whole)


def test_case_069_an_error_in_reading_a_source_is_told_and_passes(forker, job, whole):
    fault = {"kinds": ["read"], "at": 1, "action": "from", "errno": errno.EIO, "below": job.parent / "data"}
    assert "input/output error" in told(forker.run(job, fault=fault))
    assert completed(forker, job) == small_job.ids(whole)


def test_case_070_a_read_only_folder_is_told_with_what_to_do(forker, job, whole):
    fault = {"kinds": ["open"], "at": 1, "action": "from", "errno": errno.EROFS}
    said = told(forker.run(job, fault=fault))
    assert "read-only file system" in said
    assert "--manifest" in said
    assert completed(forker, job) == small_job.ids(whole)


def test_case_071_a_quota_is_told_as_a_full_disk_is(forker, job, whole):
    fault = {"kinds": ["write"], "at": 5, "action": "from", "errno": errno.EDQUOT}
    said = told(forker.run(job, fault=fault))
    assert "disk quota exceeded" in said
    assert "goes on from here" in said
    assert completed(forker, job) == small_job.ids(whole)
