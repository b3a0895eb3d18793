"""The right to write a manifest folder."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from manifests import filesystem
from manifests.errors import BusyError

_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class Lock:
    """The right to write one manifest folder, held by one process at a time; freed by the system when it dies."""

    def __init__(self, root: Path) -> None:
        """Take the lock of `root`; raise BusyError naming the process that holds it."""
        root.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise BusyError(
                "another process writes this manifest",
                where=str(root),
                value=f"process {holder}",
                remedy="wait for it, or read the published manifest meanwhile",
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(self._descriptor)
                raise
            filesystem.warn(root, f"the filesystem knows no locks here ({os.strerror(error.errno)})")
        kind = filesystem.network(root)
        if kind is not None:
            filesystem.warn(root, f"a network filesystem ({kind})")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)
