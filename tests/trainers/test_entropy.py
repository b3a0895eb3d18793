"""Cross-entropy in slices: the same loss and gradients, a slice's memory."""

from __future__ import annotations

import pytest

from trainers import entropy
from trainers.evaluate import load_model
from trainers.loop import items_of, loss_of
from trainers.pack import collate
from trainers.render import Renderer


@pytest.fixture
def batch(rows, tokenizer):
    items, _ = items_of(rows, Renderer(tokenizer), 64)
    return collate(items, [[i] for i in range(len(items))])


def outcome(model, batch):
    """Return the loss, the gradients, and the bytes that the graph holds for the backward pass, parameters excluded."""
    import torch

    own = {value.untyped_storage().data_ptr() for value in model.parameters()}
    held = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(model, batch)
    loss.backward()
    return float(loss.detach()), {n: v.grad.clone() for n, v in model.named_parameters()}, sum(held.values())


@pytest.mark.parametrize("double", [False, True])
def test_slices_give_the_loss_and_the_gradients_of_one_piece(base, batch, monkeypatch, double):
    model = load_model(base, "cpu", dtype="float64" if double else "float32").eval()
    whole = outcome(model, batch)
    model.zero_grad()
    monkeypatch.setattr(entropy, "LOGITS", 40 * 320)
    assert len(batch.where) > 200
    sliced = outcome(model, batch)
    assert sliced[0] == pytest.approx(whole[0], rel=1e-12 if double else 1e-6)
    size = max(float(grad.abs().max()) for grad in whole[1].values())
    worst = max(float((sliced[1][name] - grad).abs().max()) for name, grad in whole[1].items())
    assert worst / size < (1e-12 if double else 1e-5)


def test_slices_hold_no_logits_for_the_backward_pass(base, batch, monkeypatch):
    model = load_model(base, "cpu").eval()
    whole = outcome(model, batch)[2]
    monkeypatch.setattr(entropy, "LOGITS", 40 * 320)
    logits = len(batch.where) * model.get_output_embeddings().weight.shape[0] * 4
    assert whole - outcome(model, batch)[2] > 0.9 * logits


def test_a_model_that_scales_its_logits_is_computed_in_one_piece(base, batch, monkeypatch):
    model = load_model(base, "cpu").eval()
    real = model.forward

    def scaled(**given):
        out = real(**given)
        out.logits = out.logits / 3
        return out

    monkeypatch.setattr(model, "forward", scaled)
    whole = float(loss_of(model, batch).detach())
    monkeypatch.setattr(entropy, "LOGITS", 40 * 320)
    assert float(loss_of(model, batch).detach()) == pytest.approx(whole, rel=1e-6)
