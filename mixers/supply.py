"""The generalist rows that a blend may draw from: strata, gate, hallucination budget, and what each took away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from manifests.errors import UserError
from manifests.names import sampling_key
from mixers import budget
from mixers.pick import Ints, Keys, Line
from mixers.recipe import Terms
from mixers.stratum import LENGTH, Strata, columns, stratify

if TYPE_CHECKING:
    from mixers.mixer import Pool

Ranks = Callable[[pl.DataFrame, Keys], tuple[NDArray[np.bool_], Keys]]
"""Rows and their sampling keys -> which may be drawn at all, and the keys to draw them by; see `mixers.weighted`."""


@dataclass(frozen=True)
class Supply:
    """Rows that may be drawn, as places in the pool's samples, and how many there were before each gate.

    `clean` counts the rows of each stratum with those that decontamination had dropped, `before` those of the pool,
    `gated` those that pass `where`, `judged` those with a verdict where one is needed, `counts` those left.
    """

    rows: Ints
    line: Line
    names: tuple[str, ...]
    clean: Ints
    before: Ints
    gated: Ints
    judged: Ints
    groups: Ints | None = None
    """Budget group of each row, None without a budget."""
    allowance: Ints | None = None
    """Error that each group may carry a row, in units of 2^-20."""
    notes: Mapping[str, str] | None = None

    @cached_property
    def counts(self) -> Ints:
        """Rows of each stratum that may be drawn."""
        return self.line.counts(len(self.names))

    @property
    def available(self) -> dict[str, int]:
        """Rows per stratum that may be drawn, strata that a gate emptied included as 0."""
        return dict(zip(self.names, self.counts.tolist(), strict=True))

    def widened(self, names: tuple[str, ...]) -> Supply:
        """Return the same supply with `names` among its strata, those that it did not have being empty."""
        together = tuple(sorted({*self.names, *names}))
        place = {name: i for i, name in enumerate(together)}
        moved = np.array([place[name] for name in self.names], dtype=np.int32)
        counts: dict[str, Any] = {}
        for field in ("clean", "before", "gated", "judged"):
            wide = np.zeros(len(together), dtype=np.int64)
            wide[moved] = getattr(self, field)
            counts[field] = wide
        return replace(self, names=together, line=replace(self.line, codes=moved[self.line.codes]), **counts)


def generalists(pool: Pool, terms: Terms, seed: int, purpose: str = "member", ranks: Ranks | None = None) -> Supply:
    """Return the generalist rows that pass the recipe's gate and budget, in line by the sampling key of `seed`.

    Raises UserError for rows that a budget needs judged and that are not, under `unjudged: refuse`.
    """
    samples = pool.samples
    rows = np.flatnonzero((samples["role"] == "generalist").to_numpy())
    strata = stratify(_of(samples, columns(terms.by), rows), terms.by)
    before = strata.counts()
    passed = _passed(pool, terms.where, rows)
    rows, codes = rows[passed], strata.codes[passed]
    gated = before if terms.where is None else np.bincount(codes, minlength=before.size)
    k64 = samples["k64"].to_numpy()
    keys = sampling_key(k64 if rows.size == k64.size else k64[rows], seed, purpose)
    second = None
    if ranks is not None:
        drawable, ranked = ranks(samples if rows.size == samples.height else samples[rows], keys)
        rows, codes, second, keys = rows[drawable], codes[drawable], keys[drawable], ranked
    line = Line(codes, keys, samples["sample_id"], rows, second)
    clean = before + _contaminated(pool, terms.by, strata)
    judged = gated if ranks is None else np.bincount(codes, minlength=before.size)
    supply = Supply(rows, line, strata.names, clean, before, gated, judged)
    return _budgeted(pool, terms, supply) if terms.gated else supply


def _of(samples: pl.DataFrame, by: tuple[str, ...], rows: Ints) -> pl.DataFrame:
    """Return the rows with the columns that stratifying reads; with all when it will find one unknown."""
    known = [name for name in dict.fromkeys([*by, "n_tokens"]) if name in samples.columns]
    frame = samples.select(known) if {*by} <= {*known, LENGTH} else samples
    return frame if rows.size == samples.height else frame[rows]


def _passed(pool: Pool, where: str | None, rows: Ints) -> Any:  # noqa: ANN401 - a slice or places
    if where is None:
        return slice(None)
    found = pl.Series(sorted(pool.select(where)), dtype=pl.String)
    return np.flatnonzero(pool.samples["sample_id"].is_in(found.implode()).to_numpy()[rows])


def _contaminated(pool: Pool, by: str | tuple[str, ...], strata: Strata) -> Ints:
    """Return the rows of each stratum that decontamination dropped before; those of new strata count nowhere."""
    dropped = pool.contaminated
    counts = np.zeros(len(strata.names), dtype=np.int64)
    if dropped is None or dropped.is_empty() or not {*columns(by)} <= {*dropped.columns, LENGTH} - {"cell"}:
        return counts
    place = {name: i for i, name in enumerate(strata.names)}
    lost = stratify(dropped, by)
    for name, count in zip(lost.names, lost.counts().tolist(), strict=True):
        if name in place:
            counts[place[name]] += count
    return counts


def _budgeted(pool: Pool, terms: Terms, supply: Supply) -> Supply:
    """Return what the hallucination budget leaves of a supply."""
    probability = pool.samples["p_error"].to_numpy()[supply.rows].astype(np.float64)
    unjudged = np.isnan(probability)
    if unjudged.any() and terms.unjudged == "refuse":
        raise UserError(
            f"blend '{terms.name}' has a hallucination budget, and generalist rows that no judge gave a p_error",
            value=int(unjudged.sum()),
            remedy="set unjudged: drop to leave them out or unjudged: keep to count them as at the budget, or judge"
            " them first",
        )
    supply = replace(supply, judged=np.bincount(supply.line.codes, minlength=len(supply.names)))
    if unjudged.any() and terms.unjudged == "drop":
        supply = _narrowed(supply, ~unjudged)
        supply = replace(supply, judged=supply.counts)
        probability, unjudged = probability[~unjudged], unjudged[~unjudged]
    groups, allowance = _groups(pool, terms, supply)
    errors = np.where(unjudged, allowance[groups], budget.units(np.where(unjudged, 0.0, probability)))
    if terms.over == "weight":
        return replace(supply, groups=groups, allowance=allowance)
    line = replace(supply.line, codes=groups.astype(np.int32)).ordered()
    kept = budget.keep(groups, errors, allowance, line)
    keys, second = supply.line.keys.copy(), supply.line.second
    keys[kept.order] = supply.line.keys[kept.natural]
    if second is not None:
        second = second.copy()
        second[kept.order] = supply.line.second[kept.natural]  # type: ignore[index]
    moved = replace(supply, line=replace(supply.line, keys=keys, second=second), groups=groups, allowance=allowance)
    return _narrowed(moved, kept.within)


def _narrowed(supply: Supply, mask: NDArray[np.bool_]) -> Supply:
    line = supply.line
    second = None if line.second is None else line.second[mask]
    rows = supply.rows[mask]
    line = replace(line, codes=line.codes[mask], keys=line.keys[mask], rows=rows, second=second)
    groups = None if supply.groups is None else supply.groups[mask]
    return replace(supply, rows=rows, line=line, groups=groups)


def _groups(pool: Pool, terms: Terms, supply: Supply) -> tuple[Ints, Ints]:
    """Return each row's budget group, its stratum and its task where that has a budget, and the groups' allowances."""
    named = sorted(terms.task_budgets or {})
    shares = [terms.hallucination_budget or 1.0, *((terms.task_budgets or {})[task] for task in named)]
    tasks = pool.samples["task"].gather(supply.rows) if named else None
    which = np.zeros(supply.rows.size, dtype=np.int64)
    if tasks is not None:
        unknown = [task for task in named if task not in set(pool.samples["task"].unique())]
        if unknown:
            known = pool.samples.filter(pl.col("role") == "generalist")["task"].drop_nulls().unique().sort()
            raise UserError(
                f"blend '{terms.name}' has a budget for a task that no row has", value=unknown[0], options=known
            )
        for i, task in enumerate(named, 1):
            which[(tasks == task).fill_null(value=False).to_numpy()] = i
    groups = supply.line.codes.astype(np.int64) * len(shares) + which
    allowance = np.tile(np.array([int(share * budget.ONE) for share in shares]), len(supply.names))
    return groups, allowance
