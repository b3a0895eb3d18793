"""The stages of a run: the bank of teachers, the pretraining, the meta-training; what each control keeps."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from manifests.atomic import replacing, write_text
from manifests.component import spec_of
from manifests.errors import UserError
from manifests.names import digest, k64
from trainers import state
from trainers.evaluate import best_device, load_model, load_tokenizer
from trainers.hypernet import meta, text
from trainers.hypernet.adapted import Adapted, Factors, slots_of
from trainers.hypernet.batch import Task
from trainers.hypernet.following import Following
from trainers.hypernet.generator import Generator
from trainers.hypernet.instruction import Encoder, Prefixes, instruction_of, prefix_ids, without
from trainers.hypernet.teacher import Teachers, bank, factors_in, guarded, joined
from trainers.loop import threads
from trainers.render import Rendered, Renderer
from trainers.run import Job, facts_of
from trainers.saved import Progress
from trainers.trainer import HELD_OUT, Fitted, Row

RECORD: Final = "hypernet.json"
"""File of a run's folder that says how it answers."""
GENERATOR: Final = "generator.safetensors"
BANK: Final = "bank.safetensors"

_LOCAL: Final = ("instructions", "method", "unseen", "variants")
"""Fields that leave the generator as it is."""

Groups = Mapping[str, Sequence[Row]]


def fit(job: Job) -> Fitted:
    """Make the run of `job`, whose trainer is a `Hypernet`, or return it when its folder holds it already."""
    trainer = job.trainer
    train_rows = [row for row in job.rows if row.role != HELD_OUT]
    groups, left_out = _meta_train(job, train_rows)
    if trainer.method == "multi-task":
        return _multi_task(job, [row for rows in groups.values() for row in rows])
    key = state.run_key(trainer, job.rows, job.base, job.seed)
    found = state.finished(job.out, key)
    if found is not None:
        return found[0]
    state.begin(job.out, key)
    started = time.perf_counter()
    with threads(trainer.threads):
        if trainer.method == "generated":
            done = _generated(job, groups, [row for row in train_rows if instruction_of(row.messages) is None])
        else:
            done = _control(job, groups)
    load_tokenizer(job.base).save_pretrained(job.out)
    _describe(job, groups)
    state.stamp(job.out, job.tags)
    fitted = Fitted(
        path=job.out,
        content_id=state.content_id(job.out),
        steps=done.step,
        tokens=done.tokens,
        seconds=max(done.seconds, time.perf_counter() - started),
        peak_memory=state.peak_memory(best_device()),
        log=tuple(done.log),
        note=f"{len(groups)} meta-train tasks{left_out}",
    )
    state.finish(job.out, key, fitted, facts_of(job))
    return fitted


def _multi_task(job: Job, rows: Sequence[Row]) -> Fitted:
    """Train one LoRA on the rows of all tasks, the instruction in the prompt; as many rows a step as the generator."""
    trainer = job.trainer
    longest = trainer.max_tokens + trainer.instruction_tokens
    renderer = Renderer(load_tokenizer(job.base))
    lengths = [len(row.ids) for one in rows if isinstance(row := renderer.row(one.messages, longest), Rendered)]
    if not lengths:
        raise UserError("no row fits into max_tokens", value=longest, remedy="raise max_tokens")
    tokens = trainer.tasks_per_step * trainer.rows_per_task * sum(lengths) // len(lengths)
    lora = replace(trainer.lora(steps=trainer.steps, tokens=max(longest, tokens)), max_tokens=longest)
    fitted: Fitted = lora.fit(rows, job.base, job.seed, job.out, job.context, job.tags)
    return fitted


def _meta_train(job: Job, rows: Sequence[Row]) -> tuple[dict[str, list[Row]], str]:
    """Return the tasks to learn from, of which some row can be trained on, and words on those of which none can."""
    trainer, renderer = job.trainer, Renderer(load_tokenizer(job.base))
    found = grouped(rows, None, job.seed)

    def fits(row: Row) -> bool:
        """Return whether a row can be trained on."""
        return isinstance(renderer.row(without(row.messages), trainer.max_tokens), Rendered)

    trainable = {one: held for one, held in found.items() if any(map(fits, held))}
    if not trainable:
        raise UserError("no row of any task fits into max_tokens", value=trainer.max_tokens, remedy="raise max_tokens")
    said = f"; {len(found) - len(trainable)} left out, no row of theirs fits into max_tokens"
    chosen = grouped([row for held in trainable.values() for row in held], trainer.meta_tasks, job.seed)
    return chosen, said if len(trainable) < len(found) else ""


