"""Intervals, tests and verdicts of blends."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from manifests.errors import UserError
from manifests.schema import LEADERBOARD
from tests.benchmarks.compare_coverage import Study
from trainers.compare import COMPARISONS, VALUES, _additive, comparisons, differences, holm, leaderboard, verdict
from trainers.spread import Spread, complete, estimate, needed, spread
from trainers.student import shrinkage


def study(blends=3, seeds=3, examples=40, effect=0.0, seed_sd=0.1, number=0) -> dict[str, np.ndarray]:
    """Tables of seeds x examples; blend b0 is `effect` better."""
    rng = np.random.default_rng(number)
    shape = (blends, seeds, examples)
    values = (
        rng.normal(size=(1, 1, examples))
        + 0.3 * rng.normal(size=(blends, 1, examples))
        + seed_sd * rng.normal(size=(blends, seeds, 1))
        + 0.2 * rng.normal(size=shape)
    )
    values[0] += effect
    return {f"b{i}": values[i] for i in range(blends)}


def rows(tables, task="t", metric="m") -> pl.DataFrame:
    found = [
        (blend, seed, task, metric, f"e{i:04d}", None if np.isnan(value) else float(value))
        for blend, table in tables.items()
        for (seed, i), value in np.ndenumerate(table)
    ]
    return pl.DataFrame(found, schema=dict(VALUES), orient="row")


def test_one_seed_is_the_paired_t_test_over_examples():
    tables = study(blends=2, seeds=1, examples=60, effect=0.1)
    found = differences(tables, [("b0", "b1")])[0]
    expected = stats.ttest_rel(tables["b0"][0], tables["b1"][0])
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.n_seeds, found.n_examples) == (1, 60)


def test_without_an_effect_of_examples_it_is_the_paired_t_test_over_seeds():
    rng = np.random.default_rng(1)
    a, b = (np.repeat(rng.normal(size=(4, 1)) + shift, 50, axis=1) for shift in (0.0, 1.5))
    found = differences({"a": a, "b": b}, [("a", "b")])[0]
    expected = stats.ttest_rel(a[:, 0], b[:, 0])
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)


def test_the_variance_is_that_of_the_two_way_analysis_in_closed_form():
    table = study(blends=1, seeds=5, examples=30, seed_sd=0.4)["b0"]
    n_seeds, n_examples = table.shape
    mean = table.mean()
    ms_seeds = n_examples * ((table.mean(1) - mean) ** 2).sum() / (n_seeds - 1)
    ms_examples = n_seeds * ((table.mean(0) - mean) ** 2).sum() / (n_examples - 1)
    rest = sum(
        (table[s, i] - table[s].mean() - table[:, i].mean() + mean) ** 2
        for s, i in itertools.product(range(n_seeds), range(n_examples))
    ) / ((n_seeds - 1) * (n_examples - 1))
    found = spread(table)
    total = found.seeds / found.n_seeds + found.examples
    assert total == pytest.approx((ms_seeds + ms_examples - rest) / (n_seeds * n_examples))


def test_the_p_value_agrees_with_all_sign_flips_of_a_small_table():
    tables = study(blends=2, seeds=1, examples=12, effect=0.25, number=3)
    d = (tables["b0"] - tables["b1"])[0]
    signs = np.array(list(itertools.product((-1, 1), repeat=len(d))))
    exact = (np.abs((signs * d).mean(1)) >= abs(d.mean()) - 1e-12).mean()
    found = differences(tables, [("b0", "b1")])[0].p_value
    assert 0.001 < exact < 0.5
    assert found == pytest.approx(exact, abs=0.02)


def test_intervals_of_three_seeds_cover_and_a_percentile_bootstrap_does_not():
    rng, covered, naive, studies = np.random.default_rng(0), 0, 0, 300
    for number in range(studies):
        tables = study(blends=2, seed_sd=0.3, number=number)
        found = differences(tables, [("b0", "b1")])[0]
        covered += found.low <= 0 <= found.high
        means = (tables["b0"] - tables["b1"]).mean(1)
        low, high = np.quantile(means[rng.integers(0, 3, size=(400, 3))].mean(1), [0.025, 0.975])
        naive += low <= 0 <= high
    assert covered / studies > 0.92
    assert naive / studies < 0.85


@pytest.mark.parametrize("common", ["examples", "seeds"])
def test_what_all_blends_share_cancels(common):
    tables = study(effect=0.1)
    rng = np.random.default_rng(5)
    shift = rng.normal(size=(1, 40)) if common == "examples" else rng.normal(size=(3, 1))
    moved = {blend: table + 10 * shift for blend, table in tables.items()}
    before, after = (differences(one, [("b0", "b1")])[0] for one in (tables, moved))
    assert (after.mean, after.low, after.high) == pytest.approx((before.mean, before.low, before.high))


def test_turning_a_pair_round_turns_the_sign():
    there, back = differences(study(effect=0.2), [("b0", "b2"), ("b2", "b0")])
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert (there.p_value, there.detectable) == (back.p_value, back.detectable)


def test_a_larger_study_detects_smaller_effects():
    few, many = (differences(study(blends=2, seeds=s, examples=n), [("b0", "b1")])[0] for s, n in ((3, 40), (12, 400)))
    assert many.detectable < 0.6 * few.detectable
    assert few.detectable > (few.high - few.low) / 2


# --- pooling


def test_other_blends_lend_their_degrees_of_freedom():
    wins = dict.fromkeys((2, 6), 0)
    for number in range(40):
        for blends in wins:
            tables = study(blends=blends, seed_sd=0.3, effect=1.5, number=number)
            wins[blends] += differences(tables, [("b0", "b1")])[0].p_value < 0.05 / 15
    assert wins[2] <= 10
    assert wins[6] >= 25


def test_a_blend_that_varies_more_than_the_rest_gets_no_smaller_error_by_pooling():
    for number in range(20):
        tables = study(blends=6, seed_sd=0.02, number=number)
        tables["b0"] = tables["b0"] + 0.5 * np.random.default_rng(number).normal(size=(3, 1))
        pooled = differences(tables, [("b0", "b1")])[0]
        own = spread(complete(tables["b0"] - tables["b1"]))
        assert (pooled.high - pooled.low) / 2 > 2 * (own.seeds / 3 + own.examples) ** 0.5


def test_each_blends_share_is_the_least_squares_fit():
    rng = np.random.default_rng(2)
    pairs = list(itertools.combinations("abcde", 2))
    variances = rng.exponential(size=len(pairs))
    design = np.array([[blend in pair for blend in "abcde"] for pair in pairs], float)
    expected = np.linalg.lstsq(design, variances, rcond=None)[0]
    found = _additive({p: Spread(0, v, 0, 3, 10) for p, v in zip(pairs, variances, strict=True)}, variances.mean())
    assert [found[blend] for blend in "abcde"] == pytest.approx(list(expected))


def test_a_blend_with_one_seed_left_borrows_the_variance_of_seeds():
    tables = study(blends=4, seed_sd=0.3)
    tables["b0"][1:] = np.nan
    found = differences(tables, [("b0", "b1"), ("b1", "b2")])
    alone = differences({blend: tables[blend][:1] for blend in ("b0", "b1")}, [("b0", "b1")])[0]
    assert (found[0].n_seeds, found[1].n_seeds) == (1, 3)
    assert found[0].high - found[0].low > 3 * (alone.high - alone.low)


# --- missing values


def test_a_failed_seed_is_left_out_and_counted():
    tables = study(blends=2, effect=0.3)
    tables["b1"][2] = np.nan
    tables["b0"][2, 7:] = np.nan
    found = comparisons(rows(tables)).row(0, named=True)
    assert (found["n_seeds"], found["n_examples"]) == (2, 40)
    assert found["difference"] == pytest.approx((tables["b0"] - tables["b1"])[:2].mean())


def test_a_run_that_stopped_early_does_not_take_the_examples_of_the_others_with_it():
    table = np.zeros((3, 40))
    table[1, 5:] = np.nan
    assert complete(table).shape == (2, 40)
    table[2, 3] = np.nan
    assert complete(table).shape == (2, 39)


def test_undefined_examples_are_left_out_whether_null_or_nan_or_infinite():
    tables = study(blends=2, examples=20)
    table = rows(tables)
    first = pl.col("example_id") == "e0003"
    found = [
        comparisons(table.with_columns(value=pl.when(first).then(pl.lit(hole, pl.Float64)).otherwise("value")))
        for hole in (None, float("nan"), float("inf"))
    ]
    assert found[0]["n_examples"].to_list() == [19]
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])


def test_blends_without_a_common_seed_cannot_be_told_apart():
    table = rows(study(blends=2, seeds=2)).filter((pl.col("blend") == "b0") == (pl.col("seed") == 0))
    found = comparisons(table).row(0, named=True)
    assert found["verdict"] == "cannot tell"
    assert (found["n_seeds"], found["n_examples"], found["difference"], found["p_value"]) == (0, 0, None, None)


def test_a_task_where_nothing_is_defined_has_rows_of_nulls():
    table = rows(study(blends=2)).with_columns(value=pl.lit(None, pl.Float64))
    assert leaderboard(table)["mean"].to_list() == [None, None]
    assert comparisons(table)["verdict"].to_list() == ["cannot tell"]


def test_no_results_are_no_rows():
    empty = pl.DataFrame(schema=dict(VALUES))
    assert leaderboard(empty).is_empty()
    assert comparisons(empty).is_empty()


def test_values_that_never_differ_have_no_interval():
    same = estimate(spread(np.zeros((3, 8))))
    assert (same.mean, same.low, same.high, same.p_value, same.detectable) == (0.0, None, None, 1.0, None)
    all_better = estimate(spread(np.full((3, 8), 0.1)))
    assert all_better.p_value == 2.0**-7
    single = estimate(spread(np.array([[0.7]])))
    assert (single.mean, single.low, single.p_value) == (0.7, None, None)


def test_four_examples_cannot_prove_anything():
    found = estimate(spread(np.array([[1.0, 1.0, 1.0, 1.001]])))
    assert found.p_value == 1 / 8


# --- Holm and verdicts


def test_holm_equals_the_hand_computation():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.02]) == [0.6, None, 0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    """The corrected p of a hypothesis is the largest Bonferroni p over all sets that hold it."""
    everyone = range(len(p_values))
    sets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(everyone, size)]
    expected = [max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in sets if i in s) for i in everyone]
    assert holm(p_values) == pytest.approx(expected)


def test_verdicts_follow_sign_and_corrected_p():
    assert verdict(0.1, 0.049) == "helps"
    assert verdict(-0.1, 0.049) == "hurts"
    assert verdict(0.1, 0.05) == verdict(None, None) == verdict(0.1, None) == "cannot tell"


def test_p_values_are_corrected_within_one_task_and_metric():
    tables = study(blends=4, effect=0.2)
    pairs = [("b0", "b1"), ("b0", "b2"), ("b0", "b3")]
    both = pl.concat([rows(tables), rows(tables, metric="n")])
    found = comparisons(both, pairs)
    expected = holm([one.p_value for one in differences(tables, pairs)])
    assert found.filter(metric="m")["p_value"].to_list() == found.filter(metric="n")["p_value"].to_list() == expected


# --- frames


def test_the_frames_have_the_promised_columns_and_order():
    table = pl.concat([rows(study(), "u", "m"), rows(study(number=1), "t", "z"), rows(study(number=2), "t", "a")])
    means, pairs = leaderboard(table), comparisons(table)
    assert dict(means.schema) == dict(LEADERBOARD)
    assert dict(pairs.schema) == dict(COMPARISONS)
    assert means.select("task", "metric", "blend").rows() == sorted(means.select("task", "metric", "blend").rows())
    assert pairs.filter(task="u").select("blend_a", "blend_b").rows() == [("b0", "b1"), ("b0", "b2"), ("b1", "b2")]


def test_means_and_their_differences_agree():
    table = rows(study(effect=0.5))
    means = dict(leaderboard(table).select("blend", "mean").rows())
    for a, b, difference in comparisons(table).select("blend_a", "blend_b", "difference").rows():
        assert difference == pytest.approx(means[a] - means[b])


def test_an_interval_ends_where_the_range_of_its_metric_does():
    table = rows(study(examples=4, effect=3.0))
    free = leaderboard(table)
    task, metric = free.select("task", "metric").row(0)
    low, high = float(free["ci_low"].median()), float(free["ci_high"].median())
    bound = leaderboard(table, {(task, metric): (low, high), ("another", metric): (0.0, 0.0)})
    assert bound["ci_low"].to_list() == free["ci_low"].clip(low, high).to_list() != free["ci_low"].to_list()
    assert bound["ci_high"].to_list() == free["ci_high"].clip(low, high).to_list() != free["ci_high"].to_list()
    assert bound.drop("ci_low", "ci_high").equals(free.drop("ci_low", "ci_high"))


@settings(max_examples=15, deadline=None)
@given(st.randoms())
def test_the_order_of_rows_does_not_matter(random):
    table = rows(study(examples=9, effect=0.4))
    order = list(range(table.height))
    random.shuffle(order)
    assert comparisons(table[order]).equals(comparisons(table))
    assert leaderboard(table[order]).equals(leaderboard(table))


def test_a_clear_effect_helps_one_way_and_hurts_the_other():
    table = rows(study(effect=2.0))
    found = comparisons(table, [("b0", "b1"), ("b2", "b0"), ("b1", "b2")])
    assert found["verdict"].to_list() == ["helps", "cannot tell", "hurts"]


def test_mistakes_are_named():
    table = rows(study())
    with pytest.raises(UserError, match="did you mean 'b0'"):
        comparisons(table, [("b00", "b1")])
    with pytest.raises(UserError, match="compared with itself"):
        comparisons(table, [("b1", "b1")])
    with pytest.raises(UserError, match="two results"):
        leaderboard(pl.concat([table, table[:1]]))
    with pytest.raises(UserError, match="lack a column"):
        leaderboard(table.drop("seed"))


def test_equal_blends_differ_by_a_zero_without_a_sign_whichever_way_round_they_are_asked_for():
    tables = {name: np.zeros((3, 10)) for name in ("a", "b")}
    for pair in (("a", "b"), ("b", "a")):
        (one,) = differences(tables, [pair])
        assert math.copysign(1.0, one.mean) == 1.0


# --- clusters, baselines, what would decide, an independent check


def test_clustered_examples_widen_the_interval_and_the_mean_stays():
    rng = np.random.default_rng(4)
    shared = rng.normal(size=(3, 1, 20)).repeat(10, axis=2)
    tables = {f"b{i}": shared[i] + 0.1 * rng.normal(size=(3, 200)) for i in range(3)}
    table = rows(tables)
    cluster = (pl.col("example_id").str.slice(1).cast(pl.Int64) // 10).cast(pl.String)
    plain, grouped = comparisons(table), comparisons(table.with_columns(cluster=cluster))
    assert grouped["difference"].to_list() == pytest.approx(plain["difference"].to_list())
    widths = [(found["ci_high"] - found["ci_low"]).mean() for found in (plain, grouped)]
    assert widths[1] > 2.5 * widths[0]
    assert grouped["n_examples"].unique().to_list() == [200]
    assert (grouped["p_permutation"] >= plain["p_permutation"]).all()


def test_a_baseline_is_compared_with_every_seed_only_when_asked_and_lends_no_variance():
    tables = study(blends=3, effect=0.4)
    base = np.full_like(tables["b0"], np.nan)
    base[0] = 0.0
    table = rows({**tables, "base": base})
    assert set(comparisons(table, fixed=["base"])["blend_b"]) == {"b1", "b2"}
    found = comparisons(table, [("b0", "base"), ("b0", "b1")], fixed=["base"])
    against = found.filter(blend_b="base").row(0, named=True)
    assert (against["n_seeds"], against["n_examples"]) == (3, 40)
    assert against["difference"] == pytest.approx(tables["b0"].mean())
    other = found.filter(blend_b="b1").row(0, named=True)
    alone = differences(tables, [("b0", "b1")])[0]
    assert (other["ci_low"], other["ci_high"]) == pytest.approx((alone.low, alone.high))


def test_the_numbers_needed_are_the_least_at_which_the_effect_is_detectable():
    found = Spread(0.2, 0.06, 0.002, 3, 50, 2.0, 1.0, 50, 49.0)
    seeds, examples = needed(found)
    assert examples is None  # the seeds alone hide it
    grown = [replace(found, n_seeds=n, freedom=float(n - 1)) for n in (seeds - 1, seeds)]
    smallest = [estimate(one).detectable * shrinkage(_parts(one)) for one in grown]
    assert smallest[1] <= 0.2 < smallest[0]


def test_more_examples_decide_what_hangs_on_examples_and_no_number_decides_nothing():
    seeds, examples = needed(Spread(0.2, 0.0001, 0.02, 3, 50, 2.0, 1.0, 50, 49.0))
    assert (seeds, 150 < examples < 250) == (None, True)
    assert needed(Spread(0.0, 0.1, 0.1, 3, 50, 2.0, 1.0, 50, 49.0)) == (None, None)
    assert needed(Spread(0.2, 0.0, 0.02, 1, 50, 0.0, 1.0, 50, 49.0))[0] is None


def _parts(found):
    seeds = found.seeds / found.n_seeds
    total = seeds + found.examples
    return [(seeds / total, found.freedom), (found.examples / total, found.freedom_of_examples)]


def test_only_an_undecided_comparison_says_what_would_decide_it():
    found = comparisons(rows(study(effect=2.0)), [("b0", "b1"), ("b1", "b2")])
    assert found["seeds_needed"].is_null().to_list()[0]
    assert found["examples_needed"].is_null().to_list()[0]


def test_a_hierarchical_bootstrap_over_many_seeds_and_examples_agrees():
    """With 30 seeds the percentile bootstrap (seeds, then examples) is a fair judge; it shares no formula with us."""
    tables = study(blends=2, seeds=30, examples=150, effect=0.1, seed_sd=0.3, number=9)
    d = tables["b0"] - tables["b1"]
    rng = np.random.default_rng(0)
    means = []
    for _ in range(3000):
        seeds, examples = rng.integers(0, 30, 30), rng.integers(0, 150, 150)
        means.append(d[seeds][:, examples].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    found = differences(tables, [("b0", "b1")])[0]
    assert found.high - found.low == pytest.approx(high - low, rel=0.12)
    assert found.mean == pytest.approx((low + high) / 2, abs=0.1 * (high - low))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_nominal_intervals_cover_what_they_should(seeds):
    """A short form of `tests/benchmarks/compare_coverage.py`, which has 2,000 studies a design."""
    rng = np.random.default_rng(seeds)
    design = Study(2, seeds, 50, 1.0)
    hits = 0
    for _ in range(600):
        found = differences(design.tables(rng, effect=0.3), [("b0", "b1")])[0]
        hits += found.low <= 0.3 <= found.high
    assert 0.92 <= hits / 600 <= 0.985


def test_the_smallest_detectable_effect_is_found_four_times_in_five():
    rng = np.random.default_rng(0)
    design = Study(3, 3, 50, 1.0)
    mean = np.mean([differences(design.tables(rng), [("b0", "b1")])[0].detectable for _ in range(200)])
    found = [differences(design.tables(rng, mean), [("b0", "b1")])[0].p_value < 0.05 for _ in range(400)]
    assert 0.74 <= np.mean(found) <= 0.88
