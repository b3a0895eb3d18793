"""Samples for the tests of duplicate removal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from curate.sample import Message, Sample, content_id, sample_id, samples_frame

STORY = "The quick brown fox jumps over the lazy dog while nine grey cats watch from the old stone wall by the river"


def talks(conversations: Iterable[Iterable[tuple[str, str]]], source: str = "pool", **meta: Any) -> pl.DataFrame:
    """Return a sample per conversation, a list of (role, content), as a frame of `schema.SAMPLES`."""
    made, seen = [], {}
    for turns in conversations:
        messages = tuple(Message(role, content) for role, content in turns)
        key = content_id(messages)
        seen[key] = seen.get(key, -1) + 1
        made.append(Sample(sample_id(key, source, seen[key]), key, source, "generalist", messages, meta=meta))
    return samples_frame(made)


def rows(*pairs: tuple[str, str], source: str = "pool", **meta: Any) -> pl.DataFrame:
    """Return a sample per (prompt, response); equal ones get their own ids."""
    return talks(([("user", prompt), ("assistant", response)] for prompt, response in pairs), source, **meta)


def together(*frames: pl.DataFrame) -> pl.DataFrame:
    """Return the samples of all frames, ordered by id as a step gets them."""
    return pl.concat(frames).sort("sample_id")


def chain(links: int, step: int = 2) -> list[str]:
    """Return texts of which each is a small edit of the one before, and no other is near the first."""
    found = STORY.split()
    return [" ".join([f"x{i}" for i in range(k)] + found[k:]) for k in range(0, links * step, step)]
