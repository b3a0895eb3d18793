"""A model whose weights, gradients and optimizer state are split over the processes of a run (FSDP2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainers.dressing import layers
from trainers.processes import Group


def shard(model: Any, group: Group) -> Any:  # noqa: ANN401 - a model
    """Return the model split over the processes, layer by layer; what is left is split as one.

    Zhao et al., "PyTorch FSDP" (2023), in its second form, `torch.distributed.fsdp.fully_shard`. Each process must have
    the same weights. Its gradients are means over the processes.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    kind = next(model.parameters()).device.type
    mesh = init_device_mesh(kind, (group.size,))
    for layer in layers(model):
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def is_sharded(value: Any) -> bool:  # noqa: ANN401 - a tensor
    """Return whether a process holds only a part of the tensor."""
    return hasattr(value, "full_tensor")


def whole(value: Any) -> Any:  # noqa: ANN401 - tensors
    """Return all of a tensor that may be split; all processes must ask."""
    return value.full_tensor() if is_sharded(value) else value


def split_like(value: Any, other: Any) -> Any:  # noqa: ANN401 - tensors
    """Return a whole tensor, of which each process has the same, split and placed as `other` is."""
    if not is_sharded(other):
        return value.to(other.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(other.device), other.device_mesh, other.placements, src_data_rank=None)


def held(value: Any) -> Any:  # noqa: ANN401 - tensors
    """Return a copy of a tensor for later: on the CPU, or of a split one this process's part where it is."""
    return value.detach().clone() if is_sharded(value) else value.detach().cpu().clone()


def gathered(model: Any, prepare: Callable[[], Any], group: Group) -> Any:  # noqa: ANN401 - a model
    """Return in the first process what `prepare` makes with all of what `model` was trained to; all must ask."""
    import torch

    trained = {name: whole(v).detach().cpu() for name, v in model.named_parameters() if v.requires_grad}
    if not group.first:
        return model
    complete = prepare()
    with torch.no_grad():
        for name, value in complete.named_parameters():
            if name in trained:
                value.copy_(trained[name])
    return complete
