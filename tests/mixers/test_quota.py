"""Quotas against brute force: exact, capped, monotone."""

import math
from collections import Counter
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import UserError
from mixers.quota import Fill, Schedule, apportion, requests, tempered, whole

NAMES = "abcdef"


@st.composite
def fills(draw):
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    return Fill(
        {n: draw(st.sampled_from([0, 1, 1, 2, 5, 37, 1000])) for n in names},
        {n: draw(st.integers(0, 14)) for n in names},
        {n: draw(st.integers(0, 6)) for n in names},
        draw(st.integers(0, 3)),
    )


def exact(fill, total):
    """Return each stratum's amount at the water level, found over the places where a stratum starts or ends."""
    live = [n for n, w in fill.weights.items() if w and fill.caps[n]]
    least = {n: min(fill.least, fill.caps[n]) for n in live}

    def amounts(level):
        return {n: min(fill.caps[n], max(least[n], level * fill.weights[n] - fill.held[n])) for n in live}

    points = sorted({Fraction(fill.held[n] + r, fill.weights[n]) for n in live for r in (least[n], fill.caps[n])})
    below = max((p for p in [Fraction(0), *points] if sum(amounts(p).values()) <= total), default=Fraction(0))
    short = total - sum(amounts(below).values())
    if short > 0:
        above = min(p for p in points if p > below)
        rise = sum(amounts(above).values()) - sum(amounts(below).values())
        below += (above - below) * Fraction(short, rise)
    return amounts(below)


def one_by_one(fill):
    """Return the rows of each stratum after each total, always giving the row that must be given soonest."""
    live = sorted(n for n, w in fill.weights.items() if w and fill.caps[n])
    given_so_far, states = Counter(), []
    for row in range(1, fill.least + 1):
        urgent = sorted(live, key=lambda n: (Fraction(row + fill.held[n], fill.weights[n]), n))
        for name in (n for n in urgent if fill.caps[n] >= row):
            given_so_far[name] += 1
            states.append(Counter(given_so_far))
    amounts = {total: exact(fill, total) for total in range(len(states), fill.supply + 1)}

    def deadline(name):
        return next(t for t, amount in amounts.items() if amount[name] >= given_so_far[name] + 1)

    for total in range(len(states) + 1, fill.supply + 1):
        released = [n for n in live if amounts[total][n] > given_so_far[n]]
        given_so_far[min((deadline(n), n) for n in released)[1]] += 1
        states.append(Counter(given_so_far))
    return states


@settings(deadline=None, max_examples=150)
@given(fills())
def test_the_schedule_at_any_total_is_what_serving_row_by_row_gives(fill):
    schedule = Schedule(fill)
    for total, expected in enumerate(one_by_one(fill), 1):
        assert dict(zip(schedule.names, schedule.at(total).tolist(), strict=True)) == {
            n: expected[n] for n in schedule.names
        }


@settings(deadline=None, max_examples=50)
@given(fills(), st.sampled_from([1, 10**20, 10**40]))
def test_every_total_is_within_one_row_of_the_water_level_whatever_the_size_of_the_weights(fill, scale):
    fill = Fill({n: w * scale + (n == "a") for n, w in fill.weights.items()}, fill.caps, fill.held, fill.least)
    schedule = Schedule(fill)
    assert schedule.supply == fill.supply
    for total in range(schedule.floor, fill.supply + 1):
        counts = dict(zip(schedule.names, schedule.at(total).tolist(), strict=True))
        assert sum(counts.values()) == total
        for stratum, amount in exact(fill, total).items():
            assert math.floor(amount) <= counts[stratum] <= math.ceil(amount)


@settings(deadline=None)
@given(fills(), st.data())
def test_quotas_sum_exactly_keep_the_caps_and_never_shrink_when_the_total_grows(fill, data):
    small = data.draw(st.integers(0, fill.supply))
    large = data.draw(st.integers(small, fill.supply))
    fewer, more = apportion(small, fill), apportion(large, fill)
    assert sum(fewer.values()) == small
    assert sum(more.values()) == large
    assert all(fewer[n] <= more[n] <= fill.caps[n] for n in fill.weights)
    assert all(more[n] == 0 for n, w in fill.weights.items() if not w)


