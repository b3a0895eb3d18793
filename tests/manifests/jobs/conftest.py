"""What the tests of the job runner share: one finished job, and workers within the test's own process."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from pathlib import Path

import pytest

from manifests.errors import BlendsmithError
from manifests.jobs import training
from tests.manifests.jobs import small_job


def inline(self: training.Workers, work, *arguments) -> Future:
    """Do the work here and now: the libraries are imported once, and not in each worker."""
    future: Future = Future()
    try:
        future.set_result(work(*arguments))
    except BlendsmithError as error:
        future.set_exception(error)
    return future


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the job file of a finished job; read only: tests that write take a copy."""
    path = small_job.write(tmp_path_factory.mktemp("done"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Workers, "submit", inline)
        assert small_job.go(path).exit_code == 0
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train and measure within this process."""
    monkeypatch.setattr(training.Workers, "submit", inline)


@pytest.fixture
def copy(done: Path, here: None, tmp_path: Path) -> Path:
    """Return the job file of a copy of the finished job, whose workers are this process."""
    shutil.copytree(done.parent, tmp_path / "copy")
    return tmp_path / "copy" / "job.yaml"


@pytest.fixture
def fresh(here: None, tmp_path: Path) -> Path:
    """Return the job file of a job that was never run, whose workers are this process."""
    return small_job.write(tmp_path)
