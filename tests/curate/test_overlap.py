"""Overlap with evaluation text against sets of tuples, and against looking at every word."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.overlap import OVERLAPS, contained, near, overlaps, runs, same

QUESTION = (
    "A train leaves the old station at nine and reaches the coast four hours later; how fast does it go on average?"
)
SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=9).map(" ".join)


def series(texts: list[str]) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)


def reference(train: list[str], held_out: list[str], n: int, cap: int | None) -> dict[tuple[int, int], float]:
    def grams(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    theirs = [grams(t) for t in held_out]
    often = {g: sum(g in other for other in theirs) for grams_of in theirs for g in grams_of}
    counted = [{g for g in mine if cap is None or often[g] <= cap} for mine in theirs]
    result = {}
    for i, text in enumerate(train):
        for j, (mine, test) in enumerate(zip(counted, held_out, strict=True)):
            if mine and mine & grams(text):
                result[i, j] = len(mine & grams(text)) / len(mine)
            elif not mine and test.split() and test.split() == text.split():
                result[i, j] = 1.0
    return result


def covered(train: str, held_out: str, n: int, often: dict[tuple[str, ...], int], cap: int | None) -> float | None:
    """Return the share of the words in counted n-grams that lie in one which the training text holds."""
    words, theirs = held_out.split(), train.split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    held = {tuple(theirs[i : i + n]) for i in range(len(theirs) - n + 1)}
    counted = [i for i, gram in enumerate(grams) if cap is None or often[gram] <= cap]
    total = {i + k for i in counted for k in range(n)}
    hit = {i + k for i in counted if grams[i] in held for k in range(n)}
    return len(hit) / len(total) if hit else None


@given(
    st.lists(SENTENCES, max_size=8),
    st.lists(SENTENCES, max_size=6),
    st.integers(1, 4),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=100, deadline=None)
def test_overlaps_are_those_of_sets_of_tuples(train, held_out, n, cap, share):
    got = overlaps(
        pl.Series(train, dtype=pl.String),
        pl.Series(held_out, dtype=pl.String),
        n,
        share=share,
        max_eval_rows=cap,
    )
    assert dict(got.schema) == dict(OVERLAPS)
    expected = {k: v for k, v in reference(train, held_out, n, cap).items() if v >= share}
    assert {(i, j): s for i, j, s in got.iter_rows()} == expected
    assert got.select("train", "eval").rows() == sorted(expected)


@given(
    st.lists(SENTENCES, max_size=6),
    st.lists(SENTENCES, max_size=5),
    st.integers(1, 4),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([0.0, 0.5]),
)
@settings(max_examples=100, deadline=None)
def test_covered_words_are_those_of_looking_at_each(train, held_out, n, cap, over):
    often: dict[tuple[str, ...], int] = {}
    for text in held_out:
        words = text.split()
        for gram in {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}:
            often[gram] = often.get(gram, 0) + 1
    got = contained(series(train), series(held_out), n, over=over, max_eval_rows=cap)
    assert dict(got.schema) == dict(OVERLAPS)
    shares = {(i, j): covered(t, e, n, often, cap) for i, t in enumerate(train) for j, e in enumerate(held_out)}
    expected = {pair: share for pair, share in shares.items() if share is not None and share > over}
    assert {(i, j): s for i, j, s in got.iter_rows()} == pytest.approx(expected)


@given(st.lists(st.tuples(SENTENCES, SENTENCES), max_size=6), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_a_run_is_the_longest_that_both_texts_share(pairs, n):
    got = runs(series([t for t, _ in pairs]), series([e for _, e in pairs]), n)
    for (train, held_out), run in zip(pairs, got, strict=True):
        theirs, mine = train.split(), held_out.split()
        starts = [mine[i : i + n] for i in range(len(mine) - n + 1)]
        first = len(starts) == len({tuple(gram) for gram in starts})
        pieces = [theirs[i:j] for i in range(len(theirs)) for j in range(i + n, len(theirs) + 1)]
        shared = [p for p in pieces if any(mine[k : k + len(p)] == p for k in range(len(mine)))]
        assert (run is None) == (not shared)
        if run is not None:
            assert run.split() in shared
            assert not first or len(run.split()) == max(map(len, shared))


@given(st.lists(SENTENCES, max_size=6), st.lists(SENTENCES, max_size=6))
@settings(max_examples=40, deadline=None)
def test_the_same_words_are_the_same_list(train, held_out):
    expected = [
        (i, j, 1.0) for i, t in enumerate(train) for j, e in enumerate(held_out) if t.split() and t.split() == e.split()
    ]
    assert same(series(train), series(held_out)).rows() == expected


def test_near_vectors_are_those_of_all_cosines():
    rng = np.random.default_rng(4)
    train, held_out = (rng.normal(size=(n, 8)).astype(np.float32) for n in (5000, 30))
    train, held_out = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (train, held_out))
    cosine = np.round(train.astype(np.float64) @ held_out.astype(np.float64).T, 5)
    got = near(train, held_out, 0.8)
    assert got["train"].to_list() == np.flatnonzero(cosine.max(axis=1) >= 0.8).tolist()
    assert got["eval"].to_list() == cosine.argmax(axis=1)[got["train"].to_numpy()].tolist()
    assert got["share"].to_numpy() == pytest.approx(cosine.max(axis=1)[got["train"].to_numpy()], abs=2e-5)
    assert dict(got.schema) == dict(OVERLAPS)
    assert near(train[:0], held_out, 0.8).height == near(train, held_out[:0], 0.8).height == 0


def test_a_repeated_word_costs_no_more_than_others():
    text = series(["a " * 20_000])
    assert runs(text, text, 8).item().startswith("a a a")


def test_a_blend_can_be_checked_by_text_alone():
    blend = pl.Series([f"Question: {QUESTION}\nAnswer: 80", "Something else", "2 + 2"])
    got = overlaps(blend, pl.Series([QUESTION, "2+2?"]))
    assert got.rows() == [(0, 0, 1.0), (2, 1, 1.0)]
