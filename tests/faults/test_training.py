"""Faults of training and measuring: cases 84 and 101 to 110."""

from __future__ import annotations

import dataclasses
import json
import math
import os

import pytest

from manifests.component import Context
from manifests.errors import ContaminationError, Interrupted, UserError
from manifests.jobs import training
from manifests.jobs.spec import load_job
from tests.faults import sweep
from tests.manifests.jobs import small_job
from tests.manifests.jobs.conftest import inline
from trainers import loop, state
from trainers.full import Full
from trainers.render import DEFAULT_TEMPLATE, Problem, Renderer
from trainers.trainer import Row

FULL = Full(base="given", steps=6, lr=5e-3, batch_tokens=256, max_tokens=64, checkpoint_steps=2)
MESSAGES = (("user", "Where does Ada live?"), ("assistant", "In Rome."))


@pytest.fixture
def here(monkeypatch):
    """Train and measure within this process."""
    monkeypatch.setattr(training.Workers, "submit", inline)


@pytest.fixture(scope="module")
def uninterrupted(base, rows, context, tmp_path_factory):
    return FULL.fit(rows, base, 0, tmp_path_factory.mktemp("whole"), context)


def failing(monkeypatch, at, what):
    """Let the loss of the `at`-th part be what `what` makes of it."""
    real, made = loop.loss_of, [0]

    def changed(model, batch):
        made[0] += 1
        return what(model, real(model, batch)) if made[0] == at else real(model, batch)

    monkeypatch.setattr(loop, "loss_of", changed)


def test_case_084_out_of_memory_is_tried_once_more_in_halves_with_the_same_weights(
    base, rows, context, tmp_path, monkeypatch
):
    import torch

    halves = dataclasses.replace(FULL, accumulate=2).fit(rows, base, 0, tmp_path / "halves", context)

    def lacking(model, loss):
        raise torch.OutOfMemoryError("not enough memory")

    failing(monkeypatch, 1, lacking)
    run = FULL.fit(rows, base, 0, tmp_path / "run", context)
    assert run.content_id == halves.content_id
    assert run.note == "out of memory at step 1: each step in 2 parts since"
    monkeypatch.undo()
    for at in range(1, 3):
        failing(monkeypatch, at, lacking)
    monkeypatch.setattr(loop, "loss_of", lambda model, batch: lacking(model, None))
    with pytest.raises(UserError, match="after the parts were halved"):
        FULL.fit(rows, base, 0, tmp_path / "failed", context)


def test_case_101_a_row_without_a_token_to_learn_is_counted_and_a_blend_of_such_rows_is_refused(
    base, rows, context, tmp_path
):
    bad = [Row("b" * 32, (("user", "Say nothing."), ("assistant", " ")))]
    assert FULL.fit([*rows, *bad], base, 0, tmp_path / "some", context).skipped == 1
    with pytest.raises(UserError, match="no row of this blend can be trained on") as caught:
        FULL.fit(bad, base, 0, tmp_path / "none", context)
    assert "1 of 1 rows skipped" in str(caught.value)


def with_template(tokenizer, template):
    import copy

    made = copy.deepcopy(tokenizer)
    made.chat_template = template
    return made


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content }}\n{% endfor %}",
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}",
        None,
    ],
)
def test_case_102_without_a_marker_of_the_assistant_the_answer_alone_is_learnt(tokenizer, template):
    renderer = Renderer(with_template(tokenizer, template))
    row = renderer.row(MESSAGES, 64)
    learnt = renderer.tokenizer.decode(row.ids[row.start :], skip_special_tokens=True)
    assert learnt.strip().endswith("In Rome.")
    assert "Ada" not in learnt


def test_case_102_a_template_that_leaves_the_answer_out_has_nothing_to_learn(tokenizer):
    only_asks = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    assert isinstance(Renderer(with_template(tokenizer, only_asks)).row(MESSAGES, 64), Problem)


@pytest.mark.parametrize(
    "template",
    [
        DEFAULT_TEMPLATE,
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>"
        "{% endif %}",
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}\nover\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    ],
)
def test_case_103_the_token_that_ends_the_turn_is_learnt_whether_the_template_writes_it_or_not(tokenizer, template):
    renderer = Renderer(with_template(tokenizer, template))
    row = renderer.row(MESSAGES, 64)
    assert row.ids[-1] == renderer.end
    assert row.mask[-1]
    assert row.ids[row.start :].count(renderer.end) == 1


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_cases_104_and_105_a_run_whose_loss_or_gradient_is_not_finite_stops_with_its_last_good_state(
    base, rows, context, tmp_path, monkeypatch, fault
):
    def spoil(model, loss):
        if fault == "loss":
            return loss * math.nan
        weight = next(model.parameters())
        return loss + (weight - weight.detach()).abs().sum().sqrt() * 1.0  # value 0, its gradient not finite

    failing(monkeypatch, 4, spoil)
    with pytest.raises(UserError, match="not finite at step 4") as caught:
        FULL.fit(rows, base, 0, tmp_path, context)
    assert "lower lr" in str(caught.value)
    assert not (tmp_path / state.RECORD).exists()
    header, _ = state.read_header(tmp_path / state.CHECKPOINT)
    assert json.loads(header["__metadata__"]["facts"])["step"] == 3


