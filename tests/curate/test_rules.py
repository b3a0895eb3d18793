"""Each rule on what it must find and on what only looks like it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import privacy
from curate.defects import CLASSES
from curate.rules import RULES, Rules
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.step import Step
from manifests import schema
from manifests.component import Context, component_key
from manifests.errors import UserError

HERE = Context(root=Path())
LONG = "word " * 60

HITS = [
    ("empty-response", "Say hello.", " \n"),
    ("no-output", "Sort the list.", "N/A"),
    ("no-output", "Sort the list.", "n/a."),
    ("no-output", "Paint the fence.", "<nooutput>"),
    ("no-output", "Paint the fence.", "<No Output> This needs a brush."),
    ("no-output", "Give a title.", "<noinput>\nThe Long Day"),
    ("no-output", "Give a title.", "None"),
    (
        "merged-instructions",
        "Why is rain wet?",
        "It is water.\n##\n12. Instruction: List three rivers.\n12. Input:\nnone",
    ),
    ("merged-instructions", "Why is rain wet?", "It is water.\n### Instruction:\nList three rivers."),
    ("merged-instructions", "Why is rain wet?", "It is water.\nInstruction: List three rivers."),
    ("url-only", "Summarise this article.\n\nhttps://news.example.org/2020/a-b", "The article says that taxes rise."),
    ("url-only", "Review the website.\n\nWebsite: www.example.org", "The pages load fast and look modern."),
    ("url-only", "What is shown?\n\n![a](https://i.example.org/1.jpg)", "A man with a dog."),
    ("url-only", "Name the bird.\n\n<img src='https://i.example.org/1.png' alt='b'>", "A heron."),
    ("missing-attachment", "Describe the scene.\n\n[Image]", "A meadow at dawn."),
    ("missing-attachment", "Describe the scene.\n\n<insert photo here>", "A meadow at dawn."),
    ("missing-attachment", "What is the poem about?\n\n[Insert poem]", "Loss."),
    ("missing-attachment", "Count the people.\n\nAttached photo", "There are eight."),
    ("missing-attachment", "Write a caption for the following photo.", "Monday again."),
    ("missing-attachment", "Read it and sum it up.\n\n(link to the article)", "It is about bees."),
    ("media-request", "Design a logo for a bakery.", "The logo shows a loaf in a circle."),
    ("media-request", "Please draw a picture of a horse.", "<a horse>"),
    ("media-request", "Create a 3D model of a house", "A 3D model of a house."),
    ("media-request", "Draw a cat.", "A cat sits there."),
    ("no-input", "Name a colour.\n\nNo input", "Red."),
    ("no-input", "Name a colour.\n\n<noinput>", "Red."),
    ("no-input", "Name a colour.\n\nno input required.", "Red."),
    ("no-input", "Name a colour.\n\n`< no input >` 7", "Red."),
    ("no-input", "Name a colour.\n\nN/A", "Red."),
    ("control-characters", "Name a colour.", "Red\x08."),
    ("control-characters", "Name a \x9d colour.", "Red."),
    ("replacement-character", "Name a caf\ufffd.", "Deux Magots."),
    ("refusal", "What is the weather?", "I'm sorry, but as an AI language model I cannot know the weather."),
    ("refusal", "Paint the fence.", "Sorry, the task requires a brush."),
    ("refusal", "Do you like tea?", "As an AI, I do not have preferences."),
    ("refusal", "Write to him.", "I cannot help with that."),
    ("truncated", "Tell me all.", LONG + "and then the king went to the"),
    ("truncated", "Tell me all.", LONG + "first of all,"),
    ("described-media", "What do you see?\n\n[photo of a harbour at night]", "Boats and lamps."),
    ("invisible-characters", "Name a\u200b colour.", "Red."),
    ("repetition", "Go on.", "the cat sat down " * 20),
    ("repetition", "Go on.", "one\ntwo\none\ntwo\none\ntwo"),
    ("repetition", "Go on.", "\n\n".join(["A first remark.", "A second remark."] * 3)),
    ("repetition", "Go on.", " ".join(f"w{i}" for i in range(40)) + " " + " ".join(f"w{i}" for i in range(20))),
    ("merged-instructions", "Why is rain wet?", "It is water.\nInput:\n<noinput>\nIt has rivers."),
    ("refusal", "Draw a tree.", "You ask for a picture. I cannot answer this."),
    ("refusal", "Plan a network.", "This instruction is not suitable for a GPT language model."),
    ("truncated", "Tell me all.", LONG + "and he lives in a house that is"),
    ("missing-input", "Complete the following haiku poem", "The summer sun sets"),
    ("missing-input", "Find the bias in the following sentence.", "It is in the word."),
    ("missing-input", "What language is the given code snippet written in?", "Python."),
    ("missing-code", "Write a Python program to reverse a sentence.\n\nThe dog", "dog The"),
    ("missing-code", "Create a computer program that sorts letters.", "The letters come out in order."),
    ("missing-code", "Write a Java function to add two numbers.", "It adds them and gives the sum."),
    ("escape-sequences", "Tell a tale.", "Once there was a king.\\nHe was old."),
    ("escape-sequences", "Tell a tale.", "The caf\\u00e9 was shut."),
    ("escape-sequences", "Tell a tale.", "Salt &amp; pepper were friends."),
    ("markup", "Compose a haiku.", "The river runs<br>\nin thought away"),
    ("markup", "What is the area of the field?", "It is 70 m<sup>2</sup>."),
    ("markup", "Name a fruit.", "<p>Plum</p>"),
    ("page-notice", "Tell me about bees.", "Lorem ipsum dolor sit amet."),
    ("page-notice", "Tell me about bees.", "Please enable JavaScript to read on."),
    ("page-notice", "Tell me about bees.", "This site uses cookies. Bees fly."),
    ("described-media", "Name the bird.\n\n<image of an owl>", "An owl."),
    ("described-media", "Name the bird.\n\n(a photo showing a wren)", "A wren."),
    ("invisible-characters", "Name a colour.", "Red\ufeff."),
    ("invisible-characters", "Name a colour.", "Red\u2028Blue"),
    ("control-characters", "Name a colour.", "\x1b[31mRed"),
    ("replacement-character", "Name a cafe.", "Caf\ufffd."),
    ("replacement-character", "Name a cafe.", "\ufffd"),
    ("empty-response", "Say hello.", ""),
    ("empty-response", "Say hello.", "\t"),
]
MISSES = [
    ("empty-response", "Give an emoji.", "😀"),
    ("no-output", "Is it positive, negative or none?", "None"),
    ("no-output", "Name a sodium salt.", "NaCl"),
    ("no-output", "What does it print?", "No output is printed, since the loop never runs."),
    ("merged-instructions", "Give a recipe for bread.", "Instructions: 1. Mix. 2. Bake."),
    ("merged-instructions", "Write a new instruction for a model.", "Instruction: Name three rivers."),
    ("merged-instructions", "Give an example of input and output.", "Input: 2\nOutput: 4"),
    ("url-only", "Write Python code to fetch it.\n\nhttps://example.org", "requests.get('https://example.org')"),
    ("url-only", "Find the domain.\n\nhttps://docs.example.org/a", "example.org"),
    ("url-only", "Summarise it.\n\nhttps://example.org/a", "I am unable to open web pages."),
    ("url-only", "Summarise it.\n\nSee https://example.org/a: rain fell on the hills for nine days.", "It rained."),
    ("url-only", "Make a link.\n\nhttps://example.org", '<a href="https://example.org">here</a>'),
    ("missing-attachment", "Describe the painting.\n\nThe Night Watch by Rembrandt", "Militia men at noon."),
    ("missing-attachment", "What is the area of the following figure?\n\nA cube of side 2 cm", "24 square cm."),
    ("missing-attachment", "Describe the scene.\n\n[Image]", "I cannot see an image."),
    ("missing-attachment", "Write an email.\n\nDear [Name], thanks.", "Dear [Name], thank you."),
    ("media-request", "Create a character sketch of a miller.", "He is kind."),
    ("media-request", "Write an image caption.", "Dawn."),
    ("media-request", "Design a logo as SVG.", "<svg></svg>"),
    ("media-request", "Draw a conclusion from the data.", "Sales fell."),
    ("media-request", "Draw a tree in ASCII art.", "  /\\\n /__\\\n  ||"),
    ("media-request", "Generate a poster slogan.", "Drink milk."),
    ("no-input", "What does a program do when there is no input?", "It waits."),
    ("no-input", "Pick one.\n\nA, B or none", "A"),
    ("control-characters", "Name\ta colour.\r\n", "Red\n"),
    ("refusal", "How do I apologise?", "I'm sorry for what I said."),
    ("refusal", "Reword it: I am not able to come.", "I can't make it."),
    ("truncated", "Tell me all.", LONG + "and then the king went to the sea."),
    ("truncated", "Tell me.", "to the"),
    ("described-media", "Describe a photo of a harbour.", "Boats."),
    ("invisible-characters", "Name a colour\u00a0now.", "Red."),
    ("repetition", "Go on.", "the cat sat down " * 3),
    ("repetition", "Go on.", "one\ntwo\nthree\nfour\nfive\none"),
    ("repetition", "Write a song.", "la la la la\n" * 30),
    ("repetition", "Sum it.", "x = x + 1;\n" * 30),
    ("empty-response", "Is it so?", "."),
    ("empty-response", "One word.", "No"),
    ("no-output", "Describe the tag.", "The tag <nooutput> stands for a row without an answer."),
    ("no-input", "Explain <input> in HTML.", "It is a field."),
    ("control-characters", "Name\u00a0a colour.", "Red\u00ad"),
    ("control-characters", "Say it in Greek.", "\u03ba\u03cc\u03ba\u03ba\u03b9\u03bd\u03bf"),
    ("replacement-character", "Ask.", "What?"),
    ("replacement-character", "Draw it.", "\u25a1"),
    ("replacement-character", "Say it.", "\u00bf"),
    ("missing-attachment", "Name it.\n\n[image of an owl]", "An owl."),
    ("refusal", "Write an excuse.", "I'm sorry, I am unable to come to work."),
    ("truncated", "Write a letter.", LONG + "\n\nSincerely yours,"),
    ("truncated", "Compose with the notes A and G.", "A G " * 60 + "A"),
    ("missing-input", "Complete the following sentence: The sky is", "blue."),
    ("missing-input", "Is the following statement true? Fish can fly.", "No."),
    ("missing-input", "Write a function that counts the given words.", "def f(w): ..."),
    ("missing-input", "Tell me about the following words.\n\ncat, dog", "Animals."),
    ("missing-code", "Write a Python program that prints a star.", "print('*')"),
    ("missing-code", "Create a fitness program.", "Run each day."),
    ("missing-code", "Explain in words how to write a Java program.", "First think."),
    ("escape-sequences", "Print a new line in Python.", "Use \\n for that."),
    ("escape-sequences", "Give the regex.", "\\t+"),
    ("escape-sequences", "Name two spices.", "Salt & pepper"),
    ("markup", "Make it bold: hello", "<b>hello</b>"),
    ("markup", "Compare.", "a < b and b > c"),
    ("markup", "List a component.", "export class A {} <ul>"),
    ("page-notice", "What is lorem ipsum?", "Lorem ipsum dolor sit amet is filler."),
    ("page-notice", "How do bees see?", "They see in colours; click here and there."),
    ("page-notice", "Who owns it?", "In the book it says that all rights reserved by the king were lost."),
    ("described-media", "Say it.\n\n[photo]", "No."),
    ("described-media", "Take a picture of it (or a map).", "Done."),
    ("invisible-characters", "Family?", "a\u200db"),
    ("invisible-characters", "Name it.", "e\u0301"),
]


def rows(*pairs: tuple[str, str]) -> pl.DataFrame:
    made = []
    for i, (prompt, response) in enumerate(pairs):
        messages = (Message("user", prompt), Message("assistant", response))
        key = content_id(messages)
        made.append(Sample(sample_id(key, f"s{i}", 0), key, f"s{i}", "generalist", messages))
    return samples_frame(made)


def test_it_is_a_step():
    assert isinstance(Rules(), Step)


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], set[str]]:
    """Return the rules that find each prompt and response of the tables, all looked at together."""
    frame = rows(*dict.fromkeys((prompt, response) for _, prompt, response in (*HITS, *MISSES)))
    hits = frame.select("sample_id", "prompt", "response").join(Rules().hits(frame), on="sample_id")
    return {(r["prompt"], r["response"]): {k for k, v in r.items() if v is True} for r in hits.iter_rows(named=True)}


@pytest.mark.parametrize(("rule", "prompt", "response"), HITS)
def test_a_rule_finds_its_defect(found, rule, prompt, response):
    assert rule in found[prompt, response]


@pytest.mark.parametrize(("rule", "prompt", "response"), MISSES)
def test_a_rule_leaves_what_only_looks_like_it(found, rule, prompt, response):
    assert rule not in found[prompt, response]


def test_every_rule_is_tested_and_says_what_it_finds():
    elsewhere = {"too-short", "too-long", "other-language", *privacy.FORMS}
    assert {rule for rule, _, _ in HITS} | elsewhere == set(RULES)
    for table in (HITS, MISSES):
        counts = Counter(rule for rule, _, _ in table)
        assert {rule for rule in RULES if counts[rule] < 3} == elsewhere
    assert all(len(rule.defect) > 20 for rule in RULES.values())
    assert set(Rules().drop) | set(Rules().flag) == set(RULES)


def test_a_sound_row_gets_no_decision():
    assert Rules().decide(rows(("Name a colour.", "Red."), ("1 + 1?", "2")), {}, HERE).shape == (0, 6)


def test_a_drop_and_a_remark_each_name_their_rule():
    frame = rows(("Name a colour.\n\nNo input", "Red."), ("Do you like tea?", "As an AI, I cannot drink."))
    decisions = Rules().decide(frame, {}, HERE)
    assert dict(decisions.schema) == dict(schema.DECISIONS)
    assert set(decisions.select("kept", "reason").rows()) == {(False, "no-input"), (True, "refusal")}
    assert decisions["witness_id"].null_count() == decisions["similarity"].null_count() == 2


def test_the_first_reason_in_the_fixed_order_counts_and_drops_go_before_remarks():
    frame = rows(("Draw a cat.\n\n<noinput>", "<nooutput>"))
    assert Rules().decide(frame, {}, HERE)["reason"].to_list() == ["no-output"]
    swapped = Rules(drop=("no-input", "media-request"), flag=("no-output",)).decide(frame, {}, HERE)
    assert swapped.select("kept", "reason").rows() == [(False, "media-request")]


def test_length_bounds_are_inclusive():
    frame = rows(("a", "12"), ("b", "123"), ("c", "12345"), ("d", "123456"))
    decisions = Rules(min_chars=3, max_chars=5).decide(frame, {}, HERE)
    reason = dict(decisions.join(frame, on="sample_id").select("prompt", "reason").iter_rows())
    assert reason == {"a": "too-short", "d": "too-long"}


def test_rules_that_are_not_named_find_nothing():
    frame = rows(*[(p, r) for _, p, r in HITS])
    assert Rules(drop=(), flag=()).decide(frame, {}, HERE).shape == (0, 6)
    only = Rules(drop=("url-only",), flag=()).decide(frame, {}, HERE)
    assert set(only["reason"]) == {"url-only"}


@given(st.permutations(range(len(HITS))))
@settings(max_examples=5, deadline=None)
def test_decisions_do_not_depend_on_row_order(order):
    frame = rows(*[(p, r) for _, p, r in HITS])
    assert Rules().decide(frame[list(order)], {}, HERE).equals(Rules().decide(frame, {}, HERE))


def test_each_row_is_decided_by_itself():
    frame = rows(*[(p, r) for _, p, r in HITS])
    alone = pl.concat([Rules().decide(frame[i : i + 7], {}, HERE) for i in range(0, len(frame), 7)])
    assert Rules().decide(frame, {}, HERE).equals(alone.sort("sample_id"))


def test_an_unknown_rule_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean 'url-only'"):
        Rules(drop=("url_only",))
    with pytest.raises(UserError, match="in `drop` and in `flag`"):
        Rules(drop=("refusal",), flag=("refusal",))


def test_the_lists_and_limits_are_in_the_key():
    variants = [Rules(), Rules(drop=("no-input",)), Rules(flag=()), Rules(min_chars=2), Rules(max_chars=9)]
    variants += [Rules(max_line_share=0.5), Rules(max_gram_share=0.5)]
    variants += [Rules(max_paragraph_share=0.5), Rules(max_duplicate_share=0.5), Rules(languages=("en",))]
    assert len({component_key(v) for v in variants}) == len(variants)


def test_an_empty_frame_has_no_decisions():
    assert Rules().decide(rows(), {}, HERE).shape == (0, 6)


def test_each_documented_defect_of_alpaca_has_rules_or_a_reason():
    assert len(CLASSES) == 10
    ruled = {name for names in CLASSES.values() if isinstance(names, tuple) for name in names}
    assert ruled <= set(RULES)
    assert [name for name, names in CLASSES.items() if isinstance(names, str)] == ["wrong answers"]


def test_a_remark_says_what_was_found_and_which_other_rules_find_the_row():
    frame = rows(("Draw a cat.\n\n<noinput>", "<nooutput>"), ("Sum it up.\n\nhttps://news.org/a", "Taxes rise."))
    detail = dict(Rules().decide(frame, {}, HERE).select("reason", "detail").iter_rows())
    assert detail == {"no-output": "<nooutput>; also media-request, no-input", "url-only": "https://news.org/a"}


def test_what_is_personal_is_masked_in_the_detail():
    frame = rows(("Who is it?", "Write to m.okafor@northwind.coop or call 415-867-5309."))
    decided = Rules().decide(frame, {}, HERE)
    assert decided.select("kept", "reason", "detail").row(0) == (
        True,
        "email-address",
        "m.… (23 characters); also phone-number",
    )
    assert "okafor" not in str(decided.rows())


def test_a_reason_without_more_to_say_has_no_detail():
    assert Rules().decide(rows(("Name a colour.\n\nNo input", "Red.")), {}, HERE)["detail"].item() is None


def test_the_default_drops_were_right_in_nine_of_ten_rows_read():
    readings = pl.read_csv(Path(__file__).parents[1] / "data" / "readings" / "rules.csv")
    assert set(readings["rule"]) <= set(RULES)
    assert set(readings["right"]) == {0, 1}
    assert set(readings["set"]) == {"held-out", "tuning"}
    assert readings.select("rule", "row_id").is_duplicated().sum() == 0
    settled = readings.filter(pl.col("set") == "held-out").group_by("rule").agg(pl.col("right").mean())
    precision = dict(settled.iter_rows())
    assert all(precision[rule] >= 0.9 for rule in Rules().drop if rule in precision)
    harmless = {"invisible-characters"}  # right, and no reason to lose a row
    assert {rule for rule in Rules().flag if precision.get(rule, 0) >= 0.9} == harmless


def test_the_readings_hold_no_text():
    readings = pl.read_csv(Path(__file__).parents[1] / "data" / "readings" / "rules.csv")
    assert readings.columns == ["rule", "row_id", "right", "set", "note"]
    assert readings["note"].drop_nulls().str.len_chars().max() < 70


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"max_line_share": 0.5}, "one\ntwo\none\ntwo\none\nfour"),
        ({"max_paragraph_share": 0.5, "max_line_share": 1.0}, "\n\n".join(["A first remark.", "Two.", "Three."] * 2)),
        ({"max_gram_share": 0.5, "max_duplicate_share": 1.0}, "word " * 15 + " ".join(f"w{i}" for i in range(85))),
        (
            {"max_duplicate_share": 0.4},
            " ".join(f"w{i}" for i in range(40)) + " " + " ".join(f"w{i}" for i in range(20)),
        ),
    ],
)
def test_each_limit_of_repetition_can_be_raised(limit, text):
    frame = rows(("Go on.", text))
    assert Rules().hits(frame)["repetition"].item()
    assert not Rules(**limit).hits(frame)["repetition"].item()


def test_the_detail_of_repetition_names_what_is_over_its_limit():
    frame = rows(("Go on.", "one\ntwo\none\ntwo\none\ntwo"), ("Go on.", "the cat sat down " * 20))
    detail = Rules().decide(frame, {}, HERE).join(frame, on="sample_id")
    assert dict(detail.select("response", "detail").iter_rows()) == {
        "one\ntwo\none\ntwo\none\ntwo": "lines 0.67",
        "the cat sat down " * 20: "4-grams 1.0, 10-grams 0.95",
    }
