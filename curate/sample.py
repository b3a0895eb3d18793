"""The one currency of the project: a conversation with an identity, and the row that failed to become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

from manifests.names import canonical_json, digest_bytes, k64

if TYPE_CHECKING:
    import polars as pl

ROLES: Final = ("generalist", "specialist", "eval", "knowledge")
TURNS: Final = ("system", "user", "assistant")

_quoted: Final[Callable[[str], str]] = encode_basestring  # a text as JSON, characters beyond ASCII kept


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One instruction row.

    `content_id` is the 128-bit hash of the messages' canonical JSON; `id` is the hash of (content_id, source,
    occurrence), occurrence being how many times that source held the same content before. Both are 32 hex digits.
    `meta` holds JSON values: `references` (list of acceptable answers) and `choices` (list of options) have a meaning
    to the evaluation tasks, everything else is the user's.
    """

    id: str
    content_id: str
    source: str
    role: str
    messages: tuple[Message, ...]
    task: str | None = None
    licence: str = "unknown"
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """Everything before the last answer except system turns, joined by blank lines."""
        return "\n\n".join(m.content for m in self.messages[:-1] if m.role != "system")

    @property
    def response(self) -> str:
        """The last turn's content."""
        return self.messages[-1].content

    @property
    def system(self) -> str | None:
        """The system turns joined by blank lines, or None."""
        return "\n\n".join(m.content for m in self.messages if m.role == "system") or None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is not a sample: its source, its 1-based line or row, a reason code, the hash of its raw bytes."""

    source: str
    line: int
    reason: str
    raw_hash: str


def content_id(messages: Iterable[Message]) -> str:
    """Return the 128-bit content hash of the messages, 32 hex digits: `names.digest` of their list of objects."""
    # Written out: the general encoder takes three times as long, and this runs for every row.
    turns = ",".join(f'{{"content":{_quoted(m.content)},"role":{_quoted(m.role)}}}' for m in messages)
    return digest_bytes(f"[{turns}]".encode("utf-8", "surrogatepass"))


def sample_id(content: str, source: str, occurrence: int) -> str:
    """Return the row id: `names.digest` of (content id, source, how many times the source held that content before)."""
    return digest_bytes(f"[{_quoted(content)},{_quoted(source)},{occurrence}]".encode("utf-8", "surrogatepass"))


def samples_frame(samples: Iterable[Sample], *, ordered: bool = True) -> pl.DataFrame:
    """Return the samples as a frame of `schema.SAMPLES`, ordered by sample_id or else as they come."""
    from manifests import schema

    rows = [_row(s) for s in samples]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(schema.SAMPLES)}
    frame = schema.frame(columns, schema.SAMPLES)
    return frame.sort("sample_id") if ordered else frame


def _row(s: Sample) -> tuple[Any, ...]:
    contents = [m.content for m in s.messages]
    size = sum(len(c.encode("utf-8")) for c in contents)
    return (
        s.id,
        s.content_id,
        k64(s.id),
        s.source,
        s.role,
        s.task,
        s.prompt,
        s.response,
        s.system,
        canonical_json([{"content": m.content, "role": m.role} for m in s.messages]),
        len(s.messages),
        sum(map(len, contents)),
        max(1, -(-size // 4)),
        s.licence,
        canonical_json(dict(s.meta)),
    )
