"""`where:` predicates: SQL over the pool's documented columns, parsed and bound by DuckDB with every door closed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

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

_UNSTABLE: Final = frozenset({"hash", "current_time", "current_timestamp", "localtime", "localtimestamp"})
"""Refused besides what DuckDB calls unstable: `hash` gives other values in other versions, the rest are aliases."""


def score_column(scorer: str) -> str:
    """Return the pool column of a scorer: its name with dashes as underscores."""
    return scorer.replace("-", "_")


def verdict_column(scorer: str) -> str:
    """Return the column in which a component that `reads_verdicts` gets a scorer's verdicts; no pool column is it."""
    return f"{score_column(scorer)}:verdict"


def check_where(predicate: str, columns: Mapping[str, str]) -> None:
    """Raise UserError unless `predicate` is one SQL condition over `columns` (name -> SQL type)."""
    fields = ", ".join(f"{quote(name)} {kind}" for name, kind in columns.items())
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE pool ({fields})")
        _filter(connection, predicate, tuple(columns))


def select(frame: pl.DataFrame, predicate: str) -> frozenset[str]:
    """Return the sample_ids of the rows of `frame` for which `predicate` is true (not NULL).

    Raises UserError when it is not a condition, or fails on a row (a CAST of text that is no number).
    """
    with duckdb.connect(":memory:") as connection:
        connection.register("incoming", frame.to_arrow())
        connection.execute("CREATE TABLE pool AS SELECT * FROM incoming")
        kept = _filter(connection, predicate, tuple(frame.columns)).project("sample_id")
        try:
            rows = kept.fetchall()
        except duckdb.Error as error:
            reason = str(error).split("\n")[0]
            raise UserError(f"where fails on a row ({reason})", value=predicate, remedy="use TRY_CAST") from error
    return frozenset(row[0] for row in rows)


def _filter(connection: duckdb.DuckDBPyConnection, predicate: str, columns: tuple[str, ...]) -> duckdb.DuckDBPyRelation:
    from manifests.store import harden

    harden(connection)
    _check_parsed(connection, predicate, columns)
    try:
        return connection.table("pool").filter(predicate)
    except duckdb.Error as error:
        unknown = re.search(r'Referenced column "([^"]+)" not found', str(error))
        if unknown:
            raise UserError("unknown column in where", value=unknown.group(1), options=columns) from error
        raise _no_condition(predicate, str(error)) from error


def _no_condition(predicate: str, reason: str) -> UserError:
    first = reason.split("\n", maxsplit=1)[0]
    return UserError(
        f"where is not one SQL condition ({first})", value=predicate, remedy="write it as in: p_error < 0.3"
    )


def _check_parsed(connection: duckdb.DuckDBPyConnection, predicate: str, columns: tuple[str, ...]) -> None:
    """Raise UserError for what is no condition, and for functions that differ from run to run: so would the blend.

    The brackets refuse what DuckDB 1.4 ignores after a condition, such as LIMIT.
    """
    unstable = _unstable()
    statement = f"SELECT 1 FROM pool WHERE ({predicate}\n)"  # noqa: S608 - parsed, never run
    tree = json.loads(connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchall()[0][0])
    if tree["error"]:
        raise _no_condition(predicate, str(tree["error_message"]))
    for name in _named(tree):
        if name in unstable and name not in columns:
            raise UserError(
                "where may not use a function whose value changes from run to run",
                value=name,
                remedy="the same job must draw the same blend; sampling has its own seeds",
            )


@cache
def _unstable() -> frozenset[str]:
    """Return the functions whose value is not fixed by their arguments; listing them takes a while."""
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute("SELECT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'")
        return _UNSTABLE.union(name for (name,) in rows.fetchall())


def _named(node: Any) -> Iterator[str]:  # noqa: ANN401 - a parse tree in JSON
    """Yield every function and column named in a parse tree, in lower case."""
    if isinstance(node, list):
        for item in node:
            yield from _named(item)
    elif isinstance(node, dict):
        if node.get("class") == "FUNCTION":
            yield str(node["function_name"]).lower()
        if node.get("class") == "COLUMN_REF":
            yield str(node["column_names"][-1]).lower()
        for item in node.values():
            yield from _named(item)
