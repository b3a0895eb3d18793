"""Searches on made-up learning curves: what they ask for, what stops an arm, what they choose."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from manifests.errors import UserError
from trainers.compare import differences
from trainers.replay import replay
from trainers.search import SEARCHES, Arms, Ask, Chosen, Evidence, Grid, Halving, Racing, Random, drive, short_rung
from trainers.surrogate import Surrogate

ON = {"task": None, "metric": "loglik"}
KINDS = {
    "grid": Grid(**ON),
    "halving": Halving(rung=1, **ON),
    "racing": Racing(rung=3, **ON),
    "random": Random(arms=3, **ON),
    "surrogate": Surrogate(start=2, batch=1, runs=4, **ON),
}


def grid(worth, amount=9, noise=0.1, seeds=3, examples=40, seed=0):
    """Return arms of constant worth (or a function of the amount), and their values at every amount."""
    names = tuple(worth)
    tables = {}
    for at in range(1, amount + 1):
        rng = np.random.default_rng([seed, at])
        shared = rng.normal(size=examples)
        tables[at] = {
            name: (w(at) if callable(w) else w) + shared + noise * rng.normal(size=(seeds, examples))
            for name, w in worth.items()
        }
    return Arms(names, amount), tables


def test_every_kind_of_the_table_is_known():
    assert {kind: type(search) for kind, search in KINDS.items()} == {k: SEARCHES.load(k) for k in SEARCHES.entries}


def test_halving_does_what_sorting_by_hand_does():
    rng = np.random.default_rng(5)
    drawn = {f"a{i}": (float(rng.normal()), float(rng.uniform(0, 3))) for i in range(9)}
    curves = {name: (lambda at, w=w, s=s: w - s / at) for name, (w, s) in drawn.items()}
    arms, tables = grid(curves, noise=1.0)
    alive = list(arms.names)
    reached = dict.fromkeys(alive, 9)
    for at, keep in ((1, 3), (3, 1)):
        ranked = sorted(alive, key=lambda name: -tables[at][name].mean())
        reached |= dict.fromkeys(ranked[keep:], at)
        alive = ranked[:keep]
    found = replay(Halving(rung=1, eta=3, **ON), arms, tables)
    assert (found.reached, found.chosen.best) == (reached, alive[0])
    assert found.saved == pytest.approx(1 - sum(reached.values()) / 81)
    assert sum(reached.values()) == Halving(rung=1, eta=3, **ON).most(9, 9)


def test_a_race_stops_exactly_those_that_the_paired_comparison_excludes():
    arms, tables = grid({"best": 0.0, "near": -0.01, "far": -0.3, "middle": -0.06}, noise=0.2)
    search = Racing(rung=3, alpha=0.05, **ON)
    expected, alive = {}, list(arms.names)
    for at in (3, 6):
        held = {name: tables[at][name] for name in alive}
        top = max(alive, key=lambda name: held[name].mean())
        others = [name for name in alive if name != top]
        for name, one in zip(others, differences(held, [(n, top) for n in others]), strict=True):
            if one.mean < 0 and one.p_value < 0.05 / (2 * (len(alive) - 1)):
                expected[name] = at
        alive = [name for name in alive if name not in expected]
    found = replay(search, arms, tables)
    assert {name: at for name, at in found.reached.items() if at < 9} == expected
    assert "far" in expected
    assert "near" not in expected
    assert found.chosen.stopped["far"].startswith(f"at {expected['far']} 0.3")
    assert "shown not to be better at level" in found.chosen.stopped["far"]


def test_a_race_of_equal_arms_stops_hardly_any_and_never_the_best_that_is_clear():
    stopped = 0
    for seed in range(40):
        arms, tables = grid({"a": 0.0, "b": 0.0, "c": 0.0}, seed=seed)
        stopped += sum(at < 9 for at in replay(Racing(rung=3, **ON), arms, tables).reached.values())
        arms, tables = grid({"a": 0.0, "b": 0.2, "c": 0.0}, seed=seed)
        assert replay(Racing(rung=3, **ON), arms, tables).chosen.best == "b"
    assert stopped <= 6


def test_a_tolerance_ends_arms_that_cannot_be_better_by_more_than_it():
    arms, tables = grid({"a": 0.0, "b": 0.0, "c": -0.01})
    strict = replay(Racing(rung=3, **ON), arms, tables)
    lax = replay(Racing(rung=3, tolerance=0.1, **ON), arms, tables)
    assert strict.saved < lax.saved == pytest.approx(2 / 3 * 2 / 3)
    assert "not to be better by more than 0.1" in lax.chosen.stopped["c"]
    assert lax.regret <= 0.1


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_search_of_one_arm_trains_it_to_the_end_and_ends(kind):
    arms, tables = grid({"only": 0.0})
    found = replay(KINDS[kind], arms, tables)
    assert (found.reached, found.chosen, found.regret) == ({"only": 9}, Chosen("only", {}), 0.0)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_search_is_the_same_each_time_and_costs_no_more_than_it_says(kind):
    rng = np.random.default_rng(1)
    arms, tables = grid({f"a{i}": float(rng.normal()) for i in range(7)})
    arms = Arms(arms.names, arms.amount, rng.normal(size=(7, 2)), ("x", "y"))
    one, two = replay(KINDS[kind], arms, tables), replay(KINDS[kind], arms, tables)
    assert one == two
    assert sum(one.reached.values()) <= KINDS[kind].most(7, 9)
    assert set(one.chosen.stopped) == set(arms.names) - {one.chosen.best}
    assert one.reached[one.chosen.best] == 9


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_search_whose_runs_all_fail_ends(kind):
    names = tuple("abcdefg")
    empty = {name: np.full((2, 5), np.nan) for name in names}
    arms = Arms(names, 9, np.arange(7.0)[:, None], ("x",))
    asked = []
    chosen = drive(KINDS[kind].choose(arms), lambda ask: asked.append(ask) or Evidence(empty))
    assert isinstance(chosen, Chosen)
    assert len(asked) <= 5


def test_a_failed_arm_stops_and_a_failed_seed_does_not():
    arms, tables = grid({"a": 0.0, "b": 0.5, "c": 0.1})
    for at in tables:
        tables[at]["c"] = np.full((3, 40), np.nan)
        tables[at]["b"] = np.where(np.arange(3)[:, None] == 1, np.nan, tables[at]["b"])
    for search in (Halving(rung=1, eta=2, **ON), Racing(rung=3, **ON)):
        found = replay(search, arms, tables)
        assert found.chosen.best == "b"
        assert "its runs failed" in found.chosen.stopped["c"]


def test_a_question_without_an_answer_is_handed_back():
    arms, tables = grid({"a": 0.0, "b": 1.0, "c": 2.0})
    known = itertools.count()
    left = drive(
        Halving(rung=1, eta=3, **ON).choose(arms), lambda ask: Evidence(tables[ask.amount]) if next(known) < 1 else None
    )
    assert left == Ask(("c",), 9)


def test_random_draws_hang_on_the_seed():
    arms, tables = grid({f"a{i}": float(i) for i in range(12)})
    drawn = {
        seed: frozenset(n for n, at in replay(Random(arms=4, seed=seed, **ON), arms, tables).reached.items() if at)
        for seed in range(6)
    }
    assert {len(names) for names in drawn.values()} == {4}
    assert len(set(drawn.values())) > 3


def test_rungs_end_with_the_whole_and_a_long_rung_is_the_whole():
    assert Halving(rung=100, eta=3, **ON).rungs(900) == [100, 300, 900]
    assert Halving(rung=100, eta=3, **ON).rungs(1000) == [100, 300, 1000]
    assert Halving(rung=100, eta=3, **ON).rungs(50) == [50]
    assert Racing(rung=40, **ON).rungs(100) == [40, 80, 100]


def test_a_very_short_rung_is_told():
    class Warm:
        warmup = 0.2

    assert short_rung(Halving(rung=100, **ON), None, 900) == ""
    assert "60 of 900" in short_rung(Halving(rung=60, **ON), None, 900)
    assert "360 or more" in short_rung(Racing(rung=100, **ON), Warm, 900)
    assert short_rung(Grid(**ON), None, 900) == ""


def test_a_grid_without_the_rung_is_refused():
    arms, tables = grid({"a": 0.0, "b": 1.0})
    del tables[3]
    with pytest.raises(UserError, match="not measured at this rung"):
        replay(Racing(rung=3, **ON), arms, tables)
