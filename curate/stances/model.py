"""A small classifier of stances: one logistic regression per stance, calibrated on folds that it did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.calibrate import precision_recall_f1
from curate.evidence import STANCES, Lesson
from curate.logistic import Design, Floats, Ints, Logistic, fit, sigmoid
from manifests.names import seed64

STRENGTHS: Final = (0.003, 0.03, 0.3)
"""Inverse penalties that are tried."""
VECTORS: Final = 5.0
"""Factor of the vectors' features, which are about a hundredth of the others."""
FEWEST: Final = 10
"""Fewest refutations out of fold for a threshold of a stated precision."""
_UNPENALISED: Final = 1e6
_TOLERANCE: Final = 1e-3
_REFUTE: Final = STANCES.index("refute")

Features = tuple[Floats, Floats]
"""The vectors' features and the others, a row per pair."""


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted model, and what it said of its lessons when it had not seen them."""

    mean: Floats
    scale: Floats
    lines: tuple[Logistic | None, ...]
    """One per stance; None for a stance without lessons."""
    platt: tuple[Logistic | None, ...]
    unseen: Floats
    """Probabilities of the lessons out of fold, shape (n, 3)."""
    weight: Floats
    """Factor of each stance's probability, chosen for macro-F1 out of fold."""

    def probabilities(self, features: Features) -> Floats:
        """Return the probability of each of `STANCES` per row, shape (n, 3), rows summing to 1."""
        design = _design(features, self.mean, self.scale)
        logits = [None if line is None else line.logits(design) for line in self.lines]
        return _calibrated(logits, self.platt, len(features[0]))


def fitted(features: Features, stances: Ints, fold: Ints) -> Model:
    """Return the model of the lessons: penalty by loss out of fold, Platt's calibration on the same predictions.

    `stances` index `STANCES`, `fold` counts from 0. Cost: folds * penalties + 1 fits per stance.
    """
    mean, scale = features[1].mean(axis=0), features[1].std(axis=0) + 1e-6
    design = _design(features, mean, scale)
    lines: list[Logistic | None] = []
    platts: list[Logistic | None] = []
    unseen: list[Floats | None] = []
    for stance in range(len(STANCES)):
        labels = stances == stance
        if not labels.any() or labels.all():
            lines.append(None)
            platts.append(None)
            unseen.append(None)
            continue
        strength, logits = _chosen(design, labels, fold)
        lines.append(fit(design, labels, strength, _TOLERANCE))
        platts.append(_platt(logits, labels))
        unseen.append(logits)
    out = _calibrated(unseen, platts, len(stances))
    return Model(mean, scale, tuple(lines), tuple(platts), out, weights_for(out, stances))


def groups_of(lessons: Sequence[Lesson]) -> Ints:
    """Return a number per lesson, equal where lessons share a claim or evidence, directly or by others."""
    parent = list(range(len(lessons)))

    def root(i: int) -> int:
        """Return the first lesson of the group that lesson `i` is in."""
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[int, str], int] = {}
    for i, lesson in enumerate(lessons):
        for key in ((0, lesson.claim), (1, lesson.evidence)):
            parent[root(i)] = root(first.setdefault(key, i))
    return np.unique([root(i) for i in range(len(lessons))], return_inverse=True)[1].astype(np.int64)


def folds_of(group: Ints, names: Sequence[str], folds: int, seed: int) -> Ints:
    """Return the fold of each row: whole groups, the largest first, each to the fold with the fewest rows.

    Groups of one size come in the order of a hash of their first name, so the order of rows does not matter.
    """
    size = np.bincount(group)
    least: dict[int, str] = {}
    for g, name in zip(group.tolist(), names, strict=True):
        least[g] = min(name, least.get(g, name))
    order = sorted(least, key=lambda g: (-size[g], seed64(seed, f"fold {least[g]}")))
    fold, filled = np.zeros(len(size), np.int64), np.zeros(folds, np.int64)
    for g in order:
        fold[g] = int(np.argmin(filled))
        filled[fold[g]] += size[g]
    return np.asarray(fold[group], np.int64)


def threshold_for(precision: float, unseen: Floats, stances: Ints) -> float | None:
    """Return the least P(refute) from which refutations out of fold have that precision, None when there is none.

    At least `FEWEST` lessons must be refuted there.
    """
    p, true = unseen[:, _REFUTE], stances == _REFUTE
    for value in np.unique(p):
        if (p >= value).sum() < FEWEST:
            break
        if precision_recall_f1(true, np.clip(p, 0, 1), float(value))[0] >= precision:
            return float(value)
    return None


def weights_for(p: Floats, stances: Ints) -> Floats:
    """Return the factors of the stances' probabilities whose greatest product has the best macro-F1, first found."""
    best, found = -1.0, np.ones(len(STANCES))
    grid = np.exp(np.linspace(-1.0, 2.5, 15))
    for a in grid:
        for b in grid:
            weight = np.array([a, b, 1.0])
            score = macro_f1(stances, np.argmax(p * weight, axis=1))
            if score > best + 1e-9:
                best, found = score, weight
    return found


def macro_f1(true: Ints, said: Ints) -> float:
    """Return the mean of the F1 of each class that occurs among the true ones, 0..1."""
    scores = []
    for label in np.unique(true):
        hits = int(((true == label) & (said == label)).sum())
        scores.append(2.0 * hits / int((true == label).sum() + (said == label).sum()))
    return float(np.mean(scores))


def _design(features: Features, mean: Floats, scale: Floats) -> Design:
    return Design.of(np.hstack([features[0] * VECTORS, (features[1] - mean) / scale]))


def _chosen(design: Design, labels: NDArray[np.bool_], fold: Ints) -> tuple[float, Floats]:
    """Return the penalty of the least loss out of fold, and the log-odds out of fold with it."""
    tried = [_unseen(design, labels, fold, strength) for strength in STRENGTHS]
    losses = [float(np.logaddexp(0.0, np.where(labels, -logits, logits)).mean()) for logits in tried]
    best = int(np.argmin(losses))
    return STRENGTHS[best], tried[best]


def _unseen(design: Design, labels: NDArray[np.bool_], fold: Ints, strength: float) -> Floats:
    """Return each row's log-odds from a model without its fold; the class's own odds where a model would lack one."""
    logits = np.full(len(labels), _odds(labels))
    for k in np.unique(fold):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if labels[train].any() and not labels[train].all():
            logits[test] = fit(design.take(train), labels[train], strength, _TOLERANCE).logits(design.take(test))
    return logits


def _odds(labels: NDArray[np.bool_]) -> float:
    share = float(labels.mean())
    return float(np.log(share / (1.0 - share)))


def _platt(logits: Floats, labels: NDArray[np.bool_]) -> Logistic:
    """Return the labels regressed on the log-odds (Platt 1999), their share where that would turn the order."""
    found = fit(Design.of(logits[:, None]), labels, _UNPENALISED / len(labels))
    return found if found.weights[0] >= 0 else Logistic(np.zeros(1), _odds(labels))


def _calibrated(logits: Sequence[Floats | None], platts: Sequence[Logistic | None], rows: int) -> Floats:
    p = np.zeros((rows, len(STANCES)))
    for j, (own, platt) in enumerate(zip(logits, platts, strict=True)):
        if own is not None and platt is not None:
            p[:, j] = sigmoid(platt.logits(Design.of(own[:, None])))
    return np.asarray(p / np.maximum(p.sum(axis=1, keepdims=True), 1e-12))
