"""One plain training loop: the right gradients, whatever the bins, parts and processes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from manifests.component import Context
from manifests.errors import Interrupted, UserError
from manifests.names import digest, k64, seed64
from trainers import entropy, memory, state
from trainers.budget import Budget, budgets, steps_of
from trainers.dressing import arithmetic
from trainers.pack import Batch, Item, batches, by_flex, collate, inputs
from trainers.processes import Group
from trainers.render import Problem, Renderer
from trainers.saved import Held, Progress
from trainers.sharded import is_sharded, whole
from trainers.speed import Write
from trainers.trainer import Row
from trainers.validation import Watch


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run trains; the fields of the trainers have the same names and say what they mean."""

    steps: int
    lr: float
    batch_tokens: int
    max_tokens: int
    warmup: float
    schedule: str
    weight_decay: float
    clip: float
    accumulate: int
    checkpoint_steps: int
    log_steps: int
    threads: int
    budget: Budget | None = None
    """What decides in place of `steps`, which then is not known before there are rows."""

    @classmethod
    def of(cls, trainer: Any) -> Settings:  # noqa: ANN401 - a component with these fields
        """Return the settings that a trainer's fields hold; of several budgets the first in the order of `UNITS`."""
        budget = budgets(trainer)[0]
        fields = {name: getattr(trainer, name) for name in cls.__slots__ if name not in ("steps", "budget")}
        if budget.unit == "steps":
            return cls(steps=budget.amount, **fields)
        return cls(steps=0, budget=budget, **fields)

    @property
    def height(self) -> int:
        """Return the bins of one step, at least one."""
        return max(1, self.batch_tokens // self.max_tokens)


@dataclass(frozen=True)
class Around:
    """What surrounds a run: its processes, and who is told its figures."""

    group: Group = field(default_factory=Group)
    write: Write = lambda step, figures: None


def rate(step: int, settings: Settings) -> float:
    """Return the learning rate of step 0 to `steps - 1`: a linear rise over the warm-up, then the schedule to 0."""
    rise = math.ceil(settings.warmup * settings.steps)
    if step < rise:
        return settings.lr * (step + 1) / rise
    done = (step - rise) / max(1, settings.steps - rise)
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * done))
    return settings.lr * (1 - done) if settings.schedule == "linear" else settings.lr


def items_of(rows: Sequence[Row], renderer: Renderer, max_tokens: int) -> tuple[list[Item], int]:
    """Return the rows rendered, in an order of their own, and how many could not be trained on.

    A row's key is the hash of its sample and of its count among that sample's repeats, so that two blends share the
    order of the rows they share. A row of weight 0 has nothing to learn and is skipped.
    """
    items, skipped, seen = [], 0, dict[str, int]()
    for row in sorted(rows, key=lambda row: (row.sample_id, row.messages, row.weight)):
        seen[row.sample_id] = seen.get(row.sample_id, 0) + 1
        rendered = renderer.row(row.messages, max_tokens)
        if isinstance(rendered, Problem) or row.weight <= 0:
            skipped += 1
        else:
            key = k64(digest([row.sample_id, seen[row.sample_id]]))
            items.append(Item(rendered, row.weight, key, row.role, row.sample_id))
    return items, skipped


def train(
    model: Any,  # noqa: ANN401 - a model
    items: Sequence[Item],
    settings: Settings,
    seed: int,
    checkpoint: state.Checkpoint,
    context: Context,
    watch: Watch | None = None,
    around: Around | None = None,
) -> Progress:
    """Train what requires gradients in `model` and return what was done; goes on from `checkpoint` when it holds one.

    AdamW; the loss of a step is the mean over its learnt tokens, weighted by their rows, whatever the number of bins,
    parts or processes. Torch is seeded anew for each step, so that no generator's state is needed to resume. With a
    `watch` the model ends as it was at its best step. Out of memory, a step is computed again in twice the parts, once
    in a run. Raise UserError when the loss is no longer finite (the last good state stays) or memory does not suffice,
    Interrupted when `context.stopping()`.
    """
    around = around or Around()
    settings, plan = planned(items, settings, seed)
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    held = Held(named, _optimizer(named, settings), checkpoint, around.group.first)
    done = held.resume()
    done.planned = settings.steps
    model.train()
    loop = _Loop(model, items, settings, seed, held, watch, around)
    for step, bins in enumerate(plan):
        if step < done.step:
            continue
        if watch is not None and watch.over(done.validation, done.best):
            break
        if around.group.any(context.stopping()):
            held.save(done)
            around.group.wait()
            raise Interrupted(f"stopped at step {done.step} of {settings.steps}; the same command goes on from there")
        loop.step(bins, done)
        context.progress(done.step, settings.steps)
    held.restore()
    return done


def planned(items: Sequence[Item], settings: Settings, seed: int) -> tuple[Settings, Iterable[list[list[int]]]]:
    """Return the settings with their number of steps known, and the bins of each step."""
    if settings.budget is None:
        return settings, batches(items, settings.max_tokens, settings.height, seed, settings.steps)
    plan = steps_of(items, settings.budget, settings.max_tokens, settings.height, seed)
    return replace(settings, steps=len(plan), budget=None), plan


