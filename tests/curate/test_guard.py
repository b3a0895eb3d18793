"""Guards of duplicate removal."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

from curate.guard import agreeing, jaccard_of, number_labels, refuse_wipe_out
from curate.jaccard import Pairs
from curate.text import grams_of
from manifests.errors import UserError
from tests.curate.pool import rows


def shingles(text: str) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return {tuple(found[i : i + 3]) for i in range(len(found) - 2)} or ({tuple(found)} if found else set())


def test_the_similarity_of_chosen_rows_is_that_of_sets():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{w}" for w in rng.integers(0, 4, size=rng.integers(0, 9))) for _ in range(60)]
    row, other = rng.integers(0, 60, 400), rng.integers(0, 60, 400)
    found = jaccard_of(grams_of(pl.Series(texts), 3), row, other)
    for a, b, s in zip(row, other, found, strict=True):
        one, two = shingles(texts[a]), shingles(texts[b])
        assert s == (len(one & two) / len(one | two) if one | two else 0.0)
    assert jaccard_of(grams_of(pl.Series(["", "!"]), 3), np.array([0]), np.array([1])).tolist() == [0.0]
    assert len(jaccard_of(grams_of(pl.Series(["a"]), 3), np.empty(0, np.int64), np.empty(0, np.int64))) == 0


def test_pairs_need_like_answers():
    frame = rows(("p", "yes"), ("P ", "no"), ("p", "Yes!"), ("q", "no"), ("p", "?!"), ("p", "?!"))
    frame = frame.sort("response", "prompt")
    said = frame["response"].to_list()
    later, earlier = np.tril_indices(len(frame), -1)
    given = Pairs(later, earlier, np.ones(len(later)), len(frame))
    (found,) = agreeing([given], frame["response"], 3, 0.5)
    pairs = {frozenset((said[a], said[b])) for a, b in zip(found.later, found.earlier, strict=True)}
    assert pairs == {frozenset(("yes", "Yes!")), frozenset(("no",)), frozenset(("?!",))}
    assert found.upto == len(frame)


def test_the_number_guard_is_a_label_or_nothing():
    texts = pl.Series(["2 + 3", "3 and 2", "2 + 4"])
    label = number_labels(texts, agree=True)
    assert (label[0] == label[1], label[0] == label[2]) == (True, False)
    assert number_labels(texts, agree=False) is None


def test_a_wipe_out_is_refused_with_every_source():
    source = pl.Series("source", ["a"] * 4 + ["b"] * 2)
    refuse_wipe_out(source, source[[0, 1]], 0.5, "this work", "do less")
    with pytest.raises(UserError, match=r"(?s)this work.*25\.0%.*a: 2 of 4 \(50\.0%\); b: 0 of 2.*do less") as caught:
        refuse_wipe_out(source, source[[0, 1]], 0.25, "this work", "do less")
    assert caught.value.value == ["a"]
