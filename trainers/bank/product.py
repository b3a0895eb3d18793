"""The pair of batched products of an adapted layer, and their gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from trainers.evaluate import BUCKET


@dataclass
class Pair:
    """The matrices of one layer's adapters, shapes (slots, rank, in) and (slots, out, rank), and their gradients."""

    down: Any
    up: Any
    scale: float
    down_grad: Any
    up_grad: Any

    def add(self, result: Any, x: Any, chosen: Any, anchor: Any, *, inplace: bool) -> Any:  # noqa: ANN401 - tensors
        """Return `result` (rows, width, out) and what the adapters `chosen` make of `x` (rows, width, in).

        `chosen` holds as many slots as there are parts of the rows, each as many rows. Gradients are added to those
        held here, at the backward pass that `anchor`, a tensor that requires a gradient, makes autograd do; they are
        the sums that autograd would form, in the same order. `result` is written to where `inplace`.
        """
        return _Product.apply(result, x, anchor, self, chosen, inplace)


class _Product(torch.autograd.Function):  # type: ignore[misc]
    """result + scale * x down^T up^T, per adapter.

    A scale that is a power of two is applied to the few columns between the matrices, and in either case the product is
    added where the sum lies: two passes over the wide output less, and two in the backward pass, without another
    rounding.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context
        result: Any,  # noqa: ANN401 - a tensor
        x: Any,  # noqa: ANN401 - a tensor
        anchor: Any,  # noqa: ANN401 - a tensor
        pair: Pair,
        chosen: Any,  # noqa: ANN401 - a tensor
        inplace: bool,
    ) -> Any:  # noqa: ANN401 - a tensor
        """Return the sum and keep what the backward pass needs."""
        down, up = (part.detach().index_select(0, chosen).to(result.dtype) for part in (pair.down, pair.up))
        rows = x.reshape(len(chosen), -1, x.shape[-1]).to(result.dtype)
        product = _one_by_one if _thin(rows, down) else torch.bmm
        narrow = product(rows, down.transpose(1, 2))
        result = result if inplace else result.clone()
        wide = result.view(len(chosen), -1, result.shape[-1])
        if _exact(pair.scale):
            narrow *= pair.scale
        if _exact(pair.scale) and product is torch.bmm:
            wide.baddbmm_(narrow, up.transpose(1, 2))
        else:
            added = product(narrow, up.transpose(1, 2))
            wide.add_(added if _exact(pair.scale) else added.mul_(pair.scale))
        ctx.save_for_backward(rows, narrow, down, up)
        ctx.pair, ctx.chosen, ctx.shape, ctx.dtype = pair, chosen, x.shape, x.dtype
        if inplace:
            ctx.mark_dirty(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:  # noqa: ANN401 - autograd's context, tensors
        """Add the matrices' gradients to those held, and return those of `result` and `x`."""
        rows, narrow, down, up = ctx.saved_tensors
        pair: Pair = ctx.pair
        exact = _exact(pair.scale)
        wide = grad.reshape(len(ctx.chosen), -1, grad.shape[-1])
        wide = wide if exact else wide * pair.scale
        product = _one_by_one if _thin(rows, down) else torch.bmm
        inner = product(wide, up)
        if exact:
            inner *= pair.scale
        pair.up_grad.index_add_(0, ctx.chosen, product(wide.transpose(1, 2), narrow).to(pair.up_grad.dtype))
        pair.down_grad.index_add_(0, ctx.chosen, product(inner.transpose(1, 2), rows).to(pair.down_grad.dtype))
        back = product(inner, down).view(ctx.shape).to(ctx.dtype) if ctx.needs_input_grad[1] else None
        return grad, back, None, None, None, None


def _thin(rows: Any, down: Any) -> bool:  # noqa: ANN401 - tensors
    """Return whether a CPU's kernels sum a product alone in another order than one of a batch (measured)."""
    return bool(rows.device.type == "cpu" and (down.shape[1] == 1 or rows.shape[1] < BUCKET))


def _one_by_one(one: Any, two: Any) -> Any:  # noqa: ANN401 - tensors
    """Return what `torch.bmm` does, each product computed alone."""
    return torch.stack([torch.mm(left, right) for left, right in zip(one, two, strict=True)])


def _exact(scale: float) -> bool:
    """Return whether to multiply by `scale` rounds nothing: it is a power of two."""
    return math.frexp(scale)[0] == 0.5
