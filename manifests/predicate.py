"""`where:` predicates: SQL over the pool's documented columns, parsed and bound by DuckDB with every door closed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import duckdb
import polars as pl

from manifests.errors import UserError
from manifests.names import quote

POOL_COLUMNS: Final[Mapping[str, str]] = {
    "sample_id": "VARCHAR",
    "content_id": "VARCHAR",
    "source": "VARCHAR",
    "role": "VARCHAR",
    "task": "VARCHAR",
    "prompt": "VARCHAR",
    "response": "VARCHAR",
    "system": "VARCHAR",
    "n_turns": "INTEGER",
    "n_chars": "INTEGER",
    "n_tokens": "INTEGER",
    "licence": "VARCHAR",
    "non_commercial": "BOOLEAN",
    "meta": "VARCHAR",
    "cell": "INTEGER",
    "p_error": "DOUBLE",
}
"""Columns that every predicate may use; a scorer adds one DOUBLE column of its name."""


def score_column(scorer: str) -> str:
    """Return the pool column of a scorer: its name with dashes as underscores."""
    return scorer.replace("-", "_")


def check_where(predicate: str, columns: Mapping[str, str]) -> None:
    """Raise UserError unless `predicate` is one SQL condition over `columns` (name -> SQL type)."""
    fields = ", ".join(f"{quote(name)} {kind}" for name, kind in columns.items())
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE pool ({fields})")
        _filter(connection, predicate, tuple(columns))


def select(frame: pl.DataFrame, predicate: str) -> frozenset[str]:
    """Return the sample_ids of the rows of `frame` for which `predicate` is true (not NULL)."""
    with duckdb.connect(":memory:") as connection:
        connection.register("incoming", frame.to_arrow())
        connection.execute("CREATE TABLE pool AS SELECT * FROM incoming")
        rows = _filter(connection, predicate, tuple(frame.columns)).project("sample_id").fetchall()
    return frozenset(row[0] for row in rows)


def _filter(connection: duckdb.DuckDBPyConnection, predicate: str, columns: tuple[str, ...]) -> duckdb.DuckDBPyRelation:
    from manifests.store import harden

    harden(connection)
    try:
        return connection.table("pool").filter(predicate)
    except duckdb.Error as error:
        unknown = re.search(r'Referenced column "([^"]+)" not found', str(error))
        if unknown:
            raise UserError("unknown column in where", value=unknown.group(1), options=columns) from error
        reason = str(error).split("\n")[0]
        raise UserError(
            f"where is not one SQL condition ({reason})", value=predicate, remedy="write it as in: p_error < 0.3"
        ) from error
