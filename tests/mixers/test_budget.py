"""Hallucination budgets: never passed at any size, by dropping or by weights; rows without a verdict."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import UserError
from mixers import budget
from mixers.proportional import Proportional
from tests.mixers.pools import ids, pool, rows, stratum, usual

CASES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, budget.ONE)), min_size=1, max_size=60)
LIMITS = st.lists(st.integers(0, budget.ONE), min_size=4, max_size=4)


@settings(max_examples=300, deadline=None)
@given(CASES, LIMITS, st.randoms())
def test_every_beginning_of_a_group_is_within_its_budget_and_only_the_worst_are_dropped(cases, limits, random):
    groups, errors = (np.array(column, dtype=np.int64) for column in zip(*cases, strict=True))
    limits = np.array(limits, dtype=np.int64)
    keys = list(range(len(cases)))
    random.shuffle(keys)
    line = np.lexsort((np.array(keys), groups))
    kept = budget.keep(groups, errors, limits, line)
    assert sorted(kept.order.tolist()) == np.flatnonzero(kept.within).tolist() == sorted(kept.natural.tolist())
    for group in range(4):
        order = [i for i in kept.order.tolist() if groups[i] == group]
        for m in range(1, len(order) + 1):
            assert errors[order[:m]].sum() <= limits[group] * m
        mine = np.sort(errors[groups == group])
        possible = [n for n in range(mine.size + 1) if mine[:n].sum() <= limits[group] * n]
        assert len(order) == max(possible)
        assert sorted(errors[order].tolist()) == mine[: len(order)].tolist()


@settings(max_examples=300, deadline=None)
@given(CASES, st.lists(st.integers(2000, budget.ONE), min_size=4, max_size=4), st.integers(1, 3))
def test_weights_bring_the_expected_errors_within_the_budget_and_no_further_than_needed(cases, limits, repeats):
    groups, errors = (np.array(column, dtype=np.int64) for column in zip(*cases, strict=True))
    limits = np.array(limits, dtype=np.int64)
    times = np.arange(len(cases)) % repeats + 1
    weights = budget.lower(groups, errors, limits, times)
    assert (weights > 0).all()
    assert (weights <= 1).all()
    for group in set(groups.tolist()):
        mine = groups == group
        mass, room = (errors * weights * times)[mine].sum(), int(limits[group]) * times[mine].sum()
        assert mass <= room
        if (weights[mine] < 1).any():
            assert mass > room - 3 * times[mine].sum()
        assert (weights[mine & (errors <= limits[group])] == 1).all()


def mass(everything, blend, role="generalist"):
    members = blend.members.filter(pl.col("role") == role).join(
        everything.samples.select("sample_id", "p_error", "source", "task"), on="sample_id"
    )
    error = pl.col("p_error") * pl.col("weight") * pl.col("repeats")
    return members.with_columns(error=error)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 250), st.floats(0.05, 0.6), st.integers(0, 5), st.sampled_from(["drop", "weight"]))
def test_no_stratum_of_a_blend_passes_its_budget_and_budgets_nest(n, share, seed, over):
    everything = usual()
    fields = {"hallucination_budget": share, "over": over, "unjudged": "drop"}
    try:
        blend = Proportional(name="b", rows=n, **fields).blend(everything, seed, {})
    except UserError as error:
        assert "hallucination budget" in str(error)  # noqa: PT017 - the other way out
        return
    for _, part in mass(everything, blend).group_by("source"):
        assert part["error"].sum() <= share * part["repeats"].sum() + 1e-9
    fewer = Proportional(name="b", rows=n // 2, **fields).blend(everything, seed, {})
    assert ids(fewer) <= ids(blend)


def test_a_named_task_has_a_stricter_budget():
    everything = usual()
    blend = Proportional(name="b", rows=300, hallucination_budget=0.4, task_budgets={"t1": 0.1}, unjudged="drop").blend(
        everything, 0, {}
    )
    per = {key[0]: part["error"].mean() for key, part in mass(everything, blend).group_by("task")}
    assert per["t1"] <= 0.1 < per["t2"] <= 0.4 + 0.2
    with pytest.raises(UserError, match="a budget for a task that no row has"):
        Proportional(name="b", rows=3, task_budgets={"t9": 0.1}, unjudged="drop").blend(everything, 0, {})


def test_the_budget_is_named_where_it_binds_and_the_rows_it_dropped_are_counted():
    everything = pool(rows("big", "generalist", 1000), rows("small", "generalist", 100))
    fields = {"rows": 120, "temperature": 50.0, "hallucination_budget": 0.1, "unjudged": "drop"}
    line = stratum(Proportional(name="b", **fields).blend(everything, 0, {}), "source:small")
    assert line["limited_by"] == "hallucination budget"
    assert "20 not judged, left out" in line["note"]
    assert line["error_mass"] <= 0.1 * line["taken"]


def test_rows_without_a_verdict_are_refused_kept_or_dropped_and_never_in_silence():
    everything = usual()
    with pytest.raises(UserError, match="no judge gave a p_error") as caught:
        Proportional(name="b", rows=10, hallucination_budget=0.3).blend(everything, 0, {})
    assert caught.value.value == everything.samples.filter(role="generalist")["p_error"].null_count()
    kept = Proportional(name="b", rows=400, hallucination_budget=0.3, unjudged="keep").blend(everything, 0, {})
    assert mass(everything, kept)["p_error"].null_count() > 0
    assert "counted as at the budget" in stratum(kept, "source:alpaca")["note"]
    dropped = Proportional(name="b", rows=300, hallucination_budget=0.3, unjudged="drop").blend(everything, 0, {})
    assert mass(everything, dropped)["p_error"].null_count() == 0


@pytest.mark.parametrize("field", [{"over": "weight"}, {"unjudged": "drop"}])
def test_a_field_of_a_budget_without_a_budget_is_refused(field):
    with pytest.raises(UserError, match="has no hallucination budget"):
        Proportional(name="b", rows=1, **field)
