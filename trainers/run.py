"""The frame of a run around the training loop: its folder, its checks, its record."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from manifests.component import Context, spec_of
from manifests.errors import UserError
from manifests.names import seed64
from trainers import pause, state
from trainers.evaluate import BUCKET, load_tokenizer, logits_at, quiet
from trainers.loggers import opened, silent
from trainers.loop import Around, Settings, device_of, items_of, threads, train
from trainers.pack import Item, by_flex, collate, inputs
from trainers.processes import Group, joined
from trainers.render import Renderer, laid_out
from trainers.saved import Progress
from trainers.sharded import gathered, shard
from trainers.speed import beside, speed
from trainers.trainer import Fitted, Row
from trainers.validation import Watch, split


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


def fit(job: Job, prepare: Callable[[], Any], save: Callable[[Any], None]) -> Fitted:
    """Make the run of `job`, or return it when `out` holds it already.

    `prepare` returns the model with what is to be trained requiring gradients; it draws from torch's generator, which
    was seeded. `save` writes the trained model into `out`. Several processes that have met share the work and the first
    one writes. Raise UserError when no row can be trained on, or `processes` of the trainer are not there.
    """
    key = state.run_key(job.trainer, job.rows, job.base, job.seed)
    made = pause.key_of(job.context, key)
    with joined() as group:
        found = state.finished(job.out, made)
        group.wait()
        if found is not None:
            return found[0]
        check_processes(job.trainer, group)
        if group.first:
            pause.take_up(job.context, job.out)
        checkpoint = state.begin(job.out, key) if group.first else state.Checkpoint(job.out, key)
        group.wait()
        fitted = _fit(job, prepare, save, checkpoint, group)
        group.wait()
        found = None if group.first else state.finished(job.out, made)
    return fitted if found is None else found[0]


def _fit(
    job: Job, prepare: Callable[[], Any], save: Callable[[Any], None], checkpoint: state.Checkpoint, group: Group
) -> Fitted:
    import torch

    settings = Settings.of(job.trainer)
    validate = getattr(job.trainer, "validate", None)
    tokenizer = laid_out(load_tokenizer(job.base), getattr(job.trainer, "template", "own"))
    renderer = Renderer(tokenizer)
    learnt, held_out = split(job.rows, validate)
    items, skipped = items_of(learnt, renderer, settings.max_tokens)
    watched, _ = items_of(held_out, renderer, settings.max_tokens)
    check_rows(items, skipped, job.rows, watched if validate else None)
    watch = Watch(watched, validate.every, validate.patience) if validate else None
    with threads(settings.threads), torch.random.fork_rng(), ExitStack() as stack:
        torch.manual_seed(seed64(job.seed, "init") >> 1)
        model = prepare()
        check_base(model, renderer, settings.max_tokens)
        check_packing(model, items)
        split_up = group.size > 1 and getattr(job.trainer, "shard", False)
        model = shard(model, group) if split_up else model
        write = opened(getattr(job.trainer, "log_to", ()), job.out, facts_of(job), stack) if group.first else silent
        around = Around(group, beside(write, model, settings.max_tokens, group.size))
        done = pause.within(
            job.context,
            checkpoint,
            model,
            lambda context: train(model, items, settings, job.seed, checkpoint, context, watch, around),
        )
        fitted = Fitted(
            path=job.out,
            content_id="",
            steps=done.step,
            tokens=done.tokens,
            seconds=done.seconds,
            peak_memory=state.peak_memory(device_of(model)),
            log=tuple(done.log),
            skipped=skipped,
            truncated=sum(item.rendered.truncated for item in items),
            validation=tuple(done.validation),
            best=done.best,
            note=remarks(done),
        )
        whole = gathered(model, prepare, group) if split_up else model
        if not group.first:
            return fitted
        with quiet():
            save(whole)
    tokenizer.save_pretrained(job.out)
    state.stamp(job.out, job.tags)
    figures = speed(model, done.tokens, done.seconds, settings.max_tokens, group.size)
    fitted = replace(fitted, content_id=state.content_id(job.out))
    made = {"speed": figures, "processes": group.size, "sharded": split_up}
    pause.leave(job.context, job.out)
    state.finish(job.out, pause.key_of(job.context, checkpoint.key), fitted, facts_of(job) | made)
    pause.tidy(job.context)
    return fitted


def check_processes(trainer: Any, group: Group) -> None:  # noqa: ANN401 - a component
    """Raise UserError when a trainer names several processes and another number is here; one goes with any number."""
    asked = getattr(trainer, "processes", 1)
    if asked not in (1, group.size):
        raise UserError(
            f"this trainer's run is made in {asked} processes",
            value=f"{group.size} here",
            remedy=f"let a job make it, start the program by torchrun --nproc-per-node={asked}, or leave processes out",
        )


def check_rows(items: Sequence[Item], skipped: int, rows: Sequence[Row], watched: Sequence[Item] | None) -> None:
    """Raise UserError when no row can be trained on, or none that was to be held out can be measured."""
    if not rows:
        raise UserError("the blend is empty", value=0, remedy="see its recipe: where and rows decide what it takes")
    if not items:
        raise UserError(
            "no row of this blend can be trained on",
            value=f"{skipped} of {len(rows)} rows skipped",
            remedy="each row needs a prompt and an answer that fits into max_tokens",
        )
    if watched is not None and not watched:
        raise UserError("no held-out row can be measured", value=0, remedy="each needs an answer within max_tokens")


def check_base(model: Any, renderer: Renderer, max_tokens: int) -> None:  # noqa: ANN401 - a model
    """Raise UserError when the base takes fewer tokens than a row has, or its tokenizer is another model's."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and max_tokens > limit:
        raise UserError(
            "max_tokens is more than the base model takes", value=max_tokens, remedy=f"use {limit} or fewer"
        )
    known, size = int(model.get_input_embeddings().weight.shape[0]), len(renderer.tokenizer)
    if size > known:
        raise UserError(
            "the tokenizer does not match the base model, which has fewer embeddings than it has tokens",
            value=f"{size} tokens, {known} embeddings",
            remedy="put the tokenizer that the model was trained with beside it",
        )
    if renderer.end is None:
        raise UserError(
            "the tokenizer of the base has no token that ends an answer",
            value=None,
            remedy="set eos_token in its tokenizer_config.json",
        )


