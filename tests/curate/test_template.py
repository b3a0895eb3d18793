"""Prompt templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.reason import BadRow
from curate.template import Template

TEXT = st.text("{}abprompt_ \n%s", max_size=15)


@given(TEXT, TEXT)
def test_values_are_never_looked_at_again(prompt: str, a: str) -> None:
    assert Template.parse("<{prompt}|{a}>").render(prompt, {"a": a, "b": "secret"}) == f"<{prompt}|{a}>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fix: {prompt}", "Fix: P"),
        ("{{prompt}} {prompt}", "{prompt} P"),
        ('{"a": {n}}', '{"a": 3}'),
        ("{} { } {1}", "{} { } {1}"),
        ("{Positive Examples}|{yes}|{none}|{n}|{f}", "E|true||3|2.5"),
        ("", ""),
        ("no placeholder", "no placeholder"),
        ("{", "{"),
    ],
)
def test_templates_render(text: str, expected: str) -> None:
    row = {"Positive Examples": "E", "yes": True, "none": None, "n": 3, "f": 2.5}
    assert Template.parse(text).render("P", row) == expected


def test_the_prompt_wins_over_a_column_of_that_name() -> None:
    assert Template.parse("{prompt}").render("P", {"prompt": "raw"}) == "P"


def test_absent_columns_and_lists_are_bad_rows() -> None:
    with pytest.raises(BadRow, match="missing column"):
        Template.parse("{a}").render("P", {})
    with pytest.raises(BadRow, match="wrong type"):
        Template.parse("{a}").render("P", {"a": ["x"]})


@given(st.text("{}ab ", max_size=12))
def test_literal_text_survives_when_braces_are_doubled(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert Template.parse(doubled).render("P", {}) == text
