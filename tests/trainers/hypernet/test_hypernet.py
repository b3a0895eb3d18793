"""Runs from end to end: what is kept, made again, gone on with, answered, exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from manifests.component import Context
from manifests.errors import Interrupted, UserError
from tests.trainers.hypernet.conftest import INSTRUCTIONS, UNSEEN, rows_of
from trainers.evaluate import Model, load_model
from trainers.hypernet.learn import grouped, mean
from trainers.hypernet.meta import drawn
from trainers.state import content_id
from trainers.worker import build, describe, parameters

PROMPTS = [(("system", one), ("user", "Ada 7 lives in Rome")) for one in (*INSTRUCTIONS, UNSEEN)]
PAIRS = [(prompt, "Say 1") for prompt in PROMPTS]


def values(model):
    return [one.total for one in model.loglik(PAIRS)]


@pytest.fixture(scope="module")
def made(small, tasks, base, shared):
    """Return the fitted run of each method, by its name."""
    methods = {
        "generated": {},
        "fused": {"fusion": True, "pretrain_steps": 2},
        "scaled": {"form": "scaled"},
        "shuffled": {"instructions": "shuffled"},
        "random": {"instructions": "random"},
        **{name: {"method": name} for name in ("none", "prompt", "multi-task", "nearest", "mean", "own")},
    }
    return {
        name: replace(small, **changes).fit(tasks, base, 0, shared.root / name, shared)
        for name, changes in methods.items()
    }


def test_the_same_run_has_the_same_weights_and_a_finished_one_is_used(made, small, tasks, base, tmp_path):
    context = Context(root=tmp_path)
    again = small.fit(tuple(reversed(tasks)), base, 0, tmp_path / "again", context)
    assert again.content_id == made["generated"].content_id
    assert small.fit(tasks, base, 0, tmp_path / "again", context) == again
    other = small.fit(tasks, base, 1, tmp_path / "other", context)
    assert other.content_id != again.content_id


def test_a_run_that_is_stopped_goes_on_to_the_same_weights(made, small, tasks, base, tmp_path):
    steps = []

    def progress(done, total):
        if total == small.steps:
            steps.append(done)

    stopping = Context(root=tmp_path, progress=progress, stopping=lambda: len(steps) >= 3)
    with pytest.raises(Interrupted, match="stopped at step 3 of 4"):
        small.fit(tasks, base, 0, tmp_path / "run", stopping)
    done = small.fit(tasks, base, 0, tmp_path / "run", Context(root=tmp_path, progress=progress))
    assert done.content_id == made["generated"].content_id
    assert steps == [1, 2, 3, 4]


def test_runs_that_differ_in_the_instructions_of_the_test_share_the_generator(made, shared):
    ids = {made[name].content_id for name in ("generated", "shuffled", "random")}
    assert len(ids) == 1
    assert len(list((shared.root / "parts").glob("generator-*"))) == 3
    answers = {name: values(Model.load(made[name].path)) for name in ("generated", "shuffled", "random")}
    assert answers["generated"] != answers["shuffled"] != answers["random"]


def test_the_teachers_are_made_once_for_all_runs(made, shared):
    assert len(list((shared.root / "parts").glob("teacher-*"))) == len(INSTRUCTIONS) + 1


def test_every_method_answers_prompts_and_none_changes_with_those_beside(made):
    for name, fitted in made.items():
        model = Model.load(fitted.path)
        pairs = PAIRS[-1:] if name == "own" else PAIRS
        whole = [one.total for one in model.loglik(pairs)]
        assert [model.loglik([pair])[0].total for pair in pairs] == pytest.approx(whole, abs=1e-3), name
        assert len(model.generate([prompt for prompt, _ in pairs], 3)) == len(pairs)
        model.close()


def test_without_adapter_or_instruction_the_base_answers(made, base):
    expected = [one.total for one in Model.load(base).loglik([(prompt[1:], text) for prompt, text in PAIRS])]
    assert values(Model.load(made["none"].path)) == pytest.approx(expected, abs=1e-4)


def test_the_kept_prefix_answers_as_the_instruction_in_the_prompt_does(made, base):
    whole, kept = Model.load(base), Model.load(made["prompt"].path)
    assert values(kept) == pytest.approx([one.total for one in whole.loglik(PAIRS)], abs=1e-3)
    assert kept.generate(PROMPTS, 6) == whole.generate(PROMPTS, 6)


def test_the_unseen_tasks_own_adapter_answers_it_alone(made):
    model = Model.load(made["own"].path)
    assert model.factors(UNSEEN) is not None
    with pytest.raises(UserError, match="no rows of this test task were trained on"):
        model.factors(INSTRUCTIONS[0])


def test_the_nearest_adapter_of_a_known_instruction_is_its_own(made, small, base, tasks, shared):
    model = Model.load(made["nearest"].path)
    known = model.record["known"]
    for number, one in enumerate(known):
        assert torch.equal(model.factors(one)[0][1], model.made["bank"][0][1][number : number + 1])
    assert known == sorted(INSTRUCTIONS)


def test_the_mean_is_that_of_the_changes():
    draw = torch.Generator().manual_seed(0)
    factors = [(torch.randn(3, 2, 6, generator=draw), torch.randn(3, 5, 2, generator=draw))]
    (down, up), *_ = mean(factors)
    assert torch.allclose(up[0] @ down[0], (factors[0][1] @ factors[0][0]).mean(0), atol=1e-5)


@pytest.mark.parametrize("name", ["generated", "scaled", "mean", "nearest"])
def test_an_exported_adapter_gives_the_same_logits_in_peft(made, base, tmp_path, name):
    from peft import PeftModel

    model = Model.load(made[name].path)
    folder = model.export(UNSEEN, tmp_path / "peft")
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        plain = load_model(base, "cpu")(input_ids=ids).logits
        loaded = PeftModel.from_pretrained(load_model(base, "cpu"), str(folder)).eval()(input_ids=ids).logits
        with model.adapted.using(model.factors(UNSEEN)):
            own = model.model.model(input_ids=ids).logits
    assert torch.allclose(own, loaded, atol=1e-5)
    assert (own - plain).abs().max() > 1e-6
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(Path(base).resolve())


def test_fewer_meta_train_tasks_are_some_of_more(tasks):
    rows = [row for row in tasks if row.role == "specialist"]
    few, more = (set(grouped(rows, count, 3)) for count in (2, 3))
    assert few < more < set(INSTRUCTIONS)
    assert set(grouped(rows, 2, 4)) != few or set(grouped(rows, 2, 5)) != few


def long_rows(instruction):
    return [replace(row, messages=(*row.messages[:2], ("assistant", "word " * 200))) for row in rows_of(instruction, 2)]


def test_a_task_of_which_no_row_fits_is_left_out_and_told_and_takes_no_place(small, base, tasks, shared, tmp_path):
    trainer = replace(small, method="mean", meta_tasks=len(INSTRUCTIONS))
    plain = trainer.fit(tasks, base, 0, tmp_path / "plain", shared)
    spoilt = trainer.fit([*tasks, *long_rows("Too long to learn")], base, 0, tmp_path / "spoilt", shared)
    assert plain.note == f"{len(INSTRUCTIONS)} meta-train tasks"
    assert spoilt.note == f"{plain.note}; 1 left out, no row of theirs fits into max_tokens"
    assert spoilt.content_id == plain.content_id


def test_a_blend_none_of_whose_tasks_fits_is_refused(small, base, shared, tmp_path):
    with pytest.raises(UserError, match="no row of any task fits into max_tokens"):
        small.fit(long_rows("Too long to learn"), base, 0, tmp_path / "run", shared)


def test_a_blend_without_instructions_is_refused(small, base, shared, tmp_path):
    rows = [replace(row, messages=row.messages[1:]) for row in rows_of("Say", 3)]
    with pytest.raises(UserError, match="no row has an instruction"):
        small.fit(rows, base, 0, tmp_path / "run", shared)


def test_tasks_are_drawn_in_proportion_to_their_rows():
    counts = [0, 0, 0]
    for step in range(600):
        for task, picked in drawn(0, step, [1, 1, 2], [4, 4, 1], 1, 3):
            counts[task] += 1
            assert len(picked) == 3
            assert len(set(picked)) == min(3, [4, 4, 1][task])
    assert counts[2] == pytest.approx(300, abs=60)
    assert list(drawn(0, 5, [1, 1, 2], [4, 4, 1], 2, 3)) == list(drawn(0, 5, [1, 1, 2], [4, 4, 1], 2, 3))


def test_variants_are_trainers_of_their_own_and_unknown_fields_are_named(small):
    given = replace(small, variants={"one": {"kl": 0.0}, "two": {"method": "mean"}})
    assert given.narrowed() == {"one": replace(small, kl=0.0), "two": replace(small, method="mean")}
    with pytest.raises(
        UserError, match=r"variant 'one' changes no field of a hypernet: 'fuson'\n.*did you mean 'fusion'"
    ):
        replace(small, variants={"one": {"fuson": True}})
    with pytest.raises(UserError, match="no term of the loss has a weight"):
        replace(small, ce=0.0, kl=0.0, match=0.0)
    with pytest.raises(UserError, match="training rows of the test tasks"):
        replace(small, method="own", unseen=None)


def test_a_trainer_travels_to_a_worker_and_its_parameters_are_counted(small, made, base):
    from trainers.trainer import TRAINERS

    assert build(TRAINERS, describe(small)) == small
    assert parameters(Path(base), made["generated"].path) > parameters(Path(base), base)
    assert content_id(made["generated"].path) == made["generated"].content_id