@dataclass(frozen=True)
class _Loop:
    """What every step of a run needs."""

    model: Any
    items: Sequence[Item]
    settings: Settings
    seed: int
    held: Held
    watch: Watch | None
    around: Around

    def step(self, bins: list[list[int]], done: Progress) -> None:
        """Do the optimizer step after `done.step` and count it."""
        import torch

        settings, optimizer, step = self.settings, self.held.optimizer, done.step
        clock = getattr(self.model, "clock", time.perf_counter)
        started = clock()
        lr = rate(step, settings)
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss, tokens = self._gradients(bins, done)
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.held.named.values(), settings.clip)))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.held.keep(done)
            self.around.group.wait()
            raise _diverged(step, loss, settings.lr)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done.step, done.tokens = step + 1, done.tokens + tokens
        figures = {"loss": loss, "lr": lr, "tokens": float(done.tokens)}
        if self.watch is not None and self.watch.due(done.step, settings.steps):
            figures["validation_loss"] = self._measure(self.watch, done)
        done.seconds += clock() - started
        if done.seconds > 0:
            figures["tokens_per_second"] = done.tokens / done.seconds
        if done.step % settings.log_steps == 0 or done.step in (1, settings.steps):
            done.log.append((done.step, loss))
            self.around.write(done.step, figures)
        elif "validation_loss" in figures:
            self.around.write(done.step, figures)
        if done.step % settings.checkpoint_steps == 0 and done.step < settings.steps:
            self.held.keep(done)

    def _gradients(self, bins: list[list[int]], done: Progress) -> tuple[float, int]:
        """Return (loss, tokens) of a step, its gradients added over all processes."""
        import torch

        group, split_up = self.around.group, any(is_sharded(value) for value in self.held.named.values())
        seed = seed64(self.seed, f"step-{done.step}" + (f"-{group.rank}" if group.rank else "")) >> 1
        while True:
            parts = done.parts or self.settings.accumulate
            torch.manual_seed(seed)
            again = 0
            try:
                loss, tokens = gradients(self.model, self.items, bins, parts, group)
            except (RuntimeError, MemoryError) as error:
                again = memory.halved(error, len(bins), parts, group.size, done.halved)
            if not (again if split_up else group.any(again > 0)):
                break
            done.parts, done.halved = 2 * parts, done.step + 1  # outside of the handler, whose traceback holds tensors
            self.held.optimizer.zero_grad(set_to_none=True)
            memory.free()
        if not split_up:
            group.reduce(self.held.named.values())
        return group.total([loss])[0], tokens

    def _measure(self, watch: Watch, done: Progress) -> float:
        loss = watch.loss(self.model)
        if not math.isfinite(loss):
            raise _diverged(done.step - 1, loss, self.settings.lr)
        if not done.best or loss < min(value for _, value in done.validation):
            done.best = done.step
            self.held.remember()
        done.validation.append((done.step, loss))
        return loss


def loss_of(model: Any, batch: Batch) -> Any:  # noqa: ANN401 - tensors
    """Return the weighted sum of the negative log-likelihoods of the batch's learnt tokens, a scalar tensor."""
    import torch

    device = device_of(model)
    where, targets, weights = (torch.from_numpy(a).to(device) for a in (batch.where, batch.targets, batch.weights))
    given = inputs(batch, device, next(model.parameters()).dtype, flex=by_flex(model))
    with arithmetic(model):
        return entropy.summed(model, given, where, targets, weights)


def device_of(model: Any) -> str:  # noqa: ANN401 - a model
    """Return `cpu` or the name of the GPU that holds the model."""
    return str(next(model.parameters()).device)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads within, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gradients(
    model: Any,  # noqa: ANN401 - a model
    items: Sequence[Item],
    bins: list[list[int]],
    parts: int,
    group: Group | None = None,
) -> tuple[float, int]:
    """Add the gradients of one step's mean loss and return (loss, tokens); each process takes `parts` of its parts.

    Two processes of one part each give what one process of two parts gives, bit for bit. Where the model is split over
    the processes its gradients are summed at once, and each makes as many passes as the others, some for nothing.
    """
    group = group or Group()
    size = math.ceil(len(bins) / (parts * group.size))
    split = [collate(items, bins[first : first + size]) for first in range(0, len(bins), size)]
    if hasattr(model, "gradients"):  # a run of several that are trained together
        return model.gradients(split), sum(batch.tokens for batch in split)
    share = 1.0 / sum(float(batch.weights.sum()) for batch in split)
    mine = [(batch, share) for batch in split[group.rank * parts : (group.rank + 1) * parts]]
    scale = 1
    if group.size > 1 and is_sharded(next(model.parameters())):
        mine += [(split[0], 0.0)] * (parts - len(mine))
        scale = group.size  # its gradients are means
    total = 0.0
    for batch, part in mine:
        loss = loss_of(model, batch) * part
        (loss * scale).backward()
        total += float(loss.detach())
    return total, sum(batch.tokens for batch in split)


def _optimizer(named: Mapping[str, Any], settings: Settings) -> Any:  # noqa: ANN401 - an optimizer
    """Return AdamW over the parameters; vectors (norms, biases) are not decayed."""
    import torch

    matrices = [value for value in named.values() if value.dim() > 1]
    vectors = [value for value in named.values() if value.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr, betas=(0.9, 0.95), fused=True)


def _diverged(step: int, loss: float, lr: float) -> UserError:
    return UserError(
        f"the training diverged: loss or gradient is not finite at step {step + 1}",
        value=loss,
        remedy=f"use a lower lr than {lr:g}, a longer warmup or a smaller clip",
    )
