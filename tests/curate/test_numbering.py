"""Numbering against a dictionary, with keys made to collide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import numbering
from curate.numbering import Numbering, dense

KEYS = st.lists(st.integers(1, 40) | st.integers(1, 2**64 - 1), max_size=60)


def numbers_of(chunks: list[list[int]], expected: int = 0) -> list[int]:
    made = Numbering(expected)
    found = [n for chunk in chunks for n in made.number(np.array(chunk, np.uint64)).tolist()]
    assert all(0 <= n < len(made) for n in found)
    return found


def assert_like_a_dictionary(keys: list[int], numbers: list[int]) -> None:
    assert len(set(zip(keys, numbers, strict=True))) == len(set(keys)) == len(set(numbers))


@given(st.lists(KEYS, max_size=5))
@settings(deadline=None, max_examples=60)
def test_keys_have_one_number_exactly_when_they_are_equal(chunks):
    assert_like_a_dictionary([k for chunk in chunks for k in chunk], numbers_of(chunks))


@pytest.mark.parametrize("levels", [1, 2, 12])
def test_many_more_keys_than_expected_are_still_exact(levels, monkeypatch):
    monkeypatch.setattr(numbering, "LEVELS", levels)
    rng = np.random.default_rng(1)
    keys = rng.integers(1, 2**63, 30_000, dtype=np.uint64)
    keys = np.concatenate((keys, rng.permutation(keys)))
    numbers = numbers_of([part.tolist() for part in np.array_split(keys, 7)], expected=10)
    assert_like_a_dictionary(keys.tolist(), numbers)


def test_keys_made_to_fall_into_one_slot_are_still_exact():
    step = pow(numbering._MULTIPLIER, -1, 2**64)
    keys = [(step * low) % 2**64 for low in range(1, 3000)]
    assert_like_a_dictionary(keys * 2, numbers_of([keys, keys]))


def test_dense_codes_count_from_one_without_gaps():
    codes = np.array([9, 2, 9, 5], np.int32)
    assert dense(codes) == 3
    assert codes.tolist() == [3, 1, 3, 2]
    assert dense(np.empty(0, np.int32)) == 0
