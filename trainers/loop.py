"""One plain training loop, and the frame of a run around it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.component import Context, spec_of
from manifests.errors import Interrupted, UserError
from manifests.names import digest, k64, seed64
from trainers import state
from trainers.evaluate import load_tokenizer, logits_at, quiet
from trainers.pack import Batch, Item, batches, collate, inputs
from trainers.render import Problem, Renderer
from trainers.trainer import Fitted, Row


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

    @classmethod
    def of(cls, trainer: Any) -> Settings:  # noqa: ANN401 - a component with these fields
        """Return the settings that a trainer's fields hold."""
        return cls(**{name: getattr(trainer, name) for name in cls.__slots__})

    @property
    def height(self) -> int:
        """Return the bins of one step, at least one."""
        return max(1, self.batch_tokens // self.max_tokens)


@dataclass
class Progress:
    """How far a run is: optimizer steps done, tokens seen, seconds spent, (step, loss) pairs recorded."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    log: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """One run to make: what `Trainer.fit` was called with."""

    trainer: Any
    rows: Sequence[Row]
    base: Path | str
    seed: int
    out: Path
    context: Context
    tags: Mapping[str, str] = field(default_factory=dict)


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
            items.append(Item(rendered, row.weight, k64(digest([row.sample_id, seen[row.sample_id]]))))
    return items, skipped


def fit(job: Job, prepare: Callable[[], Any], save: Callable[[Any], None]) -> Fitted:
    """Make the run of `job`, or return it when `out` holds it already.

    `prepare` returns the model with what is to be trained requiring gradients; it draws from torch's generator, which
    was seeded. `save` writes the trained model into `out`. Raise UserError when no row can be trained on.
    """
    import torch

    key = state.run_key(job.trainer, job.rows, job.base, job.seed)
    found = state.finished(job.out, key)
    if found is not None:
        return found[0]
    settings = Settings.of(job.trainer)
    tokenizer = load_tokenizer(job.base)
    items, skipped = items_of(job.rows, Renderer(tokenizer), settings.max_tokens)
    if not items:
        raise UserError(
            "no row of this blend can be trained on",
            value=f"{skipped} of {len(job.rows)} rows skipped",
            remedy="each row needs a prompt and an answer that fits into max_tokens",
        )
    checkpoint = state.begin(job.out, key)
    with threads(settings.threads), torch.random.fork_rng():
        torch.manual_seed(seed64(job.seed, "init") >> 1)
        model = prepare()
        _check_context(model, settings.max_tokens)
        done = train(model, items, settings, job.seed, checkpoint, job.context)
        with quiet():
            save(model)
    tokenizer.save_pretrained(job.out)
    state.stamp(job.out, job.tags)
    fitted = Fitted(
        path=job.out,
        content_id=state.content_id(job.out),
        steps=done.step,
        tokens=done.tokens,
        seconds=done.seconds,
        peak_memory=state.peak_memory(device_of(model)),
        log=tuple(done.log),
        skipped=skipped,
        truncated=sum(item.rendered.truncated for item in items),
    )
    state.finish(job.out, key, fitted, _facts(job))
    return fitted


def train(
    model: Any,  # noqa: ANN401 - a model
    items: Sequence[Item],
    settings: Settings,
    seed: int,
    checkpoint: state.Checkpoint,
    context: Context,
) -> Progress:
    """Train what requires gradients in `model` and return what was done; goes on from `checkpoint` when it holds one.

    AdamW; the loss of a step is the mean over its learnt tokens, weighted by their rows, whatever the number of bins or
    parts. Torch is seeded anew for each step, so that no generator's state is needed to resume. Raise UserError when
    the loss is no longer finite (the last good state stays), Interrupted when `context.stopping()`.
    """
    import torch

    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimizer = _optimizer(named, settings)
    done = _resume(named, optimizer, checkpoint)
    model.train()
    plan = batches(items, settings.max_tokens, settings.height, seed, settings.steps)
    for step, bins in enumerate(plan):
        if step < done.step:
            continue
        if context.stopping():
            _save(named, optimizer, checkpoint, done)
            raise Interrupted(f"stopped at step {done.step} of {settings.steps}; the same command goes on from there")
        started = time.perf_counter()
        torch.manual_seed(seed64(seed, f"step-{step}") >> 1)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, settings)
        loss, tokens = _gradients(model, items, bins, settings.accumulate)
        norm = float(torch.nn.utils.clip_grad_norm_(named.values(), settings.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            _keep(named, optimizer, checkpoint, done)
            raise _diverged(step, loss, settings.lr)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done.step, done.tokens, done.seconds = step + 1, done.tokens + tokens, done.seconds + _since(started)
        if done.step % settings.log_steps == 0 or done.step in (1, settings.steps):
            done.log.append((done.step, loss))
        if done.step % settings.checkpoint_steps == 0 and done.step < settings.steps:
            _keep(named, optimizer, checkpoint, done)
        context.progress(done.step, settings.steps)
    return done


def loss_of(model: Any, batch: Batch) -> Any:  # noqa: ANN401 - tensors
    """Return the weighted sum of the negative log-likelihoods of the batch's learnt tokens, a scalar tensor."""
    import torch

    device = device_of(model)
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=device != "cpu"):
        where = torch.from_numpy(batch.where).to(device)
        logits = logits_at(model, inputs(batch, device, next(model.parameters()).dtype), where)
    each = torch.nn.functional.cross_entropy(
        logits.float(), torch.from_numpy(batch.targets).to(device), reduction="none"
    )
    return (each * torch.from_numpy(batch.weights).to(device)).sum()


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


