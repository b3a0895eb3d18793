"""What holds for every kind of recipe that there is: exact sums, nesting, one blend whatever the order, no eval row."""

from functools import cache

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixers.mixer import MIXERS
from tests.conformance import recipes
from tests.mixers.pools import pool, rows, usual

SIZES = {"rows", "tokens", "share"}
DESIGNS = {kind for kind in recipes.RECIPES if hasattr(MIXERS.load(kind), "recipes")}
SIZED = sorted(set(recipes.RECIPES) - DESIGNS)
RAKING = {"raking"}
"""Its rounding of a table may take a row from a cell when the total grows, as docs/MIXING.md says; and its strata are
the values of several columns, so that a row is in several."""
WIDE = {"nearest": {"neighbours": 1307}}
"""Fields without which a kind would draw from fewer rows than are asked for here."""


def blend(kind, everything, rows_, seed):
    """Return the kind's blend of so many generalist rows, without a gate."""
    fields = {name: value for name, value in recipes.RECIPES[kind].items() if name not in SIZES}
    fields = {name: value for name, value in fields.items() if name not in recipes.GATED and name != "over"}
    fields |= WIDE.get(kind, {})
    sized = fields if "like" in fields else {**fields, "rows": rows_}
    return recipes.blends(kind, everything, (seed,), sized, size=rows_)[0]


@cache
def mixed(shuffle=None):
    """Return a pool with eval and knowledge rows among its samples, and eval rows in its target."""
    parts = [rows(role, role, 60) for role in ("eval", "knowledge")]
    wanted = pl.concat([usual().target, rows("held-out", "eval", 40)])
    return recipes.completed(pool(usual().samples, *parts, target=wanted, shuffle=shuffle))


def often(found):
    return dict(found.members.select("sample_id", "repeats").iter_rows())


@pytest.mark.parametrize("kind", SIZED)
@settings(max_examples=12, deadline=None)
@given(n=st.integers(0, 1200), seed=st.integers(0, 2**63 - 1))
def test_quotas_sum_to_the_amount_and_the_account_to_the_members(kind, n, seed):
    found = blend(kind, recipes.pool(), n, seed)
    specialist = found.members.filter(pl.col("role") == "specialist")["repeats"].sum()
    assert found.members["repeats"].sum() - specialist == n
    assert found.members["sample_id"].n_unique() == found.members.height
    if kind not in RAKING:
        assert found.strata["taken"].sum() == n + specialist
        assert found.strata["samples"].sum() == found.members.height
    assert (found.strata["taken"] <= found.strata["available"] * found.strata["repeats"]).all()
    assert found.members["position"].to_list() == list(range(found.members.height))


@pytest.mark.parametrize("kind", [kind for kind in SIZED if kind not in RAKING])
@settings(max_examples=12, deadline=None)
@given(sizes=st.tuples(st.integers(0, 1200), st.integers(0, 1200)), seed=st.integers(0, 2**63 - 1))
def test_a_smaller_amount_of_a_seed_is_a_subset_of_a_larger_one(kind, sizes, seed):
    fewer, more = (often(blend(kind, recipes.pool(), n, seed)) for n in sorted(sizes))
    assert all(more.get(sample, 0) >= times for sample, times in fewer.items())


@pytest.mark.parametrize("kind", SIZED)
@settings(max_examples=8, deadline=None)
@given(n=st.integers(0, 1200), seed=st.integers(0, 2**63 - 1), shuffle=st.integers(0, 5))
def test_the_same_seed_gives_the_same_blend_from_rows_in_any_order(kind, n, seed, shuffle):
    found, again = (blend(kind, everything, n, seed) for everything in (recipes.pool(), recipes.pool(shuffle)))
    assert again.content_id == found.content_id
    assert again.strata.equals(found.strata)


@pytest.mark.parametrize("kind", SIZED)
@settings(max_examples=12, deadline=None)
@given(n=st.integers(0, 1307), seed=st.integers(0, 2**63 - 1))
def test_no_blend_holds_a_row_of_eval_or_knowledge(kind, n, seed):
    everything = mixed()
    found = blend(kind, everything, n, seed)
    roles = dict(everything.samples.select("sample_id", "role").iter_rows())
    assert [roles[name] for name in found.members["sample_id"]] == found.members["role"].to_list()
    assert set(found.members["role"]) <= {"generalist", "specialist"}


@pytest.mark.parametrize("kind", sorted(DESIGNS))
def test_no_blend_of_a_design_holds_a_row_of_eval_or_knowledge(kind):
    held_out = set(mixed().samples.filter(pl.col("role").is_in(["eval", "knowledge"]))["sample_id"])
    for found in recipes.blends(kind, mixed(), recipes.SEEDS):
        assert not held_out.intersection(found.members["sample_id"])
