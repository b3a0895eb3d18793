"""Batched likelihoods are those of a plain forward pass, whatever shares the batch."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import causal_lm
from curate.causal_lm import CausalLM, Text, batches, identity
from manifests.errors import UserError


def texts(n: int, seed: int = 0) -> list[Text]:
    """Return n texts of 2 to 60 random tokens, each scored from a random place on."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 60, n)
    return [Text(random.integers(5, 250, size).astype(np.int32), int(random.integers(1, size))) for size in sizes]


def plain(lm: CausalLM, text: Text) -> float:
    """Return the summed loss that transformers itself gives for one text."""
    import torch

    ids = torch.from_numpy(text.ids.astype(np.int64))[None]
    labels = ids.clone()
    labels[:, : text.start] = -100
    with torch.no_grad():
        return float(lm.model(input_ids=ids, labels=labels).loss) * (len(text.ids) - text.start)


@pytest.fixture(scope="module")
def lm(lm_folder):
    return CausalLM.load(str(lm_folder))


def test_a_batch_gives_the_loss_that_transformers_gives_row_by_row(lm):
    rows = texts(40)
    assert lm._direct
    assert lm.losses(rows) == pytest.approx([plain(lm, row) for row in rows], rel=1e-5)


def test_a_value_does_not_depend_on_the_rows_beside_it_or_on_their_order(lm):
    rows = texts(30, seed=1)
    alone = np.array([lm.losses([row])[0] for row in rows])
    assert lm.losses(rows[::-1])[::-1] == pytest.approx(alone, rel=1e-5)


def test_logits_in_small_pieces_give_the_same(lm, monkeypatch):
    rows = texts(10)
    whole = lm.losses(rows)
    monkeypatch.setattr(causal_lm, "LOGITS", 1)
    assert lm.losses(rows) == pytest.approx(whole, rel=1e-6)


def test_a_model_that_scales_its_logits_is_noticed_and_scored_by_its_own_head(tmp_path):
    import torch
    from transformers import CohereConfig, CohereForCausalLM

    torch.manual_seed(0)
    config = CohereConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        logit_scale=3.0,
    )
    lm = CausalLM(CohereForCausalLM(config).eval(), None, "cpu")
    rows = texts(8)
    assert not lm._direct
    assert lm.losses(rows) == pytest.approx([plain(lm, row) for row in rows], rel=1e-5)


def test_batches_hold_every_row_once_within_the_budget():
    lengths = [5, 1, 30, 7, 7, 2, 9]
    found = list(batches(lengths, 20))
    assert sorted(i for batch in found for i in batch) == list(range(7))
    assert all(max(lengths[i] for i in batch) * len(batch) <= 20 for batch in found if len(batch) > 1)
    assert list(batches([], 20)) == []


def test_another_models_weights_are_another_identity(lm_folder, tmp_path):
    assert set(identity(str(lm_folder), None)) == {"weights"}
    assert identity("owner/name", "abc") == {"model": "owner/name", "revision": "abc"}


def test_a_folder_that_is_no_model_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="cannot be loaded"):
        CausalLM.load(str(tmp_path))


def test_batches_of_1_and_of_64_have_equal_values(lm):
    rows = texts(64, seed=2)
    one = np.concatenate([lm.losses([row]) for row in rows])
    assert lm.losses(rows) == pytest.approx(one, rel=1e-5)
    assert (one > 0).all()


def test_a_row_of_the_whole_context_and_one_of_two_tokens_share_a_batch(lm):
    random = np.random.default_rng(4)
    assert lm.context == 512
    rows = [
        Text(random.integers(5, 250, size).astype(np.int32), start) for size, start in ((512, 1), (2, 1), (512, 511))
    ]
    assert lm.losses(rows) == pytest.approx([plain(lm, row) for row in rows], rel=1e-5)


def test_the_losses_of_two_halves_add_up_to_that_of_the_whole(lm):
    (whole,) = (row for row in texts(40, seed=3)[:1])
    ids = np.resize(whole.ids, 40)
    parts = [Text(ids, 1), Text(ids[:17], 1), Text(ids, 17)]
    found = lm.losses(parts)
    assert found[0] == pytest.approx(found[1] + found[2], rel=1e-5)


def capped(**config):
    """Return a tiny Gemma 2, whose logits are squeezed between -cap and cap."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=300,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            final_logit_softcapping=0.05,
        )
    )


def biased():
    """Return a tiny Phi, whose output layer has a bias."""
    from transformers import PhiConfig, PhiForCausalLM

    config = PhiConfig(vocab_size=300, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    model = PhiForCausalLM(config)
    model.lm_head.bias.data.normal_()
    return model


def learned():
    """Return a tiny GPT-2, whose places are learned and end with its context."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=60, n_embd=32, n_layer=1, n_head=2))


@pytest.mark.parametrize(("make", "direct"), [(capped, False), (biased, True), (learned, True)])
def test_heads_of_every_kind_give_the_models_own_losses(make, direct):
    import torch

    torch.manual_seed(0)
    lm = CausalLM(make().eval(), None, "cpu")
    rows = texts(12)
    assert lm._direct is direct
    assert lm.losses(rows) == pytest.approx([plain(lm, row) for row in rows], rel=1e-5)
    if make is learned:
        assert lm.context == 60


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_batches_are_a_partition_in_order_of_length(lengths, budget):
    found = list(batches(lengths, budget))
    flat = [i for batch in found for i in batch]
    assert flat == sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    for batch, after in pairwise([*found, []]):
        assert len(batch) == 1 or lengths[batch[-1]] * len(batch) <= budget
        assert not after or lengths[after[0]] * (len(batch) + 1) > budget


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"blendsmith\[train\]"):
        CausalLM.load("anything")
