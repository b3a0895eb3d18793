"""What a knowledge source holds: facts, passages, and pairs of claim and evidence that teach stances."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from curate.sentence import sentences
from manifests.errors import UserError

WINDOW: Final = 120
"""Words of a passage, about: whole sentences are taken until there are that many."""
OVERLAP: Final = 1
"""Sentences that a passage shares with the one before."""
STANCES: Final = ("support", "refute", "neither")
"""What evidence says of a claim."""
_SPELLINGS: Final[Mapping[str, str]] = {
    "support": "support", "supports": "support", "supported": "support", "entailment": "support",
    "completely-support": "support", "refute": "refute", "refutes": "refute", "refuted": "refute",
    "contradiction": "refute", "contradicts": "refute", "neither": "neither", "neutral": "neither",
    "not enough": "neither", "not enough info": "neither", "not_supported": "neither", "irrelevant": "neither",
    "partially-support": "neither", "partially_supported": "neither",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """Subject, relation and the objects that are known; `id` is the sample's."""

    subject: str
    relation: str
    objects: tuple[str, ...]
    id: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document: `id` is the sample's, with its number behind `#` where there are several."""

    id: str
    title: str
    text: str

    @property
    def whole(self) -> str:
        """The text behind its title, unless it begins with it."""
        return self.text if not self.title or self.text.startswith(self.title) else f"{self.title}. {self.text}"


@dataclass(frozen=True, slots=True)
class Lesson:
    """A claim, evidence for or against it, and the stance (one of `STANCES`) of the evidence."""

    claim: str
    evidence: str
    stance: str
    id: str


@dataclass(frozen=True)
class Knowledge:
    """The rows of a knowledge source, sorted by what they are."""

    facts: tuple[Fact, ...]
    passages: tuple[Passage, ...]
    lessons: tuple[Lesson, ...]


def knowledge_of(rows: pl.DataFrame, teachers: str | None = None) -> Knowledge:
    """Return what `schema.SAMPLES` rows hold, ordered by sample id.

    A row with `stance` in its meta is a lesson: the response is the claim, and `meta.evidence` (a text or a list of
    sentences), or else the prompt, is the evidence. A row with `relation` in its meta is a fact: `meta.subject`, or
    else the prompt, is the subject; `meta.object`, `meta.objects`, `meta.references` or else the response are the
    objects. Any other row is a document: the prompt its title (or question), the response its text, cut into passages.
    `teachers` names the one source whose rows may be lessons. Raise UserError for a stance that has no meaning.
    """
    facts: list[Fact] = []
    passages: list[Passage] = []
    lessons: list[Lesson] = []
    columns = ["sample_id", "source", "prompt", "response", "meta"]
    for sample, source, prompt, response, text in rows.select(columns).sort("sample_id").iter_rows():
        meta: dict[str, Any] = json.loads(text or "{}")
        if meta.get("stance") is not None:
            if teachers is None or source == teachers:
                evidence = meta.get("evidence") or prompt
                joined = evidence if isinstance(evidence, str) else "\n".join(map(str, evidence))
                lessons.append(Lesson(response, joined, _stance(meta["stance"], sample), sample))
        elif isinstance(meta.get("relation"), str):
            facts.append(Fact(str(meta.get("subject") or prompt), meta["relation"], _objects(meta, response), sample))
        else:
            passages.extend(cut(sample, prompt, response))
    return Knowledge(tuple(facts), tuple(passages), tuple(lessons))


def cut(identifier: str, title: str, text: str, window: int = WINDOW, overlap: int = OVERLAP) -> list[Passage]:
    """Return a document as passages of whole sentences, about `window` words each.

    Every sentence is in one at least; a passage begins with the last `overlap` sentences of the one before.
    """
    parts = sentences(text)
    sizes = [len(part.split()) for part in parts]
    spans: list[tuple[int, int]] = []
    start = 0
    while start < len(parts):
        stop, words = start, 0
        while stop < len(parts) and (words < window or stop == start):
            words += sizes[stop]
            stop += 1
        spans.append((start, stop))
        if stop == len(parts):
            break
        start = max(stop - overlap, start + 1)
    alone = len(spans) == 1
    return [
        Passage(identifier if alone else f"{identifier}#{i}", title, " ".join(parts[a:b]))
        for i, (a, b) in enumerate(spans)
    ]


def told(facts: Iterable[Fact]) -> list[Passage]:
    """Return the facts as text, one passage per subject, so that they can be retrieved and read."""
    by_subject: dict[str, list[Fact]] = {}
    for fact in facts:
        by_subject.setdefault(fact.subject, []).append(fact)
    return [
        Passage(of[0].id, subject, " ".join(f"{f.relation.capitalize()}: {', '.join(f.objects)}." for f in of))
        for subject, of in by_subject.items()
    ]


def _objects(meta: Mapping[str, Any], response: str) -> tuple[str, ...]:
    for key in ("objects", "object", "references"):
        given = meta.get(key)
        if isinstance(given, str) and given:
            return (given,)
        if isinstance(given, list) and given:
            return tuple(map(str, given))
    return (response,)


def _stance(value: object, sample: str) -> str:
    found = _SPELLINGS.get(str(value).strip().lower())
    if found is None:
        raise UserError("not a stance", where=f"sample {sample}", value=value, options=sorted(_SPELLINGS))
    return found
