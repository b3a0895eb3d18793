"""Neighbour search: every pair by brute force, nearly all by lists, the same for any order."""

import numpy as np
import pytest

from curate.leader import leaders_of
from curate.neighbours import Index, _quantile, cosines, lengths, rounded
from manifests.errors import UserError


def unit(rows):
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def clustered(rows=3000, width=32, clusters=150, spread=0.06):
    random = np.random.default_rng(5)
    centres = unit(random.normal(size=(clusters, width)))
    return unit(centres[random.integers(0, clusters, rows)] + random.normal(size=(rows, width)) * spread)


def found(index):
    blocks = list(index.pairs())
    later, earlier, similarity = (
        np.concatenate([getattr(b, n) for b in blocks]) for n in ("later", "earlier", "similarity")
    )
    return dict(zip(zip(later.tolist(), earlier.tolist(), strict=True), similarity.tolist(), strict=True))


def brute(grid, threshold):
    length = lengths(grid)
    whole = grid.astype(np.int64) @ grid.astype(np.int64).T
    alike = whole / np.maximum(length[:, None] * length[None, :], 1)
    later, earlier = np.nonzero(np.tril(alike >= threshold, -1) & (length[:, None] > 0) & (length[None, :] > 0))
    return {(i, j): min(float(alike[i, j]), 1.0) for i, j in zip(later.tolist(), earlier.tolist(), strict=True)}


def angles(*degrees):
    turned = np.deg2rad(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95, 1.0])
def test_flat_search_finds_exactly_the_pairs_of_brute_force(threshold):
    rows = np.concatenate([clustered(1300), clustered(50), np.zeros((3, 32), np.float32)])
    grid = rounded(rows)
    assert found(Index(grid, threshold)) == brute(grid, threshold)


def test_lists_find_the_wanted_share_and_invent_nothing():
    grid = rounded(clustered())
    index = Index(grid, 0.9, flat=100)
    every, some = brute(grid, 0.9), found(index)
    assert index.search.lists > 1
    assert index.search.probes < index.search.lists
    assert index.search.recall >= 0.99
    assert len(some) >= 0.99 * len(every) > 1000
    assert all(every[pair] == similarity for pair, similarity in some.items())


def test_where_few_rows_are_alike_the_recall_is_measured_on_less_similar_ones():
    random = np.random.default_rng(1)
    index = Index(rounded(unit(random.normal(size=(800, 16)))), 0.999, flat=100)
    assert index.search.neighbours >= 200
    assert index.search.recall >= 0.99


def test_the_plan_with_lists_and_the_pairs_without_do_not_depend_on_the_order_of_rows():
    grid = rounded(clustered(1500))
    grid[700:720] = grid[3]
    order = np.random.default_rng(2).permutation(len(grid))
    straight, mixed = Index(grid, 0.9, flat=100), Index(grid[order], 0.9, flat=100)
    assert straight.search == mixed.search
    straight, mixed = Index(grid, 0.9), Index(grid[order], 0.9)
    named = {(frozenset((int(order[i]), int(order[j]))), s) for (i, j), s in found(mixed).items()}
    assert named == {(frozenset(pair), s) for pair, s in found(straight).items()}


def test_the_pairs_do_not_depend_on_threads():
    import faiss

    grid = rounded(clustered(1500))
    before = faiss.omp_get_max_threads()
    try:
        results = []
        for threads in (1, 3):
            faiss.omp_set_num_threads(threads)
            results.append(found(Index(grid, 0.9, flat=100)))
    finally:
        faiss.omp_set_num_threads(before)
    assert results[0] == results[1]


def test_a_rows_neighbours_are_not_capped():
    """Top-k searches lose pairs where rows are dense: of 200 near copies all but one must go."""
    random = np.random.default_rng(3)
    dense = unit(np.ones((200, 64)) + random.normal(size=(200, 64)) * 0.02)
    grid = rounded(np.concatenate([dense, unit(random.normal(size=(400, 64)))]))
    for flat in (10_000, 100):
        alive = np.ones(len(grid), bool)
        dropped = leaders_of(Index(grid, 0.95, flat=flat).pairs(alive), alive)
        assert dropped.row.tolist() == list(range(1, 200))
        assert set(dropped.leader.tolist()) == {0}


def test_only_true_neighbours_of_kept_rows_fall_in_a_chain():
    """Five rows 20 degrees apart, 25 degrees allowed: every other one stays (SemDeDup's code keeps only the first)."""
    grid = rounded(angles(0, 20, 40, 60, 80))
    alive = np.ones(5, bool)
    dropped = leaders_of(Index(grid, float(np.cos(np.deg2rad(25)))).pairs(alive), alive)
    assert dropped.row.tolist() == [1, 3]
    assert dropped.leader.tolist() == [0, 2]


