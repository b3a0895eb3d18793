"""Pretraining of the generator on plain text: a piece is cut in a, b, c; a is the instruction, c follows b."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from manifests.errors import UserError
from manifests.names import seed64
from trainers.hypernet.adapted import Adapted
from trainers.hypernet.batch import Task, batch_of, logits
from trainers.hypernet.generator import Generator
from trainers.hypernet.instruction import Encoder, Prefixes
from trainers.render import Rendered

SHORTEST = 24
"""Tokens that a text has at least, to be cut in three."""


class Cuts:
    """Pieces of plain text, cut anew at every step (TAGI's and HINT's first stage)."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, longest: int) -> None:  # noqa: ANN401 - a tokenizer
        """Take the texts in pieces of at most `longest` tokens; raise UserError when none is long enough."""
        rows = [tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in sorted(texts)]
        pieces = [row[at : at + longest] for row in rows for at in range(0, len(row), longest)]
        self.pieces = [piece for piece in pieces if len(piece) >= min(SHORTEST, longest)]
        if not self.pieces:
            raise UserError(
                "no text is long enough to be cut in three",
                value=f"{len(texts)} texts",
                remedy=f"pretraining needs rows of {SHORTEST} tokens or more; or write pretrain_steps: 0",
            )

    def drawn(self, seed: int, step: int, count: int) -> tuple[list[list[int]], list[Task]]:
        """Return `count` first parts, and for each a task of one row: the second part, and the third to learn."""
        random = np.random.default_rng([seed64(seed, "cuts") >> 1, step])
        firsts, tasks = [], list[Task]()
        for number in random.choice(len(self.pieces), size=count, replace=len(self.pieces) < count).tolist():
            piece = self.pieces[number]
            one, two = sorted(random.choice(np.arange(2, len(piece) - 1), size=2, replace=False).tolist())
            firsts.append(piece[:one])
            tasks.append(Task(f"{len(tasks)}", (Rendered(tuple(piece[one:]), two - one),)))
        return firsts, tasks


def loss(
    adapted: Adapted,
    encoder: Encoder,
    generator: Generator,
    cuts: tuple[list[list[int]], list[Task]],
    *,
    fused: bool,
) -> tuple[Any, int]:
    """Return the cross-entropy of the third parts and the tokens seen; `fused`: the first part is a prefix too."""
    firsts, tasks = cuts
    device = str(next(adapted.model.parameters()).device)
    batch = batch_of(tasks, [[0]] * len(tasks), device)
    prefixes = Prefixes(adapted.model, {task.instruction: ids for task, ids in zip(tasks, firsts, strict=True)})
    given = logits(adapted, batch, generator(encoder.pieces(firsts)), prefixes if fused else None)
    tokens = sum(map(len, firsts)) + sum(len(task.rows[0].ids) for task in tasks)
    return torch.nn.functional.cross_entropy(given.float(), batch.targets), tokens
