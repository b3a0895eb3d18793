"""Training a part of a run, to be gone on with: the weights of every part are those of the whole run on its way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from manifests.atomic import replacing
from manifests.component import Context
from manifests.errors import Interrupted
from manifests.names import digest
from trainers.saved import Progress
from trainers.sharded import split_like
from trainers.state import CHECKPOINT, Checkpoint

NEXT: Final = "checkpoint.next"
"""In the folder of a part: the state from which the next part goes on."""


@dataclass(frozen=True)
class Pausing(Context):
    """The surroundings of a run that ends after `part` / `whole` of its steps, rounded up.

    Learning rates and order are those of the whole run. `after` is the folder of an earlier part, from which it goes
    on, bit for bit; without one, or when its state is gone, the run begins anew and comes to the same weights.
    """

    part: int = 1
    whole: int = 1
    after: Path | None = None

    def reached(self, step: int, steps: int) -> bool:
        """Return whether the part is done after `step` of `steps`."""
        return 0 < step < steps and step * self.whole >= self.part * steps


def key_of(context: Context, key: str) -> str:
    """Return the key of what is to be made: of the run, or of its part."""
    if not isinstance(context, Pausing) or context.part >= context.whole:
        return key
    return digest([key, context.part, context.whole])


def take_up(context: Context, out: Path) -> None:
    """Put the state of an earlier part into `out`, unless it holds one of its own."""
    if not isinstance(context, Pausing) or (out / CHECKPOINT).exists():
        return
    for folder in (out, context.after):
        if folder is not None and (folder / NEXT).is_file():
            out.mkdir(parents=True, exist_ok=True)
            with replacing(out / CHECKPOINT) as temporary:
                shutil.copyfile(folder / NEXT, temporary)
            return


def within(
    context: Context,
    checkpoint: Checkpoint,
    model: Any,  # noqa: ANN401 - a model
    train: Callable[[Context], Progress],
) -> Progress:
    """Return what `train(context)` did, ended where the context says; the model is then as it was at its best step."""
    if not isinstance(context, Pausing):
        return train(context)
    held = checkpoint.load()
    at = (held[1]["step"], held[1]["planned"]) if held else (0, 0)

    def progress(done: int, steps: int) -> None:
        """Remember how far the run is."""
        nonlocal at
        at = (done, steps)
        context.progress(done, steps)

    def stopping() -> bool:
        """Return whether the part is done, or the user asked to stop."""
        return context.reached(*at) or context.stopping()

    try:
        return train(replace(context, progress=progress, stopping=stopping))
    except Interrupted:
        if not context.reached(*at):
            raise
    return _restored(checkpoint, model)


def leave(context: Context, out: Path) -> None:
    """Keep the state of a part for the next one; to be called before the record is written."""
    if isinstance(context, Pausing) and (out / CHECKPOINT).is_file():
        os.replace(out / CHECKPOINT, out / NEXT)


def tidy(context: Context) -> None:
    """Remove the state of the part before, which the record of this one has made needless."""
    if isinstance(context, Pausing) and context.after is not None:
        (context.after / NEXT).unlink(missing_ok=True)


def _restored(checkpoint: Checkpoint, model: Any) -> Progress:  # noqa: ANN401 - a model
    """Return what the checkpoint says of the part, the best weights so far (where a step was chosen) in the model."""
    import torch

    found = checkpoint.load()
    assert found is not None  # noqa: S101 - the loop has just written it
    tensors, facts = found
    named = dict(model.named_parameters())
    with torch.no_grad():
        for label, tensor in tensors.items():
            part, _, name = label.partition(":")
            if part == "best":
                named[name].copy_(split_like(tensor, named[name]))
    return replace(Progress.of(facts), planned=facts["step"])
