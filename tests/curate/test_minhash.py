"""MinHash bands: the recall that they promise, that what they find is exact, and that a seed decides everything."""

from __future__ import annotations

import numpy as np
import pytest

from curate.jaccard import Sets, similar_pairs
from curate.minhash import Bands
from curate.text import Grams
from manifests.errors import UserError


def edited_sets(seed: int, families: int = 150, size: int = 40, edits: int = 6) -> Sets:
    """Return families of four sets, each with some members of the first replaced, so that J is about .7."""
    rng = np.random.default_rng(seed)
    rows = []
    for family in range(families):
        base = np.arange(size) + family * size
        for _ in range(4):
            copy = base.copy()
            copy[rng.choice(size, int(rng.integers(0, edits)), replace=False)] += 10**6 + int(rng.integers(10**6))
            rows.append(copy)
    row = np.repeat(np.arange(len(rows)), size)
    return Sets.of(Grams(row, np.concatenate(rows), len(rows)))


def keys(sets: Sets, threshold: float, bands: Bands | None = None, budget: int = 2_000_000) -> dict[int, float]:
    found = {}
    for block in similar_pairs(sets, threshold, bands=bands, budget=budget):
        for later, earlier, similarity in zip(block.later, block.earlier, block.similarity, strict=True):
            assert later > earlier
            found[int(later) * len(sets) + int(earlier)] = float(similarity)
    return found


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.95])
@pytest.mark.parametrize("recall", [0.5, 0.9, 0.99])
def test_bands_reach_the_wanted_recall_at_the_threshold_within_the_minima(threshold, recall):
    bands = Bands.of(threshold, recall, minima=256)
    assert bands.recall(threshold) >= recall
    assert bands.rows * bands.count <= 256
    assert Bands(bands.rows, bands.count - 1).recall(threshold) < recall, "fewer bands would do"
    longer = Bands(bands.rows + 1, 256 // (bands.rows + 1))
    assert longer.recall(threshold) < recall, "longer bands would do"


def test_bands_for_07_at_99_are_those_of_the_textbooks_curve():
    bands = Bands.of(0.7, 0.99)
    assert (bands.rows, bands.count) == (4, 17)
    assert bands.recall(0.7) == pytest.approx(1 - (1 - 0.7**4) ** 17)


def test_a_threshold_out_of_reach_is_refused_by_name():
    with pytest.raises(UserError, match="does not reach a recall") as refusal:
        Bands.of(0.01, 0.99)
    assert "exact join" in str(refusal.value)


def test_equal_sets_are_always_found():
    assert Bands.of(1.0, 0.99).count == 1
    sets = Sets.of(Grams(np.repeat(np.arange(3), 5), np.tile(np.arange(5), 3), 3))
    assert len(keys(sets, 1.0, Bands.of(1.0, 0.99))) == 3


@pytest.mark.parametrize("recall", [0.9, 0.99])
def test_what_is_found_is_exact_and_the_measured_recall_is_the_wanted_one(recall):
    found = wanted = 0
    for seed in range(4):
        sets = edited_sets(seed)
        truth = keys(sets, 0.7)
        mine = keys(sets, 0.7, Bands.of(0.7, recall, seed=seed))
        assert mine.items() <= truth.items()
        found, wanted = found + len(mine), wanted + len(truth)
    assert wanted > 2000
    assert found / wanted >= recall


def test_the_share_of_candidates_follows_the_curve():
    rng = np.random.default_rng(0)
    size, shared, couples = 60, 40, 1500
    members = []
    for couple in range(couples):
        pool = rng.permutation(np.arange(2 * size - shared)) + couple * 2 * size
        members += [pool[:size], np.concatenate((pool[:shared], pool[size:]))]
    member = np.concatenate(members).astype(np.int32)
    edges = np.arange(0, len(member) + 1, size)
    bands = Bands(2, 3, seed=5)
    _, bucket = bands.buckets(edges[:-1], edges[1:], member)
    met = (bucket.reshape(couples, 2, 3)[:, 0] == bucket.reshape(couples, 2, 3)[:, 1]).any(axis=1).mean()
    expected = bands.recall(shared / (2 * size - shared))
    assert met == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / couples))


def test_a_seed_decides_everything_and_blocks_nothing():
    sets = edited_sets(3)
    first = keys(sets, 0.7, Bands(6, 4, seed=1))
    assert first == keys(sets, 0.7, Bands(6, 4, seed=1))
    assert first == keys(sets, 0.7, Bands(6, 4, seed=1), budget=500)
    assert first.keys() != keys(sets, 0.7, Bands(6, 4, seed=2)).keys()


def test_groups_and_removed_rows_are_respected():
    sets = edited_sets(4)
    bands = Bands.of(0.7, 0.99)
    group = np.arange(len(sets)) % 2
    for block in similar_pairs(sets, 0.7, bands=bands, group=group):
        assert (group[block.later] == group[block.earlier]).all()
    alive = np.zeros(len(sets), np.bool_)
    across = [b.later - b.earlier for b in similar_pairs(sets, 0.7, bands=bands, alive=alive, budget=1000)]
    assert np.concatenate(across).max(initial=0) <= 3


def test_empty_sets_have_no_bucket():
    begin, end = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 3])
    row, bucket = Bands(2, 3).buckets(begin, end, np.array([4, 5, 6], np.int32))
    assert row.tolist() == [1, 1, 1, 3, 3, 3]
    assert bucket.tolist() == sorted(bucket[:3].tolist()) + sorted(bucket[3:].tolist())
    assert len(Bands(2, 3).buckets(begin[:1], end[:1], np.empty(0, np.int32))[0]) == 0