def _gradients(model: Any, items: Sequence[Item], bins: list[list[int]], parts: int) -> tuple[float, int]:  # noqa: ANN401
    """Add the gradients of one step's mean loss, bins taken in `parts` parts; return (loss, tokens)."""
    size = math.ceil(len(bins) / parts)
    split = [collate(items, bins[first : first + size]) for first in range(0, len(bins), size)]
    share = 1.0 / sum(float(batch.weights.sum()) for batch in split)
    total = 0.0
    for batch in split:
        loss = loss_of(model, batch) * share
        loss.backward()
        total += float(loss.detach())
    return total, sum(batch.tokens for batch in split)


def _optimizer(named: Mapping[str, Any], settings: Settings) -> Any:  # noqa: ANN401 - an optimizer
    """Return AdamW over the parameters; vectors (norms, biases) are not decayed."""
    import torch

    matrices = [value for value in named.values() if value.dim() > 1]
    vectors = [value for value in named.values() if value.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr, betas=(0.9, 0.95), fused=True)


def _save(named: Mapping[str, Any], optimizer: Any, checkpoint: state.Checkpoint, done: Progress) -> None:  # noqa: ANN401
    tensors = {f"weight:{name}": value for name, value in named.items()}
    for name, value in named.items():
        for part, held in optimizer.state.get(value, {}).items():
            tensors[f"{part}:{name}"] = held
    facts = {
        "step": done.step,
        "tokens": done.tokens,
        "seconds": done.seconds,
        "log": [list(pair) for pair in done.log],
    }
    checkpoint.save(tensors, facts)


def _keep(named: Mapping[str, Any], optimizer: Any, checkpoint: state.Checkpoint, done: Progress) -> None:  # noqa: ANN401
    """Save the state if it is a good one: every parameter finite."""
    if all(bool(value.isfinite().all()) for value in named.values()):
        _save(named, optimizer, checkpoint, done)


def _resume(named: Mapping[str, Any], optimizer: Any, checkpoint: state.Checkpoint) -> Progress:  # noqa: ANN401
    """Put the checkpoint's state into the parameters and the optimizer; return how far it was."""
    import torch

    found = checkpoint.load()
    if found is None:
        return Progress()
    tensors, facts = found
    with torch.no_grad():
        for label, tensor in tensors.items():
            part, _, name = label.partition(":")
            if part == "weight":
                named[name].copy_(tensor)
            else:
                optimizer.state[named[name]][part] = tensor.to(named[name].device)
    log = [(int(step), float(loss)) for step, loss in facts["log"]]
    return Progress(facts["step"], facts["tokens"], facts["seconds"], log)


def _check_context(model: Any, max_tokens: int) -> None:  # noqa: ANN401 - a model
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and max_tokens > limit:
        raise UserError(
            "max_tokens is more than the base model takes", value=max_tokens, remedy=f"use {limit} or fewer"
        )


def _diverged(step: int, loss: float, lr: float) -> UserError:
    return UserError(
        f"the training diverged: loss or gradient is not finite at step {step + 1}",
        value=loss,
        remedy=f"use a lower lr than {lr:g}, a longer warmup or a smaller clip",
    )


def _since(started: float) -> float:
    return time.perf_counter() - started


def _facts(job: Job) -> dict[str, Any]:
    base = str(job.base)
    local = Path(base).is_dir()
    return {
        "trainer": spec_of(job.trainer),
        "base": base,
        "base_relative": os.path.relpath(base, job.out) if local else None,
        "seed": job.seed,
        "rows": len(job.rows),
        "tags": dict(job.tags),
    }
