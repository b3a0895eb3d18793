"""A knowledge source's rows are facts, documents or labelled pairs; no sentence of a document is lost."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.evidence import Fact, Passage, cut, knowledge_of, told
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.sources import Source
from manifests.errors import UserError


def known(*rows: tuple[str, str, dict], source: str = "kb"):
    """Return the rows (prompt, response, meta) as samples of role knowledge."""
    made = []
    for prompt, response, meta in rows:
        messages = (Message("user", prompt), Message("assistant", response))
        content = content_id(messages)
        made.append(Sample(sample_id(content, source, 0), content, source, "knowledge", messages, meta=meta))
    return samples_frame(made)


def test_a_row_with_a_relation_is_a_fact():
    rows = known(
        ("France", "Paris", {"relation": "capital"}),
        ("x", "y", {"relation": "P36", "subject": "Bolivia", "objects": ["Sucre", "La Paz"]}),
        ("Italy", "Rome", {"relation": "capital", "references": ["Rome", "Roma"]}),
    )
    found = {fact.subject: fact for fact in knowledge_of(rows).facts}
    assert found["France"].objects == ("Paris",)
    assert found["Bolivia"].relation == "P36"
    assert found["Bolivia"].objects == ("Sucre", "La Paz")
    assert found["Italy"].objects == ("Rome", "Roma")
    assert found["Italy"].id in set(rows["sample_id"])
    assert not knowledge_of(rows).passages


def test_a_source_of_triples_can_be_mapped_to_facts(tmp_path):
    line = {"subject": "France", "relation": "capital", "objects": ["Paris"]}
    (tmp_path / "facts.jsonl").write_text(json.dumps(line) + "\n")
    columns = {"prompt": "subject", "completion": "objects"}
    source = Source(name="f", role="knowledge", path="facts.jsonl", columns=columns, keep=("relation",))
    facts = knowledge_of(samples_frame(source.read_all(tmp_path).samples)).facts
    assert [(f.subject, f.relation, f.objects) for f in facts] == [("France", "capital", ("Paris",))]


def test_a_row_with_a_stance_is_a_lesson_and_no_evidence():
    rows = known(
        ("Rome is old.", "Rome is young.", {"stance": "refutes"}),
        ("x", "Rome is a city.", {"stance": "supported", "evidence": ["Rome is a city.", "It is old."]}),
    )
    found = {lesson.stance: lesson for lesson in knowledge_of(rows).lessons}
    assert found["refute"].claim == "Rome is young."
    assert found["refute"].evidence == "Rome is old."
    assert found["support"].evidence == "Rome is a city.\nIt is old."
    assert knowledge_of(rows).passages == ()


def test_lessons_may_be_kept_to_one_source():
    rows = known(("e", "c", {"stance": "neutral"}), source="other")
    assert knowledge_of(rows, "kb").lessons == ()
    assert len(knowledge_of(rows, "other").lessons) == 1


def test_a_stance_without_a_meaning_is_a_user_error():
    with pytest.raises(UserError, match="not a stance"):
        knowledge_of(known(("e", "c", {"stance": "suport"})))


def test_any_other_row_is_a_document_with_its_title():
    (passage,) = knowledge_of(known(("Rome", "It is old. It is large.", {}))).passages
    assert passage.title == "Rome"
    assert passage.whole == "Rome. It is old. It is large."
    assert Passage("i", "Rome", "Rome is old.").whole == "Rome is old."
    assert Passage("i", "", "Old.").whole == "Old."


def test_long_documents_are_cut_into_passages_that_overlap_by_a_sentence():
    text = " ".join(f"Sentence number {i} has seven words here." for i in range(40))
    parts = cut("d", "T", text, window=30, overlap=1)
    assert [part.id for part in parts] == [f"d#{i}" for i in range(len(parts))]
    assert all(len(part.text.split()) <= 37 for part in parts)
    for before, after in pairwise(parts):
        assert after.text.startswith(before.text[before.text.rindex("Sentence") :])


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 50), st.integers(0, 3))
def test_every_sentence_is_in_a_passage(sizes, window, overlap):
    text = "\n".join(f"s{i} " + "w " * size for i, size in enumerate(sizes))
    parts = cut("d", "", text, window, overlap)
    held = " ".join(part.text for part in parts).split()
    assert {f"s{i}" for i in range(len(sizes))} <= set(held)
    assert len({part.id for part in parts}) == len(parts)


def test_facts_are_told_by_subject():
    facts = [Fact("France", "capital", ("Paris",), "a"), Fact("Italy", "capital", ("Rome",), "b"),
             Fact("France", "borders", ("Spain", "Italy"), "c")]  # fmt: skip
    assert told(facts) == [
        Passage("a", "France", "Capital: Paris. Borders: Spain, Italy."),
        Passage("b", "Italy", "Capital: Rome."),
    ]
