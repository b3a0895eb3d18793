"""The best step is chosen on rows that are neither trained on nor tested, the same ones for every blend."""

from __future__ import annotations

import dataclasses
import json
import math

import pydantic
import pytest

from manifests.errors import Interrupted, UserError
from trainers import state, worker
from trainers.evaluate import Model
from trainers.full import Full
from trainers.loop import Settings, items_of, train
from trainers.lora import Lora
from trainers.render import Renderer
from trainers.trainer import TRAINERS, Row
from trainers.validation import Validate, Watch, split

MADE = Full(base="given", steps=24, lr=3e-2, batch_tokens=256, max_tokens=64, validate=Validate(share=0.2, every=4))


def row(n, prompt, role="specialist", answer="yes"):
    return Row(f"{n:032x}", (("user", prompt), ("assistant", f"{answer} {n}")), 1.0, role)


def prompts(rows):
    return {one.messages[:-1] for one in rows}


@pytest.fixture
def blend():
    """Return 40 specialist rows over 20 prompts, each twice, and 30 generalist rows, some with the same prompts."""
    special = [row(n, f"question {n % 20}") for n in range(40)]
    general = [row(100 + n, f"question {n + 10}", "generalist") for n in range(30)]
    return [*special, *special, *general]


def test_rows_of_one_prompt_are_on_one_side(blend):
    for validate in (Validate(share=0.25), Validate(rows=7), Validate(share=0.01)):
        kept, held = split(blend, validate)
        assert not prompts(kept) & prompts(held)
        assert {one.role for one in held} == {"specialist"}
        assert len({one.sample_id for one in held}) == len(held)
    assert len(prompts(split(blend, Validate(share=0.25))[1])) == 5
    assert len(split(blend, Validate(rows=7))[1]) == 8  # whole prompts of two rows
    assert split(blend, None) == (blend, [])


def test_blends_that_share_specialist_rows_hold_out_the_same_ones(blend):
    other = [*blend[:40][::-1], *[row(500 + n, f"else {n}", "generalist") for n in range(99)]]
    assert split(blend, Validate(share=0.3))[1] == split(other, Validate(share=0.3))[1]
    fewer = {one.sample_id for one in split(blend, Validate(rows=4))[1]}
    assert fewer < {one.sample_id for one in split(blend, Validate(rows=12))[1]}


def test_rows_of_a_named_source_are_held_out_and_their_prompts_with_them(blend):
    outside = [row(900 + n, f"question {n}", "validation") for n in range(5)]
    kept, held = split([*blend, *outside], Validate(source="dev"))
    assert held == outside
    assert not prompts(kept) & prompts(outside)
    assert len(kept) == len(blend) - 5 * 4


def test_nothing_to_hold_out_and_nothing_left_are_refused(blend):
    with pytest.raises(UserError, match="no row is left to hold out"):
        split([one for one in blend if one.role == "generalist"], Validate(share=0.1))
    with pytest.raises(UserError, match="no row is left to train on"):
        split(blend[:40], Validate(rows=1000))


@pytest.mark.parametrize("fields", [{}, {"share": 0.1, "rows": 5}, {"source": "a", "share": 0.5}])
def test_one_of_share_rows_and_source_is_needed(fields):
    with pytest.raises(UserError, match="one of share, rows and source"):
        Validate(**fields)


def test_impossible_fields_are_refused():
    for fields in ({"share": 1.0}, {"rows": 0}, {"share": 0.1, "every": 0}, {"share": 0.1, "patience": 0}):
        with pytest.raises(pydantic.ValidationError, match=list(fields)[-1]):
            Validate(**fields)


@pytest.fixture
def special(rows):
    return [dataclasses.replace(one, role="specialist") for one in rows]


@pytest.fixture(scope="module")
def fitted(base, rows, context, tmp_path_factory):
    special = [dataclasses.replace(one, role="specialist") for one in rows]
    return MADE.fit(special, base, 0, tmp_path_factory.mktemp("best") / "run", context)


def held_loss(model, held):
    found = model.loglik([(one.messages[:-1], one.messages[-1][1]) for one in held])
    return -math.fsum(one.total for one in found) / sum(one.n_tokens for one in found)


