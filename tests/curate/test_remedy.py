"""What is asked of wrong rows: the class of their error and a corrected answer, and of no other rows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from curate.judge import Judge
from curate.judges import FAILED, OK, Reply, Text, failed
from manifests.component import Context
from manifests.errors import UserError
from tests.curate.judged import by_response, frame
from tests.curate.scripted import Scripted

SAMPLES = frame([("q", "good"), ("q", "bad"), ("q", "mute"), ("q", "")])
CLASSES = ("fact", "logic", "invented-content")


def ask(prompt, menu):
    if prompt.endswith("Letter:"):
        return (0.1, 0.2, 0.6)
    return {"good": (0.9, 0.05), "bad": (0.1, 0.8), "mute": None}[re.search(r"Response: (\w+)", prompt)[1]]


def judged(tmp_path: Path, engine: Scripted, **fields):
    found = Judge(judge=engine, **fields).score(SAMPLES, Context(root=tmp_path))
    verdicts = SAMPLES.select("sample_id", "response").join(found.verdicts, on="sample_id")
    return by_response(SAMPLES, found.scores), {row["response"]: row for row in verdicts.iter_rows(named=True)}


def test_only_a_wrong_row_is_asked_for_its_defect(tmp_path):
    engine = Scripted(ask)
    scores, verdicts = judged(tmp_path, engine, defects=CLASSES)
    assert {text: row["defect"] for text, row in verdicts.items()} == {
        "good": None, "bad": "invented-content", "mute": None, "": None,
    }  # fmt: skip
    asked = [prompt for prompt in engine.log if prompt.endswith("Letter:")]
    assert len(asked) == 1
    assert "\nA: fact\nB: logic\nC: invented-content\n" in asked[0]
    assert engine.menus[1].labels == (" A", " B", " C")
    assert scores["bad"]["why"] is None
    assert len(json.loads(verdicts["bad"]["evidence"])["calls"]) == 2


def test_letters_are_written_like_the_labels(tmp_path):
    engine = Scripted(ask)
    judged(tmp_path, engine, defects=CLASSES, labels=("correct", "wrong"))
    assert engine.menus[1].labels == ("A", "B", "C")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((0.1, 0.1, 0.1), "no defect class: off the menu"),
        ((0.9, 0.05), "no defect class: off the menu"),
        (failed("", "too long"), "no defect class: too long"),
        (None, "no defect class: the judge gave no answer"),
    ],
)
def test_a_defect_that_is_not_named_is_null_with_a_remark_and_the_verdict_stands(tmp_path, said, why):
    engine = Scripted(lambda p, m: said if p.endswith("Letter:") else ask(p, m))
    scores, verdicts = judged(tmp_path, engine, defects=CLASSES)
    assert verdicts["bad"]["defect"] is None
    assert (scores["bad"]["status"], scores["bad"]["value"]) == (OK, pytest.approx(0.8 / 0.9))
    assert scores["bad"]["why"] == why


def test_a_defect_may_be_read_from_text(tmp_path):
    engine = Scripted(write_=lambda p, how: "b" if p.endswith("Letter:") else "wrong")
    _, verdicts = judged(tmp_path, engine, defects=CLASSES, read="text")
    assert {text: row["defect"] for text, row in verdicts.items() if text} == dict.fromkeys(
        ("good", "bad", "mute"), "logic"
    )


def test_a_wrong_row_gets_a_corrected_answer_beside_it(tmp_path):
    engine = Scripted(ask, lambda p, how: " The right answer. \n")
    before = SAMPLES.clone()
    scores, verdicts = judged(tmp_path, engine, repair=40)
    assert {text: row["repair"] for text, row in verdicts.items()} == {
        "good": None, "bad": "The right answer.", "mute": None, "": None,
    }  # fmt: skip
    assert [prompt.endswith("New response:") for prompt in engine.log] == [False, False, False, True]
    assert before.equals(SAMPLES)
    assert scores["mute"]["status"] == FAILED


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Text("The right ans", "length"), "no repair: truncated"),
        ("  \n", "no repair: empty"),
        (Reply(key="", status=OK, texts=()), "no repair: malformed"),
        (failed("", "too long"), "no repair: too long"),
        (None, "no repair: the judge gave no answer"),
    ],
)
def test_a_repair_that_did_not_work_is_null_with_a_remark_and_the_verdict_stands(tmp_path, said, why):
    scores, verdicts = judged(tmp_path, Scripted(ask, lambda p, how: said), repair=40)
    assert verdicts["bad"]["repair"] is None
    assert scores["bad"]["status"] == OK
    assert scores["bad"]["why"].startswith(why)


def test_both_are_asked_of_a_row_found_wrong_by_a_claim(tmp_path):
    def question(prompt, menu):
        return (0.1, 0.6, 0.2) if prompt.endswith("Letter:") else (0.1, 0.9)

    def text(prompt, how):
        return "- It is so." if prompt.endswith("Claims:") else "Repaired."

    _, verdicts = judged(tmp_path, Scripted(question, text), mode="claims", defects=CLASSES, repair=9)
    assert (verdicts["bad"]["defect"], verdicts["bad"]["repair"]) == ("logic", "Repaired.")


@pytest.mark.parametrize("classes", [("fact",), ("fact", "fact"), ("fact", " "), tuple(f"c{i}" for i in range(27))])
def test_a_menu_of_defects_that_cannot_work_is_refused(classes):
    with pytest.raises(UserError, match="classes of defects"):
        Judge(judge=Scripted(), defects=classes)
