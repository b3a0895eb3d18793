"""Security, paths: what a job names lies in its folder, whatever it is made of, and what is written stays there too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from manifests.errors import UserError
from manifests.exporting import export
from manifests.jobs.run import run
from manifests.jobs.spec import load_job
from manifests.store import FILE, Manifest, Store
from tests.manifests import judged_job

SECRET = '{"prompt": "Which key?", "completion": "sk-planted"}\n'  # noqa: S105 - none


@pytest.fixture
def job(tmp_path) -> Path:
    """Return a job beside a folder with a secret and, in its data, a way there of every kind."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.jsonl").write_text(SECRET)
    path = judged_job.write(tmp_path / "job")
    data = path.parent / "data"
    (data / "link").symlink_to(tmp_path / "outside")
    (data / "link.jsonl").symlink_to(tmp_path / "outside" / "secret.jsonl")
    (data / "link.json").symlink_to("link.jsonl")
    (data / "round").symlink_to("round")
    os.mkfifo(data / "pipe.jsonl")
    (data / "folder").mkdir()
    (data / "folder" / "a.jsonl").symlink_to(tmp_path / "outside" / "secret.jsonl")
    return path


WAYS = {
    "up": "../outside/secret.jsonl",
    "up within": "data/../../outside/secret.jsonl",
    "a folder up": "..",
    "absolute": "{outside}/secret.jsonl",
    "a system file": "/etc/passwd",
    "home": "~/secret.jsonl",
    "another's home": "~root/secret.jsonl",
    "a link to a file": "data/link.jsonl",
    "a link to a link": "data/link.json",
    "a link to a folder": "data/link/secret.jsonl",
    "a link in a folder": "data/folder",
    "a pattern through a link": "data/link/*.jsonl",
    "a pattern up": "data/../../outside/*.jsonl",
    "an absolute pattern": "{outside}/*.jsonl",
    "a link in a circle": "data/round",
    "an endless device": "/dev/zero",
    "the terminal": "/dev/stdin",
    "a process": "/proc/self/environ",
    "a pipe": "data/pipe.jsonl",
    "a name of 300 letters": "x" * 300,
    "a path of 5,000 letters": "data/" * 1000,
    "NUL": "data/pool\\0.jsonl",
    "nothing": "",
    "a file's address": "file:///etc/passwd",
}
"""What is tried -> the path in the job."""


def named(job: Path, old: str, new: str) -> Path:
    text = job.read_text("utf-8")
    assert old in text
    job.write_text(text.replace(old, new), "utf-8")
    return job


def way(name: str, job: Path) -> str:
    return '"' + WAYS[name].format(outside=job.parents[1] / "outside") + '"'


@pytest.mark.parametrize("name", WAYS)
def test_a_source_is_not_read_by(name, job):
    with pytest.raises(UserError) as refused:
        load_job(named(job, "path: data/pool.jsonl", f"path: {way(name, job)}"))
    assert f"{job}:3: " in str(refused.value)
    assert "sk-planted" not in str(refused.value)


SOURCES_ONLY = {"a folder up", "a link in a folder", "a pipe", "a pattern up", "a file's address"}
"""Of these a component tells when it reads the file, or they are no files of its kind."""


@pytest.mark.parametrize("name", [name for name in WAYS if name not in SOURCES_ONLY and "pattern" not in name])
def test_a_file_of_a_component_is_not_read_by(name, job):
    with pytest.raises(UserError) as refused:
        load_job(named(job, "path: data/verdicts.jsonl", f"path: {way(name, job)}"))
    assert f"{job}:7: " in str(refused.value)


@pytest.mark.parametrize("key", ["manifest", "data"])
@pytest.mark.parametrize("given", ["../outside", "/var", "~", "data/link", "data/round", "", "a/../../outside"])
def test_no_folder_of_a_job_lies_outside_of_it(key, given, job):
    with pytest.raises(UserError) as refused:
        load_job(named(job, "name: judged\n", f'name: judged\n{key}: "{given}"\n'))
    assert f"{job}:2: " in str(refused.value)
    assert not list((job.parents[1] / "outside").glob("*.duckdb"))


def test_what_the_command_line_names_may_lie_anywhere_for_it_is_the_users_own(job, tmp_path):
    found = load_job(job, manifest=tmp_path / "elsewhere", data=job.parent)
    assert found.manifest == (tmp_path / "elsewhere").resolve()


@pytest.mark.parametrize("where", ["work", "blends", "runs", "work/manifest.duckdb", ".lock", "blends/some@0"])
def test_a_link_that_leads_out_of_the_manifest_is_refused_before_anything_is_written(where, job):
    root, outside = job.parent / "runs" / "judged", job.parents[1] / "outside"
    (root / where).parent.mkdir(parents=True, exist_ok=True)
    (root / where).symlink_to(outside / "secret.jsonl" if "." in where else outside)
    with pytest.raises(UserError, match="leads out of it") as refused:
        run(load_job(job))
    assert refused.value.where == str(root / where)
    assert [path.name for path in outside.iterdir()] == ["secret.jsonl"]
    assert (outside / "secret.jsonl").read_text() == SECRET


def test_an_export_follows_no_link_out_of_the_manifest(job, tmp_path):
    assert run(load_job(job)).exit_code == 0
    root = job.parent / "runs" / "judged"
    (root / "exports").symlink_to(tmp_path / "outside")
    with Manifest(root) as manifest, pytest.raises(UserError, match="leads out of it"):
        export(manifest, "some@0", layout="messages")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret.jsonl"]


def test_a_link_in_place_of_the_published_copy_is_replaced_and_not_written_through(tmp_path):
    with Store(tmp_path / "m") as store:
        store.publish()
        (tmp_path / "m" / "other").write_bytes(b"kept")
        (tmp_path / "m" / FILE).unlink()
        (tmp_path / "m" / FILE).symlink_to("other")
        store.publish()
    assert not (tmp_path / "m" / FILE).is_symlink()
    assert (tmp_path / "m" / "other").read_bytes() == b"kept"
