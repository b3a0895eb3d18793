"""Sentence embedders, loaded without running what they bring: safetensors, and parts of sentence-transformers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests import pickled
from manifests.errors import UserError, missing_extra
from manifests.names import read_json


def load(path: str, device: str | None = None) -> Any:  # noqa: ANN401 - a SentenceTransformer
    """Return the SentenceTransformer of a folder or hub id, on `device`, else on the GPU when there is one.

    Raises UserError for pickled weights, for parts that are code of their own, and when the library is not installed;
    what the library itself raises for a model that is not there is left as it is.
    """
    pickled.refuse(Path(path))
    _refuse_code(Path(path) / "modules.json")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise missing_extra("sentence-transformers", "embed") from None
    return SentenceTransformer(path, device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True})


def _refuse_code(parts: Path) -> None:
    """Raise UserError where the list of a folder's parts names classes of other packages: loading imports them."""
    if not parts.is_file():
        return
    try:
        named = [str(part["type"]) for part in read_json(parts.read_bytes())]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"not a list of a model's parts ({error})", where=str(parts)) from error
    for name in named:
        if not name.startswith("sentence_transformers."):
            raise UserError(
                "a part of the encoder is code of its own, which is not run",
                where=str(parts),
                value=name,
                remedy="choose an encoder made of sentence-transformers' own parts",
            )
