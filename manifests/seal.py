"""`SHA256SUMS` beside the files of a folder: what they were when they were written (`sha256sum -c` reads it too)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from manifests import atomic
from manifests.errors import UserError

SUMS: Final = "SHA256SUMS"


def seal(folder: Path, files: Iterable[Path]) -> None:
    """Force `files`, which lie below `folder`, to the disk, and write their hashes into its SHA256SUMS."""
    lines = []
    for file in sorted(files):
        atomic.fsync_file(file)
        lines.append(f"{_sha256(file)}  {file.relative_to(folder).as_posix()}\n")
    atomic.write_text(folder / SUMS, "".join(lines))


def damaged(folder: Path) -> list[str] | None:
    """Return what is wrong with the files that a folder's SHA256SUMS names, one entry each; None when it has none."""
    sums = folder / SUMS
    if not sums.is_file():
        return None
    wrong = []
    for line in sums.read_text("utf-8", "replace").splitlines():
        expected, _, name = line.partition("  ")
        file = folder / name
        if not file.is_file():
            wrong.append(f"{name} is absent")
        elif _sha256(file) != expected:
            wrong.append(f"{name} is not what was written")
    return wrong


def check(folder: Path, remedy: str) -> None:
    """Raise UserError naming the first file of `folder` that is not as its SHA256SUMS says."""
    wrong = damaged(folder)
    if wrong:
        raise UserError("a file is damaged", where=str(folder), value=wrong[0], remedy=remedy)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
