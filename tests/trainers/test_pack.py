"""Packing: nothing lost, nothing seen across a border."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.evaluate import load_model, logits_at
from trainers.loop import items_of
from trainers.pack import Item, batches, by_flex, collate, efficiency, inputs, pack
from trainers.render import Rendered, Renderer

lengths = st.lists(st.integers(1, 64), max_size=80)


def slow_pack(sizes, capacity):
    """Best-fit decreasing as a textbook has it."""
    bins: list[list[int]] = []
    for size in sorted(sizes, reverse=True):
        fitting = [b for b in bins if sum(b) + size <= capacity]
        if fitting:
            max(fitting, key=sum).append(size)
        else:
            bins.append([size])
    return sorted(sum(b) for b in bins)


@given(lengths)
def test_packing_is_best_fit_decreasing_and_loses_no_row(sizes):
    bins = pack(sizes, 64)
    assert sorted(i for places in bins for i in places) == list(range(len(sizes)))
    assert sorted(sum(sizes[i] for i in places) for places in bins) == slow_pack(sizes, 64)


def made(sizes, seed=0):
    draw = random.Random(seed)
    return [Item(Rendered(tuple(draw.choices(range(5, 90), k=n)), 1), key=draw.getrandbits(64)) for n in sizes]


@settings(deadline=None)
@given(st.lists(st.integers(2, 32), min_size=1, max_size=40), st.integers(1, 6), st.integers(1, 40))
def test_every_step_has_the_same_bins_and_no_row_waits_for_long(sizes, height, steps):
    items = made(sizes)
    plan = list(batches(items, 32, height, 3, steps))
    assert [len(bins) for bins in plan] == [height] * steps
    for bins in plan:
        assert all(sum(sizes[i] for i in places) <= 32 for places in bins)
    seen = Counter(i for bins in plan for places in bins for i in places)
    chunk = 32 * height * min(32, steps)
    spread = 2 * chunk / sum(sizes) + 3
    assert max(seen.values()) - min(seen[i] for i in range(len(items))) <= spread


def test_rows_are_seen_equally_often_over_many_epochs():
    draw = random.Random(5)
    items = made([draw.randint(4, 64) for _ in range(60)])
    plan = batches(items, 64, 4, 0, 200)
    seen = Counter(i for bins in plan for places in bins for i in places)
    assert len(seen) == 60
    assert max(seen.values()) - min(seen.values()) <= 5


def test_the_steps_depend_on_keys_and_seed_and_not_on_the_order_of_the_rows():
    items = made([4 + n % 40 for n in range(50)])
    turned = items[::-1]

    def rows(of, seed):
        return [[sorted(of[i].key for i in places) for places in bins] for bins in batches(of, 64, 2, seed, 20)]

    assert rows(items, 1) == rows(items, 1)
    assert sorted(map(str, rows(items, 1))) != sorted(map(str, rows(items, 2)))
    same = made([8] * 50)
    assert Counter(str(r) for r in rows(same, 1)) == Counter(str(r) for r in rows(same[::-1], 1))
    assert turned[0] is items[-1]


def test_short_instruction_rows_fill_the_bins():
    draw = random.Random(0)
    items = made([min(256, max(8, int(draw.lognormvariate(4.3, 0.6)))) for _ in range(2000)])
    bins = list(itertools.chain.from_iterable(batches(items, 256, 8, 0, 64)))
    assert efficiency(items, bins, 256) > 0.99
    alone = [[i] for i in range(len(items))]
    assert efficiency(items, alone, 256) < 0.5


def test_targets_are_the_next_tokens_of_learnt_positions_with_the_weights_of_their_rows():
    items = [
        Item(Rendered((5, 6, 7, 8), 2), 1.0),
        Item(Rendered((9, 10, 11), 1), 3.0),
        Item(Rendered((12, 13), 1), 0.5),
    ]
    batch = collate(items, [[0, 1], [2]])
    assert batch.ids.tolist() == [[5, 6, 7, 8, 9, 10, 11], [12, 13, 0, 0, 0, 0, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 0, 1, 2], [0, 1, 0, 0, 0, 0, 0]]
    assert batch.segments.tolist() == [[1, 1, 1, 1, 2, 2, 2], [1, 1, 0, 0, 0, 0, 0]]
    assert batch.where.tolist() == [1, 2, 4, 5, 7]
    assert batch.targets.tolist() == [7, 8, 10, 11, 13]
    assert batch.weights.tolist() == [1.0, 1.0, 3.0, 3.0, 0.5]
    assert batch.tokens == 9


@pytest.mark.filterwarnings("ignore:flex_attention called without", "ignore:_compile flag")
@pytest.mark.parametrize("attention", ["sdpa", "eager", "flex_attention"])
def test_packed_rows_give_the_logits_that_they_give_alone(base, tokenizer, rows, attention):
    import torch

    model = load_model(base, "cpu").eval()
    model.set_attn_implementation(attention)
    items, _ = items_of(rows[:12], Renderer(tokenizer), 128)
    bins = pack([len(item.rendered.ids) for item in items], 128)
    assert max(map(len, bins)) > 1
    batch = collate(items, bins)
    assert by_flex(model) == (attention == "flex_attention")
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        packed = model(**inputs(batch, "cpu", torch.float32, flex=by_flex(model)), use_cache=False).logits
        mixed = model(
            input_ids=torch.from_numpy(batch.ids),
            position_ids=torch.from_numpy(batch.positions),
            attention_mask=torch.ones_like(torch.from_numpy(batch.ids)),
            use_cache=False,
        ).logits
        worst = leak = 0.0
        for n, places in enumerate(bins):
            at = 0
            for i in places:
                ids = items[i].rendered.ids
                alone = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
                worst = max(worst, float((packed[n, at : at + len(ids)] - alone).abs().max()))
                leak = max(leak, float((mixed[n, at : at + len(ids)] - alone).abs().max()))
                at += len(ids)
    assert worst < 1e-5
    assert leak > 1e-3  # the trap that the explicit mask avoids


@pytest.mark.parametrize("count", [1, 7, 40])
def test_logits_at_chosen_positions_are_those_of_the_whole_batch(base, count):
    import torch

    model = load_model(base, "cpu").eval()
    ids = torch.randint(5, 300, (4, 32), generator=torch.Generator().manual_seed(0))
    where = torch.from_numpy(np.random.default_rng(0).choice(128, count, replace=False))
    with torch.inference_mode():
        whole = model(input_ids=ids, use_cache=False).logits.flatten(0, 1)[where]
        chosen = logits_at(model, {"input_ids": ids}, where)
    assert chosen.shape == whole.shape
    assert torch.allclose(chosen, whole, atol=1e-5)
    assert not model.get_output_embeddings()._forward_pre_hooks
