"""Greedy facility location against brute force, the optimum, and other orders and thread counts of the same rows."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixers import cells, location


def rounded(rows, dimensions=8, seed=0):
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, dimensions)).astype(np.float32) + 0.7
    return cells.rounded(found / np.linalg.norm(found, axis=1, keepdims=True))


def whole(grid):
    """Return the similarities by whole-number arithmetic alone."""
    dots = grid.astype(np.int64) @ grid.astype(np.int64).T
    return np.clip(dots >> 10, 0, 4096)


def worth_of(similarities, bonus, taken):
    return int(similarities[:, taken].max(axis=1).sum() + bonus[taken].sum()) if taken else 0


def brute(similarities, bonus, most):
    taken, raised = [], []
    for _ in range(most):
        before = worth_of(similarities, bonus, taken)
        left = [row for row in range(len(bonus)) if row not in taken]
        gains = [worth_of(similarities, bonus, [*taken, row]) - before for row in left]
        taken.append(left[int(np.argmax(gains))])
        raised.append(max(gains))
    return taken, raised


rows_and_seeds = (st.integers(1, 24), st.integers(0, 10**6), st.booleans())


@settings(max_examples=150, deadline=None)
@given(*rows_and_seeds)
def test_greedy_takes_the_rows_that_brute_force_takes_with_the_same_gains(n, seed, repeated):
    grid = rounded(n, seed=seed)
    grid = grid[np.arange(n) // 2] if repeated else grid
    bonus = np.random.default_rng(seed).integers(0, 3000, n)
    found = location.greedy(location.similarity(grid, grid), bonus, n)
    assert (found.rows.tolist(), found.gains.tolist()) == brute(whole(grid), bonus, n)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 10**6))
def test_greedy_reaches_at_least_1_minus_1_over_e_of_the_best_there_is(n, k, seed):
    k = min(n, k)
    grid = rounded(n, 3, seed)
    similarities, bonus = whole(grid), np.random.default_rng(seed).integers(0, 4000, n)
    best = max(worth_of(similarities, bonus, list(those)) for those in itertools.combinations(range(n), k))
    ours = worth_of(similarities, bonus, location.greedy(location.similarity(grid, grid), bonus, k).rows.tolist())
    assert ours >= (1 - 1 / np.e) * best


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 10**6))
def test_blocks_merged_by_gain_are_what_greedy_takes_for_the_sum_of_their_objectives(n, parts, seed):
    grid = rounded(n, seed=seed)
    blocks = np.random.default_rng(seed).integers(0, parts, n).astype(np.int32)
    worth = np.zeros(n, dtype=np.int64)
    keys = location.order(grid, blocks, worth)
    apart = np.where(blocks[:, None] == blocks[None, :], whole(grid), 0)
    gains = brute(apart, worth, n)[1]
    first = np.sort(keys[keys < np.iinfo(np.int64).max])
    assert (np.iinfo(np.int64).max - 1 - first.astype(np.int64)).tolist()[:1] == gains[:1]
    expected = sorted(
        (gain for block in np.unique(blocks) for gain in _block_gains(grid, blocks == block)), reverse=True
    )
    assert (np.iinfo(np.int64).max - 1 - first.astype(np.int64)).tolist() == expected


def _block_gains(grid, those):
    part = whole(grid[those])
    return brute(part, np.zeros(len(part), dtype=np.int64), -(-len(part) // location.DEPTH))[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.integers(1, 3), st.integers(1, 6), st.integers(0, 10**6))
def test_no_block_is_too_large_and_none_crosses_strata_or_a_cell_of_a_large_stratum(n, strata, count, seed):
    rng = np.random.default_rng(seed)
    grid = rounded(n, 4, seed)
    grid[: n // 2] = grid[0]  # no clustering can tell these apart
    codes, cell = rng.integers(0, strata, n).astype(np.int32), rng.integers(0, count, n).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(location, "BLOCK", 20)
        blocks = location.blocks(grid, codes, cell)
    assert np.bincount(blocks).max() <= 20
    for block in np.unique(blocks):
        those = blocks == block
        assert len(set(codes[those])) == 1
        if (codes == codes[those][0]).sum() > 20:
            assert len(set(cell[those])) == 1


def test_a_row_without_any_content_is_taken_last_and_breaks_nothing():
    grid = rounded(6)
    grid[0] = 0
    assert location.greedy(location.similarity(grid, grid), np.zeros(6, dtype=np.int64), 6).rows[-1] == 0


def test_coverage_is_the_mean_best_similarity():
    grid = rounded(30)
    assert location.coverage(grid, grid[[3, 7]]) == whole(grid)[:, [3, 7]].max(axis=1).mean() / 4096
    assert location.coverage(grid, grid) > 0.99


PROGRAM = """
import numpy as np
from tests.mixers.test_location import rounded
from mixers import location
grid = rounded(1500, 384)
keys = location.order(grid, np.arange(1500, dtype=np.int32) // 800, np.zeros(1500, dtype=np.int64))
print(hash(keys.tobytes()))
"""


def test_one_thread_and_two_give_the_same_keys():
    seen = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={
                **os.environ,
                **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
                "PYTHONHASHSEED": "0",
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(seen) == 1
