"""The words alone support and refute only what they make plain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.stances import Pair
from curate.stances.rules import Rules, ruled
from curate.stances.wording import compared, worded
from manifests.component import Context

TEXT = "The Eiffel Tower in Paris was completed in 1889 by Gustave Eiffel. It is 330 metres high."


@pytest.mark.parametrize(
    "claim",
    [
        "The Eiffel Tower was completed in 1889.",
        "the Eiffel Tower in Paris was completed by Gustave Eiffel",
        "The Eiffel Tower, in Paris, was completed in 1889 by Gustave Eiffel.",
    ],
)
def test_words_in_their_order_support(claim):
    assert ruled(claim, TEXT) == "support"


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("The Eiffel Tower was completed in 1887.", "The Eiffel Tower was completed in 1889."),
        ("The Eiffel Tower is 300 metres high.", "The Eiffel Tower is 330 metres high, without its flag."),
        ("The film Alien was directed by James Cameron.", "The film Alien was directed by Ridley Scott in 1979."),
        ("The Eiffel Tower was not completed in 1889.", "The Eiffel Tower was completed in 1889."),
    ],
)
def test_one_number_one_name_or_a_negation_refutes(claim, evidence):
    assert ruled(claim, evidence) == "refute"
    assert ruled(evidence, evidence) == "support"


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("It is 300 metres high and old.", "The hall is 330 metres high and old."),
        ("The Eiffel Tower was completed in 1889.", "The Tokyo Tower was completed in 1958."),
        ("The Eiffel Tower cost 300 francs.", "The Eiffel Tower has 1889 steps."),
        ("The company Acme hired Ann Lee.", "The company Acme hired Bob Roe."),
        ("The film Alien was directed by James Cameron.", "The film Alien was directed by J. Cameron."),
        ("The first US president was George Washington.", "The first US vice president was John Adams."),
        ("The Tower Bridge was built in 1886.", "The Tower Bridge was built in 1894, after work began in 1886."),
        ("The United Kingdom joined NATO in 1949.", "The United Kingdom left Europe in 2020."),
        ("Short claim.", "Short claim."),
        ("The average age is 18 years.", "The average age is 18 years."),
        ("", TEXT),
        ("The Eiffel Tower was completed in 1889.", ""),
    ],
)
def test_anything_else_is_neither(claim, evidence):
    assert ruled(claim, evidence) == "neither"


def test_a_number_that_stands_elsewhere_in_the_passage_refutes_nothing():
    evidence = "The Eiffel Tower was completed in 1889. Some say 1887."
    assert ruled("The Eiffel Tower was completed in 1887.", evidence) == "neither"


def test_evidence_that_contradicts_itself_is_neither():
    evidence = "The Eiffel Tower was completed in 1889. The Eiffel Tower was not completed in 1889."
    assert ruled("The Eiffel Tower was completed in 1889.", evidence) == "neither"


def test_thousands_are_written_in_two_ways():
    assert ruled("Mount Fuji is 3776 metres high.", "Mount Fuji is 3,776 metres high.") == "support"


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_breaks_the_comparison(claim, evidence):
    assert compared(worded(claim), worded(evidence)) in ("support", "refute", "neither")


def test_the_reader_gives_certainties(tmp_path):
    pairs = [Pair("The Eiffel Tower was completed in 1889.", TEXT), Pair("The Eiffel Tower is red.", TEXT)]
    found = Rules().read(pairs, (), Context(tmp_path)).stances
    assert [(s.verdict, s.support, s.refute) for s in found] == [("support", 1.0, 0.0), ("neither", 0.0, 0.0)]
