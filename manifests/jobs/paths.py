"""Paths of a job file: relative to the data folder or the job's, and never outside of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from manifests.errors import UserError

OUTSIDE = "move it inside, or give the folder on the command line: --data or --manifest"


@dataclass(frozen=True)
class Roots:
    """The folders that paths of a job may lie in; both absolute, symlinks resolved."""

    root: Path
    """Folder of the job file."""
    data: Path
    """Folder that paths are relative to first."""

    def inside(self, given: str) -> Path:
        """Return the absolute path that `given` names, in `data` if it is there, else in `root` if it is there.

        Symlinks are resolved. Raises UserError when the path leaves both folders or cannot be a path.
        """
        first = confine(given, self.data, (self.data, self.root))
        second = confine(given, self.root, (self.data, self.root))
        return second if second.exists() and not first.exists() else first

    def model(self, given: str) -> str:
        """Return the absolute path of a model folder, or `given` itself when it is a hub id.

        An absolute path may lie anywhere: weights are only read, and only as safetensors. What starts with `/`, `.` or
        `~` or has more than one `/` is a path; so is what exists. Raises UserError when a path leads nowhere.
        """
        if Path(given).is_absolute():
            if not Path(given).is_dir():
                raise UserError("no such folder", value=given, options=beside(Path(given), Path("/"), folders=True))
            return given
        found = self.inside(given)
        if found.exists():
            return str(found)
        if given.startswith((".", "~")) or given.count("/") > 1:
            raise self.absent(given, found)
        return given

    def text(self, given: str) -> str:
        """Return the absolute path of a .txt or .parquet file, or `given` itself where it is a packaged name."""
        return str(self.existing(given)) if given.endswith((".txt", ".parquet")) or "/" in given else given

    def existing(self, given: str) -> Path:
        """Return the absolute path that `given` names; raise UserError with the nearest name when it is not there."""
        found = self.inside(given)
        if not found.exists():
            raise self.absent(given, found)
        return found

    def absent(self, given: str, file: Path) -> UserError:
        """Return the error for a path that names nothing."""
        return UserError("no such file", value=given, options=beside(file, self.data), remedy=f"looked in {self.data}")


def confine(given: str, base: Path, roots: tuple[Path, ...]) -> Path:
    """Return `given` relative to `base`, symlinks resolved; raise UserError when it leaves all of `roots`."""
    if not given or given.startswith("~") or "\x00" in given:
        raise UserError("not a path inside the job's folder", value=given, remedy="give a relative path without '~'")
    try:
        resolved = (base / given).resolve()
        resolved.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"not a usable path ({error})", value=given, remedy="give a shorter path") from error
    if not any(resolved.is_relative_to(root.resolve()) for root in roots):
        raise UserError("this path leads outside the job's folder", value=given, remedy=OUTSIDE)
    return resolved


def beside(file: Path, base: Path, *, folders: bool = False) -> list[str]:
    """Return the names in the folder of `file`, relative to `base`: what may have been meant, 1,000 at most."""
    if not file.parent.is_dir():
        return []
    base = base.resolve()
    found = sorted(other for other in file.parent.iterdir() if other.is_dir() == folders)[:1000]
    return [str(other.relative_to(base) if other.is_relative_to(base) else other) for other in found]
