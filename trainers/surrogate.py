"""Proposes the next blends from a regression on what blends are made of.

After RegMix (Liu et al. 2024): train some blends, fit their worth on their features, train what the fit likes best.
Three laws compete by their leave-one-out error: linear in the features, linear with squares (a share may have an
optimum inside), and a law of effective data: each row of a source is worth k of the target's, with diminishing
returns (effective data transfer, Hernandez et al. 2021; for instruction data DMO-SFT, Li et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as component_dataclass

from manifests.component import COMPONENT
from trainers.paired import Array
from trainers.search import Arms, Ask, Evidence, Measuring, Talk, end, mean, shuffled

ROWS: Final = "rows:"
"""Begin of the label of a feature that counts rows of a source; those of the target are `rows:specialist`."""
OWN: Final = f"{ROWS}specialist"
_PENALTIES: Final = np.geomspace(1e-6, 1e2, 17)
_WORTHS: Final = np.concatenate([[0.0], *(np.array([1, -1]) * 2.0**p for p in range(-12, 2))])
_POWERS: Final = np.array([0.3, 0.5, 0.7, 0.85, 1.0])
_DECAYS: Final = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0])
_SWEEPS: Final = 6

Predictor = Callable[[Array], tuple[Array, Array]]
"""Takes features of arms, returns expected worth and its standard deviation."""


@dataclass(frozen=True)
class Fit:
    """A law fitted: its name, its leave-one-out error (root of the mean square) and what it predicts."""

    law: str
    error: float
    predict: Predictor


def ridge(x: Array, y: Array, *, squares: bool) -> Fit:
    """Return the ridge regression of `y` on the columns of `x`, scaled to mean 0 and deviation 1.

    The penalty with the least leave-one-out error (in closed form) is taken; `squares` adds each column's square.
    """
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)

    def columns(given: Array) -> Array:
        """Return the scaled design with its constant."""
        z = (given - centre) / scale
        wide = np.hstack([z, z**2]) if squares else z
        return np.hstack([np.ones((len(z), 1)), wide])

    design = columns(x)
    best: tuple[float, Array, Array] | None = None
    for penalty in _PENALTIES:
        weights = np.full(design.shape[1], penalty * len(y))
        weights[0] = 1e-9
        inverse = np.linalg.inv(design.T @ design + np.diag(weights))
        hat = np.einsum("ij,jk,ik->i", design, inverse, design)
        beta = inverse @ design.T @ y
        left = (y - design @ beta) / np.maximum(1 - hat, 1e-6)
        error = float(np.sqrt((left**2).mean()))
        if best is None or error < best[0] * (1 - 1e-9):
            best = error, beta, inverse
    assert best is not None  # noqa: S101 - there are penalties
    error, beta, inverse = best

    def predict(given: Array) -> tuple[Array, Array]:
        """Return the regression's mean, and the error grown by the arm's leverage."""
        wide = columns(given)
        leverage = np.einsum("ij,jk,ik->i", wide, inverse, wide)
        return wide @ beta, error * np.sqrt(1 + np.maximum(leverage, 0))

    return Fit("quadratic" if squares else "linear", error, predict)


def transfer(rows: Array, own: int, y: Array) -> Fit:
    """Return the law of effective data: `y = top - scale (n_own + sum_j k_j n_j^power)^-decay`.

    `rows` holds counts, arms x sources, `own` the target's column. The k (each of either sign), the power and the decay
    are found by coordinate descent over fixed grids, top and scale by least squares. The error is estimated by
    generalised cross-validation; with no more arms than parameters it is infinite.
    """
    others = [j for j in range(rows.shape[1]) if j != own]
    free = len(others) + 4

    def effective(given: Array, k: Array, power: float) -> Array:
        """Return the effective rows of the target, at least one."""
        return np.maximum(given[:, own] + np.maximum(given[:, others], 0) ** power @ k, 1.0)

    def solved(k: Array, power: float, decay: float) -> tuple[float, float, float, Array]:
        """Return (sum of squares, top, scale, leverages)."""
        z = effective(rows, k, power) ** -decay
        design = np.column_stack([np.ones(len(z)), -z])
        inverse = np.linalg.pinv(design.T @ design)
        top, scale = inverse @ design.T @ y
        rest = y - design @ np.array([top, scale])
        return float(rest @ rest), float(top), float(scale), np.einsum("ij,jk,ik->i", design, inverse, design)

    k, power, decay = np.zeros(len(others)), 1.0, 0.5
    for _ in range(_SWEEPS):
        before = solved(k, power, decay)[0]
        for j in range(len(others)):
            tried = [np.where(np.arange(len(k)) == j, worth, k) for worth in _WORTHS]
            k = min(tried, key=lambda one: solved(one, power, decay)[0])
        power, decay = min(((p, d) for p in _POWERS for d in _DECAYS), key=lambda pair: solved(k, *pair)[0])
        if solved(k, power, decay)[0] >= before * (1 - 1e-9):
            break
    squares, top, scale, _ = solved(k, power, decay)
    spare = len(y) - free
    error = float(np.sqrt(squares * len(y) / spare**2)) if spare > 0 else np.inf

    def predict(given: Array) -> tuple[Array, Array]:
        """Return the law's worth, and its error for every arm."""
        return top - scale * effective(given, k, power) ** -decay, np.full(len(given), error)

    return Fit("effective data", error, predict)


