"""Puts the rows of a blend in training order and makes the blend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from manifests import schema
from manifests.component import spec_of
from manifests.errors import UserError
from manifests.names import sampling_key
from mixers.blend import Blend
from mixers.pick import Ints, Line
from mixers.recipe import Terms

if TYPE_CHECKING:
    from mixers.draw import Drawn
    from mixers.mixer import Pool

STAGES: Final = {
    "mixed": {"generalist": 0, "specialist": 0},
    "generalist_first": {"generalist": 0, "specialist": 1},
    "specialist_first": {"generalist": 1, "specialist": 0},
}
"""Order of a recipe -> the stage in which each role is trained on."""


def assemble(recipe: Any, seed: int, pool: Pool, parts: Sequence[Drawn]) -> Blend:  # noqa: ANN401 - any mixer
    """Return the blend of the parts, in training order.

    Row r of a stratum of n, in an order shuffled by the seed, stands at a random place in the r-th of n equal slices of
    the blend: so every prefix holds each stratum in proportion, to within about one row. In a staged order this holds
    within each stage. Costs about 0.25 microseconds a row.
    """
    rows = np.concatenate([part.rows for part in parts])
    if not rows.size:
        raise UserError(f"blend '{recipe.name}' is empty", value=seed, remedy="ask for generalist or specialist rows")
    codes = _joined(parts)
    stages = STAGES[Terms.of(recipe).order]
    stage = np.repeat([stages[part.role] for part in parts], [part.rows.size for part in parts])
    order = _order(pool, rows, codes, seed, stage)
    roles = pl.Series([part.role for part in parts]).gather(
        np.repeat(np.arange(len(parts)), [part.rows.size for part in parts])[order]
    )
    reasons = pl.Series([part.reasons[name] for part in parts for name in part.names], dtype=pl.String)
    columns = {
        "position": pl.int_range(rows.size, dtype=pl.Int64, eager=True),
        "sample_id": pool.samples["sample_id"].gather(rows[order]),
        "role": roles,
        "weight": pl.Series(np.concatenate([part.weights for part in parts])[order]),
        "repeats": pl.Series(np.concatenate([part.repeats for part in parts])[order], dtype=pl.Int32),
        "reason": reasons.gather(codes[order]),
    }
    members = pl.DataFrame(columns, schema=dict(schema.MEMBERS))
    strata = pl.concat([part.strata for part in parts]).sort("stratum")
    return Blend(recipe.name, spec_of(recipe), seed, members, strata)


def _joined(parts: Sequence[Drawn]) -> Ints:
    """Return the rows' strata numbered through all parts."""
    starts = np.cumsum([0, *(len(part.names) for part in parts)])
    codes = [part.codes.astype(np.int64) + start for part, start in zip(parts, starts, strict=False)]
    return np.concatenate(codes)


def _order(pool: Pool, rows: Ints, codes: Ints, seed: int, stage: Ints) -> Ints:
    """Return the rows' places in training order."""
    k64 = pool.samples["k64"].to_numpy()[rows]
    ids = pool.samples["sample_id"]
    line = Line(codes.astype(np.int32), sampling_key(k64, seed, "order"), ids, rows).ordered()
    sizes = np.bincount(codes)
    rank = np.arange(rows.size) - (np.cumsum(sizes) - sizes)[codes[line]]
    jitter = (sampling_key(k64[line], seed, "jitter") >> np.uint64(11)).astype(np.float64) / 2.0**53
    place = np.minimum((rank + jitter) / sizes[codes[line]], 1.0 - 2.0**-53)
    # a double in [0, 1) orders as its bits do, and no two rows of a stage share one but by chance
    whole = Line(stage[line].astype(np.int32), (place * 2.0**63).astype(np.uint64) << np.uint64(1), ids, rows[line])
    return line[whole.ordered()]
