"""`where:` predicates: conditions over the pool's columns and nothing else."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import UserError
from manifests.predicate import POOL_COLUMNS, check_where, score_column, select

ROWS = pl.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d"],
        "source": ["x", "x", "it's", "z"],
        "n_chars": [10, 20, 30, 40],
        "p_error": [0.1, 0.5, None, 0.9],
        "meta": ['{"n": 1}', "{}", "{}", "{}"],
    }
)


@pytest.mark.parametrize(
    ("predicate", "kept"),
    [
        ("p_error < 0.5", "a"),
        ("p_error < 0.5 OR p_error IS NULL", "ac"),
        ("NOT p_error < 0.5", "bd"),
        ("source = 'it''s'", "c"),
        ("source IN ('x', 'z') AND n_chars > 10", "bd"),
        ("p_error < (SELECT avg(p_error) FROM pool)", "a"),
        ("json_extract(meta, '$.n') = 1", "a"),
        ("true", "abcd"),
    ],
)
def test_select_keeps_the_rows_for_which_it_is_true_and_not_null(predicate, kept):
    assert select(ROWS, predicate) == frozenset(kept)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=20), st.floats(0, 1))
def test_select_agrees_with_polars(values, limit):
    frame = pl.DataFrame(
        {"sample_id": [str(i) for i in range(len(values))], "p_error": values},
        schema={"sample_id": pl.String, "p_error": pl.Float64},
    )
    expected = frame.filter(pl.col("p_error") < limit)["sample_id"].to_list()
    assert select(frame, f"p_error < {limit!r}") == frozenset(expected)


def test_select_does_not_depend_on_row_order():
    assert select(ROWS.reverse(), "p_error >= 0.5") == select(ROWS, "p_error >= 0.5") == {"b", "d"}


def test_every_documented_column_can_be_used():
    check_where(" AND ".join(f"{name} IS NOT NULL" for name in POOL_COLUMNS), POOL_COLUMNS)
    check_where("quality_2 > 0", {**POOL_COLUMNS, score_column("quality-2"): "DOUBLE"})


def test_an_unknown_column_is_named_with_the_nearest_one():
    with pytest.raises(UserError, match="unknown column in where: 'p_eror'") as caught:
        check_where("p_eror < 0.3", POOL_COLUMNS)
    assert "did you mean 'p_error'?" in str(caught.value)


@pytest.mark.parametrize(
    "predicate",
    [
        "",
        "p_error <",
        "p_error < 0.3; DROP TABLE pool",
        "p_error < 0.3, n_chars > 2",
        "p_error < 0.3) OR (1 = 1",
        "1 = 1 UNION SELECT 1",
        "p_error < 0.3 ORDER BY 1",
        "p_error < 0.3 LIMIT 1",
        "SELECT 1",
        "source > (SELECT content FROM read_text('/etc/passwd'))",
        "EXISTS (SELECT * FROM read_csv('/etc/passwd'))",
        "EXISTS (FROM '/etc/passwd')",
        "EXISTS (FROM glob('/*'))",
        "EXISTS (FROM predicate)",
        "no_such_function(p_error)",
    ],
)
def test_what_is_not_one_condition_over_the_columns_is_refused_with_the_text(predicate):
    with pytest.raises(UserError) as caught:
        check_where(predicate, POOL_COLUMNS)
    assert caught.value.value is not None


@pytest.mark.parametrize(
    "predicate",
    [
        "random() < 0.5",
        "n_chars > 3 AND RANDOM() < 0.5",
        "length(CAST(uuid() AS VARCHAR)) > n_chars",
        "now() > TIMESTAMP '2026-01-01'",
        "current_date > DATE '2026-01-01'",
        "CURRENT_TIMESTAMP IS NOT NULL",
        "hash(sample_id) % 2 = 0",
        "(SELECT max(random()) FROM pool) > 0.5",
        "CASE WHEN true THEN random() ELSE 0 END < 0.5",
    ],
)
def test_a_condition_that_differs_from_run_to_run_is_refused(predicate):
    with pytest.raises(UserError, match="changes from run to run"):
        check_where(predicate, POOL_COLUMNS)
    with pytest.raises(UserError, match="changes from run to run"):
        select(ROWS, predicate)


def test_a_column_may_be_called_like_an_unstable_function():
    check_where("random > 0.5", {**POOL_COLUMNS, "random": "DOUBLE"})


@pytest.mark.parametrize("predicate", ["CAST(source AS INTEGER) > 3", "source", "n_chars > 'many'"])
def test_a_condition_that_fails_on_a_row_is_the_users_error(predicate):
    with pytest.raises(UserError, match="where fails on a row"):
        select(ROWS, predicate)
