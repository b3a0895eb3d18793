"""Novelty: the distance to the nearest other rows."""

import numpy as np
import polars as pl
import pytest

from curate.hashed import hashed
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
