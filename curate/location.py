"""Finds the files that a source's path names, and nothing outside of the folders it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from curate.container import COMPRESSED, SHAPES, proposed
from manifests.errors import UserError

_WILD: Final = frozenset("*?[")
_MOST_NAMES: Final = 1000


def locate(path: str, root: Path, allowed: Sequence[Path] = ()) -> list[Path]:
    """Return the files that `path` names, absolute, symlinks resolved, sorted.

    `path` is a file, a folder (its own files with a known extension, hidden ones left out) or a pattern with `*`, `?`,
    `[...]` or `**`; it is relative to `root`, and to the folders of `allowed` where `root` holds nothing of that name.
    Raises UserError when nothing is there (naming the nearest), when a file lies outside of `root` and `allowed`, and
    when something else than a regular file was meant.
    """
    if not path or "\x00" in path:
        raise UserError("not a path", value=path)
    if path.startswith("~"):
        raise UserError("'~' is not expanded", value=path, remedy="write the folder out")
    roots = [folder.resolve() for folder in (root, *allowed)]
    for base in dict.fromkeys(roots):
        found = _named(path, base, roots)
        if found:
            return found
    raise _absent(path, roots[0])


def _named(path: str, base: Path, roots: Sequence[Path]) -> list[Path]:
    try:
        whole = base / path
        if whole.is_dir():
            confined(whole, path, roots)
            return _inside(whole, path, roots)
        if whole.exists():
            return [_regular(confined(whole, path, roots), path)]
        if not _WILD.intersection(path):
            confined(whole, path, roots)
            return []
        return _matching(path, base, roots)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"not a usable path ({why})", value=path) from error


def _inside(folder: Path, path: str, roots: Sequence[Path]) -> list[Path]:
    names = [file for file in sorted(folder.iterdir()) if proposed(file) and not file.name.startswith(".")]
    if not names:
        raise UserError(
            "the folder holds no file that can be read",
            value=path,
            remedy=f"known extensions: {', '.join(SHAPES)}, each also with {' or '.join(COMPRESSED)}",
        )
    return [_regular(confined(file, path, roots), path) for file in names]


def _matching(path: str, base: Path, roots: Sequence[Path]) -> list[Path]:
    if ".." in Path(path).parts:
        raise UserError("a pattern with '..' is not followed", value=path, remedy="start it from a folder inside")
    start, pattern = (base, path) if not Path(path).is_absolute() else (Path("/"), str(Path(path).relative_to("/")))
    if start != base:
        fixed = [part for part in Path(path).parts if not _WILD.intersection(part)]
        confined(Path(*fixed), path, roots)
    found = (file for file in start.glob(pattern) if file.is_file() and not file.name.startswith("."))
    return sorted({confined(file, path, roots) for file in found})


def confined(file: Path, path: str, roots: Sequence[Path]) -> Path:
    """Return `file` resolved; raise UserError, naming `path`, when that is outside of every folder of `roots`."""
    resolved = file.resolve()
    if not any(resolved.is_relative_to(root) for root in roots):
        folders = " and ".join(str(root) for root in dict.fromkeys(roots))
        raise UserError(
            f"the path leads outside of {folders}", value=path, remedy="move the file inside, or give its folder"
        )
    return resolved


def _regular(file: Path, path: str) -> Path:
    if not file.is_file():
        raise UserError("not a regular file", value=path)
    return file


def _absent(path: str, root: Path) -> UserError:
    folder = (root / path).parent
    names: list[str] = []
    if not _WILD.intersection(path) and folder.is_dir():
        parent = Path(path).parent
        names = [str(parent / file.name) for file in sorted(folder.iterdir())[:_MOST_NAMES]]
    return UserError("no such file", value=path, options=names, remedy=f"looked in {root}")
