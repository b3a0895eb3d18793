"""What a reply decides: read from its end alone, and never guessed."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.answer_text import CLAIM_LABELS, EMPTY, TRUNCATED, read_answer, read_claim

LABELS = (" correct", " wrong", " unsure")
WHYS = ("empty", "truncated", "off the menu", "malformed")
FINISH = st.sampled_from(["stop", "length", "None"])
VERDICT = st.sampled_from(
    [
        "wrong",
        "Verdict: wrong",
        "**Verdict:** Correct.",
        '{"reason": "x", "verdict": "unsure"}',
        "Verdict: maybe",
        "```",
    ]
)
TEXT = st.one_of(st.text(), st.tuples(st.text(), VERDICT).map("\n".join), VERDICT)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("wrong", 1),
        (" Correct.\n", 0),
        ("UNSURE", 2),
        ("Verdict: wrong", 1),
        ("verdict=wrong", 1),
        ("**Verdict:** `wrong`", 1),
        ("**Verdict: wrong**", 1),
        ("- Final answer: “Wrong!”", 1),
        ("Verdict: ｗｒｏｎｇ", 1),
        ("Verdict：wrong", 1),
        ("wrong, because Rome is the capital", 1),
        ("Verdict: wrong (it is Rome)", 1),
        ("Let me see.\nVerdict: correct\nNo, I was mistaken.\nVerdict: wrong\n\n", 1),
        ("<think>\nVerdict: correct\n</think>\n\nwrong", 1),
        ('{"verdict": "wrong"}', 1),
        ('{"reason": "The row says Verdict: correct", "verdict": " Wrong "}', 1),
        ('{"verdict": "correct", "final": "wrong"}', 1),
        ('Sure:\n```json\n{\n  "reason": "it says \\"verdict\\": \\"correct\\"",\n  "verdict": "wrong"\n}\n```', 1),
        ('{"claim": {"verdict": "correct"}, "verdict": "wrong"}', 1),
    ],
)
def test_the_last_line_or_field_decides_whatever_its_dress(text, label):
    assert read_answer(text, "stop", LABELS) == (label, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", EMPTY),
        (" \n\t", EMPTY),
        ("```\n```", "off the menu"),
        ("maybe", "off the menu: 'maybe'"),
        ("Verdict: 7", "off the menu: '7'"),
        ("not correct", "off the menu"),
        ("incorrect", "off the menu"),
        ("correct me if it is not", "off the menu"),
        ("Verdict: wrong\nI hope this helps!", "off the menu"),
        ('The row says "Verdict: correct"', "off the menu"),
        ("The row ends with\u2028Verdict: correct", "off the menu"),
        ("correct or wrong", "malformed: more than one label"),
        ("Verdict: wrong, not correct", "malformed: more than one label"),
        ('{"verdict": "correct or wrong"}', "malformed: more than one label"),
        ('{"verdict": "wrong", "verdict": "correct"}', "malformed: two fields named 'verdict'"),
        ('{"verdict": 1}', "malformed: the last field 'verdict' holds no text"),
        ('{"verdict": null}', "malformed: the last field"),
        ('{"verdict": ["wrong"]}', "malformed: the last field"),
        ("{}", "malformed: an object without a field"),
        ('{"verdict": "wrong"', "off the menu"),
        ('[{"verdict": "wrong"}]', "off the menu"),
        ("{'verdict': 'wrong'}", "off the menu"),
        ('{"score": NaN, "verdict": "wrong"}', "off the menu"),
        ('{"verdict": "correct"}\nbut on reflection the date is off', "off the menu"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "off the menu"),
    ],
)
def test_what_decides_nothing_says_why(text, why):
    label, said = read_answer(text, "stop", LABELS)
    assert label is None
    assert said is not None
    assert said.startswith(why)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("", None),
        ("wro", None),
        ("wrong", None),  # may be the beginning of `wrong about the date, but correct otherwise`
        ("wrong\n", 1),
        ("Verdict: wrong", 1),
        ("Verdict: wrong, not", 1),
        ("Verdict: wro", None),
        ('{"reason": "x", "verdict": "wro', None),
        ('{"reason": "x", "verdict": "wrong"}', 1),
        ("Verdict: correct\nand now for the", None),
        ("I think that the", None),
    ],
)
def test_a_reply_that_was_cut_off_counts_only_with_a_complete_verdict(text, label):
    assert read_answer(text, "length", LABELS) == ((label, None) if label is not None else (None, TRUNCATED))


def test_a_cut_label_that_begins_a_longer_one_is_not_complete():
    labels = ("supported", "supported in part")
    assert read_answer("Verdict: supported", "length", labels) == (None, TRUNCATED)
    assert read_answer("Verdict: supported", "stop", labels) == (0, None)
    assert read_answer("Verdict: supported in part.", "length", labels) == (1, None)


def test_a_label_within_a_longer_label_is_not_a_second_one():
    labels = ("supported", "not supported")
    assert read_answer("Verdict: not supported, as the page says", "stop", labels) == (1, None)
    assert read_answer("Verdict: not supported, or supported", "stop", labels)[0] is None


def test_json_truth_values_are_words():
    assert read_answer('{"ok": false}', "stop", CLAIM_LABELS) == (1, None)
    assert read_answer('{"ok": true}', "stop", CLAIM_LABELS) == (0, None)


@given(TEXT, FINISH)
@example("{" * 5000 + "}", "stop")
@example("Verdict" + " " * 5000 + "wrong", "stop")
@example("\ud800", "stop")
def test_any_text_gives_either_a_label_or_a_reason(text, finish):
    label, why = read_answer(text, finish, LABELS)
    assert (label is None) != (why is None)
    assert label is None or 0 <= label < len(LABELS)
    assert why is None or why.startswith(WHYS)


@given(st.text(), TEXT, FINISH)
@example("Verdict: correct", "Verdict: wrong", "stop")
@example('{"verdict": "correct"}', '{"verdict": "wrong"}', "stop")
@example('{"verdict": "correct",', '"x": "wrong"}', "stop")
@example("{", '{"verdict": "wrong"}', "stop")
@example("```json", '{\n"verdict": "wrong"\n}\n```', "stop")
def test_prose_before_the_last_line_never_changes_the_verdict(prose, text, finish):
    alone = read_answer(text, finish, LABELS)
    if text.rstrip().removesuffix("```").strip():
        with_prose = read_answer(prose + "\n" + text, finish, LABELS)
        assert with_prose == alone or _one_object(prose, text)


def _one_object(prose: str, text: str) -> bool:
    """Return whether prose and text are one JSON object that neither is alone: then there is no prose before it."""
    body = (prose + "\n" + text).rstrip().removesuffix("```").rstrip()
    lines = body.split("\n")
    for start in range(prose.count("\n") + 1):
        try:
            if isinstance(json.loads("\n".join(lines[start:])), dict):
                return True
        except (ValueError, RecursionError):
            continue
    return False


@pytest.mark.parametrize(
    ("text", "label", "correction"),
    [
        ("true", 0, None),
        ("unknown", 2, None),
        ("false", 1, None),
        ("false, [corrected fact]: It is Rome.", 1, "It is Rome."),
        ("False. [Corrected Fact] It is Rome.\nVerdict: true", 1, "It is Rome.\nVerdict: true"),
        ("false, [corrected fact]: true, it is", 1, "true, it is"),
        ("false, [corrected fact]:", 1, None),
        ("It was in 1969.\nfalse, [corrected fact]: in 1970", 1, "in 1970"),
    ],
)
def test_a_claims_verdict_comes_with_its_correction(text, label, correction):
    assert read_claim(text) == (label, None, correction)


def test_a_correction_that_was_cut_off_is_left_out_and_its_verdict_counts():
    assert read_claim("false, [corrected fact]: It is Ro", "length") == (1, None, None)


@pytest.mark.parametrize(
    "text", ["true, [corrected fact]: x", "unknown, [corrected fact]: x", "[corrected fact]: x", "no"]
)
def test_a_correction_without_a_false_claim_decides_nothing(text):
    label, why, correction = read_claim(text)
    assert (label, correction) == (None, None)
    assert why


@pytest.mark.parametrize(("text", "label"), [("No", 1), ("\n\nNo", 1), ("Answer: Yes", 0), ("Answer: No", 1)])
def test_yes_and_no_are_read_as_the_recorded_judges_wrote_them(text, label):
    assert read_answer(text, "stop", ("yes", "no")) == (label, None)
