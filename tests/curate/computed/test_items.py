"""Lists are read from lines, commas and semicolons; what is no list has no items."""

from __future__ import annotations

import pytest

from curate.computed.items import body, items, subject


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a, b, c", ["a", "b", "c"]),
        ("[a, b, c]", ["a", "b", "c"]),
        ("a, b and c", ["a", "b", "c"]),
        ("a, b, and c.", ["a", "b", "c"]),
        ("a; b, x; c", ["a", "b, x", "c"]),
        ("1. a\n2. b\n3. c", ["a", "b", "c"]),
        ("- a\n- b", ["a", "b"]),
        ('"a", "b"', ["a", "b"]),
        ("a", []),
        ("", []),
        ("a,,b", []),
        ("a, " * 200, []),
    ],
)
def test_the_items_of_a_list(text, parts):
    assert items(text) == parts


def test_the_opening_of_a_response_is_left_out():
    assert body("Here is the list: a, b") == "a, b"
    assert body("a, b: c") == "a, b: c"
    assert body("a, b") == "a, b"


@pytest.mark.parametrize(
    ("instruction", "given", "text"),
    [
        ("Sort the list.", "c, b", "c, b"),
        ("Sort the list.", "List: c, b", "c, b"),
        ("Sort: c, b", "", "c, b"),
        ("Sort [c, b] now", "", "[c, b]"),
        ('Reverse the word "stop".', "", "stop"),
        ("Reverse it.", "", ""),
        ('Compare "a b" and "c d".', "", ""),
    ],
)
def test_what_a_prompt_is_about(instruction, given, text):
    assert subject(instruction, given) == text
