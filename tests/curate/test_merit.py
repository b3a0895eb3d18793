"""The order of merit in which duplicates stay."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

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

NUMBERS = st.one_of(st.none(), st.sampled_from([-0.0, 0.0, 1.5, -2.0, 1e300]))


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


def test_a_column_that_is_not_there_names_what_is():
    with pytest.raises(UserError, match="no such measure"):
        order("longest")


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(["", "a", "bb", "éé"]), NUMBERS), max_size=9),
    st.permutations(["length", "source", "high judge", "low judge", "high meta.n"]),
    st.sampled_from([(), ("y",), ("z", "x")]),
)
def test_the_order_is_that_of_a_plain_sort(rows, prefer, first):
    frame = pl.DataFrame(
        {
            "sample_id": [f"{i * 7 % 10}" for i in range(len(rows))],
            "source": [source for source, _, _ in rows],
            "response": [text for _, text, _ in rows],
            "meta": [json.dumps({"n": number}) for _, _, number in rows],
            "judge": [number for _, _, number in rows],
        },
        schema_overrides={"judge": pl.Float64, "source": pl.String, "response": pl.String, "meta": pl.String},
    )

    def key(row):
        value = row["judge"]
        low, high = ((1, 0.0), (1, 0.0)) if value is None else ((0, value + 0.0), (0, 0.0 - value))
        measures = {"length": -len(row["response"]), "source": row["source"], "low judge": low}
        measures |= {"high judge": high, "high meta.n": high}
        return row["source"] not in first, *(measures[each] for each in prefer), row["sample_id"]

    ids = [row["sample_id"] for row in sorted(frame.iter_rows(named=True), key=key)]
    assert ranked(frame, prefer, first)["sample_id"].to_list() == ids
