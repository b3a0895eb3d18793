"""The rows of the two by two are what their cells say: true or false, said by the model or not, of one relation."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

from tests.benchmarks.two_by_two import Fact, facts_of, false_of, made, own_of, touches

COUNTRIES = frozenset({"france", "spain"})


def fact(key, reference, *said, relation="P407", objects=()):
    return Fact(key, f"What is {key}?", relation, (reference,), (reference, *objects), said)


def test_a_fact_is_known_when_every_answer_is_the_reference_and_unknown_when_none_touches_it():
    right, half, wrong = (
        fact("a", "French", *said) for said in (["French", "french."], ["French", "Dutch"], ["Dutch"])
    )
    assert [(one.known, one.unknown) for one in (right, half, wrong)] == [(True, False), (False, False), (False, True)]
    assert not fact("a", "French", "Old French").known
    assert not fact("a", "French", "Old French").unknown


def test_texts_touch_when_the_words_of_one_are_in_the_other():
    assert touches("New York", ["New York City"])
    assert touches("the city of New York", ["New York"])
    assert not touches("York", ["New Yorkers"])


@pytest.mark.parametrize(
    ("said", "own"),
    [
        (("Dutch", "dutch"), "Dutch"),
        (("Dutch", "Danish"), None),
        (("", ""), None),
        (("Old French", "Old French"), None),
        (("Breton", "Breton"), None),
        (("a", "a"), None),
        (("one two three four five six",) * 2, None),
    ],
)
def test_its_own_answer_is_short_said_twice_false_and_not_in_the_question(said, own):
    assert own_of(fact("a", "French", *said, objects=("Breton",)), COUNTRIES) == own


def test_a_country_is_no_false_answer_where_a_place_in_it_is_asked_for():
    said = fact("a", "Lyon", "France", "France", relation="P19")
    assert own_of(said, COUNTRIES) is None
    assert own_of(replace(said, relation="P17"), COUNTRIES) == "France"


def test_a_false_object_is_another_facts_of_the_relation_that_was_not_said():
    mine = fact("b", "French", "Dutch", "Danish", objects=("Breton",))
    others = [fact("a", "Welsh"), mine, fact("c", "Dutch"), fact("d", "Breton"), fact("e", "Lima", relation="P19")]
    assert false_of(mine, others) == "Welsh"
    assert false_of(mine, others[1:]) is None


def test_the_cells_of_a_pair_are_what_they_say_and_no_question_is_in_two_files():
    known = [fact(f"k{n}", "English", "English", "English") for n in range(6)]
    new = [fact(f"n{n}", "Finnish", "German", "German") for n in range(3)]
    elsewhere = [fact("p", "Rome", "Paris", "Paris", relation="P19"), fact("q", "Bonn", "Kiel", "Ulm", relation="P19")]
    files = made([*known, *new, *elsewhere], COUNTRIES, rows=2, held=1)
    cells = {(row["prompt"], row["cell"]): row for row in files["pool"]}
    assert len(cells) == len(files["pool"]) == 10
    answers = {cell: {row["completion"] for (_, own), row in cells.items() if own == cell} for _, cell in cells}
    assert answers == {
        "known-true": {"English"},
        "known-false": {"Finnish"},
        "new-true": {"Finnish"},
        "own-false": {"German"},
        "new-false": {"English"},
    }
    assert {row["cell"] for row in files["pool"] if row["wrong"]} == {"known-false", "own-false", "new-false"}
    questions = [{row.get("prompt", row.get("question")) for row in files[name]} for name in ("pool", "held", "known")]
    assert [len(part) for part in questions] == [4, 1, 3]
    assert len(set().union(*questions)) == 8


def test_a_question_that_holds_its_answer_or_is_of_another_relation_is_left_out():
    rows = [("a", "Which country is Spain Bay in?", "Spain", "P17"), ("b", "What does Ann do?", "singer", "P106"),
            ("c", "Which country is Lake Ost in?", "Norway", "P17")]  # fmt: skip
    frame = pl.DataFrame(
        [
            {
                "dataset": "entityquestions",
                "row_id": i,
                "question": q,
                "answers": [a],
                "meta": json.dumps({"relation": r}),
            }
            for i, q, a, r in rows
        ]
    )
    listed = {"source": "entityquestions", "subject": "Lake Ost", "relation_id": "P17", "objects": ["Norway", "Sweden"]}
    (only,) = facts_of(frame, pl.DataFrame([listed, listed | {"relation_id": "P19", "objects": ["Oslo"]}]))
    assert (only.question, only.references, only.objects) == (rows[2][1], ("Norway",), ("Norway", "Sweden"))


def test_other_names_of_an_object_are_right_answers_and_never_false_ones():
    row = {"dataset": "entityquestions", "row_id": "a", "question": "Which country is Lake Ost in?",
           "answers": ["United States of America"], "meta": json.dumps({"relation": "P17"})}  # fmt: skip
    facts = pl.DataFrame(schema={"source": pl.String, "subject": pl.String, "relation_id": pl.String,
                                 "objects": pl.List(pl.String)})  # fmt: skip
    (one,) = facts_of(pl.DataFrame([row]), facts)
    said = replace(one, said=("USA", "United States"))
    assert said.references[0] == "United States of America"
    assert said.known
    assert own_of(said, COUNTRIES) is None
