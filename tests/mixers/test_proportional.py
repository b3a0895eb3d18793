"""Proportional: quotas, gate, sizes, strata and refused fields."""

import dataclasses

import polars as pl
import pydantic
import pytest

from manifests.component import spec_of
from manifests.errors import UserError
from mixers.blend import Blend
from mixers.cells import Space
from mixers.mixer import MIXERS, Mixer
from mixers.proportional import Proportional
from mixers.quota import Fill, apportion
from tests.mixers.pools import ids, pool, rows, stratum, usual


def test_sources_give_rows_in_the_pools_proportions():
    blend = Proportional(name="b", rows=500).blend(usual(), 0, {})
    counts = {"alpaca": 1000, "dolly": 300, "seeds": 7}
    assert {n: stratum(blend, f"source:{n}")["taken"] for n in counts} == apportion(500, Fill(counts, counts))
    assert stratum(blend, "source:alpaca")["requested"] == pytest.approx(500 * 1000 / 1307)
    assert stratum(blend, "source:alpaca")["limited_by"] is None


def test_the_smallest_source_does_not_vanish():
    blend = Proportional(name="b", rows=10).blend(usual(), 0, {})
    assert stratum(blend, "source:seeds")["taken"] == 1


def test_a_source_that_rounds_to_nothing_says_so():
    blend = Proportional(name="b", rows=2).blend(usual(), 0, {})
    assert stratum(blend, "source:seeds")["limited_by"] == "rounding"


def test_temperature_lifts_small_sources_until_their_supply_binds():
    blend = Proportional(name="b", rows=500, temperature=2.0).blend(usual(), 0, {})
    line = stratum(blend, "source:seeds")
    assert (line["taken"], line["available"], line["limited_by"]) == (7, 7, "supply")
    assert line["requested"] == pytest.approx(500 * 7**0.5 / (1000**0.5 + 300**0.5 + 7**0.5), rel=1e-5)
    assert stratum(blend, "source:dolly")["taken"] > 500 * 300 / 1307


def test_the_gate_keeps_only_rows_that_satisfy_it_and_null_does_not():
    everything = usual()
    blend = Proportional(name="b", rows=100, where="p_error < 0.3").blend(everything, 0, {})
    taken = everything.samples.filter(pl.col("sample_id").is_in(sorted(ids(blend))))
    assert taken["p_error"].null_count() == 0
    assert taken["p_error"].max() < 0.3
    judged = everything.samples.filter((pl.col("source") == "dolly") & (pl.col("p_error") < 0.3)).height
    assert stratum(blend, "source:dolly")["available"] == judged


def test_the_gate_spares_specialist_rows():
    blend = Proportional(name="b", rows=10, where="p_error < 0.3").blend(usual(), 0, {})
    assert len(ids(blend, "specialist")) == 80


def test_where_is_named_when_the_gate_and_not_the_supply_binds():
    everything = pool(rows("big", "generalist", 1000), rows("small", "generalist", 400))
    gate = "source <> 'small' OR p_error < 0.02"
    blend = Proportional(name="b", rows=100, temperature=8.0, where=gate).blend(everything, 0, {})
    line = stratum(blend, "source:small")
    assert line["limited_by"] == "where"
    assert line["taken"] == line["available"] < line["requested"] < 400


def test_a_source_that_the_gate_empties_is_still_listed():
    blend = Proportional(name="b", rows=100, where="source <> 'dolly'").blend(usual(), 0, {})
    line = stratum(blend, "source:dolly")
    assert (line["available"], line["requested"], line["taken"], line["limited_by"]) == (0, 0.0, 0, "where")


@pytest.mark.parametrize(("share", "expected"), [(0.5, 80), (0.9, 720), (0.2, 20), (0.3, 34)])
def test_share_is_the_generalist_share_of_all_rows(share, expected):
    blend = Proportional(name="b", share=share).blend(usual(), 0, {})
    assert len(ids(blend)) == expected
    assert len(ids(blend)) / blend.members.height == pytest.approx(share, abs=0.5 / 80)


