"""Every scorer's answer: one row per sample, finite values only, a reason for the rest."""

from __future__ import annotations

import math

import polars as pl

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
