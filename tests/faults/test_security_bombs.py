"""Security, bombs: four times the text takes about four times as long, whatever it is made of; a square would be 16."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Sequence

import pytest

from curate.answer_text import read_answer, read_claim
from curate.claim import claims_of
from curate.claim_check import listed
from curate.computed.scorer import Computed
from curate.opinion import Written
from curate.prompt import harmless, render
from curate.rules import RULES, Rules
from curate.sentence import sentences
from manifests.component import Context
from manifests.errors import UserError
from manifests.jobs.yaml_lines import loads
from manifests.output import symbols
from manifests.report_html import esc
from tests.curate.judged import frame

PUMPS = (
    *(" ", "\n", " \n", "a", "aA", "1", "1,", "1.", "1-", "-", "(", "()", "<", "</", "&lt;", "{", "[", "http://", "a@"),
    *("a.", "A. ", "a b ", "it is ", "the ", "*", "#", "'", '"', "\u200b", "\\", ": ", "- ", "- a\n", "1. ", "=", "+1"),
    *("/", "|", "?", "no ", "of the ", "what is ", "[ ", "A B ", "sk-", "+1 (", "1:", "::", "%3c", "data-", "```"),
)
WRAPPED = (("", ""), ("a ", "B"), ("What is 2 + 3? ", "\0x"), ("- ", ". B"))
SMALL, TIMES, MOST = 1500, 4, 10
"""Characters of the smaller text, how many times longer the other is, and the largest ratio of their times."""
NOISE = 0.05
"""Seconds of processor time below which nothing is compared."""


def bombs(size: int) -> list[str]:
    return [before + (pump * size)[:size] + after for pump, (before, after) in itertools.product(PUMPS, WRAPPED)]


def spent(work: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    started = time.process_time()
    work(texts)
    return time.process_time() - started


def growth(work: Callable[[Sequence[str]], object]) -> float:
    """Return how many times as long the work on longer bombs takes, the least of three tries; 0 where it is noise."""
    small, large = bombs(SMALL), bombs(SMALL * TIMES)
    work(small[:2])
    least = math.inf
    for _ in range(3):
        after = spent(work, large)
        least = min(least, 0.0 if after < NOISE else after / max(spent(work, small), 1e-6))
        if least <= MOST:
            break
    return least


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "other-language"])  # a model finds that one
def test_a_rule_takes_time_in_proportion_to_the_text(rule, tmp_path):
    step, context = Rules(drop=(rule,), flag=()), Context(root=tmp_path)
    assert growth(lambda texts: step.decide(frame(zip(texts, texts, strict=True)), {}, context)) <= MOST


@pytest.mark.parametrize("place", ["prompt", "answer"])
def test_what_recomputes_answers_takes_time_in_proportion_to_the_text(place, tmp_path):
    scorer, context = Computed(), Context(root=tmp_path)
    other = {"prompt": "It is 4.", "answer": "What is 2 + 2?"}[place]

    def work(texts: Sequence[str]) -> object:
        pairs = [(text, other) if place == "prompt" else (other, text) for text in texts]
        return scorer.score(frame(pairs), context)

    assert growth(work) <= MOST


def _refused(text: str) -> object:
    try:
        return loads(text, "job.yaml")
    except UserError as error:
        return error


EACH: dict[str, Callable[[str], object]] = {
    "a row's fences": harmless,
    "a prompt": lambda text: render("{instruction}|{response}|?", {"instruction": text, "response": text}, "n"),
    "a written verdict": lambda text: read_answer(text, "stop", (" correct", " wrong")),
    "a claim's verdict": read_claim,
    "a list of claims": lambda text: listed(Written("- " + text + "\n- " + text), 8),
    "the claims of a response": lambda text: claims_of("Who?", text),
    "the claims of a prompt": lambda text: claims_of(text, "Rome is in Italy."),
    "sentences": sentences,
    "a job": _refused,
    "a terminal's text": symbols,
    "a page's text": esc,
}


@pytest.mark.parametrize("reader", EACH)
def test_reading_takes_time_in_proportion_to_the_text(reader, tmp_path):
    assert growth(lambda texts: [EACH[reader](text) for text in texts]) <= MOST


def test_a_square_would_be_seen():
    def square(texts: Sequence[str]) -> object:
        return [re.search(r"[\s,;.]*\[x", text) for text in texts]

    assert growth(square) > MOST


def test_a_mebibyte_of_spaces_and_of_initials_is_split_into_sentences():
    found = sentences("One." + " " * 2**20 + "Two. " + "A. " * 2**18)
    assert found[0] == "One."
    assert found[1].startswith("Two.")
