"""Recorded verdicts and replies from a file, in place of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.answer_text import read_claim
from curate.judges import ABSTAINED, OK, Call, Menu, Reply, Text, Writing, failed
from manifests.component import COMPONENT, Context
from manifests.errors import UserError
from manifests.names import digest_bytes, read_json

_WORDS: Final = {"correct": 0.0, "wrong": 1.0}
_KEYS: Final = ("sample_id", "content_id")
_SAID: Final = ("p_error", "verdict", "reply")
_COLUMNS: Final = (*_KEYS, *_SAID, "finish", "claim")
_MAX_LINE: Final = 16 * 1024 * 1024
Row = Mapping[str, Any]
Record = tuple[float | None, str | None] | list[Text]
"""Number or reason of a record that is one verdict; the votes of one that is replies."""
Records = dict[str, dict[str | None, Record]]
"""By sample id or content id, then by claim, None for the row itself."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Replay:
    """Answers from a JSONL or Parquet file of recorded verdicts: numbers, words, or a judge's replies as it wrote them.

    A record has `sample_id` or `content_id`, and one of: `p_error`, 0..1; `verdict`, which is `correct` or `wrong`;
    `reply`, a text whose last line or field states one of `labels`, with `finish` (`length` when it was cut off). A
    record with `claim` is about that claim of the row alone: it answers the prompt that has it in a line `Claim: ...`.
    Asked to list a row's claims without a recorded reply, the engine lists those that have records.

    Several replies to one question are votes: the probabilities of correct and wrong are their shares among all votes,
    so that `p_error` is the share of wrong among those that decide, and the label mass the share that decides. A
    question without a record, or with another word or null as its verdict, is abstained from; so is one whose replies
    are all unsure. It is failed when they state no label.
    """

    kind: ClassVar[str] = "replay"
    version: ClassVar[int] = 2
    cached: ClassVar[bool] = False
    paths: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str
    """The file with the recorded verdicts."""
    labels: Annotated[tuple[str, ...], Field(min_length=2, max_length=3)] = ("correct", "wrong", "unsure")
    """The words of recorded replies that mean correct, wrong and unsure, such as `[true, false, unknown]`."""
    unsure: Literal["abstain", "wrong"] = "abstain"
    """Whether a reply that is unsure decides nothing, or counts as wrong."""

    def identity(self) -> dict[str, Any]:
        """Return the hash of the file's bytes."""
        return {"kind": self.kind, "version": self.version, "file": digest_bytes(self._bytes())}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[ReplaySession]:
        """Read the file; raise UserError when it is absent, lacks the columns or contradicts itself."""
        yield ReplaySession(self._records(), self.labels, unsure_is_wrong=self.unsure == "wrong")

    def cost(self, reply: Reply) -> float:
        """Return 0: nothing is asked."""
        return 0.0

    def _bytes(self) -> bytes:
        path = Path(self.path)
        if not path.is_file():
            raise UserError("no such file of recorded verdicts", value=self.path)
        return path.read_bytes()

    def _records(self) -> Records:
        rows = _parquet(Path(self.path)) if self.path.endswith(".parquet") else _jsonl(self.path, self._bytes())
        records: Records = {}
        for number, row in rows:
            where = f"{self.path}:{number}"
            key = next((row[name] for name in _KEYS if row.get(name) is not None), None)
            claim = row.get("claim")
            if not isinstance(key, str) or not set(_SAID) & set(row):
                raise UserError(
                    "a recorded verdict needs sample_id or content_id, and p_error, verdict or reply",
                    where=where,
                    value=sorted(row),
                )
            if claim is not None and not (isinstance(claim, str) and claim.strip()):
                raise UserError("the claim of a recorded verdict must be a text", where=where, value=claim)
            record = _record(row)
            earlier = records.setdefault(key, {}).setdefault(claim, record)
            if earlier is record:
                continue
            if isinstance(earlier, list) and isinstance(record, list):
                earlier.extend(record)
            elif earlier != record:
                raise UserError("two recorded verdicts contradict each other", where=where, value=key)
        return records


