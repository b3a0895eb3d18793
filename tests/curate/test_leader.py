"""Leaders: one of each near pair stays, no chain takes more, and the order decides who."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.jaccard import Pairs, Sets
from curate.leader import leaders, leaders_of
from curate.text import grams_of
from tests.curate.pool import chain

GRAPHS = st.integers(1, 14).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.dictionaries(
            st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), st.sampled_from([0.5, 0.7, 0.9]), max_size=40
        ),
        st.sets(st.integers(0, n - 1), max_size=3),
    )
)


def blocks_of(graph: dict[tuple[int, int], float], cut: int) -> list[Pairs]:
    """Return the pairs in two blocks, split at the later row `cut`."""
    found = sorted((max(a, b), min(a, b), s) for (a, b), s in graph.items() if a != b)
    found = sorted({(later, earlier): s for later, earlier, s in found}.items())
    split = [[pair for pair in found if (pair[0][0] < cut) == low] for low in (True, False)]
    return [
        Pairs(
            np.array([p[0][0] for p in part], np.int64),
            np.array([p[0][1] for p in part], np.int64),
            np.array([p[1] for p in part], np.float64),
            cut,
        )
        for part in split
    ]


@given(GRAPHS, st.integers(0, 14))
@settings(max_examples=150, deadline=None)
def test_they_are_those_of_brute_force_and_never_both_of_a_pair_goes(made, cut):
    n, graph, always = made
    blocks = blocks_of(graph, cut)
    near = {
        (int(a), int(b)): float(s) for p in blocks for a, b, s in zip(p.later, p.earlier, p.similarity, strict=True)
    }
    kept: list[int] = []
    wanted = {}
    for row in range(n):
        reach = [(near[row, k], -k) for k in kept if (row, k) in near]
        if reach and row not in always:
            wanted[row] = (-max(reach)[1], max(reach)[0])
        else:
            kept.append(row)
    guarded = np.isin(np.arange(n), list(always))
    found = leaders_of(blocks, np.ones(n, np.bool_), always=guarded)
    assert {
        int(r): (int(w), float(s)) for r, w, s in zip(found.row, found.leader, found.similarity, strict=True)
    } == wanted
    assert not set(found.row.tolist()) & (set(found.leader.tolist()) | always)


def test_a_chain_a_b_c_keeps_c():
    texts = chain(3, step=4)
    found = leaders(Sets.of(grams_of(pl.Series(texts), 3)), 0.6)
    assert (found.row.tolist(), found.leader.tolist()) == ([1], [0])


def test_rows_of_other_groups_are_not_similar():
    sets = Sets.of(grams_of(pl.Series(["a b c d"] * 4), 3))
    found = leaders(sets, 0.5, group=np.array([0, 1, 0, 1]))
    assert (found.row.tolist(), found.leader.tolist()) == ([2, 3], [0, 1])


def test_no_rows_have_no_followers():
    assert len(leaders_of([], np.ones(0, np.bool_)).row) == 0
