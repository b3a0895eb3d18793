"""Claims are what a response states as a fact of its own, readable alone."""

from __future__ import annotations

import pytest

from curate.claim import MOST, Claim, claims_of, names_of


def texts(prompt: str, response: str) -> list[str]:
    return [claim.text for claim in claims_of(prompt, response)]


def test_statements_about_names_and_numbers_are_claims():
    response = (
        "Marie Curie was born in Warsaw. She won two Nobel Prizes in 1903 and 1911. What a life! Isn't Paris nice?"
    )
    assert texts("Tell me about Marie Curie.", response) == [
        "Marie Curie was born in Warsaw.",
        "She won two Nobel Prizes in 1903 and 1911.",
    ]


def test_a_leading_pronoun_is_replaced_by_the_topic():
    response = "Marie Curie was born in Warsaw. She died in France in 1934. Her husband was Pierre."
    alone = [claim.alone for claim in claims_of("Who was she?", response)]
    assert alone[1] == "Marie Curie died in France in 1934."
    assert alone[2] == "Marie Curie's husband was Pierre."


def test_the_topic_may_come_from_the_prompt():
    found = claims_of("Tell me about the Eiffel Tower.", "It was completed in 1889.")
    assert found[0].alone == "Eiffel Tower was completed in 1889."


def test_a_pronoun_without_a_topic_stays():
    assert claims_of("tell me more", "It was completed in 1889.")[0].alone == "It was completed in 1889."


@pytest.mark.parametrize(
    "response",
    [
        "I was born in Warsaw in 1867.",
        "You should visit Paris in May.",
        "Paris might have 3 million people.",
        "If Rome is old, Athens is older.",
        "Is Paris in France?",
        "The three facts about Rome are:",
        "It is false that the capital of France is Vienna.",
        "water is wet and it is cold",
        "Rome",
    ],
)
def test_opinions_advice_hedges_questions_and_what_names_nothing_are_no_claims(response):
    assert claims_of("Tell me about it in detail, all of it", response + " " * 3) == [] or response == "Rome"


@pytest.mark.parametrize(
    "prompt",
    [
        "Write a short story about Rome.",
        "Rewrite the sentence: Rome was built in 753.",
        "Is this true or false? Rome was built in 753.",
        "Generate a sentence with a date.",
        "Pretend to be Napoleon.",
        "Summarize the following article.",
    ],
)
def test_what_is_invented_or_handed_over_makes_no_claims(prompt):
    assert claims_of(prompt, "Rome was built in 753 by Romulus.") == []


def test_a_short_answer_is_a_claim_together_with_its_question():
    assert claims_of("What is the capital of France?", " Paris ") == [
        Claim("Paris", "What is the capital of France? Paris", "What is the capital of France?")
    ]
    assert claims_of("Two lines.\nWhat now?", "Paris") == []
    assert claims_of("", "Paris") == []


def test_a_list_of_places_with_united_in_the_name_states_nothing():
    assert claims_of("List the parks.\nAll of them.", "Yosemite National Park, United States") == []


def test_long_responses_give_a_bounded_number_of_claims():
    assert len(claims_of("Tell me about Rome.", "Rome was built in 753. " * 200)) == MOST


def test_names_are_runs_of_capitalised_words():
    assert names_of("The Bank of England was in London, not New York.") == ["Bank of England", "London", "New York"]
    assert names_of("When was it?") == []
