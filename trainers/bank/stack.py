"""K low-rank adapters of one shape, stacked over one frozen base: one pair of batched products per layer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import numpy as np

from trainers.dressing import arithmetic
from trainers.evaluate import BUCKET, headed
from trainers.loop import device_of, loss_of
from trainers.pack import Batch, by_flex, inputs

ADAPTER: Final = "default"
"""Name that PEFT gives the adapter of a model."""

POSITIONS: Final = {"cpu": 2048, "cuda": 1 << 17}
"""Positions of one pass at most, unless one adapter's step has more: on a CPU as many as its caches hold."""

Part = TypeVar("Part")

_ONE: Final = np.zeros((1, 1), dtype=np.int64)


class Stack:
    """`slots` adapters over the base of one PEFT model, whose adapted layers answer with those `using` names.

    An adapter's tensors have the shapes (slots, rank, in) and (slots, out, rank); its layers' inputs are the rows of a
    batch, those of one adapter after those of another, in the order named. The products are computed per adapter as in
    a model of its own, and so, in float32 on a CPU, bit for bit the same.
    """

    def __init__(self, model: Any, slots: int, *, learning: bool = True) -> None:  # noqa: ANN401 - a PEFT model
        """Take over `model`, which `stackable` accepts; its own adapter is only a place to put one and to take one.

        Without `learning` there is no memory for gradients.
        """
        import torch

        from trainers.bank.product import Pair

        self.model = model
        self.slots = slots
        self.device = device_of(model)
        self._config = copy.deepcopy(model.peft_config[ADAPTER])
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._values, self._grads = (
            {
                name: torch.zeros(count, *value.shape, dtype=value.dtype, device=value.device)
                for name, value in trained.items()
            }
            for count in (slots, slots if learning else 0)
        )
        self._anchor = torch.zeros((), device=self.device, requires_grad=True)
        self._using = torch.arange(slots, device=self.device)
        for name, layer in _adapted(model).items():
            down, up = (f"{name}.lora_{part}.{ADAPTER}.weight" for part in "AB")
            pair = Pair(
                self._values[down], self._values[up], layer.scaling[ADAPTER], self._grads[down], self._grads[up]
            )
            layer.forward = partial(self._forward, layer.base_layer, pair, type(layer.base_layer) is torch.nn.Linear)

    def renew(self) -> None:
        """Give the model a new adapter; it is drawn from torch's generator as that of a model just loaded is."""
        self.model.delete_adapter(ADAPTER)
        self.model.add_adapter(ADAPTER, copy.deepcopy(self._config))

    def take(self, slot: int) -> dict[str, Any]:
        """Copy the model's adapter into `slot` and return the slot's parameters by PEFT's names, as views."""
        import torch

        values = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, stacked in self._values.items():
                stacked[slot].copy_(values[name])
        return {name: torch.nn.Parameter(stacked[slot]) for name, stacked in self._values.items()}

    def put(self, slot: int) -> None:
        """Copy the adapter of `slot` into the model, from where it can be saved."""
        import torch

        values = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, stacked in self._values.items():
                values[name].copy_(stacked[slot])

    @contextmanager
    def using(self, slots: Sequence[int]) -> Iterator[None]:
        """Let the model answer with the adapters of `slots` within: as many rows for each, in their order."""
        import torch

        before, self._using = self._using, torch.tensor(list(slots), device=self.device)
        try:
            yield
        finally:
            self._using = before

    def room(self, positions: int, bounds: Mapping[str, int] = POSITIONS) -> int:
        """Return how many adapters a pass takes where each has so many positions; `bounds` are a pass's, by device.

        One where they are fewer than `BUCKET`: the base's products would be summed in another order.
        """
        room = bounds[self.device.partition(":")[0]] // positions
        return room if room > 1 and positions >= BUCKET else 1

    def gradients(
        self, work: Mapping[int, Sequence[Batch]], parameters: Mapping[int, Mapping[str, Any]]
    ) -> dict[int, float]:
        """Set the gradients of `parameters` (by slot, then name) and return the loss of each slot's step.

        `work` holds the parts of each slot's step. A slot's loss is the mean over its own step's learnt tokens,
        weighted by their rows. Parts of one shape are computed in one pass, as many as `POSITIONS` allows.
        """
        for grad in self._grads.values():
            grad.zero_()
        shares = {slot: 1.0 / sum(float(batch.weights.sum()) for batch in parts) for slot, parts in work.items()}
        losses = dict.fromkeys(work, 0.0)
        for group in self.passes(work, lambda batch: batch.ids.shape):
            for slot, loss in self._pass(group, shares).items():
                losses[slot] += loss
        for slot in work:
            for name, value in parameters[slot].items():
                value.grad = self._grads[name][slot]
        return losses

    def passes(
        self,
        work: Mapping[int, Sequence[Part]],
        shape: Callable[[Part], tuple[int, ...]],
        bounds: Mapping[str, int] = POSITIONS,
    ) -> Iterator[dict[int, Part]]:
        """Yield by slot the parts that are computed in one pass: of one shape, as many as there is room for.

        The n-th part of each slot may be computed with the n-th of another. `shape` gives (rows, positions of a row).
        """
        for n in range(max((len(parts) for parts in work.values()), default=0)):
            shapes: dict[tuple[int, ...], list[int]] = {}
            for slot in sorted(slot for slot, parts in work.items() if n < len(parts)):
                shapes.setdefault(shape(work[slot][n]), []).append(slot)
            for each, slots in shapes.items():
                count = self.room(math.prod(each), bounds)
                for first in range(0, len(slots), count):
                    yield {slot: work[slot][n] for slot in slots[first : first + count]}

    def _pass(self, group: Mapping[int, Batch], shares: Mapping[int, float]) -> dict[int, float]:
        """Add the gradients of the group's batches and return their shares of their steps' losses.

        The base's output layer is applied to one adapter's states after the other's, so that the logits of one alone
        take memory.
        """
        import torch

        losses = {}
        with self.using(tuple(group)):
            states = self.states(list(group.values()))
            leaves = [part.detach().requires_grad_() for part in states.unbind(0)]
            for leaf, (slot, batch) in zip(leaves, group.items(), strict=True):
                loss = (
                    loss_of(Tail(self.model, leaf), replace(batch, ids=_ONE, positions=_ONE, segments=_ONE))
                    * shares[slot]
                )
                loss.backward()
                losses[slot] = float(loss.detach())
            states.backward(torch.stack([leaf.grad for leaf in leaves]))
        return losses

    def states(self, batches: Sequence[Batch]) -> Any:  # noqa: ANN401 - a tensor
        """Return the last hidden states of each adapter in use for its batch, shape (adapters, bins, width, hidden)."""
        none = np.zeros(0, dtype=np.int64)
        ids, positions, segments = (
            np.concatenate([getattr(batch, name) for batch in batches]) for name in ("ids", "positions", "segments")
        )
        joined = Batch(ids, positions, segments, none, none, none.astype(np.float32))
        given = inputs(joined, self.device, next(self.model.parameters()).dtype, flex=by_flex(self.model))
        with arithmetic(self.model):
            states = last_states(self.model, given)
        return states.unflatten(0, (len(batches), -1))

    def _forward(self, base: Any, pair: Any, inplace: bool, x: Any) -> Any:  # noqa: ANN401 - a module, tensors
        """Return the base layer's answer and what the adapters in use add to it, each to its own rows."""
        return pair.add(base(x), x, self._using, self._anchor, inplace=inplace)


