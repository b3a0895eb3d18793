"""What the tests of the manifest share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.manifests import sample_manifest

# Property tests are not timed: the machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a whole job's manifest; read only: tests that write take a copy."""
    return sample_manifest.write(tmp_path_factory.mktemp("full"))
