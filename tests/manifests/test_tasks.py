"""A task's name says which wider tasks it is a part of."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.tasks import wider, within

PATHS = st.lists(st.sampled_from(["a", "b", "ab", "é"]), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("ni", ["ni", "ni/films", "ni/films/short"]),
        ("ni/films", ["ni/films", "ni/films/short"]),
        ("n", []),
        ("ni/f", []),
    ],
)
def test_a_wide_name_stands_for_its_parts_and_not_for_names_that_merely_begin_alike(name, kept):
    frame = pl.DataFrame({"task": ["ni", "ni/films", "ni/films/short", "nib", None]})
    assert frame.filter(within(name))["task"].to_list() == kept


def test_a_row_without_a_task_is_within_none_even_when_the_condition_is_negated():
    frame = pl.DataFrame({"task": [None, "a"]}, schema={"task": pl.String})
    assert frame.filter(~within("b")).height == 2


def test_names_of_sql_and_of_patterns_are_letters_like_others():
    frame = pl.DataFrame({"task": ["a.b/c", "axb/c", "a%/c"]})
    assert frame.filter(within("a.b"))["task"].to_list() == ["a.b/c"]


def test_wider_gives_each_task_and_all_that_it_is_a_part_of_once_and_sorted():
    assert wider(["ni/films/short", "ni/odd", "plain"]) == ["ni", "ni/films", "ni/films/short", "ni/odd", "plain"]
    assert wider([]) == []


@given(st.lists(PATHS, min_size=1, max_size=6))
def test_every_wider_name_holds_a_row_and_every_row_is_within_each_of_its_own(tasks):
    frame = pl.DataFrame({"task": tasks})
    for name in wider(tasks):
        assert frame.filter(within(name)).height >= 1
    for task in tasks:
        parts = task.split("/")
        for end in range(1, len(parts) + 1):
            assert task in frame.filter(within("/".join(parts[:end])))["task"].to_list()
