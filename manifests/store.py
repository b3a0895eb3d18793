"""The only writer of a manifest, and the reader of its published copy.

The writer works on a private file, `work/manifest.duckdb`, one explicit transaction per stage; after each it publishes
a copy, `manifest.duckdb`, by write, fsync and rename. Readers open the copy: they can neither block a job nor see half
of one. The file is written in storage version v1.0.0, which DuckDB 1.4 and 2.x read.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import polars as pl

from manifests import atomic, fault, migrations, schema
from manifests.errors import ConservationError, UserError
from manifests.laws import TABLES, verify
from manifests.lock import Lock
from manifests.names import quote

FILE: Final = "manifest.duckdb"
ASIDE: Final = ".damaged"
"""Ends the name of a work file that could not be opened."""
_STRANGE: Final = "the file was changed by something else: run the job again into a new folder"


@dataclass(frozen=True)
class StageRecord:
    """A finished stage as it is recorded: `key` decides whether it is run again."""

    stage: str
    kind: str
    key: str
    spec: str
    position: int
    seconds: float = 0.0


def harden(connection: duckdb.DuckDBPyConnection) -> None:
    """Close a connection to files, network, extensions and Python variables."""
    for setting in (
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET python_enable_replacements = false",
        "SET enable_external_access = false",
    ):
        connection.execute(setting)


def bound(connection: duckdb.DuckDBPyConnection, memory: int | None) -> None:
    """Bound the megabytes that DuckDB holds, more goes to its temporary folder, and lock the connection's settings.

    None takes what the attached manifest records, if it does; 0 leaves DuckDB's own bound, four fifths of the machine.
    """
    if memory is None:
        table = (
            "SELECT 1 FROM duckdb_tables()"
            " WHERE database_name = 'manifest' AND schema_name = 'store' AND table_name = 'meta'"
        )
        there = connection.execute(table).fetchall()  # a view of that name, by a stranger, is not looked at
        said = there and connection.execute("SELECT value FROM store.meta WHERE key = 'memory'").fetchall()
        memory = int(said[0][0]) if said and re.fullmatch("[0-9]{2,9}", str(said[0][0])) else 0
    if memory:
        connection.execute(f"SET memory_limit = '{memory}MB'")
    connection.execute("SET lock_configuration = true")


class Store:
    """The writer of the manifest folder `root`; use it as a context manager. `memory` is as in `bound`.

    Raises BusyError when another process holds the folder, UserError when the file is damaged or too new.
    """

    def __init__(self, root: Path, memory: int | None = None) -> None:
        self.root = root
        self._memory = memory
        self.work = root / "work" / FILE
        self.published = root / FILE

    def __enter__(self) -> Self:
        atomic.check_links(self.root)
        self._lock = Lock(self.root)
        self._connection = duckdb.connect(":memory:")
        try:
            self.work.parent.mkdir(parents=True, exist_ok=True)
            if not self.work.exists():
                with atomic.replacing(self.work) as temporary:
                    if self.published.exists():
                        shutil.copyfile(self.published, temporary)
                    else:
                        _create(temporary)
            work = self.work.parent.resolve()
            self._connection.execute(f"SET temp_directory = {_text(str(work / 'spill'))}")
            self._connection.execute(f"SET allowed_directories = [{_text(str(work))}]")
            harden(self._connection)  # the manifest may have come from others: its views must not read this machine
            self._open()
            bound(self._connection, self._memory)
            migrations.prepare(self._connection, schema.VERSION, str(self.work))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._connection.close()
        self._lock.release()

    def _open(self) -> None:
        """Attach the work file; where it is damaged put it aside, warn, and go on from the published copy.

        A process that is killed while DuckDB writes a block in place leaves such a file: 1 of 480 kills of a loop of
        commits and checkpoints, version 2.0.0. What was published is whole, and later stages are made again.
        """
        try:
            self._attach()
        except UserError as error:
            if not (isinstance(error.__cause__, duckdb.Error) and fault.damaged(error.__cause__)):
                raise
            if not self.published.exists():
                raise
            for file in (self.work, self.work.with_name(f"{FILE}.wal")):
                if file.exists():
                    os.replace(file, file.with_name(f"{file.name}{ASIDE}"))
            with atomic.replacing(self.work) as temporary:
                shutil.copyfile(self.published, temporary)
            self._attach()
            said = f"{self.work}: {error.what}: put aside as {FILE}{ASIDE}; the job goes on from the published copy"
            warnings.warn(said, UserWarning, stacklevel=3)

    def _attach(self) -> None:
        try:
            file = _text(str(self.work.resolve()))
            self._connection.execute(f"ATTACH {file} AS manifest (STORAGE_VERSION 'v1.0.0')")
        except duckdb.Error as error:
            raise UserError(
                f"the manifest cannot be opened ({str(error).splitlines()[0]})",
                where=str(self.work),
                remedy=f"remove {self.work.parent}, or run the job into a new folder",
            ) from error
        self._connection.execute("USE manifest")

    def keys(self) -> dict[str, str]:
        """Return stage -> key of every finished stage."""
        return dict(self._connection.execute("SELECT stage, key FROM store.stages").fetchall())

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        """Return the rows of a query over the private tables and the public views."""
        return _frame(self._connection, sql, parameters)

    def commit(self, record: StageRecord, tables: Mapping[str, pl.DataFrame]) -> int:
        """Replace all that the stage wrote before by `tables`, check the laws, and record it: all in one transaction.

        Returns the number of rows written. Frames have the columns of their table without `stage`. Raises
        ConservationError, with nothing written, when a law is broken.
        """
        n_rows = sum(frame.height for frame in tables.values())
        with self._transaction():
            again = record.stage in self.keys()
            tables = self._numbered(record.stage, tables)
            if again:
                self._delete([record.stage])
            values = [*vars(record).values(), n_rows, migrations.utc()]
            self._connection.execute("INSERT INTO store.stages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            for table, frame in tables.items():
                self._insert(table, record.stage, frame)
            checked = verify(self._connection, TABLES if again else tables)
            broken = [row for row in checked.iter_rows(named=True) if not row["ok"]]
            if broken:
                raise ConservationError(f"stage {record.stage} breaks a law: {broken[0]['law']}: {broken[0]['detail']}")
        return n_rows

    def retire(self, stages: Collection[str]) -> None:
        """Remove stages and all that they wrote, in one transaction."""
        if stages:
            with self._transaction():
                self._delete(sorted(stages))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def _delete(self, stages: list[str]) -> None:
        for table in (*TABLES, "stages"):
            self._connection.execute(f"DELETE FROM store.{quote(table)} WHERE stage IN (SELECT unnest(?))", [stages])  # noqa: S608

    def _numbered(self, stage: str, tables: Mapping[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
        """Return the tables with whole numbers in place of a member's sample and reason: a fifth of the bytes.

        A sample that the stage wrote before keeps its number; another gets one that neither sample nor member has had.
        """
        if "samples" in tables:
            known = "SELECT sample_id, sample_no FROM store.samples WHERE stage = ?"
            samples = tables["samples"].join(
                self.query(known, [stage]), on="sample_id", how="left", maintain_order="left"
            )
            new = pl.int_range(pl.len(), dtype=pl.UInt32) + self._free("sample_no", "samples", "members")
            return {**tables, "samples": samples.with_columns(pl.coalesce("sample_no", new))}
        if "members" not in tables:
            return tables
        members = tables["members"]
        reasons = members.select("reason").unique(maintain_order=True)
        reasons = reasons.with_row_index("reason_no", self._free("reason_no", "reasons"))
        samples = self.query("SELECT sample_id, sample_no FROM store.samples")
        found = members.join(samples, on="sample_id", how="left", maintain_order="left")
        stray = found.filter(pl.col("sample_no").is_null())
        if stray.height:
            raise ConservationError(f"stage {stage} draws a sample that was never read: {stray['sample_id'][0]}")
        found = found.join(reasons, on="reason", how="left", maintain_order="left")
        return {**tables, "members": found.drop("sample_id", "reason"), "reasons": reasons}

    def _free(self, column: str, *tables: str) -> int:
        """Return the first number above all that are in a column of the tables."""
        most = [self.query(f"SELECT max({quote(column)}) FROM store.{quote(table)}").item() for table in tables]  # noqa: S608
        return max((number + 1 for number in most if number is not None), default=0)

    def _insert(self, table: str, stage: str, frame: pl.DataFrame) -> None:
        if table not in TABLES:
            raise ConservationError(f"no such table: {table}")
        if frame.is_empty():
            return
        columns = ", ".join(quote(name) for name in frame.columns)
        self._connection.register("incoming", frame.to_arrow())
        self._connection.execute(
            f"INSERT INTO store.{quote(table)} (stage, {columns}) SELECT ?, {columns} FROM incoming",  # noqa: S608
            [stage],
        )
        self._connection.unregister("incoming")

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Record facts of the manifest: the job's name and file, the version that wrote it."""
        with self._transaction():
            for key, value in sorted(values.items()):
                self._connection.execute("INSERT OR REPLACE INTO store.meta VALUES (?, ?)", [key, value])

    def publish(self) -> Path:
        """Replace the published copy by the present state and return its path."""
        self._connection.execute("CHECKPOINT manifest")
        self._connection.execute("USE memory")
        self._connection.execute("DETACH manifest")
        try:
            with atomic.replacing(self.published) as temporary:
                shutil.copyfile(self.work, temporary)
        finally:
            self._attach()
        return self.published


