"""The loop: the right gradients, whatever the parts; stops, failures and resumption."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest

from manifests.component import Context
from manifests.errors import Interrupted, UserError
from trainers import state
from trainers.evaluate import load_model
from trainers.loop import Settings, gradients, items_of, loss_of, rate, threads, train
from trainers.pack import collate, pack
from trainers.render import Renderer
from trainers.trainer import Row

SETTINGS = Settings(
    steps=8,
    lr=3e-3,
    batch_tokens=512,
    max_tokens=64,
    warmup=0.25,
    schedule="cosine",
    weight_decay=0.1,
    clip=1.0,
    accumulate=1,
    checkpoint_steps=100,
    log_steps=2,
    threads=1,
)


@pytest.fixture
def items(rows, tokenizer):
    return items_of(rows, Renderer(tokenizer), 64)[0]


def gradients_of(base, items, bins, parts=1):
    model = load_model(base, "cpu")
    loss, tokens = gradients(model, items, bins, parts)
    return loss, tokens, {name: value.grad.clone() for name, value in model.named_parameters()}


def apart(one, two):
    """Return the largest difference of two sets of gradients, relative to the largest gradient."""
    size = max(float(grad.abs().max()) for grad in one.values())
    return max(float((one[name] - two[name]).abs().max()) for name in one) / size


def test_the_loss_is_the_one_of_transformers_summed_over_unpacked_rows(base, items):
    import torch

    model = load_model(base, "cpu").eval()
    total = 0.0
    for item in items[:10]:
        ids = torch.tensor([item.rendered.ids])
        labels = ids.clone()
        labels[0, : item.rendered.start] = -100
        out = model(input_ids=ids, labels=labels)
        total += float(out.loss.detach()) * (len(item.rendered.ids) - item.rendered.start)
    bins = pack([len(item.rendered.ids) for item in items[:10]], 64)
    assert float(loss_of(model, collate(items, bins)).detach()) == pytest.approx(total, rel=1e-5)


def test_parts_packing_and_padding_give_the_same_gradient(base, items):
    packed = pack([len(item.rendered.ids) for item in items], 128)[:8]
    flat = [[i] for places in packed for i in places]
    loss, tokens, whole = gradients_of(base, items, packed)
    for bins, parts in ((packed, 8), (packed, 3), (flat, 1), (flat, len(flat))):
        other = gradients_of(base, items, bins, parts)
        assert other[0] == pytest.approx(loss, rel=1e-6)
        assert other[1] == tokens
        assert apart(whole, other[2]) < 1e-6


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_in_double_precision_packed_padded_and_accumulated_gradients_are_one(base, items, attention):
    packed = pack([len(item.rendered.ids) for item in items], 128)[:8]
    flat = [[i] for places in packed for i in places]
    found = []
    for bins, parts in ((packed, 1), (packed, 8), (packed, 3), (flat, 1), (flat, len(flat))):
        model = load_model(base, "cpu", dtype="float64")
        model.set_attn_implementation(attention)
        gradients(model, items, bins, parts)
        found.append({name: value.grad.clone() for name, value in model.named_parameters()})
    assert max(apart(found[0], other) for other in found[1:]) < 1e-6


def test_a_row_of_weight_two_counts_as_two_rows(base, rows, tokenizer):
    one = items_of([dataclasses.replace(rows[0], weight=2.0), rows[1]], Renderer(tokenizer), 64)[0]
    two = items_of([rows[0], rows[0], rows[1]], Renderer(tokenizer), 64)[0]
    first, second = gradients_of(base, one, [[0], [1]]), gradients_of(base, two, [[0], [1], [2]])
    assert first[0] == pytest.approx(second[0], rel=1e-6)
    assert apart(first[2], second[2]) < 1e-5


def test_the_rate_rises_over_the_warm_up_and_falls_to_nought():
    made = dataclasses.replace(SETTINGS, steps=100, warmup=0.1, lr=1.0)
    for schedule in ("linear", "cosine", "constant"):
        rates = [rate(step, dataclasses.replace(made, schedule=schedule)) for step in range(100)]
        assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
        assert rates[10] == 1.0
        assert all(a >= b > 0 for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == 1.0
    assert rate(55, dataclasses.replace(made, schedule="cosine")) == pytest.approx(0.5)
    assert rate(0, dataclasses.replace(made, warmup=0.0)) == 1.0


def test_rows_are_keyed_by_sample_and_repeat_and_skips_are_counted(rows, tokenizer):
    renderer = Renderer(tokenizer)
    bad = Row("ff", (("user", "a"), ("assistant", "")))
    unweighted = Row("fe", (("user", "a"), ("assistant", "b")), 0.0)
    items, skipped = items_of([*rows[:3], rows[0], bad, unweighted], renderer, 64)
    again, _ = items_of([rows[0], rows[2], rows[0], rows[1]], renderer, 64)
    assert skipped == 2
    assert items == again
    assert len({item.key for item in items}) == 4
    assert {item.key for item in items_of(rows[:2], renderer, 64)[0]} < {item.key for item in items}


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def same(one, two):
    return all(bool((one[name] == two[name]).all()) for name in one)


def test_a_stopped_run_goes_on_bit_for_bit(base, items, tmp_path):
    whole = load_model(base, "cpu")
    done = train(whole, items, SETTINGS, 1, state.begin(tmp_path / "whole", "k"), Context(root=tmp_path))
    checkpoint = state.begin(tmp_path / "parts", "k")
    for stop in (3, 4, 6):
        seen = []
        context = Context(
            root=tmp_path, progress=lambda step, _, seen=seen: seen.append(step), stopping=lambda s=stop, n=seen: s in n
        )
        with pytest.raises(Interrupted, match=f"step {stop} of 8"):
            train(load_model(base, "cpu"), items, SETTINGS, 1, checkpoint, context)
    parts = load_model(base, "cpu")
    again = train(parts, items, SETTINGS, 1, checkpoint, Context(root=tmp_path))
    assert same(weights(whole), weights(parts))
    assert (again.step, again.tokens, again.log) == (done.step, done.tokens, done.log)
    assert [step for step, _ in done.log] == [1, 2, 4, 6, 8]


def test_progress_counts_the_steps(base, items, tmp_path):
    told = []
    context = Context(root=tmp_path, progress=lambda *pair: told.append(pair))
    train(load_model(base, "cpu"), items, SETTINGS, 0, state.begin(tmp_path, "k"), context)
    assert told == [(n, 8) for n in range(1, 9)]


def test_training_lowers_the_loss_and_seeds_differ(base, items, tmp_path):
    made = dataclasses.replace(SETTINGS, steps=30)
    runs = []
    for seed in (0, 1):
        model = load_model(base, "cpu")
        done = train(model, items, made, seed, state.begin(tmp_path / str(seed), "k"), Context(root=tmp_path))
        assert done.log[-1][1] < 0.7 * done.log[0][1]
        runs.append(weights(model))
    assert not same(*runs)


def test_a_run_that_diverges_is_a_user_error_and_keeps_its_last_good_state(base, items, tmp_path):
    made = dataclasses.replace(SETTINGS, checkpoint_steps=2)
    checkpoint = state.begin(tmp_path, "k")
    model = load_model(base, "cpu")

    def poison(step, _):
        if step == 5:
            next(model.parameters()).data.fill_(math.nan)

    with pytest.raises(UserError, match="not finite at step 6"):
        train(model, items, made, 0, checkpoint, Context(root=tmp_path, progress=poison))
    tensors, facts = checkpoint.load()
    assert facts["step"] == 4
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def test_an_absurd_rate_ends_the_run(base, items, tmp_path):
    made = dataclasses.replace(SETTINGS, lr=1e38, warmup=0.0)
    with pytest.raises(UserError, match="lower lr than 1e\\+38"):
        train(load_model(base, "cpu"), items, made, 0, state.begin(tmp_path, "k"), Context(root=tmp_path))


def test_threads_are_given_back():
    import torch

    before = torch.get_num_threads()
    with threads(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before