def test_strata_can_be_tasks_with_rows_of_no_task_in_one_of_their_own():
    blend = Proportional(name="b", rows=300, by="task").blend(usual(), 0, {})
    names = set(blend.strata["stratum"])
    assert {"task:(none)", "task:t1", "task:t2"} < names


def test_strata_can_be_cells_and_then_it_names_their_space():
    recipe = Proportional(name="b", rows=300, by="cell", cells=4)
    assert recipe.space == Space("minilm", 4, 0)
    assert Proportional(name="b", rows=300).space is None
    assert {f"cell:{c}" for c in range(4)} < set(recipe.blend(usual(), 0, {}).strata["stratum"])


def test_cells_that_are_missing_are_a_user_error():
    bare = usual()
    bare = dataclasses.replace(bare, samples=bare.samples.with_columns(cell=pl.lit(None, pl.Int32)))
    with pytest.raises(UserError, match="without a coverage cell"):
        Proportional(name="b", rows=3, by="cell").blend(bare, 0, {})


@pytest.mark.parametrize("sizes", [{}, {"rows": 1, "share": 0.5}, {"rows": 1, "tokens": 5}])
def test_a_size_is_given_in_exactly_one_unit(sizes):
    with pytest.raises(UserError, match="exactly one of rows, tokens and share"):
        Proportional(name="b", **sizes)


@pytest.mark.parametrize(
    "fields",
    [
        {"share": 1.0},
        {"share": 0.0},
        {"share": float("nan")},
        {"rows": -1},
        {"tokens": 0},
        {"rows": 1, "temperature": 0.5},
        {"rows": 1, "seeds": ()},
        {"rows": 1, "seeds": (-1,)},
        {"rows": 1, "seeds": (2**63,)},
        {"rows": 1, "by": 3},
        {"rows": 1, "max_epochs": 0},
        {"rows": 1, "hallucination_budget": 1.5},
        {"rows": 1, "over": "shrug"},
        {"rows": True},
        {"rows": 1, "weight": 3},
    ],
)
def test_values_outside_their_range_are_refused(fields):
    with pytest.raises(pydantic.ValidationError):
        Proportional(name="b", **fields)


def test_a_name_that_could_leave_its_folder_is_refused():
    with pytest.raises(UserError, match="blend name"):
        Proportional(name="../b", rows=1)


def test_the_recipe_is_in_the_blend_and_draws_it_again():
    everything = usual()
    recipe = Proportional(name="b", rows=50, seeds=(0, 1))
    blend = recipe.blend(everything, 1, {})
    assert blend.ref == "b@1"
    assert blend.recipe == spec_of(recipe)
    fields = {k: v for k, v in blend.recipe.items() if k not in {"kind", "version"}}
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    again = Proportional(**{**fields, **lists}).blend(everything, 1, {})
    assert again.content_id == blend.content_id


@pytest.mark.parametrize("kind", ["proportional", "coverage", "random_drop"])
def test_every_kind_of_the_table_is_a_mixer(kind):
    found = MIXERS.load(kind)
    sized = {"like": "a"} if kind == "random_drop" else {"rows": 1}
    assert isinstance(found(name="b", **sized), Mixer)
    assert found.kind == kind


def test_a_blends_content_id_sees_order_and_weight_and_not_the_reason():
    blend = Proportional(name="b", rows=5).blend(usual(), 0, {})
    told = dataclasses.replace(blend, members=blend.members.with_columns(reason=pl.lit("other")))
    assert told.content_id == blend.content_id
    heavy = dataclasses.replace(blend, members=blend.members.with_columns(weight=pl.lit(2.0)))
    assert heavy.content_id != blend.content_id
    turned = blend.members.with_columns(position=pl.col("position").reverse())
    assert Blend(blend.name, blend.recipe, 0, turned, blend.strata).content_id != blend.content_id


def test_all_rows_are_those_that_pass_the_gate():
    everything = usual()
    assert len(ids(Proportional(name="b", rows="all").blend(everything, 0, {}))) == 1307
    gated = Proportional(name="b", rows="all", where="p_error < 0.3").blend(everything, 0, {})
    generalist = everything.samples.filter(pl.col("role") == "generalist")
    assert ids(gated) == set(generalist.filter(pl.col("p_error") < 0.3)["sample_id"])
