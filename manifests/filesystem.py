"""What the folder of a manifest lies on: locks hold between processes of one machine, and not over a network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mounts")
NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "beegfs", "fuse.sshfs"}
)
"""Filesystems whose locks another machine may not see."""


def network(folder: Path) -> str | None:
    """Return the kind of network filesystem that `folder` lies on, None for one of this machine or an unknown one."""
    place, found = folder.resolve(), ("", "")
    try:
        lines = MOUNTS.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        mounted, kind = line.split(" ")[1:3]
        if place.is_relative_to(mounted) and len(mounted) >= len(found[0]):
            found = mounted, kind
    return found[1] if found[1] in NETWORK else None


def warn(folder: Path, why: str) -> None:
    """Warn that two jobs could write the manifest in `folder` at once."""
    warnings.warn(
        f"{folder}: {why}: nothing keeps two jobs from writing this manifest at once; run one at a time, or put it on"
        " a disk of this machine",
        UserWarning,
        stacklevel=3,
    )
