"""The sampler that every mixer shares: which rows of a stratum are taken, how often, and what limited them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from manifests.errors import UserError
from manifests.names import sampling_key
from mixers import budget, tally
from mixers.pick import Ints, Line
from mixers.place import assemble
from mixers.quota import Fill, Schedule, requests
from mixers.recipe import Terms, amount
from mixers.stratum import stratify
from mixers.supply import Ranks, Supply, generalists

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import Pool

Weigh = Callable[[Mapping[str, int]], Mapping[str, int]]
"""Rows of each stratum behind the gate -> its weight, a whole number."""
MANY: Final = 1_000_000
"""Strata that a blend may have."""


@dataclass(frozen=True)
class Drawn:
    """Rows taken from one role: places in the pool's samples, each with its stratum, weight and repeats, and why.

    `strata` are their lines of `schema.STRATA`, `reasons` of each stratum by name.
    """

    role: str
    rows: Ints
    codes: NDArray[np.int32]
    names: tuple[str, ...]
    reasons: Mapping[str, str]
    repeats: Ints
    weights: NDArray[np.float64]
    strata: pl.DataFrame

    @property
    def shown(self) -> int:
        """Rows with repeats."""
        return int(self.repeats.sum())


@dataclass(frozen=True)
class Draw:
    """How rows are taken from a supply, for one blend and role."""

    terms: Terms
    pool: Pool
    role: str = "generalist"

    @property
    def epochs(self) -> int:
        """How often a row may be shown; a specialist row once."""
        return self.terms.max_epochs if self.role == "generalist" else 1

    def fill(self, supply: Supply, weights: Mapping[str, int], **other: Any) -> Fill:  # noqa: ANN401 - Fill's fields
        """Return what weights ask of a supply whose rows may be repeated as often as the recipe allows."""
        return Fill(weights, {name: n * self.epochs for name, n in supply.available.items()}, **other)

    def by_rows(self, supply: Supply, fill: Fill, total: int, reasons: Mapping[str, str]) -> Drawn:
        """Return `total` rows, repeats counted; raise UserError when the supply is smaller. Less is a subset."""
        if total > fill.supply:
            raise self._short("rows", total, fill.supply, supply)
        schedule = Schedule(fill)
        return self.taken(supply, fill, _wide(supply, schedule, schedule.at(total)), reasons)

    def by_tokens(self, supply: Supply, fill: Fill, budget: int, reasons: Mapping[str, str]) -> Drawn:
        """Return the rows, in order of grant, before the first that would pass `budget` tokens.

        Proportions hold in rows. Raises UserError when the supply holds fewer tokens, or no row fits.
        """
        schedule = Schedule(fill)
        purse = tally.Purse(supply, self.pool.samples["n_tokens"].to_numpy()[supply.rows].astype(np.int64))
        every = _wide(supply, schedule, schedule.cap.astype(np.int64))
        if budget > (held := round(purse.expected(every))):
            raise self._short("tokens", budget, held, supply)
        total = purse.within(budget, lambda n: _wide(supply, schedule, schedule.at(n)), schedule.supply)
        if budget and not total:
            raise UserError(f"blend '{self.terms.name}': no {self.role} row fits in the tokens asked for", value=budget)
        return self.taken(supply, fill, _wide(supply, schedule, schedule.at(total)), reasons)

    def taken(self, supply: Supply, fill: Fill, quotas: Ints, reasons: Mapping[str, str]) -> Drawn:
        """Return the first rows of each stratum, `quotas` of them; over what it has, again from its first."""
        asked = requests(int(quotas.sum()), fill)
        return self.drawn(supply, quotas, np.array([asked.get(name, 0.0) for name in supply.names]), reasons)

    def drawn(self, supply: Supply, quotas: Ints, requested: NDArray[np.float64], reasons: Mapping[str, str]) -> Drawn:
        """Return the first rows of each stratum, and the account of what was requested."""
        counts = supply.counts
        places = supply.line.first(np.minimum(quotas, counts))
        codes = supply.line.codes[places]
        taken = np.bincount(codes, minlength=counts.size)
        rank = np.arange(places.size) - (np.cumsum(taken) - taken)[codes]
        often, rest = np.divmod(quotas, np.maximum(counts, 1))
        repeats = (often[codes] + (rank < rest[codes])).astype(np.int64)
        weights = np.ones(places.size, dtype=np.float64)
        probability = self._probability(supply.rows[places])
        if supply.groups is not None and supply.allowance is not None and self.terms.over == "weight":
            groups = supply.groups[places]
            unjudged = np.isnan(probability)
            errors = np.where(unjudged, 0, budget.units(np.where(unjudged, 0.0, probability)))
            errors = np.where(unjudged, supply.allowance[groups], errors)
            weights = budget.lower(groups, errors, supply.allowance, repeats)
        account = tally.Account(supply, self.terms, self.epochs, codes, repeats, weights, probability)
        lines = account.lines(requested, quotas)
        return Drawn(self.role, supply.rows[places], codes, supply.names, reasons, repeats, weights, lines)

    def _probability(self, rows: Ints) -> NDArray[np.float64]:
        samples = self.pool.samples
        if "p_error" not in samples.columns:
            return np.full(rows.size, np.nan)
        return samples["p_error"].gather(rows).to_numpy().astype(np.float64)

    def _short(self, unit: str, asked: int, held: int, supply: Supply) -> UserError:
        before, after = int(supply.before.sum()), supply.rows.size
        gates = [name for name, gone in tally.gates(supply, self.terms.lacking) if gone]
        gated = f"; {' and '.join(gates)} leave{'s' * (len(gates) == 1)} {after:,} of {before:,} rows" if gates else ""
        loosen = f", or loosen {' or '.join(gates)}" if gates else ""
        epochs = f" shown at most {self.epochs} times" if self.epochs > 1 else ""
        again = "" if self.role != "generalist" else ", or raise max_epochs to repeat rows"
        return UserError(
            f"blend '{self.terms.name}' asks for more {self.role} {unit} than can be drawn"
            f" ({held:,} {unit}{epochs}{gated})",
            value=asked,
            remedy=f"ask for at most {held} {unit}{loosen}{again}",
        )


def _wide(supply: Supply, schedule: Schedule, counts: Ints) -> Ints:
    """Return the schedule's counts as those of all of the supply's strata."""
    wide = np.zeros(len(supply.names), dtype=np.int64)
    place = {name: i for i, name in enumerate(supply.names)}
    wide[[place[name] for name in schedule.names]] = counts
    return wide


def specialists(pool: Pool, recipe: Any, seed: int) -> Drawn:  # noqa: ANN401 - any mixer
    """Return the recipe's specialist rows of its tasks, in proportion to their sources; all when it names no number."""
    rows = np.flatnonzero(_special(pool, getattr(recipe, "specialist_tasks", ()), recipe.name).to_numpy())
    strata = stratify(pool.samples.select("source")[rows], "source", prefix="specialist")
    keys = sampling_key(pool.samples["k64"].to_numpy()[rows], seed)
    counts = strata.counts()
    line = Line(strata.codes, keys, pool.samples["sample_id"], rows)
    supply = Supply(rows, line, strata.names, counts, counts, counts, counts)
    draw = Draw(Terms(recipe.name), pool, "specialist")
    fill = draw.fill(supply, supply.available)
    total = fill.supply if recipe.specialist_rows is None else recipe.specialist_rows
    return draw.by_rows(supply, fill, total, dict.fromkeys(supply.names, "specialist"))


