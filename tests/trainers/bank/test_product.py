"""The pair of products of an adapted layer: values and gradients are autograd's own, to the last bit."""

from __future__ import annotations

import pytest


def plain(x, weight, down, up, scale, grad):
    """Return what a layer of its own answers and its gradients: of the input and of both matrices."""
    import torch

    x, down, up = (value.clone().requires_grad_() for value in (x, down, up))
    linear = torch.nn.functional.linear
    answer = linear(x, weight) + linear(linear(x, down), up) * scale
    answer.backward(grad)
    return answer.detach(), x.grad, down.grad, up.grad


@pytest.mark.parametrize("scale", [2.0, 0.25, 1.0, 0.7, 10 / 3])
@pytest.mark.parametrize(
    "shape",
    [
        (4, 64, 32, 48, 4),
        (2, 57, 48, 32, 8),
        (8, 256, 64, 176, 16),
        (1, 40, 32, 32, 1),
        (1, 9, 32, 48, 8),
    ],
)
def test_each_adapter_s_rows_are_those_of_a_layer_of_its_own(scale, shape):
    import torch

    from trainers.bank.product import Pair

    bins, width, inner, outer, rank = shape
    slots, chosen = 4, [2, 0, 3]
    torch.manual_seed(0)
    down, up = torch.randn(slots, rank, inner), torch.randn(slots, outer, rank)
    weight = torch.randn(outer, inner)
    x, grad = torch.randn(3 * bins, width, inner), torch.randn(3 * bins, width, outer)
    pair = Pair(down, up, scale, torch.zeros_like(down), torch.zeros_like(up))
    given, anchor = x.clone().requires_grad_(), torch.zeros((), requires_grad=True)
    for inplace in (True, False):
        given.grad = None
        pair.down_grad.zero_(), pair.up_grad.zero_()
        result = torch.nn.functional.linear(given, weight)
        answer = pair.add(result, given, torch.tensor(chosen), anchor, inplace=inplace)
        assert (answer.data_ptr() == result.data_ptr()) is inplace
        answer.backward(grad)
        for place, slot in enumerate(chosen):
            mine = slice(place * bins, (place + 1) * bins)
            expected = plain(x[mine], weight, down[slot], up[slot], scale, grad[mine])
            found = (answer.detach()[mine], given.grad[mine], pair.down_grad[slot], pair.up_grad[slot])
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
        assert not pair.down_grad[1].any()
        assert not pair.up_grad[1].any()


def test_an_input_that_needs_no_gradient_gets_none_and_the_matrices_theirs():
    import torch

    from trainers.bank.product import Pair

    down, up = torch.randn(2, 4, 8), torch.randn(2, 6, 4)
    pair = Pair(down, up, 2.0, torch.zeros_like(down), torch.zeros_like(up))
    x, anchor = torch.randn(2, 5, 8), torch.zeros((), requires_grad=True)
    pair.add(torch.zeros(2, 5, 6), x, torch.arange(2), anchor, inplace=True).sum().backward()
    assert pair.down_grad.abs().max() > 0
    assert x.grad is None
    assert anchor.grad is None
