"""What is generated depends on the instruction alone, and everything that makes it learns."""

from __future__ import annotations

import pytest
import torch

from manifests.errors import UserError
from tests.trainers.hypernet.conftest import INSTRUCTIONS
from trainers.hypernet.adapted import Adapted, slots_of
from trainers.hypernet.batch import Task, batch_of, logits
from trainers.hypernet.generator import FORMS, Generator
from trainers.hypernet.instruction import Encoder, Prefixes, padded, pooled, prefix_ids, read
from trainers.hypernet.meta import Meta, Terms
from trainers.hypernet.teacher import Teachers
from trainers.hypernet.terms import top
from trainers.render import Rendered


@pytest.fixture
def encoder(adapted, renderer):
    return Encoder(adapted.model, renderer)


def generator_of(adapted, features, form="full", rank=2):
    torch.manual_seed(0)
    made = Generator(adapted.slots, features, 16, rank, form)
    with torch.no_grad():
        for head in made.heads.values():
            head.weight.normal_(std=0.3)
        made.mix[-1].weight.normal_(std=0.3)
    return made


def some(renderer, instructions, fused=False):
    """Return tasks of three rows each."""
    found = []
    for instruction in instructions:
        rows = []
        for n in range(3):
            turns = [("user", f"Ada {'x' * n * 4} lives"), ("assistant", f"{instruction[:3]} {n}")]
            if fused:
                whole = renderer.row([("system", instruction), *turns], 999)
                cut = len(prefix_ids(renderer, instruction))
                rows.append(Rendered(whole.ids[cut:], whole.start - cut))
            else:
                rows.append(renderer.row(turns, 99))
        found.append(Task(instruction, tuple(rows)))
    return found


@pytest.mark.parametrize("form", FORMS)
def test_an_adapter_does_not_change_with_padding_or_with_those_it_is_made_beside(adapted, encoder, form):
    generator = generator_of(adapted, 64, form)
    together = generator(encoder.vectors(INSTRUCTIONS))
    lengths = {len(prefix_ids(encoder.renderer, one)) for one in INSTRUCTIONS}
    assert len(lengths) > 1, "the instructions must need padding"
    for number, one in enumerate(INSTRUCTIONS):
        alone = generator(encoder.vectors([one]))
        for (down, up), (a, b) in zip(alone, together, strict=True):
            assert torch.allclose(up[0] @ down[0], b[number] @ a[number], atol=1e-5)


def test_what_stands_in_the_padding_has_no_part_in_the_mean():
    states = [torch.randn(2, 5, 4) for _ in range(3)]
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    changed = [state.clone() for state in states]
    for state in changed:
        state[0, 3:] = 99.0
    assert torch.equal(pooled(states, mask), pooled(changed, mask))
    expected = torch.cat([states[1][0, :3].mean(0), states[2][0, :3].mean(0)])
    assert torch.allclose(pooled(states, mask)[0], expected, atol=1e-6)


def test_different_instructions_have_different_adapters(adapted, encoder):
    (_, up), *_ = generator_of(adapted, 64)(encoder.vectors(INSTRUCTIONS[:2]))
    assert (up[0] - up[1]).abs().max() > 1e-3


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_reach_every_part_of_the_generator_and_none_the_base(adapted, encoder, form, fused):
    tasks = some(encoder.renderer, INSTRUCTIONS[:2], fused)
    features = encoder.vectors([task.instruction for task in tasks])
    generator = generator_of(adapted, features.shape[1], form)
    prefixes = Prefixes(
        adapted.model, {task.instruction: prefix_ids(encoder.renderer, task.instruction) for task in tasks}
    )
    teachers = Teachers(
        [(torch.randn_like(a), torch.randn_like(b)) for a, b in generator(features)],
        [[top(torch.randn(len(row.ids) - row.start, 64), 4, 1.0) for row in task.rows] for task in tasks],
    )
    terms = Terms(1.0, 1.0, 1.0, 1.0, falling=False)
    made = Meta(adapted, tasks, features, terms, teachers, prefixes if fused else None)
    made.loss(generator, [0, 1], [[0, 2], [1, 1]], 0.0).backward()
    lacking = [n for n, p in generator.named_parameters() if p.grad is None or float(p.grad.abs().max()) == 0]
    assert lacking == []
    assert [n for n, p in adapted.model.named_parameters() if p.grad is not None] == []


