"""Raking against scipy-free references: IPF's own fixed point, exact sums, misses that are reported."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import UserError
from mixers.raking import Raking
from mixers.table import Marginals, fit, whole
from tests.mixers.pools import pool, rows, stratum, usual


def plain_ipf(table, row, column):
    for _ in range(3000):
        table = table * (row / table.sum(axis=1))[:, None]
        table = table * (column / table.sum(axis=0))
    return table


def flat(shape):
    return np.array(np.unravel_index(np.arange(np.prod(shape)), shape))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=12, max_size=12), st.data())
def test_a_feasible_table_is_that_of_iterative_proportional_fitting(cells, data):
    seed = np.array(cells, dtype=float).reshape(3, 4)
    other = np.array(data.draw(st.lists(st.integers(1, 50), min_size=12, max_size=12)), dtype=float).reshape(3, 4)
    row, column = other.sum(axis=1), other.sum(axis=0)
    fitted = fit(seed.ravel(), np.full(12, 1e9), Marginals(flat((3, 4)), (row, column)))
    assert np.allclose(fitted.reshape(3, 4), plain_ipf(seed, row, column), atol=1e-4)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=12, max_size=12), st.integers(0, 300), st.randoms())
def test_whole_rows_sum_exactly_keep_the_caps_and_are_within_a_row_of_sums_that_can_be_had(cells, total, random):
    caps = np.array(cells, dtype=np.int64)
    total = min(total, int(caps.sum()))
    inside = caps * (total / max(1, int(caps.sum())))  # within every cap: so its sums can be had
    marginals = Marginals(
        flat((3, 4)),
        tuple(np.bincount(code, weights=inside, minlength=n) for code, n in zip(flat((3, 4)), (3, 4), strict=True)),
    )
    counts = np.where(caps > 0, [random.randint(1, 30) for _ in cells], 0).astype(float)
    found = whole(fit(counts, caps.astype(float), marginals), caps, marginals, total)
    assert found.sum() == total
    assert (found >= 0).all()
    assert (found <= caps).all()
    assert max(float(np.abs(miss).max()) for miss in marginals.misses(found)) < 2


def test_a_blend_has_every_wanted_share_at_once():
    everything = usual()
    wanted = {"source": {"alpaca": 0.6, "dolly": 0.4}, "length": {"0-31": 0.25, "32-63": 0.75}}
    blend = Raking(name="b", rows=200, marginals=wanted).blend(everything, 0, {})
    joined = blend.members.filter(role="generalist").join(everything.samples, on="sample_id")
    assert joined.filter(source="dolly").height == 80
    assert joined.filter(pl.col("n_tokens") < 32).height == 50
    assert stratum(blend, "marginal:source:dolly")["note"] is None
    assert stratum(blend, "source:seeds | length:0-31")["taken"] == 0


def test_marginals_that_cannot_be_had_come_as_near_as_they_can_and_say_by_how_much_they_miss():
    frame = pl.concat([rows("a", "generalist", 400), rows("b", "generalist", 50)])
    blend = Raking(name="x", rows=300, marginals={"source": {"a": 0.5, "b": 0.5}}).blend(pool(frame), 0, {})
    line = stratum(blend, "marginal:source:b")
    assert (line["requested"], line["taken"], line["limited_by"]) == (150.0, 50, "supply")
    assert line["note"] == "misses by -100.0 rows"
    assert stratum(blend, "marginal:source:a")["taken"] == 250


def test_marginals_that_contradict_each_other_are_reported_as_infeasible():
    """Rows of a are short and rows of b long: 70 % a and 70 % long cannot both hold."""
    short, long_ = (
        rows(n, "generalist", 300).with_columns(n_tokens=pl.lit(t, pl.Int32)) for n, t in (("a", 5), ("b", 40))
    )
    wanted = {"source": {"a": 0.7, "b": 0.3}, "length": {"0-31": 0.3, "32-63": 0.7}}
    blend = Raking(name="x", rows=100, marginals=wanted).blend(pool(short, long_), 0, {})
    assert stratum(blend, "source:a | length:0-31")["taken"] == 50
    assert stratum(blend, "marginal:source:a")["limited_by"] == "infeasible"
    assert stratum(blend, "marginal:source:a")["note"] == "misses by -20.0 rows"


@pytest.mark.parametrize(
    ("marginals", "message"),
    [
        ({"source": {"alpaca": 0.5, "dolly": 0.4}}, "do not add up to 1"),
        ({"source": {"alpca": 1.0}}, "did you mean 'alpaca'"),
        ({"sorce": "equal"}, "did you mean 'source'"),
    ],
)
def test_shares_that_are_wrong_are_an_error(marginals, message):
    with pytest.raises(UserError, match=message):
        Raking(name="b", rows=10, marginals=marginals).blend(usual(), 0, {})


def test_the_same_seed_gives_the_same_rows_in_any_order():
    mixer = Raking(name="b", rows=333, marginals={"task": "equal", "source": "pool"})
    assert mixer.blend(usual(), 1, {}).content_id == mixer.blend(usual(shuffle=5), 1, {}).content_id