def grouped(rows: Sequence[Row], most: int | None, seed: int) -> dict[str, list[Row]]:
    """Return the rows of each task by its instruction, sorted; of more than `most` tasks the first by a seeded hash.

    Raise UserError when no row has an instruction.
    """
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.sample_id, row.messages, row.weight)):
        instruction = instruction_of(row.messages)
        if instruction is not None and row.weight > 0:
            found.setdefault(instruction, []).append(row)
    if not found:
        raise UserError(
            "no row has an instruction to make an adapter from",
            value=f"{len(rows)} rows",
            remedy="give each row its task's instruction as the system turn: columns: {system: NAME}",
        )
    chosen = sorted(found, key=lambda one: k64(digest([seed, one])))[:most]
    return {one: found[one] for one in sorted(chosen)}


def adapted_base(trainer: Any, base: Path | str) -> tuple[Adapted, Encoder]:  # noqa: ANN401 - a Hypernet
    """Return the frozen base with its slots, and what reads instructions."""
    model = load_model(base, best_device())
    encoder = Encoder(model, Renderer(load_tokenizer(base)), trainer.encoder, trainer.instruction_tokens)
    return Adapted(model, slots_of(model, trainer.targets)), encoder


def tasks_of(groups: Groups, renderer: Renderer, max_tokens: int, *, fused: bool) -> tuple[list[Task], list[Task]]:
    """Return the tasks in the order of their instructions, and the same rows without any instruction.

    The former stand behind their instruction's prefix where `fused`, else the two are the same. Rows that do not fit
    are in neither. Raise UserError when a task has no row left.
    """
    shown, bare = [], []
    for instruction, rows in groups.items():
        turns = [without(row.messages) for row in rows]
        alone = [renderer.row(each, max_tokens) for each in turns]
        behind = alone
        if fused:
            following = Following(renderer, instruction, len(prefix_ids(renderer, instruction)))
            behind = [following.row(each, max_tokens) for each in turns]
        pairs = zip(behind, alone, strict=True)
        kept = [(a, b) for a, b in pairs if isinstance(a, Rendered) and isinstance(b, Rendered)]
        if not kept:
            raise UserError("no row of a task fits into max_tokens", value=instruction[:80], remedy="raise max_tokens")
        shown.append(Task(instruction, tuple(one for one, _ in kept)))
        bare.append(Task(instruction, tuple(two for _, two in kept)))
    return shown, bare


def _generated(job: Job, groups: Groups, plain: Sequence[Row]) -> Progress:
    """Train the generator, or take the one that an earlier run trained, into the run's folder."""
    trainer, root = job.trainer, job.context.root / "parts"
    spec = {name: value for name, value in spec_of(trainer).items() if name not in ("base", *_LOCAL)}
    listed = sorted([row.sample_id, [list(turn) for turn in row.messages]] for row in job.rows if row.role != HELD_OUT)
    key = digest([spec, listed, state.identity(job.base), job.seed])
    folder = root / f"generator-{key}"
    with guarded(root, key):
        found = state.finished(folder, key)
        if found is None:
            done = _learn(job, groups, plain, folder, key)
        else:
            fitted = found[0]
            done = Progress(fitted.steps, fitted.tokens, fitted.seconds, list(fitted.log))
    with replacing(job.out / GENERATOR) as temporary:
        temporary.write_bytes((folder / GENERATOR).read_bytes())
    return done


def _learn(job: Job, groups: Groups, plain: Sequence[Row], folder: Path, key: str) -> Progress:
    from safetensors.torch import save_file

    trainer, started = job.trainer, time.perf_counter()
    checkpoint = state.begin(folder, key)
    folders = bank(trainer.lora(), groups, job.base, job.seed, job.context) if trainer.taught else {}
    adapted, encoder = adapted_base(trainer, job.base)
    tasks, bare = tasks_of(groups, encoder.renderer, trainer.max_tokens, fused=trainer.fusion)
    features = encoder.vectors([task.instruction for task in tasks])
    with meta.seeded(job.seed, "generator"):
        generator = Generator(adapted.slots, features.shape[1], trainer.width, trainer.rank, trainer.form)
    generator.to(features.device)
    if trainer.pretrain_steps and checkpoint.load() is None:
        _pretrain(job, adapted, encoder, generator, [row for rows in groups.values() for row in rows], plain)
    each = [folders[task.instruction] for task in bare] if trainer.taught else []
    teachers = Teachers.load(each, adapted, bare, trainer.top_k, trainer.temperature) if trainer.taught else None
    rows = {one: prefix_ids(encoder.renderer, one)[: trainer.instruction_tokens] for one in groups}
    terms = meta.Terms(
        trainer.ce,
        trainer.kl,
        None if trainer.match == "sigmoid" else float(trainer.match),
        trainer.temperature,
        trainer.guidance == "falling",
    )
    prefixes = Prefixes(adapted.model, rows) if trainer.fusion else None
    made = meta.Meta(adapted, tasks, features, terms, teachers, prefixes)
    sizes = [len(task.rows) for task in tasks]

    def loss_of(step: int) -> tuple[Any, int]:
        """Return the loss and the tokens of a step."""
        drawn = list(meta.drawn(job.seed, step, sizes, sizes, trainer.tasks_per_step, trainer.rows_per_task))
        chosen, picked = [task for task, _ in drawn], [some for _, some in drawn]
        tokens = sum(len(tasks[task].rows[i].ids) for task, some in drawn for i in some)
        return made.loss(generator, chosen, picked, step / trainer.steps), tokens

    done = meta.optimise(generator, loss_of, _steps(trainer, trainer.steps, trainer.lr), checkpoint, job.context)
    save_file({n: v.detach().cpu().contiguous() for n, v in generator.state_dict().items()}, folder / GENERATOR)
    done.seconds = time.perf_counter() - started
    fitted = Fitted(folder, state.content_id(folder), done.step, done.tokens, done.seconds, 0, tuple(done.log))
    state.finish(folder, key, fitted, {})
    return done


