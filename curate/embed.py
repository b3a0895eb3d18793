"""Unit vectors of texts, computed once per content and kept in a cache that a kill cannot tear."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate import encoder as encoders
from curate.hashed import DIMENSIONS
from curate.text import Key
from manifests.component import Context
from manifests.errors import Interrupted, UserError

Vectors = NDArray[np.float32]

CHUNK: Final = 512
"""Texts that are embedded and committed together."""


def encode(texts: Sequence[str], ids: Sequence[str], encoder: str, cache: Path, context: Context) -> Vectors:
    """Return one unit row per text, shape (n, d); a text without any content may be a zero row.

    `ids` name the texts: a vector is looked up in the SQLite file `cache` by (encoder, id) and computed when absent,
    each id once, shortest text first, committed chunk by chunk; chunks go through `context.engine`. One id must stand
    for one text: see `text_ids`. `encoder` is

    * `minilm`: d = 384, all-MiniLM-L6-v2 from a package, offline; reads the first 256 word pieces;
    * `minilm-bf16`: the same weights rounded to bfloat16; faster where the processor multiplies those (AMX, GPUs);
    * `minilm-static`: d = 256, means of token vectors distilled from it: word by word, without context, much faster;
    * `hash`: d = 256, lexical, needs no model;
    * or a sentence-transformers id or folder.

    tests/benchmarks/embed_speed.py measures their speed and how far they agree. A vector varies in its last bits (about
    1e-6) with batch and machine, which is why the cached one is used ever after. Raises Interrupted between chunks.
    """
    if len(texts) != len(ids):
        raise UserError("texts and ids differ in number", value=(len(texts), len(ids)))
    key = encoders.identity(encoder)
    with _opened(cache) as store:
        known = _read(store, key, ids)
        absent = {i: text for i, text in zip(ids, texts, strict=True) if i not in known}
        if absent:
            known.update(_computed(store, absent, (encoder, key), context))
    if not known:
        return np.zeros((0, DIMENSIONS), dtype=np.float32)
    return np.stack([known[i] for i in ids])


def text_ids(content_ids: Sequence[str], key: Key) -> list[str]:
    """Return the ids under which `encode` keeps the vectors of the samples' prompts, responses or both.

    The prompt's vector has the content id itself, so that steps, scorers and coverage cells share it.
    """
    return list(content_ids) if key == "prompt" else [f"{i}:{key}" for i in content_ids]


@contextmanager
def _opened(cache: Path) -> Iterator[sqlite3.Connection]:
    """Give the cache, created when absent; a second writer waits up to a minute."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    store = sqlite3.connect(cache, timeout=60)
    try:
        with store:
            store.execute(
                "CREATE TABLE IF NOT EXISTS vectors (encoder TEXT, content_id TEXT, vector BLOB NOT NULL, "
                "PRIMARY KEY (encoder, content_id)) WITHOUT ROWID"
            )
        yield store
    except sqlite3.DatabaseError as fault:
        remedy = "is another job using it?" if isinstance(fault, sqlite3.OperationalError) else "delete it"
        raise UserError(f"the embedding cache cannot be used ({fault})", value=str(cache), remedy=remedy) from fault
    finally:
        store.close()


def _read(store: sqlite3.Connection, key: str, ids: Sequence[str]) -> dict[str, Vectors]:
    """Return the cached vectors of `ids`."""
    found: dict[str, Vectors] = {}
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        marks = ",".join("?" * len(some))
        rows = store.execute(
            f"SELECT content_id, vector FROM vectors WHERE encoder = ? AND content_id IN ({marks})",  # noqa: S608 - marks only
            (key, *some),
        )
        found.update((name, np.frombuffer(blob, dtype="<f4").astype(np.float32)) for name, blob in rows)
    return found


def _computed(
    store: sqlite3.Connection, absent: dict[str, str], encoder: tuple[str, str], context: Context
) -> dict[str, Vectors]:
    """Return the vectors of `absent` (content id to text), each chunk committed before the next is waited for."""
    name, key = encoder
    order = sorted(absent, key=lambda i: (len(absent[i]), i))
    chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
    texts = ([absent[i] for i in chunk] for chunk in chunks)
    found = iter(context.engine.map(partial(encoders.embedded, name, context.batch or 32), texts))
    made: dict[str, Vectors] = {}
    for chunk in chunks:
        if context.stopping():
            raise Interrupted(f"stopped; {len(made)} of {len(order)} vectors are kept")
        vectors = next(found)
        with store:
            store.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                [(key, i, vector.astype("<f4").tobytes()) for i, vector in zip(chunk, vectors, strict=True)],
            )
        made.update(zip(chunk, vectors, strict=True))
        context.progress(len(made), len(order))
    return made
