"""The meta-training loop: tasks by turns, their adapters made from their instructions, one loss for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from manifests.component import Context
from manifests.errors import Interrupted, UserError
from manifests.names import seed64
from trainers import state
from trainers.hypernet.adapted import Adapted, Factors
from trainers.hypernet.batch import Batch, Task, batch_of, logits
from trainers.hypernet.generator import Generator
from trainers.hypernet.instruction import Prefixes
from trainers.hypernet.teacher import Teachers
from trainers.hypernet.terms import divergence, mismatch
from trainers.loop import rate
from trainers.saved import Held, Progress


@dataclass(frozen=True)
class Terms:
    """The weights of the loss's terms.

    `match` None weighs the parameter term by its own sigmoid, as TAGI does. With `falling` the teacher's two terms
    fall linearly to nothing over the run.
    """

    ce: float
    kl: float
    match: float | None
    temperature: float
    falling: bool

    def total(self, found: dict[str, Any], done: float) -> Any:  # noqa: ANN401 - a tensor
        """Return the weighted sum of the terms found, `done` (0 to 1) being the share of the run that is over."""
        taught = 1 - done if self.falling else 1.0
        total = self.ce * found["ce"]
        if "kl" in found:
            total = total + taught * self.kl * found["kl"]
        if "match" in found:
            weight = torch.sigmoid(found["match"].detach()) if self.match is None else self.match
            total = total + taught * weight * found["match"]
        return total


@dataclass(frozen=True)
class Meta:
    """What a step needs: the base, the tasks and their vectors, the teachers, what is fused, the terms' weights."""

    adapted: Adapted
    tasks: Sequence[Task]
    features: Any
    terms: Terms
    teachers: Teachers | None = None
    prefixes: Prefixes | None = None

    def loss(self, generator: Generator, chosen: Sequence[int], picked: Sequence[Sequence[int]], done: float) -> Any:  # noqa: ANN401
        """Return the loss of a step on the rows `picked` of the tasks `chosen`, a scalar tensor."""
        device = self.features.device
        batch = batch_of([self.tasks[i] for i in chosen], picked, str(device))
        factors = generator(self.features[torch.tensor(list(chosen), device=device)])
        return self.terms.total(self.found(batch, chosen, factors), done)

    def found(self, batch: Batch, chosen: Sequence[int], factors: Factors) -> dict[str, Any]:
        """Return each term that has a weight, unweighted."""
        given = logits(self.adapted, batch, factors, self.prefixes)
        found = {"ce": torch.nn.functional.cross_entropy(given.float(), batch.targets)}
        if self.teachers is not None and self.terms.kl > 0:
            found["kl"] = divergence(given, *self.teachers.stored(chosen, batch.picked), self.terms.temperature)
        if self.teachers is not None and self.terms.match != 0:
            found["match"] = mismatch(factors, self.teachers.factors(chosen))
        return found


@dataclass(frozen=True)
class Steps:
    """How a generator is trained; the fields of `Hypernet` have the same names and say what they mean."""

    steps: int
    lr: float
    warmup: float
    schedule: str
    clip: float
    log_steps: int
    checkpoint_steps: int


def optimise(
    generator: Generator,
    loss_of: Callable[[int], tuple[Any, int]],
    settings: Steps,
    checkpoint: state.Checkpoint,
    context: Context,
) -> Progress:
    """Train the generator with AdamW on `loss_of(step)`, which returns a step's loss and tokens; say what was done.

    Goes on from `checkpoint` when it holds one. Raise UserError when the loss is no longer finite, Interrupted when
    `context.stopping()`.
    """
    named = dict(generator.named_parameters())
    optimizer = torch.optim.AdamW(named.values(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.0)
    held = Held(named, optimizer, checkpoint)
    done = held.resume()
    done.planned = settings.steps
    while done.step < settings.steps:
        if context.stopping():
            held.save(done)
            raise Interrupted(f"stopped at step {done.step} of {settings.steps}; the same command goes on from there")
        for group in optimizer.param_groups:
            group["lr"] = rate(done.step, settings)  # type: ignore[arg-type]
        loss, tokens = loss_of(done.step)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(named.values(), settings.clip))
        if not (math.isfinite(float(loss.detach())) and math.isfinite(norm)):
            raise UserError(
                f"the training diverged: loss or gradient is not finite at step {done.step + 1}",
                value=float(loss.detach()),
                remedy=f"use a lower lr than {settings.lr:g}, a longer warmup or a smaller clip",
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done.step, done.tokens = done.step + 1, done.tokens + tokens
        if done.step % settings.log_steps == 0 or done.step in (1, settings.steps):
            done.log.append((done.step, float(loss.detach())))
        if done.step % settings.checkpoint_steps == 0 and done.step < settings.steps:
            held.keep(done)
        context.progress(done.step, settings.steps)
    return done


def drawn(seed: int, step: int, shares: Sequence[float], sizes: Sequence[int], tasks: int, rows: int) -> Iterator[Any]:
    """Yield (task, its rows) for a step: `tasks` tasks, none twice, and `rows` rows of each, repeated if few.

    A task is drawn in proportion to its share, that of its rows in the blend: a blend that holds as many rows of each
    type of task draws types evenly.
    """
    random = np.random.default_rng([seed64(seed, "meta") >> 1, step])
    weights = np.asarray(shares, dtype=np.float64)
    chosen = random.choice(len(sizes), size=min(tasks, len(sizes)), replace=False, p=weights / weights.sum())
    for task in chosen.tolist():
        some = random.permutation(sizes[task])[:rows].tolist()
        yield task, [some[i % len(some)] for i in range(rows)]


@contextmanager
def seeded(seed: int, what: str) -> Iterator[None]:
    """Let torch draw from `seed` within, and go on afterwards as before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed64(seed, what) >> 1)
        yield
