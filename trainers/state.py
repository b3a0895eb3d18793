"""What a run leaves on the disk: weights' identity, checkpoints and the record that says it is finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from manifests.atomic import replacing, write_text
from manifests.component import spec_of
from manifests.errors import UserError
from manifests.names import canonical_json, digest, digest_bytes
from manifests.seal import seal
from trainers.trainer import Fitted, Row

RECORD: Final = "run.json"
"""Written last: a folder that holds it is a finished run."""

CHECKPOINT: Final = "checkpoint.safetensors"
_MODEL: Final = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""Files of a model or adapter and its tokenizer."""
_BLOCK: Final = 1 << 22


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return a safetensors file's header and the offset of its data (8 bytes of length, JSON, then the tensors).

    Raise UserError when the file is not as long as its header says.
    """
    whole = path.stat().st_size
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        text = file.read(size) if size < whole else b""
    try:
        header: dict[str, Any] = json.loads(text)
        ends = [item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, whole) from error
    if 8 + size + max(ends, default=0) != whole:
        raise _damaged(path, whole)
    return header, 8 + size


def content_id(folder: Path) -> str:
    """Return the hash of the folder's weights: name, type, shape and bytes of every tensor, sorted by name.

    Metadata and the split into files do not count; a checkpoint does not belong to the weights.
    """
    tensors: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name == CHECKPOINT:
            continue
        header, start = read_header(path)
        for name, item in header.items():
            if name != "__metadata__":
                tensors[name] = (path, start, item)
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        path, start, item = tensors[name]
        found.update(canonical_json([name, item["dtype"], item["shape"]]).encode())
        first, last = item["data_offsets"]
        for block in _blocks(path, start + first, last - first):
            found.update(block)
    return found.hexdigest()


def stamp(folder: Path, tags: Mapping[str, str]) -> None:
    """Put `tags` into the metadata of every weights file of `folder`; the tensors stay as they are."""
    for path in sorted(folder.glob("*.safetensors")):
        if path.name == CHECKPOINT:
            continue
        header, start = read_header(path)
        header["__metadata__"] = {**header.get("__metadata__", {}), **tags}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for block in _blocks(path, start, path.stat().st_size - start):
                file.write(block)


def identity(base: Path | str) -> str:
    """Return what a base model is, for keys: the hash of a folder's weights, config and tokenizer, or the hub id."""
    folder = Path(base)
    if not folder.is_dir():
        return str(base)
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    parts = {name: digest_bytes((folder / name).read_bytes()) for name in names if (folder / name).is_file()}
    return digest([content_id(folder), parts])


def run_key(trainer: Any, rows: Sequence[Row], base: Path | str, seed: int) -> str:  # noqa: ANN401 - a component
    """Return the hash of all that decides a run: trainer, rows whatever their order, base and seed."""
    spec = {name: value for name, value in spec_of(trainer).items() if name != "base"}
    listed = sorted([r.sample_id, [list(turn) for turn in r.messages], float(r.weight), r.role] for r in rows)
    return digest([spec, listed, identity(base), seed])


@dataclass(frozen=True)
class Checkpoint:
    """The state of an unfinished run in one file: tensors, and facts in its metadata; replaced in one step."""

    folder: Path
    key: str
    """Of the run; the checkpoint of another run is ignored."""

    @property
    def path(self) -> Path:
        """Return where the file lies."""
        return self.folder / CHECKPOINT

    def save(self, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Replace the checkpoint; `facts` are JSON values."""
        from safetensors.torch import save_file

        metadata = {"key": self.key, "facts": canonical_json(dict(facts))}
        with replacing(self.path) as temporary:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata
            )

    def load(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return (tensors, facts) of this run's checkpoint, None when there is none."""
        from safetensors.torch import load_file

        if not self.path.is_file():
            return None
        header, _ = read_header(self.path)
        metadata = header.get("__metadata__", {})
        if metadata.get("key") != self.key:
            return None
        return load_file(self.path), json.loads(metadata["facts"])

    def remove(self) -> None:
        """Delete the file, if it is there."""
        self.path.unlink(missing_ok=True)


def finish(folder: Path, key: str, fitted: Fitted, facts: Mapping[str, Any]) -> None:
    """Seal the files of a finished run, write its record, last of all, and drop its checkpoint."""
    seal(folder, (path for name in _MODEL for path in folder.glob(name) if path.name not in (CHECKPOINT, RECORD)))
    files = {path.name: path.stat().st_size for path in sorted(folder.glob("*.safetensors")) if path.name != CHECKPOINT}
    record = {
        **facts,
        "status": "finished",
        "key": key,
        "files": files,
        "content_id": fitted.content_id,
        "steps": fitted.steps,
        "tokens": fitted.tokens,
        "seconds": fitted.seconds,
        "peak_memory": fitted.peak_memory,
        "skipped": fitted.skipped,
        "truncated": fitted.truncated,
        "log": [list(pair) for pair in fitted.log],
        "validation": [list(pair) for pair in fitted.validation],
        "best": fitted.best,
        "note": fitted.note,
    }
    write_text(folder / RECORD, json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    (folder / CHECKPOINT).unlink(missing_ok=True)


def finished(folder: Path, key: str) -> tuple[Fitted, dict[str, Any]] | None:
    """Return the run that `folder` holds and its record, None unless it is finished, whole and of this `key`."""
    path = folder / RECORD
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    whole = all((folder / n).is_file() and (folder / n).stat().st_size == s for n, s in record["files"].items())
    if record["key"] != key or not whole:
        return None
    fitted = Fitted(
        path=folder,
        content_id=record["content_id"],
        steps=record["steps"],
        tokens=record["tokens"],
        seconds=record["seconds"],
        peak_memory=record["peak_memory"],
        log=tuple((int(step), float(loss)) for step, loss in record["log"]),
        skipped=record["skipped"],
        truncated=record["truncated"],
        validation=tuple((int(step), float(loss)) for step, loss in record["validation"]),
        best=record["best"],
        note=record["note"],
    )
    return fitted, record


def begin(folder: Path, key: str) -> Checkpoint:
    """Make `folder` ready for the run `key`: another run's weights and record are removed, its own checkpoint stays."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    checkpoint = Checkpoint(folder, key)
    mine = checkpoint.load() is not None
    for pattern in ("*.safetensors", "*.safetensors.index.json", "adapter_config.json"):
        for path in folder.glob(pattern):
            if not (mine and path.name == CHECKPOINT):
                path.unlink()
    return checkpoint


def peak_memory(device: str) -> int:
    """Return the most bytes that the GPU, or on a CPU the process since its start, has held."""
    if device != "cpu":
        import torch

        return int(torch.cuda.max_memory_allocated())
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _damaged(path: Path, size: int) -> UserError:
    return UserError(
        "a safetensors file is damaged or cut short",
        where=str(path),
        value=f"{size} bytes",
        remedy="remove it: a run begins anew, a base model is to be fetched or made again",
    )


def _blocks(path: Path, start: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while size > 0:
            block = file.read(min(size, _BLOCK))
            if not block:
                return
            size -= len(block)
            yield block
