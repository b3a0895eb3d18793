"""The order of merit in which duplicates stay."""

from __future__ import annotations

import polars as pl
import pytest

from curate.merit import Prefer, ranked, scorers
from manifests.errors import UserError

ROWS = pl.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d"],
        "source": ["x", "y", "x", "y"],
        "response": ["four", "a longer one", "four", "four"],
        "meta": ['{"score": 2}', '{"score": "7.5"}', "{}", '{"score": NaN}'],
        "judge": [0.5, 0.1, None, 0.2],
    }
)


def order(*prefer, first=(), rows=ROWS):
    return "".join(ranked(rows, prefer, first)["sample_id"])


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ((), "abcd"),
        (("id",), "abcd"),
        (("length",), "bacd"),
        (("source", "length"), "acbd"),
        (("low judge",), "bdac"),
        (("high judge",), "adbc"),
        (("high meta.score",), "bacd"),
        (("low meta.score", "high judge"), "abdc"),
    ],
)
def test_rows_come_in_the_order_of_merit_and_those_without_a_value_last(prefer, expected):
    assert order(*prefer) == expected


def test_protected_sources_come_first():
    assert order("length", first=("x",)) == "acbd"


def test_the_order_of_the_rows_makes_no_difference():
    for seed in range(5):
        assert order("source", "low judge", rows=ROWS.sample(fraction=1, shuffle=True, seed=seed)) == order(
            "source", "low judge"
        )


def test_only_scorers_are_read_from_the_job():
    assert scorers(("length", "low judge", "high meta.score", "high ifd", "low judge")) == ("judge", "ifd")


def test_a_scorer_that_is_not_there_is_named():
    with pytest.raises(UserError, match="jugde"):
        order("low jugde")


@pytest.mark.parametrize("measure", ["lenght", "high", "best judge", "low meta.", "high a b"])
def test_a_measure_that_does_not_exist_is_refused(measure):
    from pydantic import TypeAdapter

    with pytest.raises(UserError, match="no such measure"):
        TypeAdapter(Prefer).validate_python((measure,))
