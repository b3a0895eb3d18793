"""The sampler that every mixer shares: which rows of a stratum are taken, and in what order they are trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import polars as pl

from manifests import schema
from manifests.component import spec_of
from manifests.errors import UserError
from manifests.names import check_name, sampling_key
from mixers.blend import Blend
from mixers.quota import Fill, apportion, requests, sequence

if TYPE_CHECKING:
    from mixers.mixer import Pool

NONE: Final = "(none)"
"""Stands for a missing task in a stratum's name."""


class Recipe(Protocol):
    """What sizes a blend: exactly one of `rows`, `tokens` and `share` is set."""

    @property
    def name(self) -> str:
        """Name of the blend."""
        ...

    @property
    def rows(self) -> int | Literal["all"] | None:
        """Generalist rows; `all` for every row of the supply."""
        ...

    @property
    def tokens(self) -> int | None:
        """Generalist tokens, by the pool's estimate."""
        ...

    @property
    def share(self) -> float | None:
        """Generalist share of all rows of the blend, 0..1 exclusive."""
        ...

    @property
    def where(self) -> str | None:
        """Predicate that generalist rows must satisfy."""
        ...

    @property
    def specialist_rows(self) -> int | None:
        """Specialist rows, None for all."""
        ...


@dataclass(frozen=True)
class Drawn:
    """Rows taken from one role: `members` (sample_id, role, stratum, reason) and their `schema.STRATA` rows."""

    members: pl.DataFrame
    strata: pl.DataFrame


@dataclass(frozen=True)
class Supply:
    """Rows that may be drawn: `rows` (sample_id, k64, n_tokens, stratum); `before`: rows per stratum, ungated."""

    rows: pl.DataFrame
    before: Mapping[str, int]

    @property
    def available(self) -> dict[str, int]:
        """Rows per stratum behind the gate, strata that it emptied included as 0."""
        counts = dict(self.rows.group_by("stratum").len().iter_rows())
        return {name: counts.get(name, 0) for name in sorted(self.before)}


@dataclass(frozen=True)
class Draw:
    """How rows are taken from a supply, for one blend, role and seed."""

    blend: str
    role: str
    seed: int
    purpose: str = "member"
    """Purpose of the sampling key; blends drawn with one purpose and seed share their rows as far as quotas allow."""

    def by_rows(self, supply: Supply, fill: Fill, total: int, reasons: Mapping[str, str]) -> Drawn:
        """Return `total` rows; raise UserError when the supply is smaller. A smaller total gives a subset."""
        if total > fill.supply:
            raise self._short("rows", total, fill.supply, supply)
        return self._taken(supply, fill, apportion(total, fill), reasons)

    def by_tokens(self, supply: Supply, fill: Fill, budget: int, reasons: Mapping[str, str]) -> Drawn:
        """Return the rows, in order of grant, before the first that would pass `budget` tokens.

        Proportions hold in rows. Raises UserError when the supply holds fewer tokens, or no row fits.
        """
        ranked = self._ranked(supply.rows)
        held = int(ranked["n_tokens"].sum())
        if budget > held:
            raise self._short("tokens", budget, held, supply)
        tokens = {str(key[0]): part["n_tokens"].to_list() for key, part in ranked.group_by("stratum")}
        taken, used = dict.fromkeys(fill.weights, 0), 0
        for name in sequence(fill):
            used += tokens[name][taken[name]]
            if used > budget:
                break
            taken[name] += 1
        if budget and not any(taken.values()):
            raise UserError(f"blend '{self.blend}': no {self.role} row fits in the tokens asked for", value=budget)
        return self._taken(supply, fill, taken, reasons)

    def _ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return `rows` ordered by (stratum, key, sample_id), with each row's `rank` in its stratum from 0."""
        key = pl.Series("key", sampling_key(rows["k64"].to_numpy(), self.seed, self.purpose), dtype=pl.UInt64)
        ordered = rows.with_columns(key).sort("stratum", "key", "sample_id")
        return ordered.with_columns(rank=pl.int_range(pl.len()).over("stratum"))

    def _taken(self, supply: Supply, fill: Fill, quotas: Mapping[str, int], reasons: Mapping[str, str]) -> Drawn:
        quota = pl.DataFrame(
            {"stratum": list(quotas), "quota": list(quotas.values()), "reason": [reasons[name] for name in quotas]},
            schema={"stratum": pl.String, "quota": pl.Int64, "reason": pl.String},
        )
        members = (
            self._ranked(supply.rows)
            .join(quota, on="stratum", how="left", maintain_order="left")
            .filter(pl.col("rank") < pl.col("quota"))
            .select("sample_id", pl.lit(self.role).alias("role"), "stratum", "reason")
        )
        return Drawn(members, _strata(supply, fill, quotas))

    def _short(self, unit: str, asked: int, held: int, supply: Supply) -> UserError:
        before = sum(supply.before.values())
        gated = f"; `where` leaves {supply.rows.height:,} of {before:,} rows" if supply.rows.height < before else ""
        return UserError(
            f"blend '{self.blend}' asks for more {self.role} {unit} than can be drawn ({held:,} {unit}{gated})",
            value=asked,
            remedy=f"ask for at most {held} {unit}" + (", or loosen `where`" if gated else ""),
        )


def _strata(supply: Supply, fill: Fill, quotas: Mapping[str, int]) -> pl.DataFrame:
    available, asked = supply.available, requests(sum(quotas.values()), fill)
    return schema.frame(
        [
            {
                "stratum": name,
                "available": available[name],
                "requested": asked.get(name, 0.0),
                "taken": quotas.get(name, 0),
                "repeats": 1,
                "limited_by": _limit(asked.get(name, 0.0), quotas.get(name, 0), available[name], supply.before[name]),
            }
            for name in sorted(supply.before)
        ],
        schema.STRATA,
    )


