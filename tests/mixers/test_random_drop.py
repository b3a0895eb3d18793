"""RandomDrop: sizes, matching, and what it takes over from the blend that it is like."""

import polars as pl
import pytest

from manifests.errors import UserError
from mixers.coverage import Coverage
from mixers.proportional import Proportional
from mixers.random_drop import RandomDrop
from tests.mixers.pools import ids, stratum, usual

GATE = "p_error < 0.3"


def drawn(seeds=(0,), rows=150):
    recipe = Proportional(name="clean", rows=rows, where=GATE, specialist_rows=30, seeds=seeds)
    blends = [recipe.blend(usual(), seed, {}) for seed in seeds]
    return {blend.ref: blend for blend in blends}


def per(column, blend):
    samples = usual().samples.select("sample_id", column)
    counts = blend.members.filter(pl.col("role") == "generalist").join(samples, on="sample_id")
    return dict(counts.group_by(column).len().iter_rows())


def test_it_takes_as_many_rows_and_the_same_specialists():
    earlier = drawn()
    control = RandomDrop(name="control", like="clean").blend(usual(), 0, earlier)
    assert len(ids(control)) == 150
    assert ids(control, "specialist") == ids(earlier["clean@0"], "specialist")
    assert control.members.height == 180


def test_it_draws_before_the_gate_of_the_other():
    control = RandomDrop(name="control", like="clean").blend(usual(), 0, drawn())
    values = usual().samples.filter(pl.col("sample_id").is_in(sorted(ids(control))))["p_error"]
    assert values.null_count() > 10
    assert values.max() > 0.3


def test_it_has_an_order_of_its_own():
    everything = usual()
    plain = Proportional(name="plain", rows=150).blend(everything, 0, {})
    control = RandomDrop(name="control", like="plain").blend(everything, 0, {"plain@0": plain})
    assert len(ids(plain) & ids(control)) < 60


def test_a_gate_of_its_own_is_kept():
    control = RandomDrop(name="control", like="clean", where="source = 'dolly'").blend(usual(), 0, drawn())
    assert per("source", control) == {"dolly": 150}


def test_matching_the_source_keeps_each_count():
    earlier = drawn()
    control = RandomDrop(name="control", like="clean", match="source").blend(usual(), 0, earlier)
    assert per("source", control) == per("source", earlier["clean@0"])
    assert ids(control) != ids(earlier["clean@0"])


def test_matching_the_cell_keeps_each_count():
    model = Coverage(name="cov", rows=200, where=GATE).blend(usual(), 0, {})
    control = RandomDrop(name="control", like="cov", match="cell").blend(usual(), 0, {"cov@0": model})
    assert per("cell", control) == per("cell", model)


def test_without_matching_the_sources_are_those_of_a_plain_random_draw():
    control = RandomDrop(name="control", like="clean").blend(usual(), 0, drawn(rows=250))
    assert stratum(control, "role:generalist")["available"] == 1307
    assert 170 < per("source", control)["alpaca"] < 212


def test_each_seed_follows_the_same_seed():
    earlier = drawn(seeds=(0, 1))
    recipe = RandomDrop(name="control", like="clean", seeds=(0, 1))
    for seed in (0, 1):
        control = recipe.blend(usual(), seed, earlier)
        assert ids(control, "specialist") == ids(earlier[f"clean@{seed}"], "specialist")


def test_shuffled_rows_give_the_same_blend():
    recipe = RandomDrop(name="control", like="clean", match="source")
    first, second = (recipe.blend(usual(shuffle=s), 0, drawn()) for s in (None, 9))
    assert first.content_id == second.content_id


def test_the_strata_of_the_specialists_are_carried_over():
    control = RandomDrop(name="control", like="clean").blend(usual(), 0, drawn())
    line = stratum(control, "specialist:jfleg")
    assert (line["available"], line["taken"]) == (60, 23)


def test_an_unknown_model_is_an_error_with_the_names_there_are():
    with pytest.raises(UserError, match="did you mean 'clean'") as caught:
        RandomDrop(name="control", like="claen").blend(usual(), 0, drawn())
    assert "blends so far: clean" in str(caught.value)


def test_a_seed_that_the_model_lacks_is_an_error_with_its_seeds():
    with pytest.raises(UserError, match="seeds of 'clean': 0, 1"):
        RandomDrop(name="control", like="clean", seeds=(2,)).blend(usual(), 2, drawn(seeds=(0, 1)))


def test_a_stratum_that_its_own_gate_leaves_too_small_is_an_error():
    recipe = RandomDrop(name="control", like="clean", match="source", where="source <> 'dolly'")
    with pytest.raises(UserError, match="source:dolly holds 0 rows"):
        recipe.blend(usual(), 0, drawn())


def test_a_blend_is_not_like_itself():
    with pytest.raises(UserError, match="like itself"):
        RandomDrop(name="a", like="a")


def test_a_model_without_generalist_rows_gives_a_control_without_them():
    everything = usual()
    model = Proportional(name="none", rows=0).blend(everything, 0, {})
    control = RandomDrop(name="control", like="none").blend(everything, 0, {"none@0": model})
    assert ids(control) == set()
    assert control.members.height == 80
