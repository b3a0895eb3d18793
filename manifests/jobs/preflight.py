"""What a job would train on, before it does: rows as the model will see them, with what is learnt marked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from manifests.component import Context
from manifests.errors import UserError
from manifests.jobs import rows
from manifests.jobs.stages import BASE
from manifests.store import FILE, Manifest

if TYPE_CHECKING:
    from manifests.jobs.spec import Job
    from trainers.trainer import Row

SHOWN: Final = 3


@dataclass(frozen=True)
class Shown:
    """One row: the text before the answer and the text that is learnt, as decoded from their tokens."""

    sample_id: str
    role: str
    n_tokens: int
    n_learnt: int
    truncated: bool
    prompt: str
    learnt: str


@dataclass(frozen=True)
class Preflight:
    """Some rows, and counts over all: rows, those skipped by reason, tokens, tokens learnt, how full the bins are."""

    source: str
    """The blend, or where there is none yet the sources that rows were read from."""
    base: str
    template: str
    rows: int
    tokens: int
    learnt: int
    truncated: int
    fill: float
    skipped: dict[str, int] = field(default_factory=dict)
    shown: tuple[Shown, ...] = ()

    def counts(self) -> dict[str, object]:
        """Return all but the rows shown, by name."""
        return {name: value for name, value in vars(self).items() if name != "shown"}


def of_job(job: Job) -> Preflight:
    """Return the preflight of a job: of its first blend where one is drawn, else of the rows of its sources.

    Raise UserError when it has no trainer, or its base model is still to be made.
    """
    if job.train is None:
        raise UserError("the job trains nothing", where=str(job.file), value=job.name, remedy="add train: {kind: lora}")
    base = str(job.manifest / BASE) if hasattr(job.train.base, "build") else str(job.train.base)
    if (job.manifest / FILE).exists():
        with Manifest(job.manifest) as opened:
            drawn = _drawn(opened)
        if drawn is not None:
            return _preflight(*drawn, base, job.train)
    found = [source for source in job.sources if source.role in ("specialist", "generalist")]
    frames = [(source, source.tables(job.data, (job.root, job.data), Context(job.manifest))) for source in found]
    read = [row for source, frame in frames for row in rows.plain(frame.samples, source.role)]
    return _preflight(", ".join(source.name for source in found), read, base, job.train)


def of_manifest(folder: Path) -> Preflight:
    """Return the preflight of a manifest: of its first blend, with the trainer that its runs had."""
    with Manifest(folder) as opened:
        root = opened.root
        specs = opened.sql("SELECT spec FROM store.stages WHERE kind = 'train' ORDER BY position LIMIT 1")
        drawn = _drawn(opened)
    if not specs.height or drawn is None:
        raise UserError("nothing was trained yet", where=str(folder), value=0, remedy="give the job file instead")
    spec = json.loads(specs.item())
    base, most = spec.get("base"), spec.get("max_tokens")
    if base is None or not isinstance(most, int):
        what = "the record of its training names no base or no length"
        raise UserError(what, where=str(folder), value=sorted(spec), remedy="give the job file instead")
    return _preflight(*drawn, base if isinstance(base, str) else str(root / BASE), SimpleNamespace(**spec))


def _drawn(opened: Manifest) -> tuple[str, Sequence[Row]] | None:
    """Return the first blend's ref and rows, None when none is drawn."""
    found = opened.sql("SELECT blend FROM store.blends JOIN store.stages USING (stage) ORDER BY position LIMIT 1")
    return (str(found.item()), rows.training_rows(rows.Published(opened), str(found.item()))) if found.height else None


def _preflight(source: str, given: Sequence[Row], base: str, trainer: Any) -> Preflight:  # noqa: ANN401 - its fields
    from trainers.budget import SPECIALIST
    from trainers.evaluate import load_tokenizer
    from trainers.pack import pack
    from trainers.render import Rendered, Renderer, laid_out

    if base.endswith(str(BASE)) and not Path(base).is_dir():
        raise UserError("the base model is not made yet", value=base, remedy="run the job first, or name a base model")
    layout = getattr(trainer, "template", "own")
    tokenizer, max_tokens = laid_out(load_tokenizer(base), layout), trainer.max_tokens
    renderer = Renderer(tokenizer)
    rendered = [(row, renderer.row(row.messages, max_tokens)) for row in given]
    good = [(row, one) for row, one in rendered if isinstance(one, Rendered)]
    skipped = Counter(one.reason for _, one in rendered if not isinstance(one, Rendered))
    lengths = [len(one.ids) for _, one in good]
    first = sorted(good, key=lambda pair: (pair[0].role != SPECIALIST, pair[0].sample_id))
    chosen = [*first[: SHOWN - 1], *first[-1:]] if len(first) >= SHOWN else first
    return Preflight(
        source=source,
        base=base,
        template=_named(tokenizer, layout),
        rows=len(given),
        tokens=sum(lengths),
        learnt=sum(len(one.ids) - one.start for _, one in good),
        truncated=sum(one.truncated for _, one in good),
        fill=sum(lengths) / (max_tokens * len(pack(lengths, max_tokens))) if lengths else 0.0,
        skipped=dict(sorted(skipped.items())),
        shown=tuple(_shown(tokenizer, row, one) for row, one in chosen),
    )


def _named(tokenizer: Any, layout: str) -> str:  # noqa: ANN401 - a tokenizer
    if layout != "own":
        return layout
    return "the tokenizer's" if tokenizer.chat_template else "the default one: the tokenizer has none"


def _shown(tokenizer: Any, row: Row, one: Any) -> Shown:  # noqa: ANN401 - a tokenizer, a Rendered
    prompt, learnt = (tokenizer.decode(list(ids)) for ids in (one.ids[: one.start], one.ids[one.start :]))
    return Shown(
        row.sample_id, row.role, len(one.ids), len(one.ids) - one.start, one.truncated, str(prompt), str(learnt)
    )
