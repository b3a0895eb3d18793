"""Weights whose reading can run code: such files are named and never read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from manifests.errors import UserError

SUFFIXES: Final = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill"})
"""Endings of files that Python's pickle writes."""
_PART: Final = "pytorch_model.bin"
"""What a part of a sentence-transformers model, in a folder of its own, calls such a file."""


def refuse(folder: Path) -> None:
    """Raise UserError naming the files where a model or adapter has pickled weights and no safetensors in their place.

    Looked at are `folder` and the folders in it that hold a part of the model; a folder that is not there has none.
    """
    for place in (folder, *sorted(path.parent for path in folder.glob(f"*/{_PART}"))):
        if any(place.glob("*.safetensors")):
            continue
        found = sorted(path.name for path in place.glob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if found:
            raise UserError(
                "the weights are pickled, and reading such a file can run code",
                where=str(place),
                value=", ".join(found),
                remedy="save the model again as safetensors: save_pretrained does",
            )
