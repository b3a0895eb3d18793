"""Every scorer's answer: one row per sample, finite values only, a reason for the rest."""

from __future__ import annotations

import math

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from curate.scores import NOT_FINITE, scored
from manifests import schema


def test_numbers_are_ok_nulls_abstain_and_what_is_not_finite_fails_with_a_reason():
    ids = pl.Series(["d", "c", "b", "a"])
    found = scored(ids, "s", pl.Series([1.0, None, math.nan, math.inf]), ["cut", "empty", None, "too large"]).scores
    assert found.schema == pl.Schema(schema.SCORES)
    assert found.select("sample_id", "value", "status", "why").rows() == [
        ("a", None, "failed", "too large"),
        ("b", None, "failed", NOT_FINITE),
        ("c", None, "abstained", "empty"),
        ("d", 1.0, "ok", "cut"),
    ]


def test_no_samples_give_an_empty_table():
    found = scored(pl.Series([], dtype=pl.String), "s", pl.Series([], dtype=pl.Float64), []).scores
    assert found.height == 0
    assert found.schema == pl.Schema(schema.SCORES)


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.floats(), st.booleans()), st.one_of(st.none(), st.just("so"))), max_size=9
    ),
    st.randoms(),
)
def test_every_sample_has_one_row_whose_status_fits_its_value(rows, chance):
    values = [None if value is None else float(value) for value, _ in rows]
    order = list(range(len(rows)))
    chance.shuffle(order)
    found = scored(
        pl.Series([f"id{i}" for i in order], dtype=pl.String),
        "s",
        pl.Series([values[i] for i in order], dtype=pl.Float64),
        [rows[i][1] for i in order],
    ).scores
    assert found["sample_id"].to_list() == [f"id{i}" for i in range(len(rows))]
    for (_, remark), value, row in zip(rows, values, found.iter_rows(named=True), strict=True):
        finite = value is not None and math.isfinite(value)
        assert row["value"] == (value if finite else None)
        assert row["status"] == ("ok" if finite else "abstained" if value is None else "failed")
        assert row["why"] == (remark or (NOT_FINITE if row["status"] == "failed" else None))
