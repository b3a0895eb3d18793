"""Coverage: the need it serves, what limits it, nesting and errors."""

import dataclasses

import polars as pl
import pytest

from manifests.errors import UserError
from mixers.cells import Space
from mixers.coverage import Coverage
from mixers.proportional import Proportional
from tests.mixers.pools import ids, pool, rows, stratum, usual


def in_cells(frame, counts):
    """Put the first rows into cell 0, the next into cell 1 and so on."""
    cells = [cell for cell, count in enumerate(counts) for _ in range(count)]
    return frame.with_columns(pl.Series("cell", cells, dtype=pl.Int32))


def two_sided(specialist=(50, 0), target=None, generalist=(500, 500)):
    parts = [in_cells(rows("g", "generalist", sum(generalist)), generalist)]
    if sum(specialist):
        parts.append(in_cells(rows("s", "specialist", sum(specialist)), specialist))
    stated = None if target is None else in_cells(rows("dev", "eval", sum(target)), target)
    made = pool(*parts)
    return made if stated is None else dataclasses.replace(made, target=pl.concat([made.target, stated]))


def taken(blend):
    lines = blend.strata.filter(pl.col("stratum").str.starts_with("cell:"))
    return dict(lines.select("stratum", "taken").iter_rows())


def test_without_a_target_it_follows_the_specialist_rows():
    blend = Coverage(name="b", rows=100).blend(two_sided(specialist=(45, 5)), 0, {})
    assert taken(blend)["cell:0"] == pytest.approx(0.95 * 90 + 0.05 * 50, abs=3)


def test_it_fills_first_what_the_specialist_rows_do_not_give():
    """Target half and half, 50 specialist rows all in cell 0: the first 50 rows level them, then both grow."""
    everything = two_sided(specialist=(50, 0), target=(20, 20))
    small = taken(Coverage(name="b", rows=40, target="dev").blend(everything, 0, {}))
    assert small == {"cell:0": 0, "cell:1": 40}
    large = taken(Coverage(name="b", rows=250, target="dev").blend(everything, 0, {}))
    assert large["cell:0"] + 47 == pytest.approx(large["cell:1"], abs=2)


def test_strength_zero_is_the_pools_own_proportions():
    everything = two_sided(specialist=(50, 0), generalist=(300, 700))
    assert taken(Coverage(name="b", rows=100, strength=0.0).blend(everything, 0, {})) == {"cell:0": 30, "cell:1": 70}
    between = taken(Coverage(name="b", rows=200, strength=0.5).blend(everything, 0, {}))
    assert 60 < between["cell:0"] < taken(Coverage(name="b", rows=200).blend(everything, 0, {}))["cell:0"]


def test_no_cell_of_the_pool_is_shut_out():
    blend = Coverage(name="b", rows=400).blend(two_sided(), 0, {})
    assert 5 <= taken(blend)["cell:1"] <= 25


def test_an_empty_cell_leaves_its_rows_to_the_others_and_says_what_limited_it():
    everything = two_sided(specialist=(50, 0), generalist=(30, 970))
    blend = Coverage(name="b", rows=200).blend(everything, 0, {})
    line = stratum(blend, "cell:0")
    assert (line["taken"], line["limited_by"]) == (30, "supply")
    assert line["requested"] > 150
    assert taken(blend)["cell:1"] == 170


def test_a_cell_of_the_target_that_the_pool_lacks_is_listed():
    everything = two_sided(specialist=(20, 0, 20), generalist=(500, 500))
    line = stratum(Coverage(name="b", rows=100).blend(everything, 0, {}), "cell:2")
    assert (line["available"], line["taken"], line["limited_by"]) == (0, 0, "supply")
    assert line["requested"] > 40


def test_the_gate_is_named_when_it_binds_in_a_cell():
    everything = two_sided(specialist=(50, 0))
    blend = Coverage(name="b", rows=100, where="cell = 1 OR p_error < 0.05").blend(everything, 0, {})
    assert stratum(blend, "cell:0")["limited_by"] == "where"


@pytest.mark.parametrize("sizes", [(10, 11), (100, 400), (399, 1000)])
def test_a_smaller_blend_is_a_subset_of_a_larger_one(sizes):
    everything = two_sided(specialist=(40, 10), target=(5, 30))
    small, large = (ids(Coverage(name="b", rows=n, target="dev").blend(everything, 2, {})) for n in sizes)
    assert small < large


def test_rows_of_a_cell_come_in_the_same_order_as_in_any_other_mix():
    """At the same quotas, coverage and proportional draw the same rows, so that two mixes share what they can."""
    everything = two_sided(generalist=(500, 500))
    ours = ids(Coverage(name="a", rows=200, strength=0.0).blend(everything, 0, {}))
    theirs = ids(Proportional(name="b", rows=200, by="cell").blend(everything, 0, {}))
    assert ours == theirs


def test_the_reason_says_the_cell_and_its_need():
    blend = Coverage(name="b", rows=100, target="dev").blend(two_sided((30, 10), (20, 20)), 0, {})
    reasons = set(blend.members.filter(pl.col("role") == "generalist")["reason"])
    assert "cell:1: target 0.5000, specialist 0.2500, pool 0.5000" in reasons


def test_the_target_may_be_a_task():
    everything = two_sided(specialist=(50, 50))
    tasks = everything.target.with_columns(task=pl.when(pl.col("cell") == 0).then(pl.lit("t0")).otherwise(pl.lit("t1")))
    everything = dataclasses.replace(everything, target=tasks)
    found = taken(Coverage(name="b", rows=300, target="t0").blend(everything, 0, {}))
    assert found["cell:0"] > 5 * found["cell:1"]


def test_shuffled_rows_give_the_same_blend():
    recipe = Coverage(name="b", share=0.5)
    assert recipe.blend(usual(), 0, {}).content_id == recipe.blend(usual(shuffle=4), 0, {}).content_id


def test_tokens_are_a_budget_here_too():
    everything = usual()
    blend = Coverage(name="b", tokens=3000).blend(everything, 0, {})
    used = everything.samples.filter(pl.col("sample_id").is_in(sorted(ids(blend))))["n_tokens"].sum()
    assert 2940 < used <= 3000


def test_an_unknown_target_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'jfleg'"):
        Coverage(name="b", rows=1, target="jflag").blend(usual(), 0, {})


def test_no_specialist_rows_and_no_target_is_a_user_error():
    with pytest.raises(UserError, match="there are no specialist rows"):
        Coverage(name="b", rows=1).blend(pool(rows("g", "generalist", 5)), 0, {})


def test_target_rows_without_cells_are_a_user_error():
    everything = usual()
    bare = everything.target.with_columns(cell=pl.lit(None, pl.Int32))
    with pytest.raises(UserError, match="target or specialist rows without a coverage cell"):
        Coverage(name="b", rows=1).blend(dataclasses.replace(everything, target=bare), 0, {})


def test_its_space_is_the_fields_that_cut_the_cells():
    assert Coverage(name="b", rows=1, encoder="hash", cells=8, cell_seed=3).space == Space("hash", 8, 3)
