"""Rows of a dataset on the Hugging Face hub, at a pinned commit, without running its code."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from curate.raw import BLOCK_ROWS
from curate.table import Batch
from manifests.errors import UserError, missing_extra

_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def check(hub: str, revision: str | None) -> None:
    """Raise UserError unless `hub` is `owner/name` and `revision` a full commit hash, which nobody can move."""
    if not _ID.fullmatch(hub):
        raise UserError("not a dataset on the hub", value=hub, remedy="write OWNER/NAME")
    if revision is None or not _COMMIT.fullmatch(revision):
        raise UserError(
            "a hub dataset needs a pinned revision" if revision is None else "not a pinned revision",
            value=revision,
            remedy="give the commit's hash (40 hex digits) from the dataset's history: branches and tags move",
        )


def read(hub: str, revision: str, subset: str | None, split: str, *, streaming: bool = False) -> Iterator[Batch]:
    """Yield the rows of one split, block by block, numbered from 1.

    Downloads it on first use, or with `streaming` reads it as it arrives and keeps no copy. Raises UserError when it
    cannot be had or breaks off (no such dataset, no network, a dataset that needs code), or when the package
    `datasets` is missing.
    """
    if Path(hub).exists():
        raise UserError("a local folder has the name of the hub dataset", value=hub, remedy="read it with path:")
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("datasets", "hub") from error
    number = 0
    try:
        table: Any = datasets.load_dataset(hub, subset, split=split, revision=revision, streaming=streaming)
        for part in table.with_format("arrow").iter(batch_size=BLOCK_ROWS):
            for batch in part.to_batches():
                yield Batch(batch, number)
                number += batch.num_rows
    except _refusals() as error:
        why = (str(error) or type(error).__name__).partition("\n")[0]
        raise UserError(
            f"cannot load the hub dataset ({why})"
            if not number
            else f"the hub dataset broke off at row {number:,} ({why})",
            value=hub,
            remedy="check the id, the revision, the subset and the split, and the network (HF_HUB_OFFLINE)",
        ) from error


def _refusals() -> tuple[type[BaseException], ...]:
    """Return what may be raised: Python's own errors, and those of the network libraries in use that are not."""
    known = (("httpx", "HTTPError"), ("aiohttp", "ClientError"), ("pyarrow", "ArrowException"))
    found = [getattr(sys.modules[module], name) for module, name in known if module in sys.modules]
    return (OSError, ValueError, RuntimeError, *found)
