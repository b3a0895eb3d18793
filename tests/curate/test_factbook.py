"""Facts bear a claim out or refute it only where subject, relation and object are plain."""

from __future__ import annotations

import pytest

from curate.claim import Claim
from curate.evidence import Fact
from curate.factbook import Factbook, name_key

FACTS = [
    ("France", "capital", "Paris"),
    ("Italy", "capital", "Rome"),
    ("Bolivia", "capital", "La Paz"),
    ("Bolivia", "P36", "Sucre"),
    ("Lyon", "country", "France"),
    ("Milan", "country", "Italy"),
    ("Scotland", "country", "United Kingdom"),
    ("Edinburgh", "country", "Scotland"),
    ("Ada Lovelace", "place of birth", "London"),
    ("David Hume", "place of birth", "Edinburgh"),
    ("Umberto Eco", "place of birth", "Milan"),
    ("Boris Spassky", "place of birth", "United Kingdom"),
    ("London", "country", "United Kingdom"),
    ("Japan", "currency", "Japanese yen"),
    ("Canada", "currency", "Canadian dollar"),
    ("Fiji", "currency", "Fijian dollar"),
    ("The Old Man and the Sea", "author", "Ernest Hemingway"),
    ("Common Sense", "author", "Tony Benn"),
    ("Tom Jones", "author", "Thomas Paine"),
    ("Brazil", "official language", "Portuguese"),
    ("Peru", "official language", "Spanish"),
    ("New York", "country", "United States of America"),
    ("Kenya", "continent", "Africa"),
    ("Chile", "continent", "South America"),
    ("Panama", "continent", "Americas"),
]
BOOK = Factbook([Fact(s, r, (o,), f"{s}/{r}") for s, r, o in FACTS])


def verdicts(text: str, book: Factbook = BOOK) -> list[str]:
    return [found.verdict for found in book.judged(Claim(text, text))]


@pytest.mark.parametrize(
    "text",
    [
        "The capital of France is Paris.",
        "Paris is the capital of France.",
        "The capital of Bolivia is Sucre.",
        "The capital of Bolivia is La Paz, high in the Andes.",
        "Ada Lovelace was born in London, England, in 1815.",
        "the writer says that Umberto Eco was born in Milan.",
        'Ernest Hemingway wrote "The Old Man and the Sea".',
        "The official language of Brazil is Portuguese.",
    ],
)
def test_a_known_object_bears_the_claim_out(text):
    assert verdicts(text) == ["support"]


@pytest.mark.parametrize(
    "text",
    [
        "The capital of France is Rome.",
        "Rome is the capital of France.",
        "The capital of Bolivia is Paris.",
        "Ada Lovelace was born in Milan.",
        "Lyon is a city in Italy.",
        "The currency of Japan is the Canadian dollar.",
        "The Old Man and the Sea was written by Thomas Paine.",
        "Kenya is located in South America.",
    ],
)
def test_another_object_of_a_functional_relation_refutes(text):
    assert verdicts(text) == ["refute"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("The capital of France is Springfield.", "no capital that the source knows"),
        ("The capital of Spain is Rome.", "an unknown subject"),
        ("Ada Lovelace was born in United Kingdom.", "the country of the town"),
        ("Boris Spassky was born in London.", "a town in the country"),
        ("David Hume was born in United Kingdom.", "the country of the country of the town"),
        ("Edinburgh is a city in United Kingdom.", "a part of the kingdom"),
        ("The currency of Canada is the Fijian dollar.", "dollars both"),
        ("Common Sense was written by Thomas Paine.", "a short title is another work's too"),
        ("The official language of Brazil is Spanish.", "a country may have several languages"),
        ("Panama is located in South America.", "names of continents overlap"),
        ("The capital of France is not Rome.", "no such claim"),
        ("New Paris is the capital of France.", "another name"),
    ],
)
def test_what_is_not_plain_says_nothing(text, why):
    assert verdicts(text) == [], why


def test_part_of_a_longer_name_is_not_the_name():
    assert verdicts("The capital of France is Paris Hilton.") == []
    assert verdicts("Upper Lyon is a city in Italy.") == []
    assert verdicts("Kamensky District, France's capital is Rome.") == []
    assert verdicts("In 1815, Ada Lovelace was born in Milan.") == ["refute"]


def test_short_answers_are_read_with_their_question():
    claim = Claim("Rome", "What is the capital of France? Rome", "What is the capital of France?")
    (found,) = BOOK.judged(claim)
    assert (found.verdict, found.relation, found.subject, found.said, found.known) == (
        "refute", "capital", "france", "rome", ("Paris",),
    )  # fmt: skip
    assert found.ids == ("France/capital",)


def test_a_user_may_call_a_relation_functional():
    facts = [Fact(s, r, (o,), s) for s, r, o in FACTS]
    assert verdicts("The official language of Brazil is Spanish.", Factbook(facts, ["P37"])) == ["refute"]


def test_each_relation_of_a_subject_is_judged_once():
    assert verdicts("The capital of France is Paris. Paris is the capital of France.") == ["support"]


def test_names_have_one_spelling():
    assert name_key(" The  Beatles (band) ") == name_key("“Beatles”") == "beatles"
    assert name_key("Kiev’s") == "kiev's"


def test_no_facts_say_nothing():
    assert verdicts("The capital of France is Rome.", Factbook([])) == []
