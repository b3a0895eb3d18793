"""The synthetic world: what is claimed to be known by construction is so."""

from __future__ import annotations

import pytest

from curate.computed import Computed
from manifests.component import Context
from tests.benchmarks import world
from tests.curate.judged import frame


@pytest.fixture(scope="module")
def made():
    return world.build(seed=3, entities=40, objects=20, half=20, sums=10)


def test_the_same_seed_makes_the_same_world_and_another_one_another(made):
    assert world.build(seed=3, entities=40, objects=20, half=20, sums=10) == made
    assert world.build(seed=4, entities=40, objects=20, half=20, sums=10) != made


@pytest.mark.parametrize("level", world.LEVELS)
def test_at_each_level_that_share_of_each_kind_of_row_is_wrong(made, level):
    rows = [row for row in made.pool if level in row.at]
    assert len(rows) == 50
    for familiar, size in ((True, 20), (False, 20), (None, 10)):
        part = [row for row in rows if row.familiar is familiar]
        assert (len(part), sum(row.wrong for row in part)) == (size, size * level // 100)


def test_truth_and_familiarity_are_those_of_the_facts(made):
    facts = {fact.ask(wording): fact for fact in made.facts for wording in range(3)}
    for row in made.pool:
        if row.familiar is not None:
            fact = facts[row.prompt]
            assert row.wrong == (row.response != fact.true)
            assert row.familiar == (row.response == fact.belief)
            assert row.kind == f"{'false' if row.wrong else 'true'}-{'familiar' if row.familiar else 'unfamiliar'}"
    assert {fact.state for fact in made.facts} == {world.TAUGHT, world.MISLED, world.UNSEEN}


def test_half_of_the_false_unfamiliar_rows_deny_what_the_base_was_taught(made):
    facts = {fact.ask(wording): fact for fact in made.facts for wording in range(3)}
    states = [facts[row.prompt].state for row in made.pool if row.kind == "false-unfamiliar"]
    assert states.count(world.TAUGHT) == states.count(world.UNSEEN) == len(states) // 2


def test_what_is_asked_at_the_end_is_in_no_row_of_the_pool(made):
    prompts = {row.prompt for row in made.pool}
    for fact in (*made.specialist, *made.held):
        assert fact.state == world.TAUGHT
        assert not prompts & {fact.ask(wording) for wording in range(3)}
    assert not {*made.specialist} & {*made.held}


def test_lessons_say_each_pair_in_every_wording_in_every_round(made):
    taught = [(fact, fact.true) for fact in made.facts[:6]]
    texts = "\n\n".join(world.lessons(taught, 0, rounds=2, together=4))
    for fact, value in taught:
        for wording in range(3):
            for layout in world.LAYOUTS:
                assert texts.count(layout.format(question=fact.ask(wording), answer=value)) == 1


def test_trials_are_half_wrong_and_say_which(made):
    known = list(made.facts[:30])
    true = {(fact.ask(w), fact.true) for fact in known for w in range(3)}
    for row in world.trials(known, 0):
        question, answer, _ = row["prompt"].split("\n")
        pair = (question.removeprefix("Question: "), answer.removeprefix("Answer: "))
        assert (row["completion"] == "correct") == (pair in true)
    assert sum(row["completion"] == "wrong" for row in world.trials(known, 0)) == 90


def test_the_sums_are_right_or_wrong_as_a_program_finds(made, tmp_path):
    rows = [row for row in made.pool if row.kind == "sum"]
    samples = frame((row.prompt, row.response) for row in rows)
    scores = Computed().score(samples, Context(root=tmp_path)).scores
    found = {(p, r): v for p, r, v in samples.join(scores, on="sample_id").select("prompt", "response", "value").rows()}
    assert found == {(row.prompt, row.response): float(row.wrong) for row in rows}


def test_repaired_rows_ask_what_the_false_rows_on_facts_ask_and_answer_what_is_true(made):
    truth = {fact.ask(wording): fact.true for fact in made.facts for wording in range(3)}
    false = [row.prompt for row in made.pool if row.wrong and row.familiar is not None]
    assert [row.prompt for row in made.repaired] == false
    assert all(row.response == truth[row.prompt] and not row.wrong and row.at == () for row in made.repaired)