class Tail:
    """The output layer over states that are known: what `loss_of` takes for a model."""

    def __init__(self, model: Any, states: Any) -> None:  # noqa: ANN401 - a model, a tensor (bins, width, hidden)
        self._states = states
        self.parameters = model.parameters
        self.get_output_embeddings = model.get_output_embeddings
        self.arithmetic = getattr(model, "arithmetic", None)

    def __call__(self, **_: Any) -> Any:  # noqa: ANN401 - a model's inputs and output
        """Return an output that has the logits of the states; the inputs do not matter."""
        return SimpleNamespace(logits=self.get_output_embeddings()(self._states))


def stackable(model: Any) -> bool:  # noqa: ANN401 - a PEFT model
    """Return whether adapters over the base of a PEFT model can be stacked with equal results.

    Not where anything but plain pairs of matrices is trained, where an adapted layer sees other than whole rows
    (experts), and where the logits are not the output layer's own answer (capped, scaled).
    """
    from peft.tuners.lora import Linear

    layers = _adapted(model)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    pairs = {f"{name}.lora_{part}.{ADAPTER}.weight" for name in layers for part in "AB"}
    plain = all(isinstance(layer, Linear) and not layer.lora_variant for layer in layers.values())
    head = model.get_output_embeddings()
    return (
        bool(layers)
        and plain
        and trained == pairs
        and head is not None
        and head not in layers.values()
        and _regular(model, head, list(layers.values()))
    )


def renewable(model: Any) -> bool:  # noqa: ANN401 - a PEFT model
    """Return whether the adapters of several runs can be drawn and trained in one model as each in its own.

    Not where dropout draws from the generator that a run of its own has for itself, where layers are compiled, and
    where PEFT finds the layers by a pattern, which would find those inside the adapted ones too.
    """
    import torch

    def odd(module: Any) -> bool:  # noqa: ANN401 - a module
        """Return whether a module draws random numbers or is compiled."""
        drawing = isinstance(module, torch.nn.Dropout) and module.p > 0
        compiled = getattr(module, "_compiled_call_impl", None) is not None
        return drawing or compiled or bool(getattr(module, "attention_dropout", 0))

    pattern = isinstance(model.peft_config[ADAPTER].target_modules, str)
    return not pattern and not any(odd(module) for module in model.modules())


def last_states(model: Any, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a model, tensors
    """Return what the model's output layer is given, shape (rows, width, hidden); the logits are not computed."""
    seen: list[Any] = []

    def catch(states: Any) -> Any:  # noqa: ANN401 - a tensor
        """Keep the states and give the output layer one of them."""
        seen.append(states)
        return states[:1, :1]

    headed(model, given, catch)
    return seen[0]


def _adapted(model: Any) -> dict[str, Any]:  # noqa: ANN401 - a PEFT model
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def _regular(model: Any, head: Any, layers: Sequence[Any]) -> bool:  # noqa: ANN401 - modules
    """Return whether each adapted layer sees the batch's rows once, and the logits are the output layer's answer."""
    import torch

    shapes, states = list[tuple[int, ...]](), list[Any]()
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape[:-1]))) for layer in layers
    ]
    hooks.append(head.register_forward_pre_hook(lambda _, args: states.append(args[0])))
    try:
        with torch.no_grad():
            ids = torch.zeros(2, 3, dtype=torch.long, device=device_of(model))
            logits = model(input_ids=ids, use_cache=False).logits
            expected = head(states[0])
    finally:
        for hook in hooks:
            hook.remove()
    return shapes == [(2, 3)] * len(layers) and bool((logits.float() == expected.float()).all())
