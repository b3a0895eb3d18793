"""Recipes that look at vectors: what they draw, nesting, order, gates, budgets, and what they refuse."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import UserError
from mixers import cells, embedded, location
from mixers.facility import Facility
from mixers.leverage import Leverage, leverages
from mixers.mixer import MIXERS
from mixers.nearest import Nearest, near, turns
from mixers.score import Scores
from mixers.smart import Smart, graph_cut
from tests.mixers import vectors
from tests.mixers.pools import ids, pool, rows, stratum, usual

KINDS = {
    "facility": {},
    "facility, by cell": {"by": "cell"},
    "smart": {},
    "leverage": {},
    "nearest": {"neighbours": 200},
    "nearest, uniform": {"neighbours": 200, "pick": "uniform"},
}
EVERYTHING = vectors.embedded()


def made(kind, **fields):
    return MIXERS.load(kind.split(",")[0])(name="b", **{**KINDS[kind], **fields})


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(a=st.integers(1, 400), b=st.integers(1, 400), seed=st.integers(0, 50))
def test_a_smaller_blend_of_a_seed_is_a_subset_of_a_larger_one(kind, a, b, seed):
    small, large = (ids(made(kind, rows=n).blend(EVERYTHING, seed, {})) for n in sorted((a, b)))
    assert (len(small), len(large)) == (min(a, b), max(a, b))
    assert small <= large


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5, deadline=None)
@given(n=st.integers(1, 300), shuffle=st.integers(0, 1000))
def test_the_order_of_the_rows_decides_nothing(kind, n, shuffle):
    recipe = made(kind, rows=n)
    moved = recipe.blend(vectors.embedded(usual(shuffle=shuffle)), 3, {})
    assert moved.content_id == recipe.blend(EVERYTHING, 3, {}).content_id


@pytest.mark.parametrize("kind", KINDS)
def test_gate_budget_and_amounts_hold_as_for_any_recipe(kind):
    samples = dict(EVERYTHING.samples.select("sample_id", "p_error").iter_rows())
    gated = made(kind, rows=40, where="p_error < 0.3").blend(EVERYTHING, 0, {})
    assert max(samples[i] for i in ids(gated)) < 0.3
    budgeted = made(kind, rows=60, hallucination_budget=0.1, unjudged="drop").blend(EVERYTHING, 0, {})
    for line in budgeted.strata.filter(~pl.col("stratum").str.starts_with("specialist:")).iter_rows(named=True):
        assert (line["error_mass"] or 0) <= 0.1 * line["taken"] + 1e-9
    assert made(kind, share=0.5).blend(EVERYTHING, 0, {}).members.height == 160
    tokens = EVERYTHING.samples.filter(pl.col("sample_id").is_in(ids(made(kind, tokens=900).blend(EVERYTHING, 0, {}))))
    assert 840 < tokens["n_tokens"].sum() <= 900
    specialists = made(kind, rows=5, specialist_rows=8).blend(EVERYTHING, 0, {})
    assert len(ids(specialists, "specialist")) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_repeated_only_when_asked_for(kind):
    small = vectors.embedded(pool(rows("g", "generalist", 20), rows("s", "specialist", 10)))
    with pytest.raises(UserError, match="asks for more"):
        made(kind, rows=21).blend(small, 0, {})
    blend = made(kind, rows=30, max_epochs=2, **({"by": ()} if kind == "smart" else {})).blend(small, 0, {})
    assert sorted(blend.members.filter(pl.col("role") == "generalist")["repeats"].unique()) == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_without_vectors_is_refused(kind):
    with pytest.raises(UserError, match="needs the vectors"):
        made(kind, rows=5).blend(usual(), 0, {})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_vectors_that_are_no_unit_rows_are_refused(kind, value):
    wrong = dataclasses.replace(usual(), vectors=lambda encoder, rows: np.full((rows.height, 4), value, np.float32))
    with pytest.raises(UserError, match="not unit rows"):
        made(kind, rows=5).blend(wrong, 0, {})


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_which_space_must_be_cut_before_it(kind):
    recipe = made(kind, rows=1, encoder="hash", cells=8, cell_seed=3)
    assert recipe.space == cells.Space("hash", 8, 3)
    assert recipe.embeds


def test_facility_takes_what_brute_force_takes_in_a_small_pool():
    """The first eighth of 160 rows, one block: each row the one with the greatest gain."""
    small = vectors.embedded(pool(rows("g", "generalist", 160)))
    grid = cells.rounded(vectors.of(small.samples["sample_id"].to_list())).astype(np.int64)
    similarities = np.clip((grid @ grid.T) >> 10, 0, 4096)
    best, expected = np.zeros(160, dtype=np.int64), []
    for _ in range(20):
        gains = np.maximum(similarities - best[:, None], 0).sum(axis=0)
        gains[expected] = -1
        assert np.flatnonzero(gains == gains.max()).size == 1
        expected.append(int(gains.argmax()))
        best = np.maximum(best, similarities[:, expected[-1]])
    names = small.samples["sample_id"].to_list()
    for size in (1, 7, 20):
        drawn = ids(Facility(name="b", rows=size).blend(small, 5, {}))
        assert drawn == {names[i] for i in expected[:size]}


def test_facility_covers_more_than_a_stratified_draw_and_says_by_how_much():
    note = stratum(Facility(name="b", rows=13).blend(EVERYTHING, 0, {}), "all")["note"]
    ours, theirs = (float(word.strip(",;")) for word in note.split() if word[0] == "0")
    assert ours > theirs + 0.01
    assert "as good" not in note


def test_facility_admits_where_a_stratified_draw_is_as_good():
    note = stratum(Facility(name="b", rows=1200).blend(EVERYTHING, 0, {}), "all")["note"]
    assert note.endswith("; a stratified draw is as good")


def test_the_coverage_that_is_stated_is_that_of_the_rows_behind_the_gate():
    blend = Facility(name="b", rows=13, where="p_error < 0.4").blend(EVERYTHING, 0, {})
    gated = EVERYTHING.samples.filter((pl.col("role") == "generalist") & (pl.col("p_error") < 0.4))
    grid = cells.rounded(vectors.of(gated["sample_id"].to_list()))
    drawn = cells.rounded(vectors.of(sorted(ids(blend))))
    wanted = (grid @ drawn.T).max(axis=1).clip(0).mean() / 2048**2
    assert float(stratum(blend, "all")["note"].split()[1].strip(",")) == pytest.approx(wanted, abs=0.001)


def test_a_budget_that_shuts_out_a_source_does_not_stop_the_comparison():
    """One source is all wrong: a stratified draw with that budget for each source could not give as many rows."""
    p_error = pl.when(pl.col("source") == "dolly").then(0.9).otherwise(0.01)
    everything = dataclasses.replace(EVERYTHING, samples=EVERYTHING.samples.with_columns(p_error=p_error))
    blend = Facility(name="b", rows=1100, hallucination_budget=0.2).blend(everything, 0, {})
    assert "coverage 0." in stratum(blend, "all")["note"]


def test_repeats_count_once_for_coverage():
    small = vectors.embedded(pool(rows("g", "generalist", 20)))
    note = stratum(Facility(name="b", rows=40, max_epochs=2).blend(small, 0, {}), "all")["note"]
    assert note == "coverage 1.000, of a stratified draw 1.000; a stratified draw is as good"


def test_a_blend_of_specialist_rows_only_has_no_coverage_to_state():
    blend = Facility(name="b", rows=0).blend(EVERYTHING, 0, {})
    assert stratum(blend, "all")["note"] is None


@pytest.mark.parametrize("lowest", [False, True])
def test_a_great_weight_on_a_score_is_the_same_as_taking_the_best(lowest):
    recipe = Facility(name="b", rows=60, score="n_tokens", quality=1000.0, lowest=lowest)
    drawn = EVERYTHING.samples.filter(pl.col("sample_id").is_in(ids(recipe.blend(EVERYTHING, 0, {}))))["n_tokens"]
    everyone = EVERYTHING.samples.filter(pl.col("role") == "generalist")["n_tokens"].sort(descending=not lowest)
    plain = ids(Facility(name="b", rows=60).blend(EVERYTHING, 0, {}))
    others = EVERYTHING.samples.filter(pl.col("sample_id").is_in(plain))["n_tokens"]
    edge = everyone[130]
    assert (drawn <= edge).all() if lowest else (drawn >= edge).all()
    assert not ((others <= edge).all() if lowest else (others >= edge).all())


def test_a_score_that_is_unknown_not_finite_or_missing_is_refused():
    with pytest.raises(UserError, match="did you mean 'p_error'"):
        Facility(name="b", rows=1, score="p_eror").blend(EVERYTHING, 0, {})
    with pytest.raises(UserError, match="have no value of this score"):
        Facility(name="b", rows=1, score="p_error").blend(EVERYTHING, 0, {})
    nan = EVERYTHING.samples.with_columns(p_error=pl.col("p_error").fill_null(float("nan")))
    with pytest.raises(UserError, match="not finite"):
        Facility(name="b", rows=1, score="p_error").blend(dataclasses.replace(EVERYTHING, samples=nan), 0, {})
    blend = Facility(name="b", rows=300, score="p_error", unscored="drop").blend(EVERYTHING, 0, {})
    assert EVERYTHING.samples.filter(pl.col("sample_id").is_in(ids(blend)))["p_error"].null_count() == 0


def test_equal_scores_stand_in_the_middle_of_their_places():
    frame = pl.DataFrame({"x": [3.0, 1.0, 3.0, None, 7.0]})
    there, high = Scores("b", "x", "drop").places(frame, lowest=False)
    assert there.tolist() == [True, True, True, False, True]
    assert high[there].tolist() == [0.5, 0.125, 0.5, 0.875]
    assert Scores("b", "x", "drop").places(frame, lowest=True)[1][there].tolist() == [0.5, 0.875, 0.5, 0.125]


def test_rows_without_cells_are_refused():
    bare = dataclasses.replace(EVERYTHING, samples=EVERYTHING.samples.with_columns(cell=pl.lit(None, pl.Int32)))
    with pytest.raises(UserError, match="without a coverage cell"):
        Facility(name="b", rows=1).blend(bare, 0, {})


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 40), st.integers(1, 50), st.integers(0, 10**6))
def test_near_gives_what_sorting_gives(t, n, count, seed):
    rng = np.random.default_rng(seed)
    examples, others = (rng.integers(-3, 4, (size, 3)).astype(np.float32) for size in (t, n))
    expected = [np.lexsort((np.arange(n), -(others @ each)))[:count].tolist() for each in examples]
    assert near(examples, others, count).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_examples_take_their_rows_in_turns(t, n, seed):
    rng = np.random.default_rng(seed)
    found = np.array([rng.permutation(n)[: max(1, n // 2)] for _ in range(t)])
    taken = turns(found).tolist()
    assert sorted(taken) == sorted(set(found.ravel().tolist()))
    left, order = [list(each) for each in found.tolist()], []
    while any(left):
        for each in left:
            while each and each[0] in order:
                each.pop(0)
            if each:
                order.append(each.pop(0))
    assert taken == order


def test_nearest_takes_each_examples_nearest_row_first():
    target = EVERYTHING.target
    blend = Nearest(name="b", rows=5, target="iterater").blend(EVERYTHING, 0, {})
    generalist = EVERYTHING.samples.filter(pl.col("role") == "generalist")
    examples = vectors.of(target.filter(pl.col("source") == "iterater")["sample_id"].to_list())
    similar = cells.rounded(examples) @ cells.rounded(vectors.of(generalist["sample_id"].to_list())).T
    firsts = {generalist["sample_id"][int(place)] for place in similar.argsort(axis=1)[:, -3:].ravel()}
    assert ids(blend) <= firsts


def test_nearest_by_chance_draws_by_the_number_of_examples_that_name_a_row():
    recipe = Nearest(name="b", rows=30, pick="uniform", neighbours=40)
    generalist = EVERYTHING.samples.filter(pl.col("role") == "generalist")
    grid = cells.rounded(vectors.of(generalist["sample_id"].to_list()))
    votes = np.bincount(
        near(cells.rounded(vectors.of(EVERYTHING.target["sample_id"].to_list())), grid, 40).ravel(),
        minlength=generalist.height,
    )
    named = dict(zip(generalist["sample_id"], votes, strict=True))
    drawn = [named[i] for seed in range(20) for i in ids(recipe.blend(EVERYTHING, seed, {}))]
    assert min(drawn) > 0
    assert np.mean(drawn) > 1.2 * votes[votes > 0].mean()


def test_nearest_never_draws_the_target_and_names_it_in_the_reason():
    blend = Nearest(name="b", rows=50, target="jfleg").blend(EVERYTHING, 0, {})
    assert set(blend.members.filter(pl.col("role") == "generalist")["reason"]) == {"nearest: all; near jfleg (60 rows)"}
    held = dict(EVERYTHING.samples.select("sample_id", "role").iter_rows())
    assert {held[i] for i in ids(blend)} == {"generalist"}


def test_nearest_says_what_to_loosen_when_the_examples_name_too_few_rows():
    with pytest.raises(UserError, match=r"the target \(neighbours\) leaves \d+ of 1,307 rows"):
        Nearest(name="b", rows=500, neighbours=2, target="iterater").blend(EVERYTHING, 0, {})
    blend = Nearest(name="b", rows=25, neighbours=2, target="iterater", by="source").blend(EVERYTHING, 0, {})
    assert set(blend.strata["limited_by"].drop_nulls()) <= {"target", "rounding", "supply"}


@pytest.mark.parametrize(("target", "message"), [("iterator", "did you mean 'iterater'"), (None, "no target")])
def test_nearest_refuses_a_target_without_examples(target, message):
    everything = vectors.embedded(pool(rows("g", "generalist", 20))) if target is None else EVERYTHING
    with pytest.raises(UserError, match=message):
        Nearest(name="b", rows=1, target=target).blend(everything, 0, {})


def inverse(matrix):
    """Gauss and Jordan over fractions."""
    n = len(matrix)
    wide = [[Fraction(float(x)) for x in row] + [Fraction(i == j) for j in range(n)] for i, row in enumerate(matrix)]
    for k in range(n):
        wide[k] = [x / wide[k][k] for x in wide[k]]
        for i in range(n):
            if i != k:
                wide[i] = [x - wide[i][k] * y for x, y in zip(wide[i], wide[k], strict=True)]
    return [row[n:] for row in wide]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.floats(0.01, 10), st.integers(0, 10**6))
def test_leverages_are_those_of_exact_arithmetic(n, ridge, seed):
    middles = vectors.of([str(seed + i) for i in range(n)])
    kernel = (middles @ middles.T).astype(np.float64)
    kernel = (kernel + kernel.T) / 2
    inner = inverse(kernel + ridge * np.eye(n))
    expected = [1 - ridge * float(inner[i][i]) for i in range(n)]
    assert leverages(kernel, ridge).tolist() == pytest.approx(expected, abs=1e-9)


def apart():
    """Three sources: two alike, the third like neither."""
    parts = [rows(name, "generalist", 60) for name in ("a", "b", "z")]
    source = {i: name for name, part in zip("abz", parts, strict=True) for i in part["sample_id"]}
    middles = {"a": (1.0, 0.1, 0.0), "b": (1.0, 0.0, 0.1), "z": (0.0, -1.0, 1.0)}
    everything = pool(*parts)
    table = {name: np.array(v, dtype=np.float32) / np.linalg.norm(v) for name, v in middles.items()}
    return dataclasses.replace(
        everything, vectors=lambda encoder, frame: np.stack([table[source[i]] for i in frame["sample_id"]])
    )


@pytest.mark.parametrize(("favour", "more"), [("shared", "source:a"), ("distinct", "source:z")])
def test_leverage_prefers_what_is_shared_or_what_is_distinct(favour, more):
    blend = Leverage(name="b", rows=40, favour=favour).blend(apart(), 0, {})
    lines = dict(blend.strata.select("stratum", "taken").iter_rows())
    assert lines[more] == max(lines.values())
    assert (lines["source:a"] > lines["source:z"]) == (favour == "shared")
    assert sum(lines.values()) == 40


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 10**6))
def test_graph_cut_gives_each_what_it_adds_when_greedy_takes_it(n, seed):
    grid = cells.rounded(vectors.of([str(seed + i) for i in range(n)]))
    similarities = location.similarity(grid, grid).astype(np.int64)

    def worth(those):
        inside = similarities[np.ix_(those, those)].sum() if those else 0
        return int(5 * similarities[:, those].sum() - 2 * inside)

    taken, added = [], {}
    for _ in range(n):
        left = [i for i in range(n) if i not in taken]
        gains = [worth([*taken, i]) - worth(taken) for i in left]
        taken.append(left[int(np.argmax(gains))])
        added[taken[-1]] = max(gains)
    assert graph_cut(similarities).tolist() == [added[i] for i in range(n)]
    assert min(added.values()) >= 0


def test_smart_gives_less_to_a_source_that_is_like_one_already_taken():
    blend = Smart(name="b", rows=60, by="source").blend(apart(), 0, {})
    lines = dict(blend.strata.select("stratum", "taken").iter_rows())
    assert lines["source:b"] > 1.5 * lines["source:a"]  # b is like a and a little like z, and so comes first
    assert sum(lines.values()) == 60


def test_too_many_strata_are_refused_with_the_number(monkeypatch):
    monkeypatch.setattr(location, "BLOCK", 2)
    with pytest.raises(UserError, match=r"too many strata.*3"):
        Smart(name="b", rows=1, by="source").blend(EVERYTHING, 0, {})


def test_shares_are_whole_and_none_vanishes():
    assert embedded.shares(np.array([2.0, 1.0, 1e-12])) == [1_000_000, 500_000, 1]