def check_packing(model: Any, items: Sequence[Item]) -> None:  # noqa: ANN401 - a model
    """Raise UserError when a row of a bin changes with the row before it, or the base's window is less than a row.

    The mask between packed rows reaches attention alone: layers with a state of their own, or kernels that ignore it,
    would carry one row into the next in silence. It takes the place of a sliding window too.
    """
    import torch

    longest = max(len(item.rendered.ids) for item in items)
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window and longest > window:
        raise UserError(
            "the base attends over a window that is shorter than the longest row",
            value=f"{longest} tokens, a window of {window}",
            remedy=f"set max_tokens to {window} or fewer",
        )
    one, two = [*sorted(items, key=lambda item: (len(item.rendered.ids), item.key))[:2], items[0]][:2]
    other = Item(replace(one.rendered, ids=(two.rendered.ids[0],) * len(one.rendered.ids)))
    places = torch.arange(len(two.rendered.ids), device=device_of(model))[:BUCKET] + len(one.rendered.ids)
    seen, training = [], model.training
    model.eval()
    with torch.inference_mode():
        for first in (one, other):
            batch = collate([first, two], [[0, 1]])
            given = inputs(batch, device_of(model), next(model.parameters()).dtype, flex=by_flex(model))
            seen.append(logits_at(model, given, places).float())
    model.train(training)
    if not bool(torch.allclose(seen[0], seen[1], rtol=0, atol=1e-4)):
        raise UserError(
            "the base sees from one packed row into the next, so that blends would change each other's rows",
            value=f"logits differ by {float((seen[0] - seen[1]).abs().max()):.2g}",
            remedy="use a base whose layers are attention layers only",
        )


def remarks(done: Progress) -> str:
    """Return what is worth knowing of a run beside its figures: the best step, an early end, memory that ran out."""
    found = []
    if done.best:
        loss = min(value for _, value in done.validation)
        found.append(f"step {done.best} of {done.step} is the best on held-out rows, loss {loss:.4f}")
    if done.step < done.planned:
        found.append(f"ended early, {done.planned} steps were planned")
    if done.halved:
        found.append(f"out of memory at step {done.halved}: each step in {done.parts} parts since")
    return "; ".join(found)


def facts_of(job: Job) -> dict[str, Any]:
    """Return what the record of a run says of its making: trainer, base and what it is, seed, rows, tags."""
    base = str(job.base)
    local = Path(base).is_dir()
    return {
        "trainer": spec_of(job.trainer),
        "base": base,
        "base_identity": state.identity(base) if local else None,
        "base_relative": os.path.relpath(base, job.out) if local else None,
        "seed": job.seed,
        "rows": len(job.rows),
        "tags": dict(job.tags),
    }