def _create(file: Path) -> None:
    """Make an empty manifest: beside its place, for one that is cut off while DuckDB makes it cannot be opened."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH {_text(str(file))} AS manifest (STORAGE_VERSION 'v1.0.0')")
        connection.execute("USE manifest")
        migrations.prepare(connection, schema.VERSION, str(file))
        connection.execute("CHECKPOINT manifest")


def _frame(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any]) -> pl.DataFrame:
    relation = connection.sql(sql, params=list(parameters)) if parameters else connection.sql(sql)
    return pl.DataFrame() if relation is None else pl.DataFrame(relation.pl())


def _open(file: Path, memory: int | None) -> duckdb.DuckDBPyConnection:
    """Return a hardened and bounded connection of its own to the file as it is now, attached read-only.

    `duckdb.connect(file)` would share one instance per path within the process, so that a reader opened after a
    publication would see the copy from before it; DuckDB 1.4 also refuses to attach one spelling of a path twice.
    """
    connection = duckdb.connect(":memory:")
    try:
        connection.execute(f"SET temp_directory = {_text(f'{file}.tmp')}")
        for spelling in range(64):
            path = f"{file.parent.resolve()}/{'./' * spelling}{file.name}"
            try:
                connection.execute(f"ATTACH {_text(path)} AS manifest (READ_ONLY)")
                break
            except duckdb.BinderException as error:
                if "already attached" not in str(error) or spelling == 63:
                    raise
        connection.execute("USE manifest")
        harden(connection)
        bound(connection, memory)
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _text(value: str) -> str:
    """Return a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