@settings(deadline=None)
@given(fills())
def test_the_order_of_the_strata_does_not_matter(fill):
    turned = Fill(dict(reversed(fill.weights.items())), fill.caps, fill.held, fill.least)
    for total in range(fill.supply + 1):
        assert apportion(total, turned) == apportion(total, fill)


def test_plain_proportions_are_those_of_the_largest_remainder_method():
    counts = {"alpaca": 52002, "gpt4": 999, "code": 2017, "dolly": 2996, "gpteacher": 6458, "seed": 175}
    share = {n: Fraction(20000 * c, sum(counts.values())) for n, c in counts.items()}
    floors = {n: int(s) for n, s in share.items()}
    left = 20000 - sum(floors.values())
    largest = sorted(share, key=lambda n: floors[n] - share[n])[:left]
    assert apportion(20000, Fill(counts, counts)) == {n: floors[n] + (n in largest) for n in counts}


def test_a_stratum_never_loses_a_row_where_largest_remainder_would_take_it_back():
    """The classic Alabama paradox: weights 6, 6, 2 at 10 and 11 seats."""
    fill = Fill({"a": 6, "b": 6, "c": 2}, {"a": 99, "b": 99, "c": 99})
    totals = [apportion(n, fill)["c"] for n in range(12)]
    assert totals == list(accumulate(totals, max))


def test_a_small_stratum_gets_a_row_as_soon_as_the_total_allows_one_each():
    fill = Fill({"big": 10_000, "small": 1, "tiny": 1}, {"big": 10_000, "small": 1, "tiny": 5})
    assert apportion(3, fill) == {"big": 1, "small": 1, "tiny": 1}
    assert apportion(2, fill) == {"big": 1, "small": 1, "tiny": 0}
    assert apportion(100, Fill(fill.weights, fill.caps, least=0)) == {"big": 100, "small": 0, "tiny": 0}


def test_an_empty_stratum_leaves_its_share_to_the_others_in_their_proportions():
    fill = Fill({"a": 1, "b": 1, "c": 2}, {"a": 10, "b": 1000, "c": 1000})
    assert apportion(310, fill) == {"a": 10, "b": 100, "c": 200}


def test_what_a_stratum_holds_already_counts():
    fill = Fill({"a": 1, "b": 1}, {"a": 100, "b": 100}, {"a": 30}, least=0)
    assert apportion(20, fill) == {"a": 0, "b": 20}
    assert apportion(50, fill) == {"a": 10, "b": 40}
    assert requests(50, fill) == {"a": 10.0, "b": 40.0}
    assert requests(20, fill) == {"a": 0.0, "b": 20.0}


@settings(deadline=None)
@given(fills(), st.integers(0, 500))
def test_requests_sum_to_the_total_when_any_stratum_has_weight(fill, total):
    asked = requests(total, fill)
    assert sum(asked.values()) == pytest.approx(total if any(fill.weights.values()) else 0)
    assert min(asked.values()) >= 0


@pytest.mark.parametrize("total", [-1, 21])
def test_a_total_outside_the_supply_is_refused_with_its_value(total):
    with pytest.raises(UserError, match="within the supply") as caught:
        apportion(total, Fill({"a": 1}, {"a": 20}))
    assert caught.value.value == total


def test_fractions_become_whole_weights_in_the_same_proportions():
    assert whole({"a": Fraction(1, 3), "b": Fraction(1, 4), "c": Fraction(0)}) == {"a": 4, "b": 3, "c": 0}
    assert whole({}) == {}


def test_temperature_evens_the_weights_out():
    counts = {"a": 10_000, "b": 100, "none": 0}
    assert tempered(counts, 1.0) == counts
    assert tempered(counts, 2.0) == {"a": 100_000_000, "b": 10_000_000, "none": 0}


def test_ten_thousand_rows_are_in_exact_proportion_at_every_thousandth():
    fill = Fill({"a": 7, "b": 2, "c": 1}, {"a": 7000, "b": 2000, "c": 1000})
    for step in range(1, 11):
        names = apportion(1000 * step, fill)
        assert names == {"a": 700 * step, "b": 200 * step, "c": 100 * step}
