"""What holds for every task."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest
from pydantic import ValidationError

from manifests.component import Context, component_key, spec_of
from manifests.errors import Interrupted
from tests.trainers.tasks.fake import Fake, example, here
from trainers.evaluate import Model
from trainers.trainer import TASKS, Task
from trainers.worker import build

KINDS = sorted(set(TASKS.entries) - {"imported"})
"""Imported results have no model to measure."""

EXAMPLES = [
    replace(example("2 + 2 ?", "four", "4", choices=("four", "five")), scores=(("familiarity", 0.5),)),
    replace(example("Sky ?", "blue", choices=("blue", "red")), scores=(("familiarity", 0.0),)),
    example("nothing ?", " ", choices=("blue", "red")),
]
LIKELY = {"four": -4.0, "4": -1.0, "five": -6.0, "blue": -2.0, "red": -1.0}
SAID = {"2 + 2 ?": " four\n", "Sky ?": "red"}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_task_whose_spec_makes_it_again(kind):
    made = TASKS.load(kind)(name="held-out", source="exam", limit=7)
    assert isinstance(made, Task)
    assert (made.kind, build(TASKS, spec_of(made))) == (kind, made)


@pytest.mark.parametrize("kind", KINDS)
def test_it_refuses_unknown_and_senseless_fields(kind):
    for wrong in ({"limit": 0}, {"max_new_tokens": 0}, {"metric": "x"}, {"name": 3}):
        with pytest.raises(ValidationError):
            TASKS.load(kind)(**{"name": "t", **wrong})


@pytest.mark.parametrize("kind", KINDS)
def test_every_example_gets_every_declared_metric_within_its_range(kind):
    made = TASKS.load(kind)(name="t")
    rows = made.measure(Fake(SAID, LIKELY), EXAMPLES, here())
    names = [metric.name for metric in made.metrics]
    assert [(row.example_id, row.metric) for row in rows] == [(e.example_id, name) for e in EXAMPLES for name in names]
    bounds = {metric.name: (metric.low, metric.high) for metric in made.metrics}
    for row in rows:
        assert row.value is None or (
            math.isfinite(row.value) and bounds[row.metric][0] <= row.value <= bounds[row.metric][1]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_without_a_reference_is_undefined_not_zero(kind):
    rows = TASKS.load(kind)(name="t").measure(Fake(SAID, LIKELY), EXAMPLES, here())
    assert all(row.value is None for row in rows if row.example_id == "nothing ?")
    assert any(row.value is not None for row in rows)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_batches_does_not_change_the_result(kind):
    made = TASKS.load(kind)(name="t")
    at_once, one_by_one = Fake(SAID, LIKELY), Fake(SAID, LIKELY)
    assert made.measure(at_once, EXAMPLES, here()) == made.measure(one_by_one, EXAMPLES, here(batch=1))
    assert set(one_by_one.calls) == {1}
    assert max(at_once.calls) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_stops_when_asked_to(kind):
    stop = dataclasses.replace(here(), stopping=lambda: True)
    with pytest.raises(Interrupted):
        TASKS.load(kind)(name="t").measure(Fake(SAID, LIKELY), EXAMPLES, stop)


@pytest.mark.parametrize("kind", KINDS)
def test_no_examples_are_no_results(kind):
    assert TASKS.load(kind)(name="t").measure(Fake(), [], here()) == []


def test_progress_is_told_after_each_batch():
    told: list[tuple[int, int]] = []
    context = Context(root=here().root, batch=2, progress=lambda done, total: told.append((done, total)))
    TASKS.load("rouge")(name="t").measure(Fake(SAID), EXAMPLES, context)
    assert told == [(2, 3), (3, 3)]


def test_what_generates_nothing_does_not_depend_on_the_length_of_answers():
    for kind in KINDS:
        loaded = TASKS.load(kind)
        same = component_key(loaded(name="t", max_new_tokens=5)) == component_key(loaded(name="t", max_new_tokens=6))
        assert same == (kind in {"accuracy", "loglik"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_real_model_is_measured(kind, base, context):
    model = Model.load(base, "cpu")
    known = {"familiarity": "familiarity"} if kind == "factual" else {}
    made = TASKS.load(kind)(name="t", max_new_tokens=4, **known)
    rows = made.measure(model, EXAMPLES, context)
    assert len(rows) == len(EXAMPLES) * len(made.metrics)
    assert all(row.value is None or math.isfinite(row.value) for row in rows)
    defined = {row.metric for row in rows if row.value is not None}
    assert defined == {metric.name for metric in made.metrics}
    assert made.measure(model, EXAMPLES[::-1], context) == sorted(
        rows, key=lambda row: -[e.example_id for e in EXAMPLES].index(row.example_id)
    )
