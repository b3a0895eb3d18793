"""Measuring by vLLM: what the engine is asked, how its end shows, and that it agrees with our own model."""

from __future__ import annotations

import dataclasses
import os

import pytest

from manifests.component import Context
from manifests.errors import UserError
from trainers import served
from trainers.evaluate import Model
from trainers.lora import Lora
from trainers.scratch import Scratch
from trainers.served import Served, Weights, grouped, settings
from trainers.tasks.loglik import Loglik
from trainers.tasks.qa import QA
from trainers.trainer import Example, Request
from trainers.worker import describe, measure, measure_served

LORA = Lora(base="given", steps=2, batch_tokens=256, max_tokens=64, rank=9)


class Dying:
    """An engine whose process ends at the second question."""

    def __init__(self, given):
        os.write(1, given["model"].encode())

    def start(self):
        return None

    def generate(self, adapter, prompts, most, stops):
        if most == 1:
            raise ValueError("refused\nwith details")
        os.write(1, b"out of luck")
        os._exit(7)


@pytest.fixture(scope="module")
def adapter(rows, base, context, tmp_path_factory):
    return LORA.fit(rows, base, 0, tmp_path_factory.mktemp("served") / "run", context).path


def test_all_adapters_of_a_base_are_one_engines_and_a_full_model_is_another_ones(adapter, base):
    assert Weights.of(adapter) == Weights(str(base.resolve()), adapter)
    assert Weights.of(base) == Weights(str(base))
    models = [Weights.of(adapter), Weights("hub/name"), Weights.of(base), Weights("hub/name", adapter)]
    assert grouped(models) == [[0, 2], [1, 3]]


def test_an_engine_makes_room_for_the_largest_adapter_and_prepares_its_layers_alone(adapter, base):
    given = settings(str(base), [adapter], 64)
    assert given["max_lora_rank"] == 16
    assert given["lora_target_modules"] == sorted(f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down"))
    assert given["model"] == str(base.resolve())
    assert "enable_lora" not in settings("hub/name@main", [], 64)
    assert settings("hub/name@main", [], 64)["revision"] == "main"


def test_an_engine_that_refuses_says_why_and_one_that_dies_leaves_its_last_words(monkeypatch, tmp_path, base):
    monkeypatch.setattr(served, "_serve", dying)
    with served._started(settings(str(base), [], 64), tmp_path / "log") as server:
        server.ask("start")
        with pytest.raises(UserError, match="ValueError: refused"):
            server.ask("generate", None, [[1]], 1, [])
        with pytest.raises(UserError, match="the vLLM engine died") as raised:
            server.ask("generate", None, [[1]], 2, [])
    assert "exit code 7" in str(raised.value)
    assert "out of luck" in str(raised.value)
    assert not server.process.is_alive()


def dying(pipe, given, log):
    """Serve with an engine that dies."""
    served._Engine = Dying
    SERVE(pipe, given, log)


SERVE = served._serve


class Echo:
    """A server that answers with what it was asked, and ends each answer."""

    def __init__(self, end):
        self.end = end

    def ask(self, verb, adapter, rows, *rest):
        if verb == "generate":
            return [[*ids[-3:], self.end] for ids in rows]
        return [-float(len(ids) - start) for ids, start in rows]


def test_prompts_are_rendered_as_for_a_model_of_ours_and_gaps_stay_gaps(base):
    ours = Model.load(base)
    model = Served(Echo(ours.renderer.end), None, ours.renderer, ours.context - 1, ours.stops)
    assert model.generate([(("user", "Where is Rome?"),)], 4) == [
        ours.renderer.tokenizer.decode(
            ours.renderer.prompt((("user", "Where is Rome?"),))[-3:], skip_special_tokens=True
        )
    ]
    found = model.loglik([((("user", "Where?"),), "Rome"), ((("user", "Where?"),), " ")])
    assert found[1] is None
    assert found[0].total == -found[0].n_tokens
    with pytest.raises(UserError, match="no room"):
        model.generate([], 1000)


def test_prompts_have_the_layout_that_a_run_was_trained_in_and_those_of_its_base_the_same(rows, base, tmp_path):
    alpaca = dataclasses.replace(LORA, template="alpaca")
    run = alpaca.fit(rows, base, 0, tmp_path / "run", Context(root=tmp_path)).path
    asked = (("user", "Name a town.\n\nIn Italy"),)
    wanted = Model.load(run).renderer.prompt(asked)
    assert Weights.of(run).renderer().prompt(asked) == wanted
    assert Weights.of(base, "alpaca").renderer().prompt(asked) == wanted
    assert Weights.of(base).renderer().prompt(asked) != wanted


def test_a_damaged_run_is_refused_before_an_engine_is_started(rows, base, tmp_path, monkeypatch):
    run = LORA.fit(rows, base, 0, tmp_path / "run", Context(root=tmp_path)).path
    weights = bytearray((run / "adapter_model.safetensors").read_bytes())
    weights[-1] ^= 1
    (run / "adapter_model.safetensors").write_bytes(weights)
    monkeypatch.setattr(served, "served", None)
    request = Request("run", describe(LORA), str(base), 0, (), run)
    with pytest.raises(UserError, match="a file is damaged"):
        measure_served([request])


def test_without_vllm_the_extra_is_named(monkeypatch, base):
    monkeypatch.setattr(served, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="judge"), served.served([Weights.of(base)]):
        pass


@pytest.mark.vllm
@pytest.mark.long
def test_two_adapters_and_their_base_on_one_engine_answer_as_our_own_model_does(rows, tmp_path):
    context = Context(root=tmp_path)
    base = Scratch(layers=2, width=64, heads=2, vocab=320, context=128, steps=30, batch_tokens=512, lr=5e-3).build(
        [f"{one.messages[0][1]} {one.messages[1][1]}" for one in rows], tmp_path / "base", context
    )
    given = tuple(Example(one.sample_id, one.messages[:1], (one.messages[1][1],)) for one in rows[:12])
    tasks = tuple((describe(task), given) for task in (QA(name="q", engine="vllm"), Loglik(name="l", engine="vllm")))
    trainer = Lora(base="given", steps=30, lr=1e-2, batch_tokens=256, max_tokens=64)
    requests = []
    for seed in (0, 1):
        trainer.fit(rows, base, seed, tmp_path / str(seed), context)
        requests.append(Request(f"r@{seed}", {}, str(base), seed, (), tmp_path / str(seed), tasks=tasks))
    requests.append(Request("base", {}, str(base), 0, (), tmp_path / "base-run", tasks=tasks, baseline="base"))
    theirs = measure_served(requests)
    ours = [measure(request) for request in requests]
    assert [[(task, m.example_id, m.metric) for task, m in run] for run in theirs] == [
        [(task, m.example_id, m.metric) for task, m in run] for run in ours
    ]
    pairs = [
        (a, b) for here, there in zip(ours, theirs, strict=True) for (_, a), (_, b) in zip(here, there, strict=True)
    ]
    assert all(abs(a.value - b.value) < 1e-4 for a, b in pairs if a.metric == "loglik")
    assert sum(a.prediction == b.prediction for a, b in pairs) >= 0.95 * len(pairs)
    assert len({tuple(m.value for _, m in run) for run in theirs}) == 3
