"""Faults of the machine and of files, told as a mistake is: what, where, and what to do; no traceback."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from manifests.errors import UserError

_SPACE: Final = "free some space; the same command then goes on from here"
_WRITE: Final = "give a folder that can be written to, for instance with --manifest"
REMEDIES: Final[Mapping[int, str]] = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: f"raise the quota, or {_SPACE}",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f); the same command then goes on from here",
    errno.EIO: "check the disk and its connection (dmesg); the same command then goes on from here",
    errno.ESTALE: "mount the network folder again; the same command then goes on from here",
    errno.EROFS: _WRITE,
    errno.EACCES: f"change its permissions, or {_WRITE}",
    errno.EPERM: f"change its permissions, or {_WRITE}",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the machine's limit of open files (sysctl fs.file-max)",
}
"""Number of a system error that is no bug of ours -> what to do."""
LIBRARIES: Final = ("duckdb", "_duckdb", "sqlite3", "pyarrow", "polars", "safetensors", "safetensors_rust")
"""Packages whose errors carry the system's words in their text."""
_DAMAGED: Final = (
    "Corrupt database file",
    "Corrupt WAL",
    "does not match stored checksum",
    "not a valid DuckDB database file",
    "Could not read enough bytes",
)
"""What DuckDB says of a file whose bytes are not those that it wrote."""
_FAILING: Final = ("IOException", "FatalException")
"""What DuckDB raises where the system refused it a file, without the system's words; nothing else of it is so named."""


def told(error: BaseException) -> UserError | None:
    """Return the message for a disk that is full, fails or refuses, or for a damaged manifest; None for anything else.

    The error's causes count as well: a library often wraps the system's error in one of its own.
    """
    for one in _chain(error):
        code = _code(one)
        if code is not None:
            where = str(getattr(one, "filename", None) or "")
            said = os.strerror(code).lower() if isinstance(one, OSError) else str(one).splitlines()[0]
            return UserError(said, where=where, remedy=REMEDIES[code])
    for one in _chain(error):
        said = str(one).splitlines()[0] if str(one) else ""
        if damaged(one):
            return UserError(
                f"the manifest is damaged ({said})", remedy="see what is affected with: blendsmith doctor M --verify"
            )
        if type(one).__name__ == "OutOfMemoryException" and _package(one) in LIBRARIES:
            return UserError(f"the database may not hold so much ({said})", remedy=_memory(said))
        if type(one).__name__ in _FAILING and _package(one) in LIBRARIES:
            return UserError(f"a file could not be read or written ({said})", remedy=REMEDIES[errno.EIO])
    return None


def _memory(said: str) -> str:
    """Return what to do where DuckDB could not have the memory: the machine refused it, or the job's own bound."""
    refused = "Failed to allocate" in said
    return "free some memory, or give the job a `memory` in megabytes" if refused else "raise the job's `memory`"


def interrupted(error: BaseException) -> bool:
    """Return whether Ctrl-C came while DuckDB was at work: it drops the KeyboardInterrupt for a plain RuntimeError."""
    return any(type(one) is RuntimeError and str(one) == "Query interrupted" for one in _chain(error))


def damaged(error: BaseException) -> bool:
    """Return whether a library says that the bytes of a database are not those that were written."""
    return _package(error) in LIBRARIES and any(words in str(error) for words in _DAMAGED)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give the error, then what it was raised from or during."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _package(error: BaseException) -> str:
    return type(error).__module__.split(".")[0]


def _code(error: BaseException) -> int | None:
    """Return the number of the system error of `REMEDIES` that an error stands for."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in REMEDIES else None
    rust = re.search(r"\(os error (\d+)\)", str(error)) if type(error) is Exception else None
    if rust is not None:  # such as the plain Exception of tokenizers
        return int(rust[1]) if int(rust[1]) in REMEDIES else None
    if _package(error) not in LIBRARIES and not isinstance(error, OSError):
        return None
    return next((code for code in REMEDIES if os.strerror(code) in str(error)), None)