class ReplaySession:
    """The records by sample id or content id; the sample id wins."""

    def __init__(self, records: Records, labels: Sequence[str], *, unsure_is_wrong: bool) -> None:
        self._records, self._labels, self._unsure_is_wrong = records, labels, unsure_is_wrong

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        """Yield one batch with a reply per call."""
        yield [self._answer(call, len(menu.labels)) for call in calls]

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        """Yield one batch with the first `how.n` recorded replies per call, failed where there are fewer."""
        yield [self._written(call, how.n) for call in calls]

    def _answer(self, call: Call, n_labels: int) -> Reply:
        found = self._found(call)
        if found is None:
            return Reply(key=call.key, status=ABSTAINED, why="no recorded verdict")
        if isinstance(found, list):
            return self._counted(call.key, found, n_labels)
        value, why = found
        if value is None:
            return Reply(key=call.key, status=ABSTAINED, why=why)
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            return failed(call.key, f"malformed: recorded p_error {value!r}")
        return _shares(call.key, (1.0 - value, value, 0.0), n_labels, ())

    def _counted(self, key: str, texts: Sequence[Text], n_labels: int) -> Reply:
        """Return the shares of correct, wrong and unsure among all votes; failed when no vote states a label."""
        read = [read_claim(text.text, text.finish, self._labels) for text in texts]
        counts = [sum(verdict.label == i for verdict in read) for i in range(3)]
        if self._unsure_is_wrong:
            counts = [counts[0], counts[1] + counts[2], 0]
        if not any(counts):
            return failed(key, read[0].why or "")
        if not any(counts[:2]):
            return Reply(key=key, status=ABSTAINED, why="the recorded replies are unsure", texts=tuple(texts))
        correct, wrong, unsure = (count / len(texts) for count in counts)
        return _shares(key, (correct, wrong, unsure), n_labels, texts)

    def _written(self, call: Call, n: int) -> Reply:
        found = self._found(call) or self._listed(call)
        if not found or not isinstance(found, list):
            return failed(call.key, "no recorded reply")
        if len(found) < n:
            return failed(call.key, f"{len(found)} recorded replies in place of {n}")
        return Reply(key=call.key, status=OK, texts=tuple(found[:n]), finish=found[0].finish)

    def _found(self, call: Call) -> Record | None:
        """Return the record of the claim that the prompt names last, or of the row when it names none."""
        about = self._about(call)
        starts = {claim: call.prompt.rfind(f"Claim: {claim}") for claim in about if claim}
        named = [claim for claim, start in starts.items() if start >= 0]
        last = max(named, key=lambda claim: (starts[claim], len(claim)), default=None)
        return about.get(last)

    def _listed(self, call: Call) -> list[Text]:
        """Return the recorded claims of the row as a judge would list them."""
        claims = "\n".join(f"- {claim}" for claim in self._about(call) if claim)
        return [Text(claims, "stop")] if claims else []

    def _about(self, call: Call) -> Mapping[str | None, Record]:
        return self._records.get(call.sample_id) or self._records.get(call.content_id) or {}


def _shares(key: str, shares: tuple[float, float, float], n_labels: int, texts: Sequence[Text]) -> Reply:
    return Reply(key=key, status=OK, probabilities=shares[:n_labels], texts=tuple(texts))


def _record(row: Row) -> Record:
    """Return the reply in a list, (p_error, None), or (None, why) for a row that decides nothing."""
    value, reply, word = row.get("p_error"), row.get("reply"), row.get("verdict")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _float(value), None
    if value is not None:
        return math.inf, None
    if word is None and "reply" in row:
        return [Text(reply if isinstance(reply, str) else "", str(row.get("finish") or "stop"))]
    known = _WORDS.get(word.strip().lower()) if isinstance(word, str) else None
    return (known, None) if known is not None else (None, f"recorded verdict {word!r}"[:200])


def _float(value: float) -> float:
    """Return the number, infinite where it is a whole number that no float holds."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


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
            row = read_json(line.decode("utf-8"))
        except ValueError as error:
            raise UserError(f"not a line of JSON ({error})", where=where, value=line[:80]) from error
        if not isinstance(row, dict):
            raise UserError("not a JSON object", where=where, value=row)
        yield number, row
