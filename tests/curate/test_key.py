"""What of a sample is compared, by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.exact import Exact
from curate.fuzzy import Fuzzy
from curate.key import grams, texts, turns
from curate.text import grams_of, keyed
from manifests.component import Context
from tests.curate.pool import STORY, rows, talks, together

HERE = Context(root=Path())
TALK = [
    ("system", "Be brief."),
    ("user", "Who is there"),
    ("assistant", "Me"),
    ("user", "And who"),
    ("assistant", "You"),
]


@pytest.mark.parametrize(
    ("key", "system", "wanted"),
    [
        ("prompt", False, "Who is there\n\nMe\n\nAnd who"),
        ("prompt", True, "Be brief.\nWho is there\n\nMe\n\nAnd who"),
        ("response", False, "You"),
        ("both", False, "Who is there\n\nMe\n\nAnd who\nYou"),
        ("both", True, "Be brief.\nWho is there\n\nMe\n\nAnd who\nYou"),
        ("turns", False, "Who is there\nMe\nAnd who\nYou"),
        ("turns", True, "Be brief.\nWho is there\nMe\nAnd who\nYou"),
    ],
)
def test_a_key_compares_what_it_says(key, system, wanted):
    assert texts(talks([TALK]), key, system).to_list() == [wanted]


@pytest.mark.parametrize("key", ["prompt", "response", "both"])
def test_without_system_turns_the_text_is_that_of_decontamination(key):
    frame = together(talks([TALK]), rows(("p", "r"), ("q", "")))
    assert texts(frame, key, system=False).to_list() == keyed(frame, key).to_list()


def test_turns_keep_their_sample_and_order():
    found = turns(talks([TALK, TALK[1:3]]), system=True)
    assert sorted(found.group_by("row").len()["len"]) == [2, 5]
    assert found.filter(row=found["row"][0])["content"][0] in {"Be brief.", "Who is there"}


def test_no_gram_spans_two_turns():
    frame = talks([[("user", "one two three"), ("assistant", "four five")]])
    assert len(grams(frame, "both", False, 3).gram) == 3
    assert len(grams(frame, "turns", False, 3).gram) == 2  # the second turn has the one gram of its two words
    spoken = talks([[("user", "a b c d"), ("assistant", "b c d e"), ("user", "x"), ("assistant", "a b c d")]])
    found, alone = grams(spoken, "turns", False, 3), grams_of(turns(spoken, False)["content"], 3)
    assert len(set(found.gram.tolist())) == len(set(alone.gram.tolist())) == 4
    assert set(found.row.tolist()) == {0}


def test_turns_find_the_same_words_said_in_another_order():
    one = [
        ("user", STORY),
        ("assistant", "Go on then, my friend"),
        ("user", "Of what colour is the fox"),
        ("assistant", "Brown"),
    ]
    other = [one[2], one[3], one[0], one[1]]
    frame = talks([one, other])
    assert len(Fuzzy(key="turns", threshold=1.0, prompts_agree=0.0, answers_agree=0.0).decide(frame, {}, HERE)) == 1
    assert len(Fuzzy(key="both", threshold=1.0, prompts_agree=0.0, answers_agree=0.0).decide(frame, {}, HERE)) == 0
    assert len(Exact(key="turns").decide(frame, {}, HERE)) == 0


def test_equal_turns_are_equal_and_joined_ones_are_not():
    split = [("user", "a b"), ("assistant", "c"), ("user", "d"), ("assistant", "e")]
    merged = [("user", "a b\n\nc\n\nd"), ("assistant", "e")]
    spaced = [("user", "a  b"), *split[1:]]
    assert len(Exact(key="both").decide(talks([split, merged]), {}, HERE)) == 1
    assert len(Exact(key="turns").decide(talks([split, merged]), {}, HERE)) == 0
    assert len(Exact(key="turns").decide(talks([split, spaced]), {}, HERE)) == 1
    assert len(Exact(key="turns", whitespace=False).decide(talks([split, spaced]), {}, HERE)) == 0


def test_one_list_of_turns_never_reads_as_another():
    sly = [[("user", "a\nassistant:1:b"), ("assistant", "c")], [("user", "a"), ("assistant", "b"), ("assistant", "c")]]
    assert len(Exact(key="turns", whitespace=False).decide(talks(sly), {}, HERE)) == 0


@pytest.mark.parametrize("step", [Exact, Fuzzy])
@pytest.mark.parametrize("key", ["both", "prompt", "response", "turns"])
def test_system_turns_count_only_when_asked(step, key):
    told = [
        [("system", text), ("user", "Tell me a long story now"), ("assistant", STORY)] for text in (STORY[::-1], "")
    ]
    frame = talks([told[0], told[1][1:]])
    assert len(step(key=key).decide(frame, {}, HERE)) == 1
    assert len(step(key=key, system=True).decide(frame, {}, HERE)) == 0


@pytest.mark.parametrize("step", [Exact, Fuzzy])
def test_numbers_are_never_normalised_away(step):
    frame = rows((f"{STORY} at 7", "It was 7"), (f"{STORY} at 8", "It was 8"))
    assert len(step(key="both").decide(frame, {}, HERE)) == 0


@pytest.mark.parametrize("step", [Exact(), Fuzzy(threshold=0.1), Exact(key="turns"), Fuzzy(key="turns", threshold=0.1)])
def test_another_answer_to_one_prompt_is_not_a_duplicate(step):
    frame = rows((STORY, "Yes."), (STORY, "No."), (STORY, "no"), (STORY.upper() + " ", "Perhaps not"))
    gone = set(step.decide(frame, {}, HERE)["sample_id"])
    stays = frame.filter(~frame["sample_id"].is_in(gone))["response"]
    assert {text.lower().strip(".") for text in stays} == {"yes", "no", "perhaps not"}


def test_only_the_prompt_s_key_drops_other_answers():
    frame = rows((STORY, "Yes."), (STORY, "No."))
    assert len(Fuzzy(key="prompt").decide(frame, {}, HERE)) == len(Exact(key="prompt").decide(frame, {}, HERE)) == 1
    assert len(Fuzzy(threshold=0.8, prompts_agree=0.0, answers_agree=0.0).decide(frame, {}, HERE)) == 1
