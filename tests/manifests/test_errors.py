"""Every error says what, where, the value and what to do."""

from __future__ import annotations

import pytest

from manifests import errors
from manifests.errors import BlendsmithError, BusyError, Interrupted, UserError, nearest, together


def test_a_user_error_says_what_where_the_value_the_nearest_name_and_the_remedy():
    error = UserError("unknown key", where="job.yaml:3", value="sorces", options=("sources", "mix"), remedy="rename it")
    assert str(error) == "job.yaml:3: unknown key: 'sorces'\n  did you mean 'sources'?\n  rename it"
    assert error.value == "sorces"


def test_without_a_near_name_all_valid_ones_are_listed_in_order():
    assert str(UserError("unknown kind", value="zzzzzz", options=("b", "a"))) == "unknown kind: 'zzzzzz'\n  valid: a, b"


def test_an_error_without_value_lists_no_options():
    assert str(UserError("empty", options=("a",))) == "empty"


def test_none_is_a_value_like_any_other():
    assert str(UserError("not text", value=None)) == "not text: None"


def test_control_characters_of_a_value_are_escaped_and_long_values_cut():
    message = str(UserError("bad", value="\x1b]0;title\x07" + "x" * 1000))
    assert "\x1b" not in message
    assert len(message) < 250
    assert message.endswith("…")


def test_a_place_is_added_once():
    error = UserError("bad", value=1).at("job.yaml:2")
    assert str(error) == "job.yaml:2: bad: 1"
    assert error.where == "job.yaml:2"
    assert error.at("other:9") is error


def test_a_place_keeps_the_class_and_its_exit_code():
    moved = BusyError("busy", value=4).at("here")
    assert type(moved) is BusyError
    assert moved.exit_code == 3
    assert moved.value == 4


@pytest.mark.parametrize(
    ("name", "expected"), [("exat", "exact"), ("EXACT", None), ("fuzy", "fuzzy"), ("qqq", None), ("", None)]
)
def test_the_nearest_name_is_close_or_none(name, expected):
    assert nearest(name, ["exact", "fuzzy", "judge"]) == expected


def test_errors_together_are_one_error_with_a_block_each():
    parts = [UserError("a", where="f:1", remedy="do"), UserError("b", where="f:2", value=3)]
    assert str(together(parts)) == "f:1: a\n  do\nf:2: b: 3"
    assert together(parts[:1]) is parts[0]


def test_exit_codes_are_those_of_the_design():
    codes = {
        errors.EXIT_OK: 0,
        errors.EXIT_OVER_BUDGET: 1,
        BlendsmithError.exit_code: 2,
        UserError.exit_code: 2,
        errors.ContaminationError.exit_code: 2,
        BusyError.exit_code: 3,
        Interrupted.exit_code: 130,
    }
    assert all(found == wanted for found, wanted in codes.items())


def test_a_missing_package_names_the_extra_that_brings_it():
    assert "pip install 'blendsmith[judge]'" in str(errors.missing_extra("vllm", "judge"))
