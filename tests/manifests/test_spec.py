"""A job file: what a good one becomes, and the message of each bad one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from manifests.errors import UserError
from manifests.jobs import checks
from manifests.jobs import init as template
from manifests.jobs.spec import load_job

BAD = Path(__file__).parent / "bad_jobs"


def message_of(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a bad job is answered with, seen from its own folder."""
    shutil.copytree(template.HERE / "first", folder / "data")
    shutil.copyfile(BAD / f"{name}.yaml", folder / f"{name}.yaml")
    monkeypatch.chdir(folder)
    lacking = {"vllm"} if name == "missing_extra" else set()
    monkeypatch.setattr(checks, "installed", lambda package: package not in lacking)
    with pytest.raises(UserError) as caught:
        load_job(Path(f"{name}.yaml"))
    return str(caught.value).replace(str(folder.resolve()), "JOB") + "\n"


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.yaml")))
def test_the_message_of_a_bad_job_is_the_recorded_one(name, tmp_path, monkeypatch):
    assert message_of(name, tmp_path, monkeypatch) == (BAD / f"{name}.txt").read_text("utf-8")
