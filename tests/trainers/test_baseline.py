"""What answers in the place of a trained model."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from tests.trainers.tasks.fake import example, here, values
from trainers.baseline import BASELINES, Copy, Majority, stand_in
from trainers.tasks.accuracy import Accuracy
from trainers.tasks.loglik import Loglik
from trainers.tasks.qa import QA
from trainers.tasks.rewrite import Gleu
from trainers.trainer import Request, Row
from trainers.worker import describe, measure


def request(baseline, task, examples, rows=()):
    answers = tuple(Row(str(i), (("user", "?"), ("assistant", text))) for i, text in enumerate(rows))
    tasks = ((describe(task), tuple(examples)),)
    return Request(baseline, {}, "no-such-model", 0, answers, Path("unused"), tasks=tasks, baseline=baseline)


def test_the_majority_is_the_commonest_training_answer_whatever_is_asked():
    made = Majority.of(["no", " yes", "no", "yes ", "", "maybe"])
    assert made.generate([(("user", "a"),), (("user", "b"),)], 5) == ["no", "no"]
    assert made.counts == Counter({"no": 2, "yes": 2, "maybe": 1})


def test_its_likelihoods_are_shares_that_add_up_to_one():
    made = Majority.of(["no", "yes", "no"])
    asked = [((), answer) for answer in ("no", "yes", "never seen")]
    assert [math.exp(one.total) for one in made.loglik(asked)] == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def test_majority_scores_the_share_of_its_answer():
    exam = [example("q1", "no", choices=("no", "yes")), example("q2", "yes", choices=("no", "yes"))]
    found = measure(request("majority", Accuracy(name="a", normalise="none"), exam, ["no", "no", "yes"]))
    assert [one.value for _, one in found if one.metric == "accuracy"] == [1.0, 0.0]


def test_copying_the_input_of_a_rewriting_task_is_its_source_and_no_likelihood_is_made_up():
    exam = [example("Fix: he go", "he goes", source="he go")]
    assert values(Gleu(name="g").measure(Copy.of(exam), exam, here()))["Fix: he go", "gleu"] < 1.0
    assert measure(request("copy", Loglik(name="l"), exam)) == []
    kept = {one.metric for _, one in measure(request("copy", QA(name="q"), exam))}
    assert kept == {"exact_match", "token_f1"}
    assert Copy.of([]).generate([(("system", "x"), ("user", "as it is"))], 3) == ["as it is"]


def test_the_base_is_loaded_from_where_fits_start(base):
    model = stand_in(Request("base", {}, str(base), 0, (), Path("unused"), baseline="base"))
    assert len(model.generate([(("user", "2 + 2"),)], 2)) == 1
    model.close()


def test_every_baseline_says_what_answers():
    assert set(BASELINES) == {"base", "majority", "copy"}
    assert all(BASELINES.values())


def test_the_base_is_asked_in_the_layout_that_runs_are_trained_in(base):
    asked = Request("base", {"template": "alpaca"}, str(base), 0, (), Path("unused"), baseline="base")
    model = stand_in(asked)
    assert "### Instruction:\n2 + 2\n\n### Response:" in model.renderer.tokenizer.decode(
        model.renderer.prompt((("user", "2 + 2"),))
    )
    model.close()
