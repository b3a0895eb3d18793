"""Sentences and questions put relations; names of relations have one spelling."""

from __future__ import annotations

import pytest

from curate.relation import FUNCTIONAL, PLACES, asked, mentions, relation_key

EVERY = FUNCTIONAL | {"official language", "founded by", "developer", "top level domain", "headquarters location"}


@pytest.mark.parametrize(
    ("sentence", "relation", "subject", "said"),
    [
        ("The capital of France is Paris.", "capital", "France", "Paris."),
        ("The capital city of the Dominican Republic is Santo Domingo.", "capital", "Dominican Republic", "Santo"),
        ("Paris is the capital of France.", "capital", "France", "Paris"),
        ("France's capital is Paris.", "capital", "France", "Paris"),
        ("He lives in Paris, the capital of France.", "capital", "France", "He lives in Paris"),
        ("Ada Lovelace was born in London.", "place of birth", "Ada Lovelace", "London"),
        ("Ada Lovelace was born on December 10, 1815, in London.", "place of birth", "Ada Lovelace", "London"),
        ("Ada Lovelace died in London in 1852.", "place of death", "Ada Lovelace", "London"),
        ("George Orwell wrote Animal Farm.", "author", "Animal Farm", "George Orwell"),
        ("Animal Farm was written by George Orwell.", "author", "Animal Farm", "George Orwell"),
        ("Kenya is located in Africa.", "continent", "Kenya", "Africa"),
        ("Lyon is a large city in France.", "country", "Lyon", "France"),
        ("The currency of Japan is the yen.", "currency", "Japan", "yen"),
        ("Sodium is a chemical element with the symbol Na and atomic number 11.", "chemical symbol", "Sodium", "Na"),
        ("Sodium is a chemical element with the symbol Na and atomic number 11.", "atomic number", "Sodium", "11"),
        ("The top-level domain of Aruba is .aw", "top level domain", "Aruba", ".aw"),
    ],
)
def test_common_ways_to_put_a_relation_are_read(sentence, relation, subject, said):
    found = [m for m in mentions(sentence, EVERY) if m.relation == relation]
    assert any(subject in m.subject and said in m.object for m in found)


@pytest.mark.parametrize(
    "sentence",
    [
        "Paris is not the capital of Italy.",
        "Paris was a capital idea.",
        "The capital of it all was spent.",
        "She was born.",
    ],
)
def test_a_sentence_that_puts_none_has_none(sentence):
    assert list(mentions(sentence, EVERY)) == []


@pytest.mark.parametrize(
    ("question", "relation", "subject"),
    [
        ("What is the capital of France?", "capital", "France"),
        ("Name the capital of the Netherlands.", "capital", "Netherlands"),
        ("Where was Ada Lovelace born?", "place of birth", "Ada Lovelace"),
        ("Who wrote the novel Animal Farm?", "author", "Animal Farm"),
        ("Which continent is Kenya located in?", "continent", "Kenya"),
        ("What is the atomic number of iron?", "atomic number", "iron"),
        ("what is the official language of brazil", "official language", "brazil"),
    ],
)
def test_questions_ask_for_relations(question, relation, subject):
    (mention,) = asked(question, "X", EVERY)
    assert (mention.relation, mention.subject, mention.object) == (relation, subject, "X")


def test_questions_about_nothing_known_ask_for_none():
    assert list(asked("What is the capital of France?", "X", frozenset())) == []
    assert list(asked("What is the point of it all?", "X", EVERY)) == []
    assert list(asked("Why is the capital of France so large?", "X", EVERY)) == []


def test_relations_have_one_spelling():
    assert relation_key("P36") == relation_key("capital") == relation_key(" Capital ") == "capital"
    assert relation_key("birthPlace") == relation_key("birth_place") == "place of birth"
    assert relation_key("top-level domain") == relation_key("topLevel domain") == "top level domain"


def test_places_are_functional_too():
    assert PLACES <= FUNCTIONAL
