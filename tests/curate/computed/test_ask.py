"""A prompt is read in one plain spelling: what it asks, and what it gives."""

from __future__ import annotations

import pytest

from curate.computed.ask import asked, bare, plain


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("what is 2 + 2?", "2 + 2"),
        ("please calculate the value of the expression: 2 + 2", "2 + 2"),
        ("find the result of the following equation: 2 + 2 =", "2 + 2"),
        ("evaluate the below math equation. 2 + 2", "2 + 2"),
        ("solve the given math problem: 2 + 2", "2 + 2"),
        ("how much is 2 + 2?", "2 + 2"),
        ("calculate 2 + 2. output the number directly.", "2 + 2"),
        ("calculate 2 + 2 and show your work.", "2 + 2"),
        ("what is 5!?", "5!"),
        ("given a list of numbers, find the sum: 1, 2", "the sum: 1, 2"),
        ("tell me the capital of france", "the capital of france"),
    ],
)
def test_words_that_only_ask_are_dropped(text, left):
    assert bare(text).removeprefix("the ") == left.removeprefix("the ")


@pytest.mark.parametrize(
    "text",
    ["write a poem about 2 + 2", "explain 2 + 2", "given the number 25, return 3", "why is 2 + 2 four"],
)
def test_words_that_ask_for_something_else_stay(text):
    assert len(bare(text)) >= len(text) - 1


def test_the_input_is_what_follows_the_first_blank_line():
    ask = asked("Sort the list.\n\n3, 1, 2")
    assert (ask.instruction, ask.input, ask.text) == ("Sort the list.", "3, 1, 2", "sort the list: 3, 1, 2")


@pytest.mark.parametrize("given", ["3, 1, 2", "<no input>", "No input", "N/A", "none"])
def test_an_input_that_repeats_the_instruction_or_says_nothing_is_none(given):
    ask = asked(f"Sort the list 3, 1, 2.\n\n{given}")
    assert ask.input == ""
    assert ask.text == "sort the list 3, 1, 2."


def test_signs_and_spaces_are_made_plain():
    assert plain("  “A” − B’s\n\t× C ") == '"a" - b\'s * c'
