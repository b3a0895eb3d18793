"""Writes docs/MANIFEST.md from the comments in the manifest itself: `python -m tests.docs.manifest_page`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from manifests import migrations, schema
from manifests.laws import LAWS

PAGE: Final = Path(__file__).parents[2] / "docs" / "MANIFEST.md"
HEAD: Final = """\
# The manifest

Every job writes one folder: `manifest.duckdb`, which holds everything that happened to every row, `blends/`, `bases/`,
`runs/` and `report.html`; `work/` is private. The views and macros below are the public contract; the tables behind
them, in the schema `store`, are not.
The same texts are in the file itself, as comments: `SELECT * FROM duckdb_columns() WHERE schema_name = 'main'`.

The file opens in the DuckDB shell (1.4 or newer), its UI, marimo and Jupyter, and with `blendsmith sql M QUERY`.
What you open is a copy that was put in place whole: a job that runs meanwhile is neither blocked nor seen half done.

This page is made by `python -m tests.docs.manifest_page`; edit the comments in `manifests/schema.sql` instead.
"""


def page() -> str:
    """Return the page: every view with its columns, every macro with its arguments and columns, every law."""
    with duckdb.connect(":memory:") as connection:
        migrations.prepare(connection, schema.VERSION, "memory")
        parts = [HEAD, "## Views\n", *_views(connection), "## Macros\n", *_macros(connection)]
    laws = "\n".join(f"* {law}" for law in LAWS)
    parts.append(f"## Laws\n\nChecked in the transaction that writes, and again by `blendsmith doctor M`:\n\n{laws}")
    return "\n".join(parts) + "\n"


def _views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute(
        "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY view_oid"
    ).fetchall()
    parts = []
    for view, comment in found:
        columns = connection.execute(
            "SELECT column_name, data_type, comment FROM duckdb_columns()"
            " WHERE schema_name = 'main' AND table_name = ? ORDER BY column_index",
            [view],
        ).fetchall()
        rows = "\n".join(f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in columns)
        parts.append(f"### {view}\n\n{comment}.\n\n| column | type | |\n|---|---|---|\n{rows}\n")
    return parts


def _macros(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute(
        "SELECT function_name, parameters, comment FROM duckdb_functions()"
        " WHERE function_type = 'table_macro' AND NOT internal ORDER BY function_name"
    ).fetchall()
    parts = []
    for name, arguments, comment in found:
        call = f"{name}({', '.join(['?'] * len(arguments))})"
        columns = connection.execute(f"DESCRIBE FROM {call}", ["x"] * len(arguments)).fetchall()
        listed = ", ".join(f"`{row[0]}`" for row in columns)
        parts.append(f"### {name}({', '.join(arguments)})\n\n{comment}. Columns: {listed}.\n")
    return parts


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
