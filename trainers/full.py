"""Fine-tuning of all weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from trainers.dressing import dressed
from trainers.evaluate import best_device, load_model
from trainers.hyperparameters import Hyperparameters
from trainers.run import Job, fit
from trainers.trainer import Fitted, Row


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Full(Hyperparameters):
    """Trains every weight of the base and saves a whole model; float32 weights, bfloat16 arithmetic on a GPU."""

    kind: ClassVar[str] = "full"
    version: ClassVar[int] = 1

    def fit(
        self,
        rows: Sequence[Row],
        base: Path | str,
        seed: int,
        out: Path,
        context: Context,
        tags: Mapping[str, str] | None = None,
    ) -> Fitted:
        """Train on `rows` from `base` into `out` (a model folder); a finished or interrupted fit there is used.

        Equal rows (in any order), base, seed and fields give the same weights bit for bit on one machine.
        """
        job = Job(self, rows, base, seed, out, context, tags or {})

        def prepare() -> Any:  # noqa: ANN401 - a model
            """Return the base, every weight of it to be trained."""
            return dressed(load_model(base, best_device(), dtype="float32"), self)

        return fit(job, prepare, lambda model: model.save_pretrained(out))
