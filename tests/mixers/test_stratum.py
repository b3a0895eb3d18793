"""Strata of a column against grouping row by row in Python, whatever its type."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixers.stratum import stratify

COLUMNS = {
    "words": (pl.String, st.sampled_from(["a", "b", "B", "", "é", "a|b"])),
    "small": (pl.Int8, st.integers(-128, 127)),
    "cells": (pl.Int32, st.integers(0, 40)),
    "wide": (pl.Int32, st.integers(-(2**31), 2**31 - 1)),
    "unsigned": (pl.UInt32, st.integers(2**32 - 3, 2**32 - 1)),
    "long": (pl.Int64, st.sampled_from([-(2**63), -1, 0, 2**63 - 1])),
    "truth": (pl.Boolean, st.booleans()),
}


@pytest.mark.parametrize("column", COLUMNS)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), nulls=st.booleans())
def test_rows_are_together_when_they_agree_and_strata_stand_in_order(column, data, nulls):
    kind, values = COLUMNS[column]
    rows = data.draw(st.lists(st.one_of(values, st.none()) if nulls else values, max_size=30))
    found = stratify(pl.DataFrame({"x": pl.Series(rows, dtype=kind)}), "x")
    names = ["x:(none)" if v is None else f"x:{str(v).lower() if kind == pl.Boolean else v}" for v in rows]
    assert [found.names[code] for code in found.codes] == names
    assert list(found.names) == sorted(set(names))
    assert found.codes.dtype == np.int32
    assert found.counts().tolist() == [names.count(name) for name in found.names]
