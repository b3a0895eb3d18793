"""Stored pairs: other thresholds, sizes and orders give what a new comparison would."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import duplicate, fuzzy
from curate.duplicate import CACHE
from curate.fuzzy import Fuzzy
from manifests import schema
from manifests.component import Context
from manifests.errors import UserError
from tests.curate.pool import STORY, chain, rows
from tests.curate.test_fuzzy import corpus

LOOSE = {"key": "response", "numbers_agree": False}


def family(seed: int = 3, n: int = 60) -> pl.DataFrame:
    return rows(*[("Tell me.", text) for text in corpus(seed, n)])


def refuse(*_: object, **__: object) -> None:
    pytest.fail("the texts were compared again")


@given(st.sampled_from([0.3, 0.45, 0.6, 0.8, 1.0]), st.sampled_from([("length",), ("id",), ("high meta.x", "source")]))
@settings(max_examples=15, deadline=None)
def test_another_threshold_or_order_equals_a_new_comparison(tmp_path_factory, threshold, prefer):
    frame, context = family(), Context(root=tmp_path_factory.mktemp("floor"))
    stored = Fuzzy(floor=0.3, threshold=threshold, prefer=prefer, **LOOSE)
    fresh = Fuzzy(threshold=threshold, prefer=prefer, **LOOSE).decide(frame, {}, context)
    assert stored.decide(frame, {}, context).equals(fresh)
    assert stored.decide(frame.reverse(), {}, context).equals(fresh)
    assert stored.pairs(frame, context).rethreshold(threshold).decisions().equals(fresh)


def test_a_stored_pool_is_not_compared_again_whatever_is_selected(tmp_path, monkeypatch):
    frame, context = family(), Context(root=tmp_path)
    Fuzzy(floor=0.4, **LOOSE).decide(frame, {}, context)
    (file,) = (tmp_path / CACHE).iterdir()
    monkeypatch.setattr(fuzzy, "similar_pairs", refuse)
    monkeypatch.setattr(fuzzy, "grams", refuse)
    for fields in ({"threshold": 0.5}, {"prefer": ("id",)}, {"protect": ("pool",)}, {"max_removed_share": 0.9}):
        Fuzzy(**({"floor": 0.4} | LOOSE | fields)).decide(frame, {}, context)
    assert list((tmp_path / CACHE).iterdir()) == [file]
    renamed = frame.with_columns(source=pl.lit("other"), sample_id=pl.col("sample_id").str.reverse())
    found = Fuzzy(floor=0.4, threshold=0.5, **LOOSE).decide(renamed, {}, context)
    monkeypatch.undo()
    assert found.equals(Fuzzy(threshold=0.5, **LOOSE).decide(renamed, {}, context))


@pytest.mark.parametrize("fields", [{"ngram": 2}, {"floor": 0.5}, {"max_shingle_rows": 9}, {"numbers_agree": True}])
def test_what_decides_on_similarity_has_pairs_of_its_own(tmp_path, fields):
    frame, context = family(), Context(root=tmp_path)
    Fuzzy(floor=0.4, **LOOSE).decide(frame, {}, context)
    Fuzzy(**({"floor": 0.4} | LOOSE | fields)).decide(frame, {}, context)
    Fuzzy(floor=0.4, **LOOSE).decide(frame.head(59), {}, context)
    assert len(list((tmp_path / CACHE).iterdir())) == 3


def test_the_pairs_are_those_of_brute_force(tmp_path):
    frame = family(5, 40)
    found = Fuzzy(threshold=0.4, **LOOSE).pairs(frame, Context(root=tmp_path)).frame()

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)} or {tuple(words)}

    texts = list(frame.select("sample_id", "response").iter_rows())
    wanted = {}
    for i, (one, a) in enumerate(texts):
        for other, b in texts[:i]:
            similarity = len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))
            if similarity >= 0.4:
                wanted[frozenset((one, other))] = similarity
    assert {frozenset((a, b)): s for a, b, s in found.iter_rows()} == wanted


def test_below_the_floor_nothing_is_known(tmp_path):
    held = Fuzzy(floor=0.5, **LOOSE).pairs(family(), Context(root=tmp_path))
    with pytest.raises(UserError, match=r"between 0\.5 and 1: 0\.4"):
        held.rethreshold(0.4)


def test_a_chain_keeps_its_far_end_at_any_threshold(tmp_path):
    frame = rows(*[("Tell me.", text) for text in chain(6)])
    held = Fuzzy(floor=0.3, threshold=0.6, prefer=("id",), **LOOSE).pairs(frame, Context(root=tmp_path))
    for threshold in (0.5, 0.6, 0.7):
        now = held.rethreshold(threshold)
        gone = now.decisions()
        assert 0 < len(gone) < 5
        assert not set(gone["witness_id"]) & set(gone["sample_id"])
        assert gone["similarity"].min() >= threshold


@pytest.mark.parametrize("keep", [45, 35, 30])
def test_a_target_size_is_reached_at_the_highest_level_tried(tmp_path, keep):
    frame, context = family(), Context(root=tmp_path)
    held = Fuzzy(floor=0.2, **LOOSE).pairs(frame, context)
    found = held.reduced(keep)
    higher = [s for s in np.unique(held.pairs.similarity) if s > found.threshold]
    assert found.kept <= keep
    assert not higher or held.rethreshold(float(higher[0])).kept > keep
    decided = Fuzzy(floor=0.2, keep=keep, **LOOSE).decide(frame, {}, context)
    assert len(decided) == len(frame) - found.kept
    assert set(decided["detail"]) == {f"threshold {found.threshold:.4g} leaves {found.kept} rows, {keep} asked for"}
    fresh = Fuzzy(threshold=found.threshold, **LOOSE).decide(frame, {}, context)
    assert decided.drop("detail").equals(fresh.drop("detail"))


def test_a_size_out_of_reach_says_how_far_the_floor_goes(tmp_path):
    frame, context = family(), Context(root=tmp_path)
    stays = Fuzzy(floor=0.5, threshold=0.5, **LOOSE).pairs(frame, context).kept
    with pytest.raises(UserError, match=rf"{stays} rows stay at the floor 0\.5, more than the size asked for: 2"):
        Fuzzy(floor=0.5, keep=2, **LOOSE).decide(frame, {}, context)
    whole = Fuzzy(floor=0.5, **LOOSE).pairs(frame, context).reduced(10_000)
    assert whole.threshold == 1.0


def test_too_many_pairs_fall_back_to_the_join_or_are_refused(tmp_path, monkeypatch):
    frame, context = family(), Context(root=tmp_path)
    wanted = Fuzzy(threshold=0.5, **LOOSE).decide(frame, {}, context)
    monkeypatch.setattr(duplicate, "MAX_PAIRS", 3)
    assert Fuzzy(floor=0.3, threshold=0.5, **LOOSE).decide(frame, {}, context).equals(wanted)
    assert not (tmp_path / CACHE).exists()
    with pytest.raises(UserError, match="more pairs are similar than can be held"):
        Fuzzy(floor=0.3, keep=30, **LOOSE).decide(frame, {}, context)
    with pytest.raises(UserError, match="raise `floor`"):
        Fuzzy(threshold=0.3, **LOOSE).pairs(frame, context)


def test_clusters_and_explanations_say_who_stands_for_whom(tmp_path):
    frame = rows(("p", STORY), ("p", STORY + " now"), ("p", STORY + " now then"), ("p", "Nothing like it here"))
    held = Fuzzy(threshold=0.8, **LOOSE).pairs(frame, Context(root=tmp_path))
    ids = dict(frame.select("response", "sample_id").iter_rows())
    best, alone = ids[STORY + " now then"], ids["Nothing like it here"]
    assert held.clusters().rows() == [(best, sorted({ids[STORY], ids[STORY + " now"]}))]
    assert held.explain(best) == "kept: no row kept before it reaches 0.8; 2 rows were dropped for it"
    assert held.explain(alone).endswith("0 rows were dropped for it")
    similarity = held.frame().filter(sample_id=ids[STORY], witness_id=best)["similarity"].item()
    assert held.explain(ids[STORY]).startswith(f"dropped: {similarity:.4f} similar to {best}")
    guarded = Fuzzy(threshold=0.8, protect=("pool",), **LOOSE).pairs(frame, Context(root=tmp_path))
    assert guarded.explain(best).startswith("kept whatever it is like")
    with pytest.raises(UserError, match="no such row"):
        held.explain("x" * 32)


def test_no_rows_are_no_trouble(tmp_path):
    held = Fuzzy(floor=0.5).pairs(rows(), Context(root=tmp_path))
    assert (held.kept, len(held.frame()), len(held.clusters())) == (0, 0, 0)
    assert dict(held.decisions().schema) == dict(schema.DECISIONS)
    assert dataclasses.is_dataclass(held)
