"""The steps that bring a manifest of an earlier version to `schema.VERSION`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from manifests.errors import UserError

if TYPE_CHECKING:
    import duckdb

MIGRATIONS: Final[Mapping[int, str]] = {
    2: "ALTER TABLE store.decisions ADD COLUMN detail VARCHAR",
    3: """ALTER TABLE store.verdicts ADD COLUMN repair VARCHAR;
        ALTER TABLE store.strata ADD COLUMN samples BIGINT;
        ALTER TABLE store.strata ADD COLUMN error_mass DOUBLE;
        ALTER TABLE store.strata ADD COLUMN note VARCHAR;
        CREATE TABLE store.quality (
            stage VARCHAR NOT NULL, scorer VARCHAR NOT NULL, measured_on VARCHAR NOT NULL, metric VARCHAR NOT NULL,
            value DOUBLE, ci_low DOUBLE, ci_high DOUBLE, n BIGINT NOT NULL, note VARCHAR,
            CHECK (value IS NULL OR isfinite(value)), CHECK (ci_low IS NULL OR isfinite(ci_low)),
            CHECK (ci_high IS NULL OR isfinite(ci_high)), CHECK (n >= 0)
        );
        CREATE TABLE store.labels (
            stage VARCHAR NOT NULL, sample_id VARCHAR NOT NULL, label VARCHAR NOT NULL, defect VARCHAR, note VARCHAR,
            labelled_by VARCHAR NOT NULL, labelled_at TIMESTAMP NOT NULL,
            CHECK (label IN ('correct', 'wrong', 'unsure'))
        )""",
    4: """ALTER TABLE store.comparisons ADD COLUMN p_permutation DOUBLE;
        ALTER TABLE store.comparisons ADD COLUMN seeds_needed BIGINT;
        ALTER TABLE store.comparisons ADD COLUMN examples_needed BIGINT;
        ALTER TABLE store.runs ADD COLUMN cpu_seconds DOUBLE;
        ALTER TABLE store.runs ADD COLUMN parameters BIGINT;
        CREATE TABLE store.losses (
            stage VARCHAR NOT NULL, run VARCHAR NOT NULL, step BIGINT NOT NULL, loss DOUBLE NOT NULL,
            CHECK (step >= 0 AND isfinite(loss))
        )""",
    5: """ALTER TABLE store.samples ADD COLUMN sample_no UINTEGER;
        UPDATE store.samples SET sample_no = n.sample_no FROM (
            SELECT rowid AS place, row_number() OVER (ORDER BY rowid) - 1 AS sample_no FROM store.samples
        ) n WHERE samples.rowid = n.place;
        CREATE TABLE store.reasons (stage VARCHAR NOT NULL, reason_no UINTEGER NOT NULL, reason VARCHAR NOT NULL);
        INSERT INTO store.reasons SELECT stage, row_number() OVER (ORDER BY stage, reason) - 1, reason
            FROM (SELECT DISTINCT stage, reason FROM store.members);
        ALTER TABLE store.members RENAME TO members_of_4;
        CREATE TABLE store.members (
            stage VARCHAR NOT NULL, blend VARCHAR NOT NULL, position BIGINT NOT NULL, sample_no UINTEGER NOT NULL,
            role VARCHAR NOT NULL, weight DOUBLE NOT NULL, repeats INTEGER NOT NULL, reason_no UINTEGER NOT NULL,
            CHECK (role IN ('generalist', 'specialist')), CHECK (isfinite(weight) AND weight > 0 AND repeats > 0)
        );
        INSERT INTO store.members
            SELECT m.stage, m.blend, m.position, s.sample_no, m.role, m.weight, m.repeats, r.reason_no
            FROM store.members_of_4 m LEFT JOIN store.samples s USING (sample_id)
            LEFT JOIN store.reasons r ON r.stage = m.stage AND r.reason = m.reason ORDER BY m.rowid;
        DROP TABLE store.members_of_4""",
}
"""version -> SQL that turns the tables of version - 1 into its own; views, macros and comments are then made anew."""
_VIEWS: Final = "CREATE OR REPLACE VIEW "


def schema_sql() -> str:
    """Return the SQL that makes an empty manifest of the current version."""
    return Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")


def views_sql() -> str:
    """Return the part of `schema_sql` that makes the views, macros and comments, replacing those that are there."""
    text = schema_sql()
    return text[text.index(_VIEWS) :]


def utc() -> datetime:
    """Return the present time in UTC without a zone, as the manifest's TIMESTAMP columns hold it."""
    return datetime.now(UTC).replace(tzinfo=None)


def prepare(connection: duckdb.DuckDBPyConnection, version: int, where: str) -> None:
    """Create the schema in an empty database, or migrate an older one, in one transaction.

    Raises UserError when the manifest was written by a newer version than this code knows.
    """
    found = _version(connection)
    if found == version:
        return
    if found is not None and found > version:
        raise UserError(
            f"the manifest has schema version {found}, this blendsmith knows {version}",
            where=where,
            remedy="install a newer blendsmith, or give another manifest folder",
        )
    connection.execute("BEGIN")
    try:
        if found is None:
            connection.execute(schema_sql())
        for step in range((found or version) + 1, version + 1):
            connection.execute(MIGRATIONS[step])
        if found is not None:
            connection.execute(views_sql())
        connection.execute("INSERT INTO store.migrations VALUES (?, ?)", [version, utc()])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: duckdb.DuckDBPyConnection) -> int | None:
    exists = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database()"
        " AND schema_name = 'store' AND table_name = 'migrations'"
    ).fetchall()
    if not exists[0][0]:
        return None
    rows = connection.execute("SELECT max(version) FROM store.migrations").fetchall()
    return int(rows[0][0]) if rows[0][0] is not None else None
