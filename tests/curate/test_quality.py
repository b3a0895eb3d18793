"""Shares of repeated lines, paragraphs and n-grams against counting by hand and by brute force."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.quality import MIN_TIMES, gram_shares, repetition

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=24).map(" ".join), max_size=6)


def brute(text: str, n: int, least: int = 1) -> tuple[float, float]:
    words = text.split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    top = max(Counter(grams).values(), default=0)
    again = {i + k for i, gram in enumerate(grams) if gram in grams[:i] for k in range(n)}
    count = max(len(words), 1)
    return min((top if top >= least else 0) * n / count, 1.0), len(again) / count


def test_repetition_counts_lines_paragraphs_and_words():
    numbered = " ".join(f"w{i}" for i in range(60))
    twice = numbered + " " + " ".join(f"w{i}" for i in range(20))
    texts = pl.Series(["a\nb\na\n\nb\na", "x " * 60, numbered, "", twice, "p q\n\n" * 5])
    found = repetition(texts)
    assert found["lines"].to_list() == [1 - 2 / 5, 0.0, 0.0, 0.0, 0.0, 0.8]
    assert found["paragraphs"].to_list() == [0.0, 0.0, 0.0, 0.0, 0.0, 0.8]
    assert found["top"].to_list() == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert found["duplicate"].to_list() == pytest.approx([0.0, 59 / 60, 0.0, 0.0, 20 / 80, 0.0])


@given(TEXTS, st.integers(1, 5), st.integers(1, MIN_TIMES))
@settings(max_examples=80, deadline=None)
def test_gram_shares_are_those_of_brute_force(texts, n, least):
    top, duplicate = gram_shares(pl.Series(texts, dtype=pl.String), n, least)
    expected = [brute(text, n, least) for text in texts]
    assert top.tolist() == pytest.approx([share for share, _ in expected])
    assert duplicate.tolist() == pytest.approx([share for _, share in expected])


@given(st.lists(st.text(st.sampled_from("ab \n"), max_size=300), max_size=5))
@settings(max_examples=40, deadline=None)
def test_repetition_is_a_share(texts):
    shares = repetition(pl.Series(texts, dtype=pl.String)).to_numpy()
    assert np.all((shares >= 0) & (shares <= 1))
