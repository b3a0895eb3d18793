"""Every recipe against the published rule that it implements; bad input; nesting, determinism, caps."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.component import spec_of
from manifests.errors import UserError
from mixers import recipe
from mixers.equal import Equal
from mixers.examples_proportional import ExamplesProportional
from mixers.mixer import MIXERS
from mixers.proportional import Proportional
from mixers.stratified import Stratified
from mixers.temperature import Temperature
from mixers.top import Top
from mixers.unimax import UniMax
from mixers.weighted import Weighted
from tests.mixers.pools import ids, pool, rows, stratum, usual

KINDS = {
    "equal": {},
    "examples_proportional": {"cap": 50},
    "proportional": {"temperature": 3.0},
    "stratified": {"by": ("source", "task"), "least_rows": 2},
    "temperature": {"temperature": 4.0, "cap": 400},
    "top": {"score": "n_tokens"},
    "unimax": {},
    "weighted": {"score": "n_tokens"},
}


def made(kind, **fields):
    return MIXERS.load(kind)(name="b", **{**KINDS[kind], **fields})


def taken(blend, column="source"):
    lines = blend.strata.filter(pl.col("stratum").str.starts_with(column))
    return {name.removeprefix(f"{column}:"): n for name, n in lines.select("stratum", "taken").iter_rows()}


def sized(**sources):
    return pool(*(rows(name, "generalist", n) for name, n in sources.items()))


def published_unimax(counts, budget, epochs):
    """Algorithm 1 of Chung et al. (2023): from the smallest, the lesser of an equal share of the rest and N epochs."""
    left, found = budget, {}
    order = sorted(counts, key=counts.get)
    for i, name in enumerate(order):
        found[name] = min(counts[name] * epochs, left / (len(order) - i))
        left -= found[name]
    return found


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_unimax_gives_what_the_published_algorithm_gives(epochs):
    counts = {"big": 800, "mid": 200, "small": 30, "tiny": 4}
    blend = UniMax(name="b", rows=600, max_epochs=epochs).blend(sized(**counts), 0, {})
    for name, amount in published_unimax(counts, 600, epochs).items():
        assert abs(taken(blend)[name] - amount) < 1
    assert stratum(blend, "source:tiny")["limited_by"] == ("supply" if epochs == 1 else "epoch cap")


def test_examples_proportional_cuts_sizes_at_the_cap():
    counts = {"big": 900, "mid": 100, "small": 50}
    found = taken(ExamplesProportional(name="b", rows=100, cap=150).blend(sized(**counts), 0, {}))
    assert {name: abs(found[name] - 100 * min(n, 150) / 300) < 1 for name, n in counts.items()} == dict.fromkeys(
        counts, True
    )


def test_temperature_weighs_the_root_of_the_size():
    counts = {"big": 900, "mid": 100, "small": 25}
    found = taken(Temperature(name="b", rows=90).blend(sized(**counts), 0, {}))
    assert found == {"big": 60, "mid": 20, "small": 10}
    assert taken(Temperature(name="b", rows=90, cap=100).blend(sized(**counts), 0, {}))["big"] == 36


def test_equal_fills_small_strata_and_shares_the_rest():
    found = taken(Equal(name="b", rows=300).blend(sized(a=500, b=500, c=40), 0, {}))
    assert found == {"a": 130, "b": 130, "c": 40}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 1307), st.integers(0, 1307), st.integers(0, 9))
def test_a_smaller_budget_of_any_recipe_is_a_subset_and_no_row_is_lost(kind, a, b, seed):
    small, large = sorted((a, b))
    everything = usual()
    fewer, more = (made(kind, rows=n).blend(everything, seed, {}) for n in (small, large))
    often = dict(more.members.select("sample_id", "repeats").iter_rows())
    assert all(often.get(i, 0) >= n for i, n in fewer.members.select("sample_id", "repeats").iter_rows())
    assert fewer.members["repeats"].sum() == small + 80
    assert more.members["repeats"].sum() == large + 80
    assert int(more.strata["taken"].sum()) == large + 80


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(1, 1300), st.integers(0, 9), st.integers(1, 99))
def test_the_order_of_the_pools_rows_decides_nothing(kind, n, seed, shuffle):
    drawn = [made(kind, rows=n).blend(usual(shuffle=s), seed, {}) for s in (None, shuffle)]
    assert drawn[0].content_id == drawn[1].content_id
    assert drawn[0].strata.equals(drawn[1].strata)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 300), st.integers(0, 9))
def test_no_recipe_draws_an_eval_or_knowledge_row(kind, n, seed):
    everything = pool(
        rows("a", "generalist", 300), rows("e", "eval", 200), rows("k", "knowledge", 200), rows("s", "specialist", 9)
    )
    members = made(kind, rows=n).blend(everything, seed, {}).members
    roles = dict(everything.samples.select("sample_id", "role").iter_rows())
    assert {roles[i] for i in members["sample_id"]} <= {"generalist", "specialist"}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 3000), st.integers(0, 5))
def test_repeats_differ_by_one_at_most_within_a_stratum_and_keep_the_epoch_cap(epochs, n, seed):
    everything = sized(a=300, b=170, c=11)
    n = min(n, 481 * epochs)
    blend = Equal(name="b", rows=n, max_epochs=epochs).blend(everything, seed, {}) if n else None
    if blend is None:
        return
    members = blend.members.join(everything.samples.select("sample_id", "source"), on="sample_id")
    for (source,), part in members.group_by("source"):
        spread = part["repeats"].max() - part["repeats"].min()
        assert spread <= 1
        assert part["repeats"].max() <= epochs
        whole = part.height == {"a": 300, "b": 170, "c": 11}[source]
        assert whole or part["repeats"].max() == 1


def test_a_budget_over_the_pool_is_refused_and_met_by_repeats_when_asked_for():
    everything = sized(a=30, b=10)
    with pytest.raises(UserError, match="raise max_epochs to repeat rows"):
        Proportional(name="b", rows=100).blend(everything, 0, {})
    blend = Proportional(name="b", rows=100, max_epochs=3).blend(everything, 0, {})
    assert blend.members["repeats"].sum() == 100
    assert stratum(blend, "source:a")["repeats"] == 3


@pytest.mark.parametrize("tokens", [70, 3_000, 60_000])
def test_tokens_with_repeats_come_within_one_row_of_the_budget(tokens):
    everything = sized(a=300, b=170, c=11)
    blend = UniMax(name="b", tokens=tokens, max_epochs=9).blend(everything, 0, {})
    sizes = blend.members.join(everything.samples.select("sample_id", "n_tokens"), on="sample_id")
    assert tokens - 60 < (sizes["n_tokens"] * sizes["repeats"]).sum() <= tokens


def test_weighted_draws_the_first_row_as_often_as_its_share_of_the_odds():
    """4,000 draws of one row of four, odds 0, 1, 2 and 5: within four standard errors of the multinomial."""
    everything = rows("a", "generalist", 4).with_columns(quality=pl.Series([0.0, 1.0, 2.0, 5.0]))
    places = {i: n for n, i in enumerate(everything["sample_id"])}
    counts = np.zeros(4)
    for seed in range(4000):
        keys = recipe_first(everything, seed)
        counts[places[keys]] += 1
    expected = np.array([0, 1, 2, 5]) / 8
    assert counts[0] == 0
    assert np.all(np.abs(counts / 4000 - expected) <= 4 * np.sqrt(expected * (1 - expected) / 4000))


def recipe_first(frame, seed):
    """Return the id that a weighted draw of one row takes, by the arrays alone."""
    from manifests.names import sampling_key
    from mixers.score import Scores

    there, keys = Scores("b", "quality", "refuse").odds(frame, sampling_key(frame["k64"].to_numpy(), seed))
    return frame["sample_id"].to_numpy()[there][np.argmin(keys)]


def test_weighted_never_draws_a_row_without_odds_and_says_what_limits_it():
    everything = pool(rows("a", "generalist", 100).with_columns(quality=pl.int_range(100) % 4))
    blend = Weighted(name="b", rows=75, score="quality").blend(everything, 0, {})
    drawn = everything.samples.filter(pl.col("sample_id").is_in(sorted(ids(blend))))
    assert drawn["quality"].min() == 1
    with pytest.raises(UserError, match="more generalist rows"):
        Weighted(name="b", rows=76, score="quality").blend(everything, 0, {})


@pytest.mark.parametrize("lowest", [True, False])
def test_top_takes_the_best_scores_as_sorting_does(lowest):
    everything = usual()
    blend = Top(name="b", rows=200, score="p_error", lowest=lowest, unscored="drop").blend(everything, 0, {})
    scores = everything.samples.filter(role="generalist")["p_error"].drop_nulls().sort(descending=not lowest)
    drawn = everything.samples.filter(pl.col("sample_id").is_in(sorted(ids(blend))))["p_error"]
    assert drawn.sort(descending=not lowest).to_list() == scores.head(200).to_list()


@pytest.mark.parametrize(
    ("value", "message"), [(float("nan"), "not finite"), (float("inf"), "not finite"), (-1.0, "cannot be under 0")]
)
def test_scores_that_are_no_odds_are_an_error_with_the_value(value, message):
    everything = pool(rows("a", "generalist", 3).with_columns(quality=pl.Series([1.0, value, 2.0])))
    with pytest.raises(UserError, match=message):
        Weighted(name="b", rows=1, score="quality").blend(everything, 0, {})


def test_rows_without_a_score_are_refused_until_they_may_be_left_out():
    with pytest.raises(UserError, match="have no value of this score"):
        Top(name="b", rows=1, score="p_error").blend(usual(), 0, {})
    with pytest.raises(UserError, match="did you mean 'p_error'"):
        Top(name="b", rows=1, score="p_eror").blend(usual(), 0, {})


def test_strata_of_several_columns_are_those_of_a_group_by():
    everything = usual()
    blend = Stratified(name="b", rows=1307, by=("source", "task", "length")).blend(everything, 0, {})
    groups = (
        everything.samples.filter(role="generalist")
        .group_by(
            "source",
            "task",
            pl.when(pl.col("n_tokens") < 32).then(pl.lit("0-31")).otherwise(pl.lit("32-63")).alias("band"),
        )
        .len()
    )
    expected = {f"source:{s} | task:{t or '(none)'} | length:{b}": n for s, t, b, n in groups.iter_rows()}
    generalist = blend.strata.filter(~pl.col("stratum").str.starts_with("specialist:"))
    assert dict(generalist.select("stratum", "available").iter_rows()) == expected


def test_a_value_with_a_bar_in_it_does_not_merge_two_strata():
    frame = rows("a", "generalist", 4).with_columns(
        task=pl.Series(["x | licence:y", "x", "x", "x"]), licence=pl.Series(["z", "y | licence:z", "q", "q"])
    )
    blend = Stratified(name="b", rows=4, by=("task", "licence")).blend(pool(frame), 0, {})
    assert sorted(blend.strata["taken"]) == [1, 1, 2]


@pytest.mark.parametrize("by", ["colour", ("source", "tsk"), '"; DROP TABLE samples; --'])
def test_an_unknown_column_names_the_nearest_and_reaches_no_sql(by):
    with pytest.raises(UserError, match=r"unknown column in by"):
        Stratified(name="b", rows=1, by=by).blend(usual(), 0, {})


def test_a_column_of_fractions_has_no_strata():
    with pytest.raises(UserError, match="has no strata"):
        Stratified(name="b", rows=1, by="p_error").blend(usual(), 0, {})


def test_rows_that_decontamination_took_are_named_when_they_are_what_lacks():
    lost = rows("small", "generalist", 90).select("source", "task", "n_tokens")
    everything = dataclasses.replace(sized(big=500, small=10), contaminated=lost)
    line = stratum(Equal(name="b", rows=100).blend(everything, 0, {}), "source:small")
    assert (line["taken"], line["limited_by"]) == (10, "contamination")


@pytest.mark.parametrize("order", ["generalist_first", "specialist_first"])
def test_a_staged_order_ends_one_role_before_the_other_and_changes_no_member(order):
    staged = Proportional(name="b", rows=300, order=order).blend(usual(), 0, {})
    mixed = Proportional(name="b", rows=300).blend(usual(), 0, {})
    assert set(staged.members["sample_id"]) == set(mixed.members["sample_id"])
    first = order.removesuffix("_first")
    roles = staged.members["role"].to_list()
    assert roles.index({"generalist": "specialist", "specialist": "generalist"}[first]) == roles.count(first)
    assert roles[0] == first


def test_a_recipe_from_a_newer_version_or_with_unknown_fields_is_refused():
    spec = spec_of(UniMax(name="b", rows=50))
    blend = recipe.load(spec).blend(usual(), 0, {})
    assert blend.content_id == UniMax(name="b", rows=50).blend(usual(), 0, {}).content_id
    with pytest.raises(UserError, match="install a newer blendsmith"):
        recipe.load({**spec, "version": 99})
    with pytest.raises(UserError, match="did you mean 'max_epochs'"):
        recipe.load({**spec, "max_epoch": 3})
    with pytest.raises(UserError, match="did you mean 'unimax'"):
        recipe.load({**spec, "kind": "unimx"})
