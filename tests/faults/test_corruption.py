"""Flipped bytes, truncations, lost files: cases 78 and 79. Found at open or by `doctor --verify`, and made good."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import warnings

import polars as pl
import pytest

from curate.cache import CallCache
from curate.judges import OK, Reply
from manifests.doctor import examine_manifest
from manifests.errors import UserError
from manifests.laws import TABLES
from manifests.store import ASIDE, FILE, Manifest, Store
from tests.faults import sweep
from tests.manifests.jobs import small_job
from tests.manifests.test_store import read, record

TOUCHED = 5
"""Bytes flipped one at a time in each file, the first and last ones among them."""


def flip(file, at):
    """Turn round one byte of a file."""
    with file.open("rb+") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 0xFF]))


def places(file, seed=0):
    """Return the places that are tried in a file."""
    size = file.stat().st_size
    return sorted({0, size - 1, *random.Random(seed).sample(range(size), TOUCHED - 2)})


def problems(root):
    """Return what `doctor --verify` calls a problem: check -> detail; the error's words when nothing opens."""
    try:
        found = examine_manifest(root, deep=True)
    except UserError as error:
        return {"opens": str(error)}
    return dict(found.filter(pl.col("status") == "problem").select("check", "detail").iter_rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the job file of a finished job with one blend, its run trained here; read only."""
    from manifests.jobs import training
    from tests.manifests.jobs.conftest import inline

    path = sweep.tiny(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Workers, "submit", inline)
        assert small_job.go(path).exit_code == 0
    return path


@pytest.fixture
def copy(trained, tmp_path, monkeypatch):
    from manifests.jobs import training
    from tests.manifests.jobs.conftest import inline

    monkeypatch.setattr(training.Workers, "submit", inline)
    shutil.copytree(trained.parent, tmp_path / "copy")
    return tmp_path / "copy" / trained.name


def test_case_078_nothing_is_wrong_with_an_untouched_manifest(trained):
    found = examine_manifest(small_job.manifest(trained), deep=True)
    assert set(found["status"]) <= {"ok"}
    assert {"published copy", "work file", "blend plain@0", "run plain@0", "base scratch"} <= set(found["check"])


def held(root):
    """Return all that a manifest holds, as hashes of its tables."""
    with Manifest(root) as manifest:
        return [manifest.sql(f"SELECT count(*), bit_xor(hash(t)) FROM store.{name} t").row(0) for name in TABLES]


def test_case_078_a_flipped_byte_of_the_published_copy_is_found_or_changes_nothing(trained, tmp_path):
    shutil.copyfile(small_job.manifest(trained) / FILE, tmp_path / FILE)
    whole, found = (tmp_path / FILE).read_bytes(), 0
    before, alone = held(tmp_path), set(problems(tmp_path))
    for at in places(tmp_path / FILE):
        flip(tmp_path / FILE, at)
        if set(problems(tmp_path)) > alone or "opens" in problems(tmp_path):
            found += 1
        else:
            assert held(tmp_path) == before, at
        (tmp_path / FILE).write_bytes(whole)
    assert found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_case_078_a_published_copy_cut_short_is_refused_and_replaced_from_the_work_file(copy, share):
    published = small_job.manifest(copy) / FILE
    data = published.read_bytes()
    published.write_bytes(data[: int(len(data) * share)])
    assert "run the job again" in next(iter(problems(published.parent).values()))
    assert small_job.go(copy).ran == 0
    assert problems(published.parent) == {}


def test_case_078_a_damaged_work_file_is_found_and_the_job_goes_on_from_the_published_copy(copy):
    work = small_job.manifest(copy) / "work" / FILE
    for at in range(0, work.stat().st_size, 4096):
        flip(work, at)
    found = problems(small_job.manifest(copy))
    assert set(found) == {"work file"}
    assert "goes on from the published copy" in found["work file"]
    broken = work.read_bytes()
    with pytest.warns(UserWarning, match="Corrupt database file.*put aside"):
        assert small_job.go(copy).ran == 0
    assert work.with_name(f"{FILE}{ASIDE}").read_bytes() == broken
    assert problems(small_job.manifest(copy)) == {}


def test_case_078_a_damaged_work_file_beside_a_damaged_copy_is_told_with_what_to_do(copy):
    published = small_job.manifest(copy) / FILE
    for file in (published, published.parent / "work" / FILE):
        for at in range(0, file.stat().st_size, 4096):
            flip(file, at)
    with pytest.raises(UserError, match=r"cannot be opened(?s:.)*or run the job into a new folder"):
        small_job.go(copy)


def test_a_work_file_that_another_program_holds_is_not_taken_for_a_damaged_one(copy):
    work = small_job.manifest(copy) / "work" / FILE
    script = f"import duckdb, sys; held = duckdb.connect({str(work)!r}); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match="lock"):
            small_job.go(copy)
        other.stdin.close()
    assert not work.with_name(f"{FILE}{ASIDE}").exists()


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_case_078_a_damaged_log_is_put_aside_and_loses_only_what_was_never_published(tmp_path, harm):
    with Store(tmp_path) as store:
        store.commit(record("read:a"), read("a", 30))
        store.publish()
        store.commit(record("read:b", 1), read("b", 30))
        log = shutil.copyfile(f"{store.work}.wal", tmp_path / "log")
        shutil.copyfile(store.work, tmp_path / "state")
    whole, seen = log.read_bytes(), []
    for at in places(log, 1):
        shutil.copyfile(tmp_path / "state", store.work)
        wal = store.work.with_name(f"{FILE}.wal")
        wal.write_bytes(whole[:at] if harm == "cut" else whole)
        if harm == "flip":
            flip(wal, at)
        with warnings.catch_warnings(record=True, action="always") as told, Store(tmp_path) as again:
            keys = set(again.keys())
            rows = again.query("SELECT source, count(*) FROM store.samples GROUP BY 1 ORDER BY 1").rows()
        assert rows == [(name, 30) for name in ("a", "b") if f"read:{name}" in keys]
        assert "read:a" in keys
        assert len(keys) == 1 or not told
        seen.append(bool(told))
    assert any(seen) == (harm == "flip")


@pytest.mark.parametrize(
    ("where", "check"),
    [
        ("blends/plain@0/data/train-00000-of-00001.parquet", "blend plain@0"),
        ("blends/plain@0/recipe.json", "blend plain@0"),
        ("runs/plain@0/model.safetensors", "run plain@0"),
        ("runs/plain@0/tokenizer.json", "run plain@0"),
        ("bases/scratch/model.safetensors", "base scratch"),
    ],
)
def test_case_078_a_flipped_byte_of_a_blend_a_run_or_a_base_is_found_and_the_remedy_makes_it_good(copy, where, check):
    root = small_job.manifest(copy)
    file, ids = root / where, small_job.ids(copy)
    whole = file.read_bytes()
    for at in places(file):
        flip(file, at)
        found = problems(root)
        assert set(found) == {check}
        assert f"{file.relative_to(root / where.split('/')[0] / where.split('/')[1])}" in found[check]
        assert "run the job again" in found[check]
        file.write_bytes(whole)
    file.write_bytes(whole[: len(whole) // 2])
    assert set(problems(root)) == {check}
    shutil.rmtree(root / where.split("/")[0] / where.split("/")[1])
    small_job.go(copy)
    assert small_job.ids(copy) == ids
    assert check not in problems(root)


def test_case_078_damaged_weights_are_not_measured(copy):
    weights = small_job.manifest(copy) / "runs" / "plain@0" / "model.safetensors"
    flip(weights, weights.stat().st_size - 1)
    small_job.edit(copy, ("limit: 3", "limit: 2"))
    with pytest.raises(UserError, match="a file is damaged") as caught:
        small_job.go(copy)
    assert "remove" in caught.value.remedy


def test_case_078_a_damaged_reply_of_the_call_cache_is_counted_and_never_served(tmp_path):
    with Store(tmp_path) as store:
        store.publish()
    file = tmp_path / "cache" / "calls.sqlite"
    replies = [Reply(key=f"{i:032x}", status=OK, probabilities=(0.25, 0.75)) for i in range(400)]
    with CallCache(file) as cache:
        cache.put(replies)
        assert cache.damaged() == (400, 0)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE calls SET reply = replace(reply, '0.25', '0.35') WHERE key < ?", [f"{3:032x}"])
    connection.close()
    assert problems(tmp_path) == {"cache calls.sqlite": "3 of 400 replies are damaged and will be asked again"}
    with CallCache(file) as cache:
        assert len(cache.get([reply.key for reply in replies])) == 397
    whole, remedies = file.read_bytes(), set()
    for at in places(file, 2):
        file.write_bytes(whole)
        flip(file, at)
        try:
            with CallCache(file) as cache:
                served = cache.get([reply.key for reply in replies])
        except UserError as error:
            remedies.add(error.remedy)
        else:
            assert all(reply.probabilities == (0.25, 0.75) for reply in served.values())
    assert all("move" in remedy or "writable" in remedy for remedy in remedies)


def test_case_079_a_lost_part_is_named_and_made_again(copy):
    root = small_job.manifest(copy)
    (root / "blends" / "plain@0" / "data" / "train-00000-of-00001.parquet").unlink()
    (root / "runs" / "plain@0" / "tokenizer.json").unlink()
    found = problems(root)
    assert set(found) == {"blend plain@0", "run plain@0"}
    assert all("is absent" in detail for detail in found.values())
    shutil.rmtree(root / "blends" / "plain@0")
    assert "its folder is absent" in problems(root)["blend plain@0"]
    small_job.go(copy)
    assert "blend plain@0" not in problems(root)


def test_case_079_the_hashes_beside_a_blend_are_those_of_sha256sum(trained):
    folder = small_job.manifest(trained) / "blends" / "plain@0"
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
    assert done.returncode == 0
    with Manifest(small_job.manifest(trained)) as manifest:
        assert manifest.verify()["ok"].all()
