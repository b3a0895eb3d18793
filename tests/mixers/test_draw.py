"""The sampler: its key, nested budgets, training order and the errors of a size."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import schema
from manifests.errors import UserError
from manifests.names import sampling_key, seed64
from mixers.proportional import Proportional
from tests.mixers.pools import ids, pool, rows, stratum, usual

CONFORMANCE = {
    (0, 0, "member"): 0x52E4EDDE607785D0,
    (1, 0, "member"): 0x6BC75EA8957B5A29,
    (0xFFFFFFFFFFFFFFFF, 7, "order"): 0x55611DCE65BC3AE2,
}


def splitmix(value, seed, purpose):
    """Return the finaliser in Python integers, written from the paper."""
    mask = (1 << 64) - 1
    z = value ^ seed64(seed, purpose)
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
    return z ^ (z >> 31)


@pytest.mark.parametrize(("case", "expected"), CONFORMANCE.items())
def test_the_sampling_key_is_the_recorded_one(case, expected):
    value, seed, purpose = case
    assert int(sampling_key(np.array([value], dtype=np.uint64), seed, purpose)[0]) == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(0, 2**31), st.sampled_from(["member", "order"]))
def test_the_sampling_key_agrees_with_plain_integers(values, seed, purpose):
    found = sampling_key(np.array(values, dtype=np.uint64), seed, purpose).tolist()
    assert found == [splitmix(value, seed, purpose) for value in values]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1307), st.integers(0, 1307), st.integers(0, 3))
def test_a_smaller_budget_of_a_seed_is_a_subset_of_a_larger_one(a, b, seed):
    small, large = sorted((a, b))
    everything = usual()
    fewer = Proportional(name="small", rows=small).blend(everything, seed, {})
    more = Proportional(name="large", rows=large).blend(everything, seed, {})
    assert ids(fewer) <= ids(more)
    assert (len(ids(fewer)), len(ids(more))) == (small, large)


def test_a_smaller_token_budget_is_a_subset_and_the_next_row_would_not_fit():
    everything = usual()
    tokens = dict(everything.samples.select("sample_id", "n_tokens").iter_rows())
    before, used = set(), 0
    for budget in (200, 201, 5_000, 9_999, 20_000):
        found = ids(Proportional(name="b", tokens=budget).blend(everything, 0, {}))
        assert before <= found
        used = sum(tokens[i] for i in found)
        assert budget - 60 < used <= budget
        before = found
    one_more = Proportional(name="b", rows=len(before) + 1).blend(everything, 0, {})
    assert before < ids(one_more)
    assert sum(tokens[i] for i in ids(one_more)) > 20_000


def test_members_are_the_first_of_their_stratum_by_key_then_id():
    everything = usual()
    blend = Proportional(name="b", rows=130).blend(everything, 3, {})
    dolly = everything.samples.filter(pl.col("source") == "dolly")
    ranked = sorted(dolly.select("k64", "sample_id").iter_rows(), key=lambda r: (splitmix(r[0], 3, "member"), r[1]))
    taken = stratum(blend, "source:dolly")["taken"]
    assert {i for _, i in ranked[:taken]} == ids(blend) & set(dolly["sample_id"])


def test_shuffled_rows_give_the_same_blend_and_another_seed_another():
    recipe = Proportional(name="b", rows=500, where="p_error < 0.5")
    first = recipe.blend(usual(), 0, {})
    assert recipe.blend(usual(shuffle=1), 0, {}).content_id == first.content_id
    assert recipe.blend(usual(shuffle=1), 0, {}).members.equals(first.members)
    assert recipe.blend(usual(), 1, {}).content_id != first.content_id


def test_rejecting_a_row_draws_exactly_one_other_in_its_place():
    everything = usual()
    recipe = Proportional(name="b", rows=400)
    before = ids(recipe.blend(everything, 0, {}))
    gone = min(before)
    less = pool(everything.samples.filter(pl.col("sample_id") != gone))
    after = ids(recipe.blend(less, 0, {}))
    assert before - after == {gone}
    assert len(after - before) == 1


def test_every_prefix_of_a_blend_holds_each_stratum_in_proportion_to_one_row():
    everything = usual()
    blend = Proportional(name="b", rows=800).blend(everything, 0, {})
    members = blend.members.join(
        everything.samples.select("sample_id", "source"), on="sample_id", maintain_order="left"
    )
    assert members["position"].to_list() == list(range(880))
    for source, part in members.group_by("source"):
        share = part.height / members.height
        counts = (members["source"] == source[0]).cum_sum().to_numpy()
        drift = counts - share * np.arange(1, members.height + 1)
        assert np.abs(drift).max() < 3, source


def test_the_training_order_does_not_follow_the_order_of_choice():
    blend = Proportional(name="b", rows=900, specialist_rows=0).blend(usual(), 0, {})
    small = ids(Proportional(name="s", rows=300, specialist_rows=0).blend(usual(), 0, {}))
    places = blend.members.filter(pl.col("sample_id").is_in(sorted(small)))["position"].to_numpy()
    assert 400 < places.mean() < 500


def test_members_and_strata_have_the_shared_schema_and_weight_one():
    blend = Proportional(name="b", rows=10, by="task").blend(usual(), 0, {})
    assert dict(blend.members.schema) == dict(schema.MEMBERS)
    assert dict(blend.strata.schema) == dict(schema.STRATA)
    assert blend.strata["stratum"].is_sorted()
    assert set(blend.members["weight"]) == {1.0}
    assert set(blend.members["repeats"]) == {1}


def test_specialist_rows_are_all_or_a_nested_part_in_proportion_to_their_sources():
    everything = usual()
    whole = Proportional(name="a", rows=0).blend(everything, 0, {})
    forty = Proportional(name="b", rows=0, specialist_rows=40).blend(everything, 0, {})
    twenty = Proportional(name="c", rows=500, specialist_rows=20).blend(everything, 0, {})
    assert len(ids(whole, "specialist")) == 80
    assert ids(twenty, "specialist") < ids(forty, "specialist") < ids(whole, "specialist")
    assert stratum(forty, "specialist:jfleg")["taken"] == 30
    assert set(whole.members["reason"]) == {"specialist"}


def test_asking_for_more_rows_than_pass_says_how_many_there_are():
    with pytest.raises(UserError) as caught:
        Proportional(name="cov", rows=5000).blend(usual(), 0, {})
    assert caught.value.value == 5000
    assert "'cov'" in str(caught.value)
    assert "ask for at most 1307 rows" in str(caught.value)


def test_asking_for_more_than_the_gate_leaves_names_the_gate_too():
    with pytest.raises(UserError, match=r"`where` leaves \d+ of 1,307 rows") as caught:
        Proportional(name="b", rows=1000, where="p_error < 0.3").blend(usual(), 0, {})
    assert "loosen `where`" in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"tokens": 10_000_000}, "more generalist tokens"),
        ({"tokens": 1}, "no generalist row fits"),
        ({"rows": 1, "specialist_rows": 81}, "more specialist rows"),
        ({"rows": 0, "specialist_rows": 0}, "is empty"),
        ({"share": 0.5, "specialist_rows": 0}, "no specialist rows to be a share of"),
    ],
)
def test_a_size_that_cannot_be_met_is_a_user_error(recipe, message):
    with pytest.raises(UserError, match=message):
        Proportional(name="b", **recipe).blend(usual(), 0, {})


def test_eval_and_knowledge_rows_are_never_drawn():
    everything = pool(rows("a", "generalist", 20), rows("e", "eval", 20), rows("k", "knowledge", 20))
    blend = Proportional(name="b", rows=20).blend(everything, 0, {})
    assert ids(blend) == set(rows("a", "generalist", 20)["sample_id"])
    assert blend.members.height == 20


def test_a_blend_of_one_task_has_that_tasks_specialist_rows_alone():
    everything = usual()
    samples = everything.samples.with_columns(
        task=pl.when(pl.col("source") == "jfleg").then(pl.lit("fluency")).otherwise(pl.col("task"))
    )
    everything = dataclasses.replace(everything, samples=samples)
    blend = Proportional(name="one", rows=30, specialist_tasks=("fluency",)).blend(everything, 0, {})
    mine = set(samples.filter(pl.col("source") == "jfleg")["sample_id"])
    assert ids(blend, "specialist") == mine
    assert len(ids(blend)) == 30
    half = Proportional(name="half", share=0.5, specialist_tasks=("fluency",)).blend(everything, 0, {})
    assert len(ids(half)) == len(mine) == 60
    with pytest.raises(UserError, match="no specialist row is of this task") as caught:
        Proportional(name="none", rows=0, specialist_tasks=("fluenci",)).blend(everything, 0, {})
    assert "did you mean 'fluency'" in str(caught.value)