def _special(pool: Pool, tasks: Sequence[str], name: str) -> pl.Series:
    """Return which samples are specialist rows of `tasks`, of any without one; raise UserError for a task with none."""
    special = pool.samples["role"] == "specialist"
    if not tasks:
        return special
    known = pool.samples["task"].filter(special).drop_nulls().unique().sort().to_list()
    for task in tasks:
        if task not in known:
            raise UserError(f"blend '{name}': no specialist row is of this task", value=task, options=known)
    return special & pool.samples["task"].is_in(list(tasks)).fill_null(value=False)


def sized(draw: Draw, recipe: Any, supply: Supply, fill: Fill, others: tuple[int, Mapping[str, str]]) -> Drawn:  # noqa: ANN401 - any mixer
    """Return the generalist rows of the recipe's size; `others` is (specialist rows in the blend, reasons)."""
    specialist, reasons = others
    if recipe.tokens is not None:
        return draw.by_tokens(supply, fill, recipe.tokens, reasons)
    total = size(recipe, supply, fill, specialist)
    return draw.by_rows(supply, fill, total, reasons)


def size(recipe: Any, supply: Supply, fill: Fill, specialist: int) -> int:  # noqa: ANN401 - any mixer
    """Return the generalist rows asked for in rows; `all` is every row of strata with weight once."""
    if recipe.rows == "all":
        return sum(n for name, n in supply.available.items() if fill.weights.get(name, 0) > 0)
    return amount(recipe, specialist) or 0


def weighed(
    recipe: Any,  # noqa: ANN401 - any mixer
    pool: Pool,
    seed: int,
    weigh: Weigh,
    ranks: Ranks | None = None,
    why: str = "",
) -> Blend:
    """Return the blend of a recipe whose strata have weights of their own: gate, quotas, rows, order.

    `why` is added to the reason of each generalist row, which names its stratum.
    """
    terms = Terms.of(recipe)
    specialist = specialists(pool, recipe, seed)
    supply = generalists(pool, terms, seed, ranks=ranks)
    if len(supply.names) > MANY:
        raise UserError(
            f"blend '{recipe.name}' has too many strata", value=len(supply.names), remedy="use fewer columns in by"
        )
    draw = Draw(terms, pool)
    fill = draw.fill(supply, weigh(supply.available), least=getattr(recipe, "least_rows", 1))
    reasons = {name: f"{recipe.kind}: {name}{why}" for name in supply.names}
    generalist = sized(draw, recipe, supply, fill, (specialist.shown, reasons))
    return assemble(recipe, seed, pool, [generalist, specialist])
