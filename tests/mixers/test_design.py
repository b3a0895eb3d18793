"""Designs and controls: the recipes that one entry stands for."""

import pytest

from manifests.errors import UserError
from mixers.control import siblings
from mixers.coverage import Coverage
from mixers.ladder import Ladder
from mixers.proportional import Proportional
from mixers.staged import Staged
from mixers.sweep import Sweep
from mixers.unimax import UniMax
from tests.mixers.pools import ids, usual

OF = {"kind": "proportional"}


def amounts(sweep):
    return {r["name"]: (r["specialist_rows"], r["rows"]) for r in sweep.recipes()}


def test_added_on_keeps_the_specialist_rows_and_adds_generalist_ones():
    found = amounts(Sweep(name="w", of=OF, design="added_on", generalist_rows=(0, 100), specialist_rows=(20, 40)))
    assert found == {"w-s20-g0": (20, 0), "w-s20-g100": (20, 100), "w-s40-g0": (40, 0), "w-s40-g100": (40, 100)}
    assert amounts(Sweep(name="w", of=OF, design="added_on", generalist_rows=(7,))) == {"w-g7": (None, 7)}


def test_fixed_total_puts_generalist_rows_in_the_place_of_specialist_ones():
    found = amounts(Sweep(name="w", of=OF, design="fixed_total", total_rows=80, shares=(0, 0.25, 0.5)))
    assert found == {"w-s80-g0": (80, 0), "w-s60-g20": (60, 20), "w-s40-g40": (40, 40)}


def test_shares_of_an_added_on_sweep_are_of_all_rows():
    found = amounts(Sweep(name="w", of=OF, design="added_on", shares=(0.5, 0.2), specialist_rows=(40,)))
    assert found == {"w-s40-g40": (40, 40), "w-s40-g10": (40, 10)}


def test_the_blends_of_a_sweep_are_nested_in_both_roles():
    sweep = Sweep(name="w", of=OF, design="added_on", generalist_rows=(50, 200), specialist_rows=(20, 40))
    blends = {
        r["name"]: Proportional(**{k: v for k, v in r.items() if k != "kind"}).blend(usual(), 0, {})
        for r in sweep.recipes()
    }
    assert ids(blends["w-s20-g50"]) < ids(blends["w-s20-g200"]) == ids(blends["w-s40-g200"])
    assert ids(blends["w-s20-g50"], "specialist") < ids(blends["w-s40-g50"], "specialist")


@pytest.mark.parametrize(
    "fields",
    [
        {"design": "added_on"},
        {"design": "added_on", "generalist_rows": (1,), "shares": (0.5,)},
        {"design": "added_on", "generalist_rows": (1,), "total_rows": 5},
        {"design": "added_on", "shares": (0.5,)},
        {"design": "fixed_total", "shares": (0.5,)},
        {"design": "fixed_total", "total_rows": 5, "generalist_rows": (6,)},
    ],
)
def test_amounts_that_do_not_belong_to_the_design_are_refused(fields):
    with pytest.raises(UserError, match="sweep 'w'"):
        Sweep(name="w", of=OF, **fields)


def test_a_ladder_has_one_recipe_a_target_from_broad_to_narrow():
    found = Ladder(name="l", of={"kind": "coverage", "rows": 9}, targets=("Writing", "flu ency")).recipes()
    assert [(r["name"], r["target"], r["rows"]) for r in found] == [
        ("l-1-writing", "Writing", 9),
        ("l-2-flu-ency", "flu ency", 9),
    ]


def test_a_staged_design_has_one_recipe_an_order():
    found = Staged(name="s", of={**OF, "rows": 5}).recipes()
    assert {r["name"]: r["order"] for r in found} == {"s-mixed": "mixed", "s-generalist-first": "generalist_first"}


def test_controls_are_the_same_recipe_with_one_thing_changed():
    mixer = UniMax(
        name="u", rows=50, where="p_error < 0.5", max_epochs=2, seeds=(0, 1), hallucination_budget=0.2,
        controls=("stratified", "ungated", "random_drop"),
    )  # fmt: skip
    level, ungated, drop = siblings(mixer)
    assert [s.name for s in (level, ungated, drop)] == ["u-stratified", "u-ungated", "u-random-drop"]
    assert (level.kind, level.where, level.hallucination_budget, level.rows) == ("stratified", "p_error < 0.5", 0.2, 50)
    assert (ungated.kind, ungated.where, ungated.hallucination_budget, ungated.max_epochs) == ("unimax", None, None, 2)
    assert (drop.like, drop.seeds, drop.where) == ("u", (0, 1), None)
    assert siblings(ungated) == ()


def test_the_controls_of_a_blend_have_its_size_and_its_specialist_rows():
    mixer = Coverage(name="c", rows=120, where="p_error < 0.5", controls=("stratified", "ungated", "random_drop"))
    blend = mixer.blend(usual(), 3, {})
    for control in siblings(mixer):
        other = control.blend(usual(), 3, {"c@3": blend})
        assert len(ids(other)) == 120
        assert ids(other, "specialist") == ids(blend, "specialist")
        assert ids(other) != ids(blend)


def test_asking_for_controls_changes_nothing_about_the_blend():
    plain, asked = (Proportional(name="b", rows=9, controls=c).blend(usual(), 0, {}) for c in ((), ("ungated",)))
    assert plain.recipe == asked.recipe
    assert plain.content_id == asked.content_id