def test_the_weights_saved_are_those_of_the_best_step(fitted, special, base, context, tmp_path):
    kept, held = split(special, MADE.validate)
    losses = dict(fitted.validation)
    assert list(losses) == [4, 8, 12, 16, 20, 24]
    assert losses[fitted.best] == min(losses.values())
    assert held_loss(Model.load(fitted.path), held) == pytest.approx(losses[fitted.best], rel=1e-4)
    record = json.loads((fitted.path / "run.json").read_text())
    assert record["best"] == fitted.best
    assert f"step {fitted.best} of 24 is the best on held-out rows" in record["note"]
    plain = dataclasses.replace(MADE, validate=None, steps=24)
    without = plain.fit(kept, base, 0, tmp_path, context)
    assert without.validation == ()
    assert without.best == 0
    assert without.log == fitted.log
    assert (without.content_id == fitted.content_id) == (fitted.best == 24)


class Scripted(Watch):
    """Gives losses from a list, and keeps the weights that each was given for."""

    def __init__(self, losses):
        super().__init__((), every=2)
        object.__setattr__(self, "losses", list(losses))
        object.__setattr__(self, "seen", [])

    def loss(self, model):
        self.seen.append({name: value.detach().clone() for name, value in model.named_parameters()})
        return self.losses[len(self.seen) - 1]


@pytest.mark.parametrize(("losses", "best"), [((3, 1, 2, 2), 4), ((1, 2, 3, 1), 2), ((4, 3, 2, 1), 8)])
def test_the_model_ends_as_it_was_at_its_best_step(special, base, tokenizer, context, tmp_path, losses, best):
    from trainers.evaluate import load_model

    items, _ = items_of(special, Renderer(tokenizer), 64)
    model, watch = load_model(base, "cpu"), Scripted(losses)
    settings = dataclasses.replace(Settings.of(MADE), steps=8)
    done = train(model, items, settings, 0, state.begin(tmp_path, "k"), context, watch)
    assert (done.best, done.step) == (best, 8)
    there = watch.seen[best // 2 - 1]
    assert all(bool((value == there[name]).all()) for name, value in model.named_parameters())
    last = watch.seen[-1]
    assert (best == 8) == all(bool((there[name] == last[name]).all()) for name in there)


def test_a_stopped_run_goes_on_bit_for_bit_and_remembers_its_best(fitted, special, base, context, tmp_path):
    for stop in (6, 17):
        seen = []
        halt = dataclasses.replace(
            context, progress=lambda step, _, seen=seen: seen.append(step), stopping=lambda s=stop, n=seen: s in n
        )
        with pytest.raises(Interrupted):
            MADE.fit(special, base, 0, tmp_path, halt)
    again = MADE.fit(special, base, 0, tmp_path, context)
    assert (again.content_id, again.best, again.validation) == (fitted.content_id, fitted.best, fitted.validation)


def test_patience_ends_a_run_that_gets_worse(special, base, context, tmp_path):
    made = dataclasses.replace(MADE, steps=200, lr=0.3, validate=Validate(share=0.2, every=2, patience=3))
    run = made.fit(special, base, 0, tmp_path, context)
    after = [step for step, _ in run.validation if step > run.best]
    assert len(after) == 3
    assert run.steps == run.validation[-1][0] < 200
    assert "ended early, 200 steps were planned" in run.note


def test_measuring_changes_nothing_in_the_training(special, base, context, tmp_path):
    kept, _ = split(special, MADE.validate)
    made = Lora(base="given", steps=6, batch_tokens=256, max_tokens=64, dropout=0.3)
    plain = made.fit(kept, base, 0, tmp_path / "plain", context)
    often = dataclasses.replace(made, validate=Validate(share=0.2, every=1)).fit(
        special, base, 0, tmp_path / "often", context
    )
    assert often.log == plain.log


def test_the_loss_is_a_mean_over_tokens(base, special, tokenizer):
    from trainers.evaluate import load_model

    items, _ = items_of(special[:11], Renderer(tokenizer), 64)
    model = load_model(base, "cpu")
    assert Watch(items, 1).loss(model) == pytest.approx(held_loss(Model.load(base), special[:11]), rel=1e-5)
    assert model.training


def test_validation_is_part_of_a_run_and_survives_its_description():
    made = Lora(base="x", validate=Validate(source="dev", every=5), exposures=2)
    assert worker.build(TRAINERS, worker.describe(made)) == made
