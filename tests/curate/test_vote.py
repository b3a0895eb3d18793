"""Votes: the same question in other words and with the labels in another order, never twice the same."""

from __future__ import annotations

import re

import pytest

from curate.prompt import VERDICT, Prompt, load_prompt
from curate.vote import CHOICE, Form, can_be_unsure, can_swap, cycle, prompts
from manifests.errors import UserError

LABELS = (" correct", " wrong")
UNSURE = (*LABELS, " unsure")


def prompt(text: str) -> Prompt:
    return Prompt(text, text, text[:8])


def test_the_packaged_verdict_has_its_paraphrases_in_order():
    assert [p.name for p in prompts("verdict", "verdict", VERDICT, CHOICE)] == [
        "verdict", "verdict-2", "verdict-3", "verdict-4",
    ]  # fmt: skip


def test_the_first_vote_is_the_plain_question_and_seven_are_different():
    forms = cycle(prompts("verdict", "verdict", VERDICT, CHOICE), LABELS, 7)
    assert (forms[0].prompt, forms[0].swapped) == (load_prompt("verdict"), False)
    assert len({(form.prompt.name, form.swapped) for form in forms}) == 7
    assert [form.prompt.name for form in forms[:4]] == ["verdict", "verdict-2", "verdict-3", "verdict-4"]
    assert [form.swapped for form in forms[1:4]] == [True, False, True]


def test_fewer_votes_are_the_first_of_more():
    found = prompts("verdict", "verdict", VERDICT, CHOICE)
    assert cycle(found, LABELS, 7)[:3] == cycle(found, LABELS, 3)


def test_more_votes_than_ways_to_ask_are_refused():
    with pytest.raises(UserError, match="7 ways only") as caught:
        cycle(prompts("verdict", "verdict", VERDICT, CHOICE), LABELS, 8)
    assert "{first}" in str(caught.value)


def test_a_swap_changes_the_question_and_not_what_is_read():
    swapped, plain = Form(prompt("{menu}?"), UNSURE, swapped=True), Form(prompt("{menu}?"), UNSURE)
    assert swapped.choice == {"first": "wrong", "second": "correct", "unsure": "unsure",
                              "menu": "wrong, correct or unsure"}  # fmt: skip
    assert plain.choice["menu"] == "correct, wrong or unsure"
    assert Form(prompt("{menu}?"), LABELS).choice["menu"] == "correct or wrong"
    assert swapped.menu == plain.menu
    assert swapped.menu.labels == UNSURE


@pytest.mark.parametrize(
    ("text", "swaps", "unsure"),
    [
        ("{menu}?", True, True),
        ("{first} {second}?", True, False),
        ("{first} {second} {unsure}?", True, True),
        ("{first}?", False, False),
        ("right?", False, False),
    ],
)
def test_what_a_prompt_can_vary_is_seen_from_its_placeholders(text, swaps, unsure):
    assert can_swap(prompt(text)) == swaps
    assert can_be_unsure(prompt(text)) == unsure


def test_a_prompt_that_names_both_labels_by_placeholder_has_two_ways():
    one = (prompt("{first} or {second}?"),)
    assert [form.swapped for form in cycle(one, LABELS, 2)] == [False, True]
    with pytest.raises(UserError, match="2 ways only"):
        cycle(one, LABELS, 3)


def test_a_prompt_that_names_none_has_one_way():
    with pytest.raises(UserError, match="1 ways only"):
        cycle((prompt("right?"),), LABELS, 2)


def test_prompts_that_cannot_name_the_third_label_are_left_out():
    forms = cycle(prompts("verdict", "verdict", VERDICT, CHOICE), UNSURE, 6)
    assert {form.prompt.name for form in forms} == {"verdict-2", "verdict-3", "verdict-4"}
    with pytest.raises(UserError, match="third label"):
        cycle((load_prompt("plain"),), UNSURE, 1)


def test_a_folder_gives_the_prompts_that_it_holds_and_the_package_the_others(tmp_path):
    (tmp_path / "verdict.txt").write_text("{instruction} {response} {menu}?")
    (tmp_path / "verdict-2.txt").write_text("{instruction} {response}: {menu}!")
    (tmp_path / "notes.txt").write_text("not a prompt")
    found = prompts(str(tmp_path), "verdict", VERDICT, CHOICE)
    assert [re.sub(".*}", "", p.text) for p in found] == ["?", "!"]
    assert prompts(str(tmp_path), "repair")[0] == load_prompt("repair")


def test_a_folders_prompt_that_lacks_a_placeholder_is_refused(tmp_path):
    (tmp_path / "claim.txt").write_text("{instruction} {response} {menu}?")
    with pytest.raises(UserError, match=r"\{claim\}"):
        prompts(str(tmp_path), "claim", (*VERDICT, "claim"), CHOICE)