def fitted(x: Array, labels: Sequence[str], y: Array) -> Fit:
    """Return the law with the least leave-one-out error; of the law of effective data it is estimated (GCV)."""
    fits = [ridge(x, y, squares=False), ridge(x, y, squares=True)]
    columns = [j for j, label in enumerate(labels) if label.startswith(ROWS)]
    if OWN in labels and len(columns) > 1:
        law = transfer(x[:, columns], [labels[j] for j in columns].index(OWN), y)
        fits.append(Fit(law.law, law.error, lambda given: law.predict(given[:, columns])))
    return min(fits, key=lambda fit: fit.error)


def spread_out(x: Array, order: Sequence[int], count: int) -> list[int]:
    """Return `count` rows of `x` far from each other: the first of `order`, then always the farthest from all taken."""
    scale = np.where(x.std(axis=0) > 1e-12, x.std(axis=0), 1.0) if x.size else 1.0
    z = x / scale
    taken = [order[0]]
    while len(taken) < min(count, len(order)):
        far = np.min([((z - z[i]) ** 2).sum(axis=1) for i in taken], axis=0)
        taken.append(
            max((i for i in order if i not in taken), key=lambda i: (round(float(far[i]), 9), -order.index(i)))
        )
    return taken


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Surrogate(Measuring):
    """Trains a few blends that differ much, then those that a regression on what they are made of likes best.

    Features: rows of each source (their logarithms too), their shares, the mass of p_error and, where the job has
    coverage cells, the share of each target's cells that a blend reaches. Ends when `runs` blends were trained or when
    no other is expected to be better.
    """

    kind: ClassVar[str] = "surrogate"
    version: ClassVar[int] = 1

    start: Annotated[int, Field(ge=2, description="Arms that are trained before the first fit.")] = 6
    batch: Annotated[int, Field(ge=1, description="Arms that are proposed at once.")] = 2
    runs: Annotated[int, Field(ge=2, description="Most arms that are trained.")] = 12
    explore: Annotated[
        float, Field(ge=0, le=10, description="Standard deviations added to what is expected of an untried arm.")
    ] = 1.0
    rung: Annotated[
        int | None,
        Field(
            ge=1,
            description=(
                "Amount of the trainer's budget at which arms are compared; the best one is then trained to the end. "
                "Left out, each is trained to the end."
            ),
        ),
    ] = None
    seed: Annotated[int, Field(ge=0, description="Seed of the first arm.")] = 0

    def rungs(self, amount: int) -> list[int]:
        """Return the amount at which arms are compared, and the whole."""
        return sorted({min(amount, self.rung or amount), amount})

    def choose(self, arms: Arms) -> Talk:
        """Ask for the first arms, then for batches of proposals."""
        at = self.first(arms.amount)
        place = {name: i for i, name in enumerate(arms.names)}
        order = [place[name] for name in shuffled(arms.names, self.seed)]
        x = arms.features if arms.features.size else np.zeros((len(order), 0))
        todo = spread_out(x, order, min(self.start, self.runs))
        tables: dict[str, Array] = {}
        clusters = None
        while todo:
            found = yield Ask(tuple(arms.names[i] for i in todo), at)
            tables, clusters = {**tables, **found.tables}, found.clusters
            todo = self._proposed(arms, x, tables, order)
        seen = tuple(name for name in arms.names if name in tables)
        chosen = end(Evidence(tables, clusters), seen, {n: "not proposed" for n in arms.names if n not in tables})
        if at < arms.amount:
            yield Ask((chosen.best,), arms.amount)
        return chosen

    def most(self, arms: int, amount: int) -> int:
        """Return the cost of `runs` arms, and of the rest of the best one."""
        at = self.first(amount)
        return min(arms, self.runs) * at + (amount - at)

    def _proposed(self, arms: Arms, x: Array, tables: dict[str, Array], order: Sequence[int]) -> list[int]:
        """Return the untried arms that may beat the best so far, the most promising first, at most a batch."""
        worth = {i: mean(tables[name]) for i, name in enumerate(arms.names) if name in tables}
        known = [i for i in worth if np.isfinite(worth[i])]
        left = [i for i in order if i not in worth]
        room = min(self.batch, self.runs - len(worth))
        if room <= 0 or not left or not known:
            return left[: max(0, room)] if not known else []
        y = np.array([worth[i] for i in known])
        expected, deviation = fitted(x[known], arms.labels, y).predict(x[left])
        hope = expected + self.explore * np.where(np.isfinite(deviation), deviation, 0.0)
        ranked = sorted(range(len(left)), key=lambda j: (-round(float(hope[j]), 12), j))
        return [left[j] for j in ranked[:room] if hope[j] > y.max()]
