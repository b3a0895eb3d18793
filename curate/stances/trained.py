"""Stances by a classifier that learns from labelled pairs of claim and evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.bootstrap import bootstrap_ci
from curate.encoder import identity
from curate.evidence import STANCES, Lesson
from curate.logistic import Floats, Ints
from curate.measure import precision_recall_f1
from curate.stances import Pair, Read, Stance
from curate.stances.features import features_of
from curate.stances.model import Model, fitted, folds_of, groups_of, macro_f1, threshold_for
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted, UserError

BLOCK: Final = 4096
"""Pairs whose features are held at once."""
_SUPPORT: Final = STANCES.index("support")
_REFUTE: Final = STANCES.index("refute")


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Trained:
    """Learns from the knowledge source's rows that have `stance` in their meta; ships no weights.

    Logistic regression on sentence vectors of the claim and the nearest sentence of the evidence, on how far the
    evidence holds the claim's words, names and numbers, and on the rules' verdict. It refutes from the least
    probability whose refutations of unseen lessons were right as often as `precision` asks; never when there is none.
    """

    kind: ClassVar[str] = "trained"
    version: ClassVar[int] = 1

    teachers: str | None = None
    """The source whose rows are lessons; all rows of the role `knowledge` with a stance when left out."""
    encoder: str = "minilm"
    """Encoder of the sentences: `minilm`, `hash`, a folder or hub id."""
    precision: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of refutations that must have been right on lessons out of fold."""
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Parts of the lessons; those that share a claim or evidence stay together."""
    min_lessons: Annotated[int, Field(ge=2)] = 50
    """Fewest lessons of two stances at least."""
    seed: int = 0
    """Seed of the folds."""

    def identity(self) -> dict[str, Any]:
        """Return the encoder's identity."""
        return {"encoder": identity(self.encoder)}

    def read(self, pairs: Sequence[Pair], lessons: Sequence[Lesson], context: Context) -> Read:
        """Return one stance per pair; raise UserError when the lessons are too few, Interrupted when asked to stop."""
        model, stances, group = self.learnt(lessons, context)
        threshold = threshold_for(self.precision, model.unseen, stances)
        found: list[Stance] = []
        for begin in range(0, len(pairs), BLOCK):
            if context.stopping():
                raise Interrupted("stopped while reading evidence; vectors are kept")
            block = pairs[begin : begin + BLOCK]
            for p in model.probabilities(features_of(block, self.encoder, context)).tolist():
                found.append(_stance(p, threshold))
            context.progress(len(found), len(pairs))
        return Read(tuple(found), self._quality(model, stances, group, threshold))

    def learnt(self, lessons: Sequence[Lesson], context: Context) -> tuple[Model, Ints, Ints]:
        """Return the model of the lessons, their stances and their groups, in the lessons' order."""
        stances = np.array([STANCES.index(lesson.stance) for lesson in lessons], np.int64)
        counts = np.bincount(stances, minlength=len(STANCES))
        if (counts >= self.min_lessons).sum() < 2:
            raise UserError(
                f"too few labelled pairs: {self.min_lessons} of two stances are needed",
                value=dict(zip(STANCES, counts.tolist(), strict=True)),
                remedy="add a source with role: knowledge whose rows have `stance` and `evidence` in their meta",
            )
        group = groups_of(lessons)
        fold = folds_of(group, [lesson.id for lesson in lessons], self.folds, self.seed)
        pairs = [Pair(lesson.claim, lesson.evidence) for lesson in lessons]
        return fitted(features_of(pairs, self.encoder, context), stances, fold), stances, group

    def _quality(
        self, model: Model, stances: Ints, group: Ints, threshold: float | None
    ) -> tuple[Mapping[str, Any], ...]:
        """Return how good the model was on lessons out of fold, as rows of `schema.QUALITY` without their scorer."""
        true = stances == _REFUTE
        flagged = (model.unseen[:, _REFUTE] >= (2.0 if threshold is None else threshold)).astype(np.float64)
        rows = [_row("macro_f1", macro_f1(stances, np.argmax(model.unseen * model.weight, axis=1)), None, len(stances))]
        for i, metric in enumerate(("refute_precision", "refute_recall")):
            value = precision_recall_f1(true, flagged)[i]
            interval = bootstrap_ci(partial(_part, i), true, flagged, group, self.seed)
            rows.append(_row(metric, value, interval, int(flagged.sum()) if i == 0 else int(true.sum())))
        return tuple(rows)


def _part(which: int, true: NDArray[np.bool_], p: Floats) -> float:
    """Return precision (0) or recall (1)."""
    return precision_recall_f1(true, p)[which]


def _stance(p: Sequence[float], threshold: float | None) -> Stance:
    if threshold is not None and p[_REFUTE] >= threshold:
        verdict = "refute"
    else:
        verdict = "support" if p[_SUPPORT] > max(p[_REFUTE], p[STANCES.index("neither")]) else "neither"
    return Stance(verdict, p[_SUPPORT], p[_REFUTE])


def _row(metric: str, value: float, interval: tuple[float, float] | None, n: int) -> dict[str, Any]:
    low, high = interval or (None, None)
    return {
        "measured_on": "labelled pairs out of fold",
        "metric": metric,
        "value": value if math.isfinite(value) else None,
        "ci_low": low,
        "ci_high": high,
        "n": n,
        "note": None if math.isfinite(value) else "nothing was refuted",
    }
