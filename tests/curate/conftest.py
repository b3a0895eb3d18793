"""What the tests of several scorers share."""

from __future__ import annotations

import pytest

from tests.curate import tiny_model


@pytest.fixture(scope="session")
def lm_folder(tmp_path_factory):
    """Return the folder of a tiny causal language model with a chat template."""
    return tiny_model.build(tmp_path_factory.mktemp("lm"), steps=8, chat=True)
