"""Cells against scikit-learn."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from manifests.errors import UserError
from manifests.names import digest
from mixers.cells import Space, assign, fit, nearest, rounded


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def blobs(n=600, centres=6, d=16, spread=0.15, seed=0):
    rng = np.random.default_rng(seed)
    middle = unit(rng.normal(size=(centres, d)))
    truth = rng.integers(0, centres, n)
    return unit(middle[truth] + spread * rng.normal(size=(n, d)) / np.sqrt(d)), truth


def names(n):
    return [digest(i) for i in range(n)]


def test_separate_groups_become_cells():
    vectors, truth = blobs()
    cells = assign(vectors, names(600), np.zeros(600, bool), 6, 0)
    assert adjusted_rand_score(truth, cells) == 1.0
    assert cells.dtype == np.int32


def test_the_fit_is_as_good_as_scikit_learns():
    vectors, _ = blobs(n=2000, centres=40, spread=1.0)
    grid = rounded(vectors)
    ours = unit(fit(grid, 20, 0))
    theirs = unit(KMeans(20, n_init=1, random_state=0).fit(vectors).cluster_centers_)
    assert (vectors @ ours.T).max(axis=1).mean() > (vectors @ theirs.T).max(axis=1).mean() - 0.01


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 12))
def test_the_order_of_the_rows_does_not_matter(seed, k):
    vectors, _ = blobs(n=120, spread=1.5, seed=seed)
    ids, target = np.array(names(120)), np.arange(120) % 4 == 0
    turn = np.random.default_rng(seed).permutation(120)
    cells = assign(vectors, list(ids), target, k, seed)
    assert np.array_equal(cells[turn], assign(vectors[turn], list(ids[turn]), target[turn], k, seed))
    assert cells.min() >= 0
    assert cells.max() < k


def test_dots_of_rounded_rows_are_exact_whatever_sums_them():
    vectors, _ = blobs(n=300, d=384, spread=3.0)
    grid = rounded(vectors)
    whole = grid.astype(np.int64)
    assert np.array_equal((grid @ grid.T).astype(np.int64), whole @ whole.T)
    assert np.abs(grid).max() <= 2048


def test_threads_do_not_change_a_cell():
    code = (
        "import numpy as np; from manifests.names import digest; from mixers.cells import assign\n"
        "v = np.random.default_rng(0).normal(size=(3000, 384)); v = (v / np.linalg.norm(v, axis=1)[:, None])\n"
        "c = assign(v.astype('f4'), [digest(i) for i in range(3000)], np.zeros(3000, bool), 16, 0)\n"
        "print(digest(c.tolist()))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    vectors = np.random.default_rng(0).normal(size=(3000, 384))
    here = assign(unit(vectors), names(3000), np.zeros(3000, bool), 16, 0)
    assert found.stdout.strip() == digest(here.tolist())


def test_another_seed_cuts_other_cells():
    vectors, _ = blobs(n=400, centres=40, spread=2.0)
    none = np.zeros(400, bool)
    assert not np.array_equal(assign(vectors, names(400), none, 8, 0), assign(vectors, names(400), none, 8, 1))


def test_a_small_target_gets_cells_of_its_own():
    rng = np.random.default_rng(0)
    pool, _ = blobs(n=21_000, centres=200, d=8, spread=2.0)
    target = unit(np.eye(8)[0] + 0.2 * rng.normal(size=(400, 8)))
    mask = np.arange(21_400) >= 21_000
    everything = np.concatenate([pool, target])
    cells = assign(everything, names(21_400), mask, 32, 0)
    assert len(set(cells[mask])) >= 2


def test_fewer_distinct_rows_than_cells_use_fewer_cells():
    vectors = unit(np.array([[1.0, 0.0], [0.0, 1.0]] * 5))
    cells = assign(vectors, names(10), np.zeros(10, bool), 8, 0)
    assert len(set(cells)) == 2
    assert cells[0] == cells[2] != cells[1]


def test_no_rows_give_no_cells():
    assert assign(np.zeros((0, 4), np.float32), [], np.zeros(0, bool), 4, 0).shape == (0,)


def test_a_zero_row_has_a_cell_too():
    vectors, _ = blobs(n=50)
    vectors[7] = 0
    assert assign(vectors, names(50), np.zeros(50, bool), 4, 0)[7] >= 0


@pytest.mark.parametrize("bad", [np.full((2, 3), 2.0), np.array([[np.nan, 0, 0]])])
def test_rows_that_are_not_unit_length_are_refused(bad):
    with pytest.raises(UserError, match="not unit rows"):
        rounded(bad.astype(np.float32))


def test_nearest_is_the_greatest_dot_product():
    vectors, _ = blobs(n=9000, spread=2.0)
    grid = rounded(vectors)
    centroids = grid[:10]
    assert np.array_equal(nearest(grid, centroids), (grid.astype(np.int64) @ centroids.astype(np.int64).T).argmax(1))


def test_a_spaces_name_changes_with_every_field():
    spaces = [Space("minilm", 64, 0), Space("hash", 64, 0), Space("minilm", 65, 0), Space("minilm", 64, 1)]
    assert len({s.name for s in spaces}) == 4
    assert Space("minilm", 64, 0).name == spaces[0].name
    assert len(spaces[0].name) == 12