def _pretrain(
    job: Job, adapted: Adapted, encoder: Encoder, generator: Generator, rows: Sequence[Row], plain: Sequence[Row]
) -> None:
    """Train the generator on plain text first; the text is that of the rows without an instruction, or of all."""
    trainer = job.trainer
    texts = ["\n".join(content for _, content in row.messages) for row in plain or rows]
    longest = min(trainer.max_tokens, trainer.instruction_tokens)
    cuts = text.Cuts(texts, encoder.renderer.tokenizer, longest)
    count = trainer.tasks_per_step

    def loss_of(step: int) -> tuple[Any, int]:
        """Return the loss and the tokens of a step."""
        return text.loss(adapted, encoder, generator, cuts.drawn(job.seed, step, count), fused=trainer.fusion)

    aside = state.Checkpoint(job.out, "")
    settings = replace(
        _steps(trainer, trainer.pretrain_steps, trainer.pretrain_lr), checkpoint_steps=trainer.pretrain_steps
    )
    meta.optimise(generator, loss_of, settings, aside, job.context)


def _steps(trainer: Any, steps: int, lr: float) -> meta.Steps:  # noqa: ANN401 - a Hypernet
    return meta.Steps(
        steps, lr, trainer.warmup, trainer.schedule, trainer.clip, trainer.log_steps, trainer.checkpoint_steps
    )


def _control(job: Job, groups: Groups) -> Progress:
    """Save what a control answers with: nothing, or adapters of the bank by their instructions."""
    from safetensors.torch import save_file

    trainer = job.trainer
    if trainer.method in ("none", "prompt"):
        return Progress()
    wanted = groups
    if trainer.method == "own":
        wanted = grouped([row for row in job.rows if row.role == HELD_OUT], None, job.seed)
    folders = bank(trainer.lora(), wanted, job.base, job.seed, job.context)
    adapted, encoder = adapted_base(trainer, job.base)
    factors = joined([factors_in(folder, adapted.slots, "cpu") for folder in folders.values()])
    if trainer.method == "mean":
        factors = mean(factors)
    held = {f"{part}.{n}": pair[i].contiguous() for n, pair in enumerate(factors) for i, part in enumerate("AB")}
    save_file({**held, "features": encoder.vectors(list(wanted)).cpu()}, job.out / BANK)
    return Progress(step=trainer.teacher_steps * len(folders))


def mean(factors: Factors) -> Factors:
    """Return factors of the mean change of several tasks' adapters, exactly: as many ranks as a matrix has.

    The mean of the factors would mean nothing, as they are defined only up to a matrix between them.
    """
    found = []
    for down, up in factors:
        change = torch.einsum("kor,kri->oi", up.double(), down.double()) / len(down)
        left, sizes, right = torch.linalg.svd(change, full_matrices=False)
        root = sizes.sqrt()
        found.append(((root[:, None] * right)[None].float(), (left * root)[None].float()))
    return found


def _describe(job: Job, groups: Groups) -> None:
    """Write how the run answers: its fields, and the instructions that it knows."""
    trainer = job.trainer
    known = list(groups)
    if trainer.method == "own":
        known = list(grouped([row for row in job.rows if row.role == HELD_OUT], None, job.seed))
    fields = ("method", "instructions", "encoder", "width", "form", "rank", "fusion", "instruction_tokens")
    record = {name: getattr(trainer, name) for name in fields}
    record |= {"targets": trainer.targets, "known": known, "base": str(job.base)}
    write_text(job.out / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
