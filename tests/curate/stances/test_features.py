"""Features tell evidence that holds a claim from evidence that does not."""

from __future__ import annotations

import numpy as np

from curate.stances import Pair
from curate.stances.features import OTHERS, clauses, features_of
from manifests.component import Context

TEXT = "The Eiffel Tower was completed in 1889. It stands in Paris.\nBananas are yellow."


def test_a_claim_that_the_evidence_states_is_nearer_than_another(tmp_path):
    pairs = [Pair("The Eiffel Tower was completed in 1889.", TEXT), Pair("Whales sang in 1920 near Oslo.", TEXT)]
    dense, others = features_of(pairs, "hash", Context(tmp_path))
    assert dense.shape == (2, 512)
    assert others.shape == (2, OTHERS)
    assert np.abs(dense[0, :256]).max() < 1e-6
    assert others[0, 0] > 0.99 > others[1, 0]
    assert others[0, 9] == 1.0 > others[1, 9]


def test_a_row_depends_on_its_pair_alone(tmp_path):
    pairs = [Pair(f"Tower {i} is red.", f"{TEXT} Tower {i % 3} is blue.") for i in range(6)]
    together = features_of(pairs, "hash", Context(tmp_path))
    for i, pair in enumerate(pairs):
        alone = features_of([pair], "hash", Context(tmp_path))
        assert np.allclose(alone[0][0], together[0][i])
        assert np.allclose(alone[1][0], together[1][i])


def test_empty_evidence_and_empty_claims_have_finite_features(tmp_path):
    pairs = [Pair("Rome is old.", ""), Pair("", TEXT), Pair("the of", "a an"), Pair("?", "!")]
    dense, others = features_of(pairs, "hash", Context(tmp_path))
    assert np.isfinite(dense).all()
    assert np.isfinite(others).all()
    assert not others[0].any()


def test_claims_fall_into_clauses():
    assert clauses("He was born in Rome, and he died in Paris, old") == ["He was born in Rome", "and he died in Paris"]
    assert clauses("Too short") == ["Too short"]
