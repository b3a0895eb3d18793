"""Scores that were made elsewhere, read from a file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import polars as pl
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from curate import container
from curate.scores import scored
from curate.step import Scored
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted, UserError
from manifests.names import check_name

_IDS: Final = ("sample_id", "content_id")
_WORDS: Final = {"true": 1.0, "false": 0.0}
_MOST_KEYS: Final = 1000
Value = float | str
"""A number, NaN for one that is not finite, or what is wrong with it."""


def _key(match: str) -> str:
    if match not in _IDS and not (match.startswith("meta.") and len(match) > len("meta.")):
        raise UserError("rows cannot be matched by this", value=match, options=(*_IDS, "meta.KEY"))
    return match


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Imported:
    """Gives each row the number that a file has for it: a published selection, another tool's scores.

    Any Parquet, CSV, TSV, JSON or JSON-lines file, packed or not. Booleans become 1 and 0. Rows that the file does not
    have, or has without a value, abstain; a value that is no finite number, or two different values for one row, fail.
    """

    kind: ClassVar[str] = "imported"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = frozenset({"path"})
    paths: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str
    """The file."""
    column: str
    """Its column of values: numbers or booleans."""
    id: str = "row_id"
    """Its column of identifiers."""
    match: Annotated[str, AfterValidator(_key)] = "meta.row_id"
    """What of a sample equals the identifier: `sample_id`, `content_id` or `meta.KEY`."""
    better: Literal["high", "low", "neither"] = "high"
    """The better end of the scale."""
    name: Annotated[str, AfterValidator(check_name)] = "imported"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    @property
    def good(self) -> str:
        """The better end of the scale, as the user says."""
        return self.better

    def identity(self) -> dict[str, Any]:
        """Return the hash of the file's bytes."""
        return {"sha256": container.sha256(Path(self.path))}

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score per sample; raise UserError when the file lacks a column or no row of it matches."""
        held = read(Path(self.path), self.id, self.column, context)
        names, keys = _names(samples, self.match)
        file = Path(self.path).name
        values: list[float | None] = []
        why: list[str | None] = []
        for name in names:
            found = held.get(name) if name is not None else None
            values.append(math.nan if isinstance(found, str) else found)
            reason = f"no {self.match}" if name is None else f"{file} has no row for it"
            if name is not None and name in held:
                reason = found if isinstance(found, str) else f"{file} has no value for it"
            why.append(reason if not isinstance(found, float) or math.isnan(found) else None)
        if samples.height and held.keys().isdisjoint(n for n in names if n is not None):
            given = next((name for name in names if name is not None), None)
            example = f"the samples' are like {given!r}" if given is not None else f"no sample has a {self.match}"
            raise UserError(
                f"none of the {len(held)} rows of {file} matches a sample by {self.match}: its {self.id} are like"
                f" {next(iter(held), None)!r}, {example}",
                value=self.match,
                options=[*_IDS, *keys],
                remedy="set `id` to the file's column and `match` to what equals it",
            )
        return scored(samples["sample_id"], self.name, pl.Series(values, dtype=pl.Float64), why)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: the scores are there."""
        return 0


def read(path: Path, key: str, column: str, context: Context) -> dict[str, Value | None]:
    """Return identifier to value; a text says what is wrong with it. Rows without an identifier are left out.

    Raise UserError when the file cannot be read or has no such columns.
    """
    held: dict[str, Value | None] = {}
    rows, columns = 0, dict[str, None]()
    unmet = {key, column}
    for block in container.blocks(path, container.sha256(path)):
        if context.stopping():
            raise Interrupted(f"stopped while reading {path.name}")
        for row in block.rows():
            rows += 1
            if row.columns is None:
                continue
            unmet.difference_update(row.columns)
            if unmet and len(columns) < _MOST_KEYS:
                columns.update(dict.fromkeys(row.columns))
            name = row.columns.get(key)
            if name is not None:
                _put(held, str(name), _value(row.columns.get(column)))
    for missing in (name for name in (key, column) if name in unmet):
        raise UserError(f"no row of {path.name} has this column ({rows} rows)", value=missing, options=columns)
    return held


def _put(held: dict[str, Value | None], name: str, value: Value | None) -> None:
    before = held.get(name)
    if before is None or value is None or before == value:
        held[name] = value if before is None else before
    else:
        held[name] = "the file has more than one value for it"


def _value(given: object) -> Value | None:
    """Return a finite number, None where there is none, or what is wrong."""
    if given is None or given == "":
        return None
    if isinstance(given, str):
        given = _WORDS.get(given.strip().lower(), given)
    try:
        number = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return f"not a number: {str(given)[:60]!r}"
    return number if math.isfinite(number) else f"not a finite number: {number}"


def _names(samples: pl.DataFrame, match: str) -> tuple[list[str | None], list[str]]:
    """Return what identifies each sample, and for a key of meta the keys that there are."""
    if match in _IDS:
        return samples[match].to_list(), []
    key = match.removeprefix("meta.")
    names: list[str | None] = []
    keys: dict[str, None] = {}
    for text in samples["meta"]:
        meta: Mapping[str, Any] = json.loads(text or "{}")
        if len(keys) < _MOST_KEYS:
            keys.update(dict.fromkeys(f"meta.{name}" for name in meta))
        value = meta.get(key)
        names.append(None if value is None else str(value))
    return names, list(keys)
