"""Names, hashes and the sampling key are the same everywhere."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import names
from manifests.errors import UserError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
seeds = st.integers(0, 2**31)


@pytest.mark.parametrize("name", ["a", "0", "cov-20k", "a" * 64, "x--y", "a-"])
def test_a_valid_name_is_returned(name):
    assert names.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "A",
        "a_b",
        "a b",
        "a" * 65,
        "a\n",
        "а",
        "ａ",
        "a'; DROP TABLE samples; --",
        'a"',
        "a\x00",
        "../a",
        "a/b",
        "a.b",
        "é",
        None,
        1,
        True,
    ],
)
def test_any_other_name_is_refused_with_its_value_and_the_rule(name):
    with pytest.raises(UserError) as caught:
        names.check_name(name, noun="name of a source")
    assert "not a valid name of a source" in str(caught.value)
    assert caught.value.value == name
    assert "lower-case" in str(caught.value)


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_quoted_identifier_is_one_column_of_exactly_that_name(identifier):
    with duckdb.connect(":memory:") as connection:
        relation = connection.sql(f"SELECT 1 AS {names.quote(identifier)}")
        assert relation.columns == [identifier]


def test_an_identifier_with_nul_is_refused():
    with pytest.raises(UserError, match="NUL"):
        names.quote("a\x00b")


@given(json_values)
def test_canonical_json_is_json_of_the_same_value(value):
    assert json.loads(names.canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2, max_size=6))
def test_the_order_of_keys_does_not_change_a_digest(value):
    turned = dict(reversed(list(value.items())))
    assert names.digest(value) == names.digest(turned)


@given(json_values, json_values)
def test_equal_json_equal_digest_and_only_then(a, b):
    assert (names.canonical_json(a) == names.canonical_json(b)) == (names.digest(a) == names.digest(b))


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], {"a": math.nan}])
def test_numbers_that_are_not_finite_have_no_canonical_json(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        names.canonical_json(value)


def test_digests_are_blake2b_of_the_bytes_and_never_change():
    assert names.digest_bytes(b"") == hashlib.blake2b(b"", digest_size=16).hexdigest()
    assert names.digest({"b": [1, 2.5, None], "a": "ä"}) == names.digest_bytes('{"a":"ä","b":[1,2.5,null]}'.encode())


def test_a_lone_surrogate_has_a_digest():
    assert names.digest("\ud800") != names.digest("?")


base = ("mix", {"rows": 5}, ("k1", "k2"), 1)


@pytest.mark.parametrize(
    "other",
    [
        ("score", {"rows": 5}, ("k1", "k2"), 1),
        ("mix", {"rows": 6}, ("k1", "k2"), 1),
        ("mix", {"rows": 5, "x": None}, ("k1", "k2"), 1),
        ("mix", {"rows": 5}, ("k2", "k1"), 1),
        ("mix", {"rows": 5}, ("k1",), 1),
        ("mix", {"rows": 5}, ("k1k2",), 1),
        ("mix", {"rows": 5}, ("k1", "k2"), 2),
    ],
)
def test_every_part_of_a_stage_changes_its_key(other):
    assert names.stage_key(*base) == names.stage_key("mix", {"rows": 5}, ("k1", "k2"), 1)
    assert names.stage_key(*base) != names.stage_key(*other)


@given(st.binary(min_size=16, max_size=16))
def test_k64_is_the_last_eight_bytes(data):
    assert names.k64(data.hex()) == int.from_bytes(data[-8:], "big")


def mix13(z: int) -> int:
    mask = 2**64 - 1
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), seeds)
def test_the_sampling_key_is_splitmix64_in_plain_integers(keys, seed):
    found = names.sampling_key(np.array(keys, dtype=np.uint64), seed)
    assert found.tolist() == [mix13(k ^ names.seed64(seed, "member")) for k in keys]


def test_splitmix64_gives_the_published_numbers():
    # first output of SplittableRandom's generator for seed 0 is mix13 of the golden gamma (Steele, Lea and Flood 2014)
    assert mix13(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


@given(st.integers(0, 2**64 - 1), seeds)
def test_a_row_keeps_its_key_whatever_rows_are_around_it(key, seed):
    alone = names.sampling_key(np.array([key], dtype=np.uint64), seed)
    among = names.sampling_key(np.array([1, key, 2], dtype=np.uint64), seed)
    assert alone[0] == among[1]


def test_the_sampling_key_is_uniform_and_seeds_and_purposes_are_unrelated():
    keys = np.arange(20_000, dtype=np.uint64)
    one = names.sampling_key(keys, 0).astype(np.float64) / 2**64
    two = names.sampling_key(keys, 1).astype(np.float64) / 2**64
    three = names.sampling_key(keys, 0, "specialist").astype(np.float64) / 2**64
    counts = np.histogram(one, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 50  # chi-squared with 19 degrees of freedom: p < 1e-4 above 50
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
    assert abs(np.corrcoef(one, three)[0, 1]) < 0.03


def test_names_do_not_depend_on_the_hash_seed_of_the_process():
    code = "from manifests import names; print(names.digest({'b': 1, 'a': [2]}), names.seed64(7, 'x'))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(runs) == 1