class Manifest:
    """A reader of a published manifest: its folder or its `manifest.duckdb`; a context manager.

    The connection is read-only and closed to files, network, extensions and Python variables. It keeps the copy that
    was published when it was opened, whatever a job does meanwhile. `memory` is as in `bound`: the job's, by default.
    """

    def __init__(self, path: Path | str, memory: int | None = None) -> None:
        given = Path(path)
        self.file = given / FILE if given.is_dir() or given.suffix != ".duckdb" else given
        self.root = self.file.parent
        if not self.file.exists():
            raise UserError("no manifest here", value=str(self.file), remedy="run a job first: blendsmith run JOB")
        try:
            self._connection = _open(self.file, memory)
        except duckdb.Error as error:
            raise UserError(
                f"not a readable manifest ({str(error).splitlines()[0]})",
                value=str(self.file),
                remedy="run the job again: the published copy is replaced from the work file",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The read-only, hardened connection itself: the engine of a notebook's SQL cells."""
        return self._connection

    def sql(self, query: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        """Return the rows of a SQL query over the public views and macros; raise UserError with DuckDB's words."""
        try:
            return _frame(self._connection, query, parameters)
        except duckdb.Error as error:
            raise UserError(f"the query failed: {error}", remedy="list the views with: SHOW TABLES") from error

    def blend(self, ref: str) -> pl.DataFrame:
        """Return the rows of a blend (`name@seed`, or a recipe's name for all its seeds) with their text."""
        known = self.sql("SELECT blend FROM blends ORDER BY blend")["blend"].to_list()
        if ref not in known and ref not in {name.split("@")[0] for name in known}:
            raise UserError("no such blend", value=ref, options=known)
        return self.sql("FROM blend(?)", [ref])

    def why(self, sample_id: str) -> pl.DataFrame:
        """Return all that happened to a sample, given its id or the first digits of it."""
        found = self.sql("FROM why(?)", [sample_id])
        if found.is_empty():
            raise UserError("no such sample", value=sample_id, remedy="list ids with: SELECT sample_id FROM samples")
        return found

    def status(self) -> pl.DataFrame:
        """Return the finished stages in order: stage, kind, seconds, n_rows, finished_at."""
        return self.sql("SELECT stage, kind, seconds, n_rows, finished_at FROM stages")

    def meta(self) -> dict[str, str]:
        """Return the facts that the job recorded: its name, its file, the version that wrote it."""
        return dict(self.sql("SELECT key, value FROM store.meta ORDER BY key").iter_rows())

    def leaderboard(self) -> pl.DataFrame:
        """Return the leaderboard, best first within each task and metric."""
        return self.sql("FROM leaderboard ORDER BY task, metric, mean DESC, blend")

    def verify(self) -> pl.DataFrame:
        """Return (law, ok, detail) for every conservation law; raise UserError when they cannot be looked at."""
        try:
            return verify(self._connection)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"the laws cannot be checked ({reason})", value=str(self.file), remedy=_STRANGE) from error
