"""Budgets: what each makes equal across blends, counted from the steps of the runs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.jobs.stages import runs_of
from manifests.names import digest, k64
from trainers.budget import Budget, budgets, narrowed, order, steps_of
from trainers.full import Full
from trainers.loop import Settings
from trainers.lora import Lora
from trainers.pack import Item
from trainers.render import Rendered
from trainers.scratch import Scratch

rows = st.lists(st.tuples(st.integers(2, 30), st.booleans(), st.integers(1, 3)), min_size=1, max_size=30)


def made(drawn):
    """Return items of (length, is it specialist, repeats), each repeat an item of its own."""
    return [
        Item(
            Rendered(tuple(range(length)), 1),
            key=k64(digest([n, turn])),
            role="specialist" if special else "generalist",
            sample=f"{n:032x}",
        )
        for n, (length, special, repeats) in enumerate(drawn)
        for turn in range(repeats)
    ]


def shown(items, budget, seed=0):
    """Return how often each item is in the steps of a run."""
    return Counter(i for bins in steps_of(items, budget, 32, 3, seed) for places in bins for i in places)


@settings(deadline=None)
@given(rows, st.integers(1, 4), st.integers(0, 3))
def test_epochs_show_every_row_equally_often(drawn, amount, seed):
    items = made(drawn)
    assert shown(items, Budget("epochs", amount), seed) == dict.fromkeys(range(len(items)), amount)


@settings(deadline=None)
@given(rows, st.integers(1, 2000))
def test_tokens_are_the_same_to_within_a_row(drawn, amount):
    items = made(drawn)
    total = sum(len(items[i].rendered.ids) * n for i, n in shown(items, Budget("tokens", amount)).items())
    assert amount <= total < amount + max(len(item.rendered.ids) for item in items)


@settings(deadline=None)
@given(rows, st.integers(1, 5), st.integers(0, 3))
def test_exposures_show_every_specialist_sample_equally_often_and_keep_the_proportions(drawn, amount, seed):
    items = made(drawn)
    found = shown(items, Budget("exposures", amount), seed)
    special = {item.sample for item in items if item.role == "specialist"}
    by_sample = Counter[str]()
    for i, n in found.items():
        by_sample[items[i].sample] += n
    if not special:
        assert found == dict.fromkeys(range(len(items)), amount)
        return
    assert {by_sample[sample] for sample in special} == {amount}
    beside = sum(n for i, n in found.items() if items[i].role != "specialist")
    ratio = Fraction(sum(i.role != "specialist" for i in items), sum(i.role == "specialist" for i in items))
    assert abs(beside - ratio * amount * len(special)) <= Fraction(1, 2)


def test_two_blends_get_the_same_exposures_whatever_stands_beside_and_however_often_they_repeat():
    special = [(10, True, 1)] * 6
    lean, rich = made([*special, *[(20, False, 1)] * 4]), made([(10, True, 2)] * 6 + [(20, False, 1)] * 60)
    for items in (lean, rich):
        counts = Counter[str]()
        for i, n in shown(items, Budget("exposures", 4)).items():
            counts[items[i].sample] += n if items[i].role == "specialist" else 0
        assert sorted(n for n in counts.values() if n) == [4] * 6
    assert len(order(lean, Budget("exposures", 4), 0)) == 24 + 16
    assert len(order(rich, Budget("exposures", 4), 0)) == 24 + 120


def test_generalist_rows_are_spread_evenly_between_specialist_rows():
    items = made([(8, True, 1)] * 10 + [(8, False, 1)] * 30)
    sequence = order(items, Budget("exposures", 2), 0)
    for first in range(0, len(sequence), 8):
        assert sum(items[i].role == "specialist" for i in sequence[first : first + 8]) == 2


def test_no_step_has_more_bins_than_its_height_and_none_is_empty():
    items = made([(17, False, 1)] * 29)
    sizes = [len(bins) for bins in steps_of(items, Budget("epochs", 1), 32, 4, 0)]
    assert sum(sizes) == 29
    assert set(sizes) <= {3, 4}


def test_the_steps_depend_on_keys_and_seed_and_not_on_the_order_of_the_rows():
    items = made([(2 + n % 29, n % 3 == 0, 1) for n in range(40)])

    def keys(of, seed, budget):
        return [sorted(of[i].key for places in bins for i in places) for bins in steps_of(of, budget, 64, 2, seed)]

    for budget in (Budget("tokens", 900), Budget("epochs", 2)):
        assert keys(items, 1, budget) == keys(items, 1, budget) != keys(items, 2, budget)


@pytest.mark.parametrize("cls", [Lora, Full])
def test_each_budget_that_is_given_makes_a_run_of_its_own(cls):
    assert budgets(cls(base="b", steps=7)) == (Budget("steps", 7),)
    both = cls(base="b", exposures=3, tokens=5000)
    assert budgets(both) == (Budget("tokens", 5000), Budget("exposures", 3))
    alone = narrowed(both, Budget("exposures", 3))
    assert budgets(alone) == (Budget("exposures", 3),)
    assert dataclasses.replace(alone, tokens=5000) == both
    assert Settings.of(alone).budget == Budget("exposures", 3)
    assert Settings.of(cls(base="b", steps=7)).budget is None


@pytest.mark.parametrize("cls", [Lora, Full])
def test_a_study_that_names_no_budget_runs_equal_tokens_and_equal_exposures(cls):
    study = cls(base="b", batch_tokens=512)
    assert budgets(study) == (Budget("tokens", 51_200), Budget("exposures", 3))
    assert [run for run, _ in runs_of(study, "half@0")] == ["half@0/tokens", "half@0/exposures"]
    assert [budgets(alone) for _, alone in runs_of(study, "half@0")] == [(budget,) for budget in budgets(study)]


def test_a_trainer_without_budgets_decides_itself():
    assert budgets(object()) == ()


def test_a_base_model_has_steps_alone():
    assert budgets(Scratch(steps=9)) == (Budget("steps", 9),)
