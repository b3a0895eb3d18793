"""Novelty: the distance to the nearest other rows."""

from functools import partial

import numpy as np
import polars as pl
import pytest

from curate.hashed import hashed
from curate.neighbours import Index, lengths, rounded
from curate.novelty import Novelty, novelty
from manifests import schema
from manifests.component import Context
from manifests.errors import Interrupted
from manifests.names import digest

TEXTS = [
    "write a poem of the sea",
    "write a poem of the seas",
    "write a poem of the sea",
    "count all prime numbers",
    " ",
]


def samples(texts):
    return pl.DataFrame(
        {
            "sample_id": [digest(i) for i in range(len(texts))],
            "content_id": [digest(t) for t in texts],
            "prompt": texts,
            "response": ["yes"] * len(texts),
        }
    )


def scores(texts, tmp_path, **fields):
    frame = samples(texts)
    found = Novelty(encoder="hash", **fields).score(frame, Context(root=tmp_path)).scores
    assert dict(found.schema) == dict(schema.SCORES)
    return frame.select("sample_id").join(found, on="sample_id", maintain_order="left")


def test_copies_are_not_new_and_the_odd_one_out_is_newest(tmp_path):
    found = scores(TEXTS, tmp_path)
    value = found["value"].to_list()
    assert value[0] == value[2] == pytest.approx(0, abs=1e-12)
    assert 0 < value[1] < value[3] <= 2
    assert found["status"].to_list() == ["ok"] * 4 + ["abstained"]
    assert found["why"][4] == "no text to compare"


@pytest.mark.parametrize("k", [1, 2, 10])
def test_it_is_the_mean_over_the_nearest_by_brute_force(k, tmp_path):
    texts = [f"write about {a} and {b}" for a in ("cats", "dogs", "rain") for b in ("tea", "war", "ice", "jazz")]
    vectors = hashed(texts).astype(np.float64)
    alike = np.clip(vectors @ vectors.T, -1, 1)
    np.fill_diagonal(alike, -9)
    near = np.sort(alike, axis=1)[:, ::-1][:, : min(k, 11)]
    assert scores(texts, tmp_path, k=k)["value"].to_numpy() == pytest.approx(1 - near.mean(axis=1), abs=2e-3)


def test_the_order_of_rows_changes_nothing(tmp_path):
    texts = [f"say {w}" for w in ["one", "two", "three", "four", "five", "six", "seven"]]
    context = Context(root=tmp_path)
    first = Novelty(encoder="hash").score(samples(texts), context).scores
    again = Novelty(encoder="hash").score(samples(texts).reverse(), context).scores
    assert again.equals(first)


def test_a_single_row_abstains(tmp_path):
    found = scores(["alone"], tmp_path)
    assert found["value"].to_list() == [None]
    assert found["why"].to_list() == ["no other row to compare with"]
    assert Novelty().pending(samples(["a"]), Context(root=tmp_path)) == 0


def test_stopping_interrupts(tmp_path):
    with pytest.raises(Interrupted):
        novelty(hashed(["a b", "c d"]), 1, Context(root=tmp_path, stopping=lambda: True))


def many(rows=1500):
    """Return texts in families of a few words changed, and some like no other."""
    random = np.random.default_rng(4)
    words = np.array(
        [f"{a}{b}" for a in ("mo", "ka", "ri", "tu", "sel", "dor") for b in ("na", "pe", "lix", "gor", "um")]
    )
    families = [list(random.choice(words, 14)) for _ in range(120)]
    texts = []
    for place in range(rows):
        text = list(families[place % 120])
        for at in random.integers(0, 14, 1 + place % 4):
            text[at] = str(random.choice(words))
        texts.append(" ".join(text))
    return texts


@pytest.mark.parametrize("k", [1, 3])
def test_lists_find_nearly_every_rows_novelty_and_never_too_low_a_one(k, tmp_path, monkeypatch):
    import curate.novelty as module

    vectors = hashed(many())
    grid = rounded(vectors)
    length = lengths(grid)
    alike = grid.astype(np.float64) @ grid.T.astype(np.float64) / (length[:, None] * length[None, :])
    np.fill_diagonal(alike, -2)
    nearest = np.sort(np.minimum(alike, 1), axis=1)[:, ::-1][:, :k]
    exact = 1 - nearest.mean(axis=1)
    context = Context(root=tmp_path)
    assert novelty(vectors, k, context) == pytest.approx(exact, abs=1e-12)
    monkeypatch.setattr(module, "Index", partial(Index, flat=100))
    found = novelty(vectors, k, context)
    assert (found >= exact - 1e-12).all()
    near = nearest[:, -1] >= 0.5
    assert near.mean() > 0.9
    assert np.isclose(found[near], exact[near], atol=1e-12).mean() >= 0.99
    order = np.random.default_rng(1).permutation(len(vectors))
    assert np.array_equal(novelty(vectors[order], k, context), found[order])