@pytest.mark.parametrize("term", ["ce", "kl", "match"])
def test_each_term_alone_teaches_the_generator_as_it_is_made(adapted, encoder, term):
    tasks = some(encoder.renderer, INSTRUCTIONS[:2])
    features = encoder.vectors([task.instruction for task in tasks])
    torch.manual_seed(0)
    generator = Generator(adapted.slots, features.shape[1], 16, 2, "full")
    teachers = Teachers(
        [(torch.randn_like(a), torch.randn_like(b)) for a, b in generator(features)],
        [[top(torch.randn(len(row.ids) - row.start, 64), 4, 1.0) for row in task.rows] for task in tasks],
    )
    weights = [float(name == term) for name in ("ce", "kl", "match")]
    made = Meta(adapted, tasks, features, Terms(*weights, 1.0, falling=False), teachers)
    optimizer = torch.optim.AdamW(generator.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = made.loss(generator, [0, 1], [[0, 2], [1, 1]], 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_the_scaled_form_has_a_fraction_of_the_heads(adapted):
    sizes = {
        form: sum(p.numel() for p in Generator(adapted.slots, 64, 16, 4, form).heads.parameters()) for form in FORMS
    }
    assert sizes["scaled"] * 10 < sizes["full"]


def test_a_batch_of_tasks_gives_the_logits_of_each_alone(adapted, encoder):
    tasks = some(encoder.renderer, INSTRUCTIONS[:3])
    factors = generator_of(adapted, 64)(encoder.vectors([task.instruction for task in tasks]))
    whole = logits(adapted, batch_of(tasks, [[0, 1, 2]] * 3, "cpu"), factors, None)
    at = 0
    for number, task in enumerate(tasks):
        own = [(down[number : number + 1], up[number : number + 1]) for down, up in factors]
        alone = logits(adapted, batch_of([task], [[0, 1, 2]], "cpu"), own, None)
        assert torch.allclose(alone, whole[at : at + len(alone)], atol=1e-4)
        plain = logits(adapted, batch_of([task], [[0, 1, 2]], "cpu"), None, None)
        assert (plain - alone).abs().max() > 1e-2
        at += len(alone)
    assert at == len(whole)


def test_a_prefix_kept_gives_the_logits_of_the_instruction_in_the_prompt(adapted, renderer):
    tasks = some(renderer, INSTRUCTIONS[:3], fused=True)
    prefixes = Prefixes(adapted.model, {one: prefix_ids(renderer, one) for one in INSTRUCTIONS})
    fused = logits(adapted, batch_of(tasks, [[0, 1, 2]] * 3, "cpu"), None, prefixes)
    shown = []
    for task in tasks:
        cut = prefix_ids(renderer, task.instruction)
        rows = tuple(Rendered((*cut, *row.ids), len(cut) + row.start) for row in task.rows)
        shown.append(Task(task.instruction, rows))
    whole = logits(adapted, batch_of(shown, [[0, 1, 2]] * 3, "cpu"), None, None)
    assert torch.allclose(fused, whole, atol=1e-4)


def test_a_prefix_is_computed_once(adapted, renderer):
    calls = []
    adapted.model.register_forward_pre_hook(lambda *_: calls.append(1))
    prefixes = Prefixes(adapted.model, {one: prefix_ids(renderer, one) for one in INSTRUCTIONS})
    for _ in range(3):
        prefixes.cache(INSTRUCTIONS[:2], 4)
    assert len(calls) == 2


def test_the_vectors_of_long_lists_do_not_depend_on_their_batches(adapted, renderer, monkeypatch):
    rows = [prefix_ids(renderer, one) for one in INSTRUCTIONS]
    whole = read(adapted.model, rows)
    monkeypatch.setattr("trainers.hypernet.instruction.POSITIONS", 40)
    assert torch.allclose(read(adapted.model, rows), whole, atol=1e-5)


def test_rows_are_filled_on_the_right():
    ids, mask = padded([[5], [6, 7]], "cpu")
    assert (ids.tolist(), mask.tolist()) == ([[5, 0], [6, 7]], [[1, 0], [1, 1]])


def test_an_unknown_layer_is_named_with_the_nearest(base, adapted):
    with pytest.raises(UserError, match="did you mean 'q_proj'"):
        slots_of(adapted.model, ("q_prj",))
    assert isinstance(adapted, Adapted)
    assert {slot.kind for slot in slots_of(adapted.model, ("q_proj", "v_proj"))} == {"q_proj", "v_proj"}
