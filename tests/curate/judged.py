"""Samples for the judge's tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from curate.sample import Message, Sample, content_id, sample_id, samples_frame


def sample(question: str, answer: str, occurrence: int = 0, **meta: Any) -> Sample:
    """Return a generalist sample of one question and one answer."""
    messages = (Message("user", question), Message("assistant", answer))
    content = content_id(messages)
    identifier = sample_id(content, "tests", occurrence)
    return Sample(id=identifier, content_id=content, source="tests", role="generalist", messages=messages, meta=meta)


def frame(pairs: Iterable[tuple[str, str]]) -> pl.DataFrame:
    """Return the pairs (question, answer) as a frame of `schema.SAMPLES`; an equal pair gets its own sample."""
    seen: dict[tuple[str, str], int] = {}
    rows = []
    for pair in pairs:
        rows.append(sample(*pair, occurrence=seen.get(pair, 0)))
        seen[pair] = seen.get(pair, 0) + 1
    return samples_frame(rows)


def numbered(n: int) -> pl.DataFrame:
    """Return n different samples."""
    return frame((f"What is {i} plus one?", f"It is {i + 1}.") for i in range(n))


def by_response(samples: pl.DataFrame, scores: pl.DataFrame) -> Mapping[str, dict[str, Any]]:
    """Return the score rows by the response that they are about."""
    joined = samples.select("sample_id", "response").join(scores, on="sample_id")
    return {row["response"]: row for row in joined.iter_rows(named=True)}