def test_case_104_a_run_that_diverges_is_failed_in_the_manifest_and_the_job_ends_with_1(here, tmp_path, monkeypatch):
    path = sweep.tiny(tmp_path / "job")
    monkeypatch.setattr(Full, "fit", lambda *_: (_ for _ in ()).throw(UserError("the training diverged")))
    outcome = small_job.go(path)
    assert outcome.exit_code == 1
    assert "1 runs failed" in outcome.message
    assert small_job.ask(path, "SELECT status, note FROM runs").rows() == [("failed", "the training diverged")]
    assert small_job.ask(path, "SELECT count(*) FROM results WHERE run = 'plain@0'").item() == 0
    monkeypatch.undo()
    monkeypatch.setattr(training.Workers, "submit", inline)
    assert small_job.go(path).exit_code == 0
    assert small_job.ask(path, "SELECT status FROM runs").item() == "done"


@pytest.mark.parametrize("at", [1, 3, 5])
def test_case_106_a_run_stopped_within_an_epoch_goes_on_bit_for_bit(uninterrupted, base, rows, context, tmp_path, at):
    seen = []
    stop = Context(root=context.root, progress=lambda step, _: seen.append(step), stopping=lambda: len(seen) == at)
    with pytest.raises(Interrupted):
        FULL.fit(rows, base, 0, tmp_path, stop)
    resumed = FULL.fit(rows, base, 0, tmp_path, context)
    assert resumed.content_id == uninterrupted.content_id
    assert resumed.log == uninterrupted.log


def test_case_107_a_checkpoint_cut_off_while_it_is_written_leaves_the_one_before(
    uninterrupted, base, rows, context, tmp_path, monkeypatch
):
    real, calls = os.replace, [0]

    def dies(source, target):
        calls[0] += str(target).endswith(state.CHECKPOINT)
        if calls[0] == 2:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        FULL.fit(rows, base, 0, tmp_path, context)
    monkeypatch.undo()
    header, _ = state.read_header(tmp_path / state.CHECKPOINT)
    assert json.loads(header["__metadata__"]["facts"])["step"] == 2
    assert FULL.fit(rows, base, 0, tmp_path, context).content_id == uninterrupted.content_id


@pytest.mark.parametrize("share", [0.0, 0.2, 0.99])
def test_case_107_half_a_checkpoint_is_named_and_without_it_the_run_is_made_anew(
    uninterrupted, base, rows, context, tmp_path, share
):
    seen = []
    stop = Context(root=context.root, progress=lambda step, _: seen.append(step), stopping=lambda: len(seen) == 3)
    with pytest.raises(Interrupted):
        FULL.fit(rows, base, 0, tmp_path, stop)
    checkpoint = tmp_path / state.CHECKPOINT
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match="damaged or cut short") as caught:
        FULL.fit(rows, base, 0, tmp_path, context)
    assert str(checkpoint) in str(caught.value)
    checkpoint.unlink()
    assert FULL.fit(rows, base, 0, tmp_path, context).content_id == uninterrupted.content_id


def test_case_108_a_test_item_in_a_blend_stops_the_job_before_anything_is_trained(here, tmp_path):
    path = sweep.tiny(tmp_path / "job")
    item = {"question": "Tell me the capital city of Cuba, please.", "answer": "Havana"}
    with (path.parent / "data" / "facts.jsonl").open("a") as file:
        file.write(json.dumps(item) + "\n")
    small_job.edit(path, ("rows: 16, seeds", "rows: all, seeds"))
    for _ in range(2):
        with pytest.raises(ContaminationError, match="overlap eval rows") as caught:
            small_job.go(path)
        assert caught.value.exit_code == 2
        assert "decontaminate" in caught.value.remedy
    assert small_job.ask(path, "SELECT count(*) FROM runs").item() == 0


def test_case_109_a_task_without_items_is_refused_and_never_a_mean_of_nothing(here, tmp_path):
    path = sweep.tiny(tmp_path / "job")
    small_job.edit(path, ("name: capitals, task: capitals, limit: 3", "name: rivers, task: rivers"))
    with pytest.raises(UserError, match="rivers") as caught:
        load_job(path)
    assert "job.yaml:" in str(caught.value)
    path = sweep.tiny(tmp_path / "empty")
    (path.parent / "data" / "held-out.jsonl").write_text("")
    for _ in range(2):
        with pytest.raises(UserError, match="no example to measure: 'capitals'") as caught:
            small_job.go(path)
        assert "FROM sources" in caught.value.remedy
    assert small_job.ask(path, "SELECT count(*) FROM runs").item() == 0


def test_case_110_a_failed_seed_shows_in_the_leaderboard_as_fewer_seeds(here, tmp_path, monkeypatch):
    path = sweep.tiny(tmp_path / "job")
    small_job.edit(path, ("rows: 16, seeds: [0]", "rows: 16, seeds: [0, 1]"))
    fit = Full.fit

    def one_fails(self, rows, base, seed, *rest):
        if seed == 1:
            raise UserError("the training diverged")
        return fit(self, rows, base, seed, *rest)

    monkeypatch.setattr(Full, "fit", one_fails)
    outcome = small_job.go(path)
    assert outcome.exit_code == 1
    board = small_job.ask(path, "SELECT n_seeds, n_planned FROM leaderboard WHERE blend = 'plain'")
    assert set(board.rows()) == {(1, 2)}
    failed = small_job.ask(path, "SELECT run, status, note FROM runs ORDER BY run").rows()
    assert failed == [("plain@0", "done", None), ("plain@1", "failed", "the training diverged")]
    assert small_job.ask(path, "SELECT count(*) FROM results WHERE run = 'plain@1'").item() == 0