def test_rows_dropped_in_an_earlier_block_are_not_compared_with_later_ones():
    grid = rounded(unit(np.tile(np.ones((1, 8)), (1300, 1))))
    alive = np.ones(len(grid), bool)
    pairs = 0
    for block in Index(grid, 0.9).pairs(alive):
        pairs += len(block.later)
        alive[np.arange(1, block.upto)] = False
    assert pairs < 2 * 512 * 512


@pytest.mark.parametrize("flat", [10_000, 100])
def test_nearest_rows_are_those_of_brute_force(flat):
    grid = rounded(clustered(600))
    alike = cosines(grid, lengths(grid), np.repeat(np.arange(600), 600), np.tile(np.arange(600), 600)).reshape(600, 600)
    np.fill_diagonal(alike, -2)
    best = np.sort(alike, axis=1)[:, ::-1][:, :3]
    value = np.concatenate([block[2] for block in Index(grid, 0.5, flat=flat).nearest(3)])
    assert (value == best).mean() > (0.999 if flat > 600 else 0.98)


def test_missing_neighbours_are_marked():
    (block,) = Index(rounded(angles(0, 10)), 0.5).nearest(3)
    assert block[1].tolist() == [[1, -1, -1], [0, -1, -1]]
    assert block[2][:, 1:].tolist() == [[-1.0, -1.0]] * 2


def test_rounding_keeps_zero_rows_and_refuses_what_is_no_unit_row():
    assert not rounded(np.zeros((2, 4), np.float32)).any()
    for bad in (np.full((1, 4), 2.0, np.float32), np.array([[np.nan, 0.0]], np.float32)):
        with pytest.raises(UserError, match="not unit rows"):
            rounded(bad)


def test_no_rows_have_no_pairs():
    assert found_none(Index(np.zeros((0, 4), np.float32), 0.9))


def found_none(index):
    return not list(index.pairs()) and not list(index.nearest(1))


@pytest.mark.parametrize("k", [1, 3])
def test_lists_that_a_crowd_does_not_need_are_read_for_the_rows_that_do(k):
    """A crowd of near copies has most of the neighbours: the plan asks as much for each of the other rows."""
    random = np.random.default_rng(8)
    crowd = unit(np.ones((400, 32)) + random.normal(size=(400, 32)) * 0.02)
    loose = clustered(2400, clusters=400, spread=0.1)
    grid = rounded(np.concatenate([crowd, loose]))
    index = Index(grid, 0.7, flat=100, recall=1 - 0.01 / k)
    every, some = brute(grid, 0.7), found(index)
    of_loose = [pair for pair in every if pair[0] >= 400]
    assert len(every) - len(of_loose) > 4 * len(of_loose) > 1000
    assert np.mean([pair in some for pair in of_loose]) >= 0.98
    assert index.search.probes > 1


def test_a_weighted_quantile_is_the_least_number_that_the_share_does_not_exceed():
    needed = np.array([3, 1, 2, 9])
    assert [_quantile(needed, np.ones(4), share) for share in (0.25, 0.5, 0.51, 1.0)] == [1, 2, 3, 9]
    assert _quantile(needed, np.array([1.0, 1.0, 1.0, 97.0]), 0.04) == 9


@pytest.mark.parametrize("flat", [10_000, 100])
def test_zero_rows_and_rows_dropped_before_are_no_neighbours(flat):
    rows = clustered(3000)
    rows[5] = 0
    grid = rounded(np.concatenate([rows, rows]))
    alive = np.ones(len(grid), bool)
    alive[:2000] = False
    blocks = list(Index(grid, 0.99, flat=flat).pairs(alive))
    pairs = [(i, j) for b in blocks for i, j in zip(b.later.tolist(), b.earlier.tolist(), strict=True)]
    copies = {(i, j) for i, j in pairs if i == j + 3000}
    assert not any(5 in pair or 3005 in pair for pair in copies)
    assert {j for _, j in copies} >= set(range(2048, 3000))


def test_the_pairs_found_do_not_depend_on_how_many_rows_are_looked_up_at_once(monkeypatch):
    grid = rounded(clustered(2500))
    index = Index(grid, 0.9, flat=100)
    first = found(index)
    monkeypatch.setattr("curate.neighbours.QUERIES", 300 * index.search.probes)
    assert found(index) == first
