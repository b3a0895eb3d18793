"""The set-similarity join against brute force and a sparse product."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from curate import jaccard
from curate.jaccard import Pairs, Sets, budget_of, similar_pairs
from curate.text import Grams, grams_of

MEMBERS = st.lists(st.sets(st.integers(0, 14), max_size=10), max_size=25)
THRESHOLDS = st.sampled_from([0.01, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.9, 1.0]) | st.floats(0.01, 1)


def grams(rows: list[set[int]]) -> Grams:
    row = [i for i, members in enumerate(rows) for _ in members]
    gram = [m for members in rows for m in sorted(members)]
    return Grams(np.array(row, np.int64), np.array(gram, np.int64), len(rows))


def brute_force(rows: list[set[int]], threshold: float) -> dict[tuple[int, int], float]:
    found = {}
    for (i, a), (j, b) in itertools.combinations(enumerate(rows), 2):
        if a | b and len(a & b) / len(a | b) >= threshold:
            found[j, i] = len(a & b) / len(a | b)
    return found


def pairs_of(blocks: list[Pairs]) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for block in blocks:
        for later, earlier, similarity in zip(block.later, block.earlier, block.similarity, strict=True):
            key = (int(later), int(earlier))
            assert key not in found, "a pair was reported twice"
            found[key] = float(similarity)
    return found


def random_rows(seed: int, rows: int = 150, members: int = 60) -> list[set[int]]:
    rng = np.random.default_rng(seed)
    made: list[set[int]] = []
    for _ in range(rows):
        if made and rng.random() < 0.5:
            base = set(made[rng.integers(len(made))])
            for _ in range(rng.integers(0, 4)):
                base ^= {int(rng.integers(members))}
            made.append(base)
        else:
            made.append({int(m) for m in rng.choice(members, size=rng.integers(0, 25), replace=False)})
    return made


@given(MEMBERS, THRESHOLDS, st.sampled_from([1, 7, 50, 2_000_000]))
@settings(max_examples=80, deadline=None)
def test_every_similar_pair_is_found_once_and_no_other(rows, threshold, budget):
    found = pairs_of(list(similar_pairs(Sets.of(grams(rows)), threshold, budget=budget)))
    assert found == brute_force(rows, threshold)


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "E", "7", "\u00e9"]), max_size=9).map(" ".join)


@given(st.lists(WORDS, max_size=14), THRESHOLDS, st.integers(1, 4), st.sampled_from([1, 13, 2_000_000]))
@settings(max_examples=80, deadline=None)
def test_texts_empty_short_equal_and_edited_are_joined_as_sets_of_their_grams(texts, threshold, n, budget):
    rows = []
    for words in (text.lower().split() for text in texts):
        rows.append(
            {tuple(words[i : i + n]) for i in range(len(words) - n + 1)} or ({tuple(words)} if words else set())
        )
    number = {gram: i for i, gram in enumerate(sorted(set().union(*rows)))} if rows else {}
    expected = brute_force([{number[gram] for gram in row} for row in rows], threshold)
    found = Sets.of(grams_of(pl.Series(texts, dtype=pl.String), n))
    assert pairs_of(list(similar_pairs(found, threshold, budget=budget))) == expected


@pytest.mark.parametrize(("threshold", "both", "alone"), [(0.7, 7, 3), (0.8, 8, 2), (0.35, 7, 13), (2 / 3, 4, 2)])
def test_a_threshold_met_exactly_is_met_however_sizes_are_split(threshold, both, alone):
    for mine in range(alone + 1):
        rows = [set(range(both + mine)), set(range(both)) | set(range(100, 100 + alone - mine))]
        assert pairs_of(list(similar_pairs(Sets.of(grams(rows)), threshold))) == {(1, 0): both / (both + alone)}


@given(MEMBERS, THRESHOLDS, st.sampled_from([1, 9, 2_000_000]))
@settings(max_examples=60, deadline=None)
def test_leaders_taken_from_the_blocks_are_those_of_brute_force(rows, threshold, budget):
    truth = brute_force(rows, threshold)
    expected = np.ones(len(rows), np.bool_)
    for row in range(len(rows)):
        expected[row] = not any(expected[other] and (row, other) in truth for other in range(row))
    alive = np.ones(len(rows), np.bool_)
    for block in similar_pairs(Sets.of(grams(rows)), threshold, alive=alive, budget=budget):
        for later, earlier in zip(block.later, block.earlier, strict=True):
            alive[later] &= not alive[earlier]
    assert alive.tolist() == expected.tolist()


@given(MEMBERS, st.integers(1, 5), st.sampled_from([1, 3, 1 << 15]))
@settings(max_examples=60, deadline=None)
def test_sets_hold_each_rows_distinct_members_that_are_not_too_common(rows, cap, run):
    repeated = Grams(
        np.array([r for r, members in enumerate(rows) for _ in range(2) for _ in members], np.int32),
        np.array([m for members in rows for _ in range(2) for m in sorted(members)], np.int32),
        len(rows),
    )
    common = {m for m in range(15) if sum(m in members for members in rows) > cap}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaccard, "_RUN", run)
        sets = Sets.of(repeated, max_rows=cap)
    assert sets.size.tolist() == [len(members - common) for members in rows]
    assert sets.start[-1] == len(sets.member)
    for row in range(len(rows)):
        held = sets.member[sets.start[row] : sets.start[row + 1]].tolist()
        assert held == sorted(set(held))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_many_edited_copies_are_all_found(seed, threshold):
    rows = random_rows(seed)
    for budget in (200, 2_000_000):
        assert pairs_of(list(similar_pairs(Sets.of(grams(rows)), threshold, budget=budget))) == brute_force(
            rows, threshold
        )


def test_texts_agree_with_a_sparse_matrix_product():
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(["a", "b", "c", "d", "e", "f"], size=12)) for _ in range(300)]
    found = grams_of(pl.Series(texts), 2)
    matrix = sparse.coo_matrix((np.ones(len(found.row)), (found.row, found.gram))).tocsr()
    matrix.data[:] = 1
    both = (matrix @ matrix.T).toarray()
    size = matrix.getnnz(axis=1)
    similarity = both / (size[:, None] + size[None, :] - both)
    expected = {
        (int(j), int(i)): float(similarity[j, i]) for j, i in zip(*np.where(similarity >= 0.5), strict=True) if i < j
    }
    assert pairs_of(list(similar_pairs(Sets.of(found), 0.5))) == pytest.approx(expected)


def test_a_similarity_equal_to_the_threshold_counts():
    rows = [set(range(4)), set(range(5)), set(range(100)), set(range(80))]
    assert (1, 0) in pairs_of(list(similar_pairs(Sets.of(grams(rows)), 0.8)))
    assert (3, 2) in pairs_of(list(similar_pairs(Sets.of(grams(rows)), 0.8)))
    assert (1, 0) not in pairs_of(list(similar_pairs(Sets.of(grams(rows)), np.nextafter(0.8, 1))))


def test_repeated_members_count_once():
    repeated = Grams(np.array([0, 0, 0, 1, 1]), np.array([4, 4, 9, 9, 4]), 2)
    assert pairs_of(list(similar_pairs(Sets.of(repeated), 1.0))) == {(1, 0): 1.0}


def test_empty_sets_are_similar_to_nothing():
    assert pairs_of(list(similar_pairs(Sets.of(grams([set(), set(), {1}])), 0.1))) == {}
    assert list(similar_pairs(Sets.of(grams([])), 0.1)) == []


def test_members_in_too_many_rows_are_left_out_of_all_sets():
    rows = [{0, 1, 2, i} for i in range(10, 16)] + [{0, 20, 21}, {1, 20, 21}]
    assert len(pairs_of(list(similar_pairs(Sets.of(grams(rows)), 0.6)))) == 15
    capped = Sets.of(grams(rows), max_rows=5)
    assert capped.size.tolist() == [1] * 6 + [2, 2]
    assert pairs_of(list(similar_pairs(capped, 0.6))) == {(7, 6): 1.0}


def test_a_member_in_exactly_the_limit_of_rows_still_counts():
    rows = [{0, 1}, {0, 1}, {0, 1}]
    assert len(pairs_of(list(similar_pairs(Sets.of(grams(rows), max_rows=3), 1.0)))) == 3
    assert pairs_of(list(similar_pairs(Sets.of(grams(rows), max_rows=2), 1.0))) == {}


@given(MEMBERS, THRESHOLDS, st.data())
@settings(max_examples=40, deadline=None)
def test_rows_of_other_groups_are_not_compared(rows, threshold, data):
    group = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))), np.int64)
    expected = {k: v for k, v in brute_force(rows, threshold).items() if group[k[0]] == group[k[1]]}
    assert pairs_of(list(similar_pairs(Sets.of(grams(rows)), threshold, group=group))) == expected


def test_rows_cleared_between_blocks_are_not_matched_any_more():
    rows = [{1, 2, 3}] * 3000
    alive = np.ones(len(rows), np.bool_)
    reported = 0
    for block in similar_pairs(Sets.of(grams(rows)), 1.0, alive=alive, budget=20_000):
        reported += len(block.later)
        alive[1 : block.upto] = False
    assert reported < 3000 * 200 < 3000 * 2999 // 2


def test_blocks_report_progress_to_the_last_row():
    uptos = [block.upto for block in similar_pairs(Sets.of(grams(random_rows(3))), 0.7, budget=200)]
    assert uptos == sorted(set(uptos))
    assert uptos[-1] == 150


def test_memory_in_a_block_follows_the_budget():
    rows = [{1, 2, 3, 4}] * 2000
    largest = max(len(b.later) for b in similar_pairs(Sets.of(grams(rows)), 1.0, budget=10_000))
    assert largest <= 10_000


def test_a_block_takes_no_more_memory_than_it_may():
    rng = np.random.default_rng(0)
    rows = [set(rng.choice(60, size=30, replace=False).tolist()) for _ in range(500)]
    sets = Sets.of(grams(rows))
    index = 16 * sum(len(row) * 0.6 + 1 for row in rows) / 2**20

    def peak(budget: int) -> float:
        tracemalloc.start()
        assert sum(len(block.later) for block in similar_pairs(sets, 0.4, budget=budget)) > 10_000
        found = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        return found

    assert peak(budget_of(1)) < 1 + 4 * index < 5 < peak(budget_of(100))
