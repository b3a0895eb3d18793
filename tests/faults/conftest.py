"""What the tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import injected
from tests.faults.injected import Forker
from tests.manifests.jobs import small_job
from tests.trainers.conftest import base, context, rows, tokenizer

__all__ = ["base", "context", "rows", "tokenizer"]


@pytest.fixture(scope="session")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    """Return what starts jobs with a fault at a file operation or commit point."""
    if not injected.available():
        pytest.skip(injected.MISSING)
    with Forker(tmp_path_factory.mktemp("forks")) as started:
        yield started


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the job file of a job that ran to its blends without a fault; read only."""
    path = small_job.without_training(small_job.write(tmp_path_factory.mktemp("whole")))
    assert small_job.go(path).exit_code == 0
    return path
