"""Recorded verdicts from a file, in place of a model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

import polars as pl
from pydantic.dataclasses import dataclass

from curate.judges import ABSTAINED, OK, Call, Menu, Reply, Writing, failed
from manifests.component import COMPONENT, Context
from manifests.errors import UserError
from manifests.names import digest_bytes

_WORDS: Final = {"correct": 0.0, "wrong": 1.0}
_KEYS: Final = ("sample_id", "content_id")
_COLUMNS: Final = (*_KEYS, "p_error", "verdict")
_MAX_LINE: Final = 16 * 1024 * 1024
Record = tuple[float | None, str | None]


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Replay:
    """Answers from a JSONL or Parquet file: rows with `sample_id` or `content_id`, and `p_error` or `verdict`.

    `p_error` is 0..1; `verdict` is `correct` or `wrong`. A sample without a record, or with another word or null as its
    verdict, is abstained from.
    """

    kind: ClassVar[str] = "replay"
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = False
    paths: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str
    """The file with the recorded verdicts."""

    def identity(self) -> dict[str, Any]:
        """Return the hash of the file's bytes."""
        return {"kind": self.kind, "version": self.version, "file": digest_bytes(self._bytes())}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[ReplaySession]:
        """Read the file; raise UserError when it is absent, lacks the columns or contradicts itself."""
        yield ReplaySession(self._records())

    def cost(self, reply: Reply) -> float:
        """Return 0: nothing is asked."""
        return 0.0

    def _bytes(self) -> bytes:
        path = Path(self.path)
        if not path.is_file():
            raise UserError("no such file of recorded verdicts", value=self.path)
        return path.read_bytes()

    def _records(self) -> dict[str, Record]:
        rows = _parquet(Path(self.path)) if self.path.endswith(".parquet") else _jsonl(self.path, self._bytes())
        records: dict[str, Record] = {}
        for number, row in rows:
            where = f"{self.path}:{number}"
            key = next((row[name] for name in _KEYS if row.get(name) is not None), None)
            if not isinstance(key, str) or not {"p_error", "verdict"} & set(row):
                raise UserError(
                    "a recorded verdict needs sample_id or content_id, and p_error or verdict",
                    where=where,
                    value=sorted(row),
                )
            record = _record(row)
            if records.setdefault(key, record) != record:
                raise UserError("two recorded verdicts contradict each other", where=where, value=key)
        return records


class ReplaySession:
    """The records by sample id or content id; the sample id wins."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._records = records

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        """Yield one batch with a reply per call."""
        yield [self._answer(call) for call in calls]

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        """Yield one batch in which every call failed: verdicts are recorded, not texts."""
        yield [failed(call.key, "a recorded judge writes nothing") for call in calls]

    def _answer(self, call: Call) -> Reply:
        found = self._records.get(call.sample_id) or self._records.get(call.content_id)
        if found is None:
            return Reply(key=call.key, status=ABSTAINED, why="no recorded verdict")
        value, why = found
        if value is None:
            return Reply(key=call.key, status=ABSTAINED, why=why)
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            return failed(call.key, f"malformed: recorded p_error {value!r}")
        return Reply(key=call.key, status=OK, probabilities=(1.0 - value, value))


def _record(row: Mapping[str, Any]) -> Record:
    """Return (p_error, None), or (None, why) for a row that decides nothing."""
    value = row.get("p_error")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), None
    if value is not None:
        return math.inf, None
    word = row.get("verdict")
    known = _WORDS.get(word.strip().lower()) if isinstance(word, str) else None
    return (known, None) if known is not None else (None, f"recorded verdict {word!r}"[:200])


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        names = list(pl.read_parquet_schema(path))
        columns: list[str] = [name for name in _COLUMNS if name in names]
        frame = pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"the recorded verdicts cannot be read ({error})", value=str(path)) from error
    yield from enumerate(frame.iter_rows(named=True), 1)


def _jsonl(name: str, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        if len(line) > _MAX_LINE:
            raise UserError("the line is longer than 16 MiB", where=where, value=len(line))
        try:
            row = json.loads(line.decode("utf-8"))
        except ValueError as error:
            raise UserError(f"not a line of JSON ({error})", where=where, value=line[:80]) from error
        if not isinstance(row, dict):
            raise UserError("not a JSON object", where=where, value=row)
        yield number, row
