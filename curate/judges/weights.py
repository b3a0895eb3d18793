"""Which weights a local model folder holds, without reading gigabytes."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from manifests import pickled
from manifests.errors import UserError
from manifests.names import digest, digest_bytes, read_json

WHOLE: Final = 256 * 1024 * 1024
"""Bytes up to which a weight file is hashed in full."""
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
    pickled.refuse(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise UserError(
            "not a model folder: config.json and *.safetensors are needed",
            value=str(folder),
            remedy="save the model with save_pretrained",
        )
    texts = sorted(p for pattern in ("*.json", "*.txt", "*.model", "*.jinja") for p in folder.glob(pattern))
    parts = [[path.name, digest_bytes(path.read_bytes())] for path in texts]
    parts += [[path.name, contents(path)] for path in weights]
    return digest(parts)


def contents(path: Path) -> str:
    """Return the hash of one weight file, as `fingerprint` takes it."""
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


def tensors(path: Path) -> dict[str, dict[str, Any]]:
    """Return the header of a safetensors file: name to dtype, shape and data_offsets."""
    with path.open("rb") as file:
        header, _ = _header(file, path)
    found: dict[str, dict[str, Any]] = json.loads(header)
    return {name: tensor for name, tensor in found.items() if name != "__metadata__"}


def _header(file: BinaryIO, path: Path) -> tuple[bytes, int]:
    """Return the header's JSON and where the data begins (layout: 8 bytes of length, JSON header, data)."""
    head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else _MAX_HEADER
    header = file.read(length) if length < _MAX_HEADER else b""
    try:
        found = read_json(header)
    except ValueError as error:
        raise UserError("not a safetensors file", value=str(path), remedy="copy the model again") from error
    if not isinstance(found, dict) or not all(_described(found[name]) for name in found if name != "__metadata__"):
        raise UserError("not a safetensors file", value=str(path), remedy="copy the model again")
    return header, 8 + length


def _described(tensor: object) -> bool:
    """Return whether this tells the shape of a tensor and where its bytes are."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("shape"), list):
        return False
    offsets = tensor.get("data_offsets")
    return isinstance(offsets, list) and len(offsets) == 2 and all(isinstance(n, int) and n >= 0 for n in offsets)


def _blocks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the header and three blocks of every tensor."""
    header, begin = _header(file, path)
    tensors = json.loads(header)
    yield header
    for name in sorted(tensors):
        if name == "__metadata__":
            continue
        start, end = (begin + offset for offset in tensors[name]["data_offsets"])
        for place in (start, (start + end - _BLOCK) // 2, end - _BLOCK):
            at = max(start, place)
            file.seek(at)
            yield file.read(min(_BLOCK, end - at))
