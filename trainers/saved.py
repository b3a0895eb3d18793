"""The state of a run in the middle: parameters, optimizer, the best so far; saved, taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainers import sharded, state


@dataclass
class Progress:
    """How far a run is.

    Optimizer steps done, tokens seen, seconds spent, (step, loss) pairs recorded, in training and on the held-out rows;
    the best step of the latter, 0 before the first; `parts` that a step is computed in since memory ran out, 0 before;
    `halved` the step at which it did; `planned` the steps that the run has unless it ends early.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    log: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best: int = 0
    parts: int = 0
    halved: int = 0
    planned: int = 0

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Progress:
        """Return what `vars` of one gave, as JSON holds it."""
        pairs = {name: [(int(s), float(v)) for s, v in facts[name]] for name in ("log", "validation")}
        return cls(**{**facts, **pairs})


@dataclass
class Held:
    """The tensors of a run: what is trained by name, its optimizer, the best values so far, and where they are kept."""

    named: Mapping[str, Any]
    optimizer: Any
    checkpoint: state.Checkpoint
    writes: bool = True
    """False in all but the first of several processes."""
    best: dict[str, Any] = field(default_factory=dict)

    def save(self, done: Progress) -> None:
        """Replace the checkpoint; all processes must ask where the tensors are split over them."""
        tensors = {f"weight:{name}": value for name, value in self.named.items()}
        tensors |= {f"best:{name}": value for name, value in self.best.items()}
        for name, value in self.named.items():
            for part, held in self.optimizer.state.get(value, {}).items():
                tensors[f"{part}:{name}"] = held
        tensors = {label: sharded.whole(value).detach().cpu() for label, value in tensors.items()}
        if self.writes:
            self.checkpoint.save(tensors, vars(done))

    def keep(self, done: Progress) -> None:
        """Replace the checkpoint if the state is a good one: every parameter finite."""
        if all([bool(sharded.whole(value).isfinite().all()) for value in self.named.values()]):
            self.save(done)

    def resume(self) -> Progress:
        """Put the checkpoint's state into the parameters and the optimizer; return how far it was."""
        import torch

        found = self.checkpoint.load()
        if found is None:
            return Progress()
        tensors, facts = found
        with torch.no_grad():
            for label, tensor in tensors.items():
                part, _, name = label.partition(":")
                value = self.named[name]
                if part == "weight":
                    value.copy_(sharded.split_like(tensor, value))
                elif part == "best":
                    self.best[name] = sharded.split_like(tensor, value) if sharded.is_sharded(value) else tensor
                else:
                    part_of = sharded.split_like(tensor, value) if tensor.dim() else tensor.to(value.device)
                    self.optimizer.state[value][part] = part_of
        return Progress.of(facts)

    def remember(self) -> None:
        """Keep the parameters as they are now as the best."""
        self.best = {name: sharded.held(value) for name, value in self.named.items()}

    def restore(self) -> None:
        """Put the best into the parameters, where there is one."""
        import torch

        with torch.no_grad():
            for name, value in self.best.items():
                self.named[name].copy_(value)
