"""The judge's finished calls, kept across runs in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from curate.judges import FAILED, OK, Reply, from_json
from manifests.errors import UserError
from manifests.names import canonical_json, digest_bytes, read_json

VERSION: Final = 1
_MARK: Final = "\n#"
"""Between a reply and its hash; canonical JSON holds no line break."""
_BATCH: Final = 500
_BUSY_SECONDS: Final = 30.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (key TEXT PRIMARY KEY, why TEXT NOT NULL, times INTEGER NOT NULL) WITHOUT ROWID;
"""
_FAILURE: Final = (
    "INSERT INTO failures VALUES (?, ?, 1) ON CONFLICT (key) DO UPDATE SET why = excluded.why, times = times + 1"
)


class CallCache:
    """One row per finished call in the table `calls`; failed calls apart, in `failures`, and never served.

    A batch given to `put` is one transaction in a write-ahead log: after kill -9 it is there whole or not at all.
    Several processes may share the file. Each reply has its hash behind it, so that a damaged one is never served. A
    file that is not a cache is refused, not overwritten.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._named():
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; every batch that was put is already in it."""
        self._connection.close()

    def get(self, keys: Iterable[str]) -> dict[str, Reply]:
        """Return the finished replies among `keys`; an entry that is damaged counts as absent: it is asked again."""
        wanted = sorted(set(keys))
        found: dict[str, Reply] = {}
        with self._named():
            for start in range(0, len(wanted), _BATCH):
                part = wanted[start : start + _BATCH]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, reply FROM calls WHERE key IN ({marks})"  # noqa: S608 - only question marks
                for key, text in self._connection.execute(query, part):
                    reply = _decode(key, text)
                    if reply is not None:
                        found[key] = reply
        return found

    def put(self, replies: Sequence[Reply]) -> None:
        """Store a batch durably against a killed process: finished calls as hits, failed ones as failures."""
        done = [(r.key, _encode(canonical_json(r.to_json()))) for r in replies if r.status == OK]
        lost = [(r.key, r.why or "") for r in replies if r.status == FAILED]
        with self._named(), _transaction(self._connection) as connection:
            connection.executemany("INSERT OR REPLACE INTO calls VALUES (?, ?)", done)
            connection.executemany("DELETE FROM failures WHERE key = ?", [(key,) for key, _ in done])
            connection.executemany(_FAILURE, lost)

    def failures(self) -> dict[str, tuple[str, int]]:
        """Return every call that failed and has not been answered since: key to (why, how many times)."""
        with self._named():
            rows = self._connection.execute("SELECT key, why, times FROM failures ORDER BY key").fetchall()
        return {key: (why, times) for key, why, times in rows}

    def damaged(self) -> tuple[int, int]:
        """Return how many finished calls the file holds, and how many of them are damaged; read the whole file.

        Raises UserError when the file itself is.
        """
        with self._named():
            found = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            entries = self._connection.execute("SELECT key, reply FROM calls")
            read = [_decode(key, text) is None for key, text in entries]
        return len(read), sum(read)

    def _prepare(self) -> None:
        with self._named():
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if version not in (0, VERSION) or (version == 0 and tables - {"calls", "failures"}):
                raise UserError(
                    f"{self.path} is not a call cache of this version (it has version {version}, expected {VERSION})",
                    value=sorted(tables),
                    remedy="move the file away: the finished calls will be asked again",
                )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            with _transaction(self._connection) as connection:
                for statement in _SCHEMA.strip().split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn SQLite's errors into one that names the file and says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise UserError(
                f"the call cache {self.path} cannot be used ({error})",
                value=str(self.path),
                remedy="check that the folder is writable, the disk is not full and no other program holds the file",
            ) from error
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"the call cache {self.path} is damaged ({error})",
                value=str(self.path),
                remedy=f"move it away (mv '{self.path}' '{self.path}.damaged'): its calls will be asked again",
            ) from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _encode(text: str) -> str:
    """Return the text with its hash behind it: SQLite keeps no checksums of its own."""
    return f"{text}{_MARK}{digest_bytes(text.encode())}"


def _decode(key: str, text: object) -> Reply | None:
    """Return the reply of an entry, None when it is damaged; those of earlier versions have no hash."""
    if not isinstance(text, str):
        return None
    text, mark, hashed = text.partition(_MARK)
    if mark and hashed != digest_bytes(text.encode()):
        return None
    try:
        value = read_json(text)
    except ValueError:
        return None
    return from_json(key, value) if isinstance(value, dict) else None
