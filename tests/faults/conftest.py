"""What the tests of faults share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.manifests import sample_manifest


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a whole job's manifest; read only: tests that write take a copy."""
    return sample_manifest.write(tmp_path_factory.mktemp("full"))
