"""Which weights a local model folder holds, without reading gigabytes."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from manifests.errors import UserError
from manifests.names import digest, digest_bytes

WHOLE: Final = 256 * 1024 * 1024
"""Bytes up to which a weight file is hashed in full."""
ADAPTER: Final = "adapter_config.json"
"""File by which a folder is known as an adapter's."""
_BLOCK: Final = 4096
_MAX_HEADER: Final = 100 * 1024 * 1024


def is_local(model: str) -> bool:
    """Tell whether `model` is meant as a folder: it exists, or it cannot be a hub id (`name` or `owner/name`)."""
    return Path(model).exists() or model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model


def fingerprint(folder: Path) -> str:
    """Return the hash of a model folder: its JSON and text files, and its safetensors weights; 32 hex digits.

    A weight file of at most 256 MiB is hashed in full. Of a larger one: size, header, and the first, middle and last
    4 KiB of every tensor, so that training any tensor as a whole changes the hash. Raise UserError when the folder, its
    config.json or its safetensors files are missing.
    """
    if not folder.is_dir():
        raise UserError("the model folder does not exist", value=str(folder), remedy="give a folder or a hub id")
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise UserError(
            "not a model folder: config.json and *.safetensors are needed",
            value=str(folder),
            remedy="save the model with save_pretrained; pickled weights (.bin, .pt) are not read",
        )
    texts = sorted(p for pattern in ("*.json", "*.txt", "*.model", "*.jinja") for p in folder.glob(pattern))
    parts = [[path.name, digest_bytes(path.read_bytes())] for path in texts]
    parts += [[path.name, _weights(path)] for path in weights]
    return digest(parts)


def adapter_fingerprint(folder: Path) -> str:
    """Return the hash of a LoRA adapter's settings and weights; 32 hex digits; UserError when it is not one."""
    settings = _adapter_settings(folder)
    weights = [[path.name, _weights(path)] for path in sorted(folder.glob("*.safetensors"))]
    # Where its base was found when it was trained does not matter.
    return digest([{name: value for name, value in settings.items() if name != "base_model_name_or_path"}, weights])


def adapter_rank(folder: Path) -> int:
    """Return the largest rank of an adapter's matrices; UserError when it is not a LoRA adapter."""
    settings = _adapter_settings(folder)
    given = [settings.get("r"), *(settings.get("rank_pattern") or {}).values()]
    ranks = [rank for rank in given if isinstance(rank, int) and rank > 0]
    if len(ranks) < len(given):
        raise UserError("the adapter's rank is not a number above 0", value=settings.get("r"), where=str(folder))
    return max(ranks)


def _adapter_settings(folder: Path) -> dict[str, Any]:
    path = folder / ADAPTER
    if not path.is_file() or not any(folder.glob("*.safetensors")):
        raise UserError(
            f"not an adapter's folder: {ADAPTER} and *.safetensors are needed",
            value=str(folder),
            remedy="save the adapter with PEFT's save_pretrained",
        )
    try:
        settings = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{ADAPTER} is not JSON", where=str(path), remedy="copy the adapter again") from error
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        kind = settings.get("peft_type") if isinstance(settings, dict) else None
        raise UserError("not a LoRA adapter", where=str(path), value=kind, remedy="vLLM serves LoRA adapters only")
    return settings


def _weights(path: Path) -> str:
    size = path.stat().st_size
    found = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        if size <= WHOLE:
            while block := file.read(1 << 20):
                found.update(block)
        else:
            for block in _blocks(file, path):
                found.update(block)
    return found.hexdigest()


def _blocks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the header and three blocks of every tensor (layout: 8 bytes of length, JSON header, data)."""
    head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else _MAX_HEADER
    header = file.read(length) if length < _MAX_HEADER else b""
    try:
        tensors = json.loads(header)
    except ValueError as error:
        raise UserError("not a safetensors file", value=str(path), remedy="copy the model again") from error
    yield header
    for name in sorted(tensors):
        if name == "__metadata__":
            continue
        start, end = (8 + length + offset for offset in tensors[name]["data_offsets"])
        for place in (start, (start + end - _BLOCK) // 2, end - _BLOCK):
            at = max(start, place)
            file.seek(at)
            yield file.read(min(_BLOCK, end - at))
