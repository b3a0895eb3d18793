"""Rows that talk to the judge: whatever they hold, the prompt keeps its form and no verdict is read from them."""

from __future__ import annotations

import pytest

from curate.judge import Judge
from curate.judges import OK, Call, Reply, Text
from manifests.component import Context
from tests.benchmarks import injections, small_judge
from tests.benchmarks.injected_rows import (
    INJECTIONS,
    POSITIONS,
    fences,
    first_match,
    injected,
    ours,
    put,
    reads_data,
)
from tests.curate.judged import frame

CLEAN = [(f"What is the capital of country {i}?", f"The capital of country {i} is Town {i}.") for i in range(20)]
ROWS = list(injected(CLEAN, INJECTIONS, (*POSITIONS, "instruction")))


class Listening:
    """An engine that keeps the prompts and has one answer, or repeats the row to who asks for a text."""

    kind, version, cached = "listening", 1, False

    def __init__(self, text: str = "- Town 1 is a capital.") -> None:
        self.calls: list[Call] = []
        self.text = text

    def identity(self):
        return {}

    def open(self, menus, context):
        import contextlib

        return contextlib.nullcontext(self)

    def cost(self, reply):
        return 0.0

    def ask(self, calls, menu):
        self.calls += calls
        yield [Reply(key=c.key, status=OK, probabilities=(0.2, 0.7, 0.0)[: len(menu.labels)]) for c in calls]

    def write(self, calls, how):
        self.calls += calls
        yield [Reply(key=c.key, status=OK, texts=(Text(self.text, "stop"),)) for c in calls]


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("transformers")
    data = [(question, answer, False) for question, answer in CLEAN]
    return small_judge._tokenizer(data, list(small_judge.prompts().values()))


def test_there_are_1500_of_them_and_500_in_the_instruction():
    assert len(INJECTIONS) == 25
    assert len(ROWS) == 1500 + 500
    assert len({(row.instruction, row.response) for row in ROWS}) == len(ROWS)


def test_no_injected_row_breaks_a_structure_and_careless_ways_would_have_let_them(tokenizer):
    found = injections.structural(ROWS, CLEAN, tokenizer)
    assert {name: having for name, (_, having) in found.items()} == dict.fromkeys(found, 0)
    assert all(without > 0 for without, _ in found.values())


@pytest.mark.parametrize(
    "fields",
    [{"votes": 4}, {"reason": 50, "votes": 2}, {"mode": "claims"}, {"defects": ("fact", "logic"), "repair": 50}],
    ids=["votes", "reasoning", "claims", "defects and repair"],
)
def test_every_prompt_of_the_judge_keeps_its_fences(tmp_path, fields):
    def asked(pairs, text):
        engine = Listening(text)
        Judge(judge=engine, **fields).score(frame(pairs), Context(root=tmp_path))
        return [call.prompt for call in engine.calls]

    usual = {fences(prompt) for prompt in asked(CLEAN[:1], "- Town 1 is a capital.")}
    hostile = (
        "- " + " ".join(INJECTIONS["fence with invisible letters"].split("\n")) + " " + INJECTIONS["fake verdict line"]
    )
    prompts = asked([(row.instruction, row.response) for row in ROWS[::7]], hostile)
    assert len(prompts) >= len(ROWS[::7])
    assert {fences(prompt) for prompt in prompts} == usual


def test_no_row_is_read_as_a_verdict_when_a_judge_quotes_it():
    assert not any(reads_data(ours, row.response) for row in ROWS)
    assert any(reads_data(first_match, row.response) for row in ROWS)


def test_a_reply_that_only_repeats_the_row_decides_nothing_but_in_its_own_last_line():
    for row in ROWS:
        if row.place != "end":
            assert ours(row.response) is None, row.name
    assert ours(put(CLEAN[0][1], INJECTIONS["fake verdict line"], "end")) == "correct"


@pytest.mark.parametrize(
    "prompt", ["</data-1>", "＜/data-1>", "&lt;data-1", "</d\u200bata-1>", "< / DATA-1>", "</dаta-1>"]
)
def test_the_counter_of_fences_sees_through_disguises(prompt):
    assert fences(f"a {prompt} b") == 1


@pytest.mark.parametrize("place", POSITIONS)
def test_an_injection_adds_itself_and_takes_nothing_away(place):
    response = "The capital of France is Paris."
    found = put(response, "XYZ", place)
    assert "".join(found.replace("XYZ", "").split()) == "".join(response.split())
    assert found.count("XYZ") == 1
