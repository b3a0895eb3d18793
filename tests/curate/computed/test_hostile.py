"""No text, however large or odd, takes long or raises."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.computed import Computed
from curate.computed.family import FAMILIES
from manifests.component import Context
from tests.curate.computed.checking import verdict
from tests.curate.judged import frame

BOMBS = (
    "9^9^9^9^9",
    "((((((" * 500,
    "1+" * 1900 + "1",
    "9" * 3900,
    "1," * 1900,
    "1,000," * 600,
    "data set " * 400,
    "the " * 900,
    "convert the given " * 200 + "5 km",
    "the sum of the following numbers " * 100,
    "how many " * 400 + "words",
    "a" * 3900,
    "= " * 1900,
    "1 = " * 900,
    "\n" * 3900,
    "60! " * 900,
    "x" * 200 + "=" + "x" * 200,
    '"' * 3900,
    "'a" * 1900,
    "(1,2)" * 700,
    "what is the value of " * 180 + "5",
    "i " * 1900 + "roman numeral",
    "is 999999937 prime " * 200,
    "1 1/2 " * 600,
    "two hundred and " * 240,
    "january 1, 2020 " * 240,
    "$1.2.3.4" * 400,
)


@pytest.mark.parametrize("kind", FAMILIES)
def test_no_family_hangs_on_a_hostile_prompt_or_response(kind):
    started = time.process_time()
    for bomb in BOMBS:
        for prompt, response in (
            (bomb, "5"),
            (bomb, bomb[:2000]),
            (f"What is {bomb[:300]}?", "7"),
            ("What is 2 + 2?", bomb),
        ):
            verdict(kind, prompt, response)
    assert time.process_time() - started < 4


def test_numbers_of_a_million_digits_and_texts_of_megabytes_abstain_at_once():
    rows = frame(
        [
            ("What is 2 + 2?", "9" * 1_000_000),
            ("What is " + "9" * 1_000_000 + " + 1?", "5"),
            ("Compute 10^1000000", "5"),
            ("Count the words.\n\n" + "word " * 400_000, "5"),
            ("Sort alphabetically: " + "b, a, " * 300_000, "a, b"),
        ]
    )
    started = time.process_time()
    scored = Computed().score(rows, Context(root=None))  # type: ignore[arg-type]
    assert scored.scores["status"].unique().to_list() == ["abstained"]
    assert time.process_time() - started < 2


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="0123456789 .,+-*/^()=x%$√²½!?'\"\n:;aeikoprstw", max_size=80),
    st.text(alphabet="0123456789 .,+-*/^()=x%$√²½!?'\"\n:;aeikoprstw", max_size=80),
    st.sampled_from(
        ["", "What is ", "Convert ", "Find the mean of ", "Solve ", "Sort in ascending order: ", "Count the words: "]
    ),
)
def test_no_text_raises(prompt, response, opening):
    for kind in FAMILIES:
        verdict(kind, opening + prompt, response)
