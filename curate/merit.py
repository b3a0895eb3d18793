"""Which of two rows that say the same stays: the one of more merit, by measures in an order that the user gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator

from manifests.errors import UserError
from manifests.predicate import score_column

if TYPE_CHECKING:
    import polars as pl

PLAIN: Final = ("length", "source", "id")
"""Measures without an argument: longest response first, source by name, smallest sample id."""
_MEASURE: Final = re.compile(r"(?P<end>high|low) (?:meta\.(?P<key>[\w-]+)|(?P<scorer>[a-z0-9][a-z0-9-]*))")


def _checked(prefer: tuple[str, ...]) -> tuple[str, ...]:
    for measure in prefer:
        if measure not in PLAIN and not _MEASURE.fullmatch(measure):
            remedy = "write length, source, id, high SCORER, low SCORER, high meta.KEY or low meta.KEY"
            raise UserError("no such measure of merit", value=measure, options=PLAIN, remedy=remedy)
    return prefer


Prefer = Annotated[tuple[str, ...], AfterValidator(_checked)]
"""Measures in the order in which they decide: `length`, `source`, `id`, `high NAME` or `low NAME`.

NAME is a scorer that stands earlier in the job, or `meta.KEY`, a number in the rows' meta; rows without it come last.
"""


def scorers(prefer: Sequence[str]) -> tuple[str, ...]:
    """Return the scorers that the measures name."""
    found = (_MEASURE.fullmatch(measure) for measure in prefer)
    return tuple(dict.fromkeys(match["scorer"] for match in found if match and match["scorer"]))


def ranked(samples: pl.DataFrame, prefer: Sequence[str], first: Sequence[str] = ()) -> pl.DataFrame:
    """Return the samples best first: those of the sources `first`, then by each measure, then by sample id.

    The order does not depend on that of `samples`. Raises UserError when a scorer's column is not there.
    """
    import polars as pl

    keys = [~pl.col("source").is_in(list(first)), *(_key(measure, samples.columns) for measure in prefer)]
    names = [f"merit_{i}" for i in range(len(keys))]
    keyed = samples.with_columns(key.alias(name) for name, key in zip(names, keys, strict=True))
    return keyed.sort(*names, "sample_id", nulls_last=True).drop(names)


def _key(measure: str, columns: Sequence[str]) -> pl.Expr:
    """Return what ascends as merit falls, null where the row has no value."""
    import polars as pl

    if measure == "length":
        return -pl.col("response").str.len_chars().cast(pl.Int64)
    if measure in PLAIN:
        return pl.col("sample_id" if measure == "id" else "source")
    match = _MEASURE.fullmatch(measure)
    if match is None:
        raise UserError("no such measure of merit", value=measure, options=PLAIN)
    if match["key"]:
        number = pl.col("meta").str.json_path_match(f"$['{match['key']}']").cast(pl.Float64, strict=False)
        value: pl.Expr = pl.when(number.is_finite()).then(number)
    elif score_column(match["scorer"]) not in columns:
        raise UserError("no scores of this name beside the samples", value=match["scorer"], options=columns)
    else:
        value = pl.col(score_column(match["scorer"]))
    return -value if match["end"] == "high" else value