def _limit(requested: float, taken: int, available: int, before: int) -> str | None:
    """Return what kept `taken` under `requested`, or None: `where` when the ungated supply would have sufficed."""
    if available < before and not available:
        return "where"
    if taken == available < requested:
        return "where" if before >= requested else "supply"
    return "rounding" if requested > 0 and not taken else None


def check(recipe: Recipe) -> None:
    """Raise UserError unless the blend's name is valid and exactly one of rows, tokens and share is given."""
    check_name(recipe.name, noun="blend name")
    given = [unit for unit in ("rows", "tokens", "share") if getattr(recipe, unit) is not None]
    if len(given) != 1:
        raise UserError(
            f"blend '{recipe.name}' needs exactly one of rows, tokens and share",
            value=given,
            remedy="rows: generalist rows; tokens: generalist tokens; share: generalist share of all rows",
        )


def amount(recipe: Recipe, specialists: int) -> int | None:
    """Return the generalist rows that the recipe asks for beside `specialists` specialist rows.

    None under `tokens` and for `all`.

    A share s beside n specialist rows is n s / (1 - s), rounded half up.
    """
    if recipe.share is None:
        return recipe.rows if isinstance(recipe.rows, int) else None
    if not specialists:
        raise UserError(
            f"blend '{recipe.name}' asks for a share, but has no specialist rows to be a share of",
            value=recipe.share,
            remedy="give rows: or tokens: instead, or add a source with role: specialist",
        )
    share = Fraction(str(recipe.share))
    return int(specialists * share / (1 - share) + Fraction(1, 2))


def generalists(pool: Pool, where: str | None, by: str) -> Supply:
    """Return the generalist rows that pass `where`, in strata by `source`, `task` or `cell`."""
    rows = _stratified(pool.samples.filter(pl.col("role") == "generalist"), by)
    before = dict(rows.group_by("stratum").len().iter_rows())
    if where is not None:
        rows = rows.filter(pl.col("sample_id").is_in(pl.Series(sorted(pool.select(where)), dtype=pl.String).implode()))
    return Supply(rows, before)


def specialists(pool: Pool, recipe: Recipe, seed: int) -> Drawn:
    """Return the recipe's specialist rows, in proportion to their sources; all when it names no number."""
    rows = _stratified(pool.samples.filter(pl.col("role") == "specialist"), "source", prefix="specialist")
    supply = Supply(rows, dict(rows.group_by("stratum").len().iter_rows()))
    fill = Fill(supply.available, supply.available)
    total = fill.supply if recipe.specialist_rows is None else recipe.specialist_rows
    return Draw(recipe.name, "specialist", seed).by_rows(supply, fill, total, dict.fromkeys(fill.weights, "specialist"))


def sized(draw: Draw, recipe: Recipe, supply: Supply, fill: Fill, others: tuple[int, Mapping[str, str]]) -> Drawn:
    """Return the generalist rows of the recipe's size; `others` is (specialist rows in the blend, reasons)."""
    specialist, reasons = others
    if recipe.tokens is not None:
        return draw.by_tokens(supply, fill, recipe.tokens, reasons)
    total = fill.supply if recipe.rows == "all" else amount(recipe, specialist) or 0
    return draw.by_rows(supply, fill, total, reasons)


def assemble(recipe: Any, seed: int, pool: Pool, parts: Sequence[Drawn]) -> Blend:  # noqa: ANN401 - any mixer
    """Return the blend of the parts, in training order.

    Row r of a stratum of n, in an order shuffled by the seed, stands at a random place in the r-th of n equal slices of
    the blend: so every prefix holds each stratum in proportion, to within about one row.
    """
    members = pl.concat([part.members for part in parts])
    if not members.height:
        raise UserError(f"blend '{recipe.name}' is empty", value=seed, remedy="ask for generalist or specialist rows")
    members = members.join(pool.samples.select("sample_id", "k64"), on="sample_id", how="left")
    key = pl.Series("key", sampling_key(members["k64"].to_numpy(), seed, "order"), dtype=pl.UInt64)
    jitter = pl.Series("jitter", sampling_key(members["k64"].to_numpy(), seed, "jitter") >> 11, dtype=pl.UInt64)
    placed = (
        members.with_columns(key, jitter)
        .sort("stratum", "key", "sample_id")
        .with_columns(rank=pl.int_range(pl.len()).over("stratum"), size=pl.len().over("stratum"))
        .with_columns(place=(pl.col("rank") + pl.col("jitter") / 2.0**53) / pl.col("size"))
        .sort("place", "sample_id")
        .with_columns(
            position=pl.int_range(pl.len(), dtype=pl.Int64),
            weight=pl.lit(1.0),
            repeats=pl.lit(1, dtype=pl.Int32),
        )
    )
    strata = pl.concat([part.strata for part in parts]).sort("stratum")
    return Blend(recipe.name, spec_of(recipe), seed, placed.select(list(schema.MEMBERS)), strata)


def _stratified(rows: pl.DataFrame, by: str, prefix: str | None = None) -> pl.DataFrame:
    """Return (sample_id, k64, n_tokens, stratum) of `rows`, the stratum `by:value`."""
    if by == "cell" and rows["cell"].null_count():
        raise UserError(
            "generalist rows without a coverage cell",
            value=rows["cell"].null_count(),
            remedy="the pool must hold the cells of the recipe's `space`",
        )
    value = pl.col(by).cast(pl.String).fill_null(NONE)
    return rows.select(
        "sample_id", "k64", "n_tokens", pl.concat_str(pl.lit(f"{prefix or by}:"), value).alias("stratum")
    )
