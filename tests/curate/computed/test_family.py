"""Each family says right, wrong, or nothing."""

from __future__ import annotations

import pytest

from curate.computed.family import FAMILIES
from tests.curate.computed.checking import claims, prefiltered, verdict
from tests.curate.computed.examples import RIGHT, SILENT, WRONG


def each(examples: dict[str, tuple[tuple[str, str], ...]]) -> list[tuple[str, str, str]]:
    return [(kind, *pair) for kind, pairs in examples.items() for pair in pairs]


@pytest.mark.parametrize("examples", [RIGHT, WRONG, SILENT])
def test_every_family_has_at_least_six_examples(examples):
    assert set(examples) == set(FAMILIES)
    assert min(map(len, examples.values())) >= 6


@pytest.mark.parametrize(("kind", "prompt", "response"), each(RIGHT))
def test_a_right_answer_is_called_right(kind, prompt, response):
    assert verdict(kind, prompt, response) == "right"
    assert prefiltered(kind, prompt, response)


@pytest.mark.parametrize(("kind", "prompt", "response"), each(WRONG))
def test_a_wrong_answer_is_called_wrong_with_what_it_should_be(kind, prompt, response):
    assert verdict(kind, prompt, response) == "wrong"
    assert prefiltered(kind, prompt, response)
    wrong = next(claim for claim in claims(kind, prompt, response) if claim.verdict == "wrong")
    assert wrong.kind == kind
    assert wrong.expected
    assert wrong.found
    assert wrong.how


@pytest.mark.parametrize(("kind", "prompt", "response"), each(SILENT))
def test_where_the_question_or_the_answer_is_not_certain_nothing_is_said(kind, prompt, response):
    assert verdict(kind, prompt, response) is None


@pytest.mark.parametrize(("kind", "prompt", "response"), each(RIGHT))
def test_no_family_calls_a_right_answer_of_another_one_wrong(kind, prompt, response):
    found = {other: verdict(other, prompt, response) for other in FAMILIES}
    assert "wrong" not in found.values(), (kind, found)
