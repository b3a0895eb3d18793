"""Rows of a dataset on the Hugging Face hub, at a pinned commit, without running its code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from curate.raw import RawRow
from curate.table import ROWS_AT_ONCE, columnar
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


def read(hub: str, revision: str, subset: str | None, split: str) -> Iterator[RawRow]:
    """Yield the rows of one split, numbered from 1.

    Downloads it on first use. Raises UserError when it cannot be had (no such dataset, no network, a dataset that needs
    code) or the package `datasets` is missing.
    """
    if Path(hub).exists():
        raise UserError("a local folder has the name of the hub dataset", value=hub, remedy="read it with path:")
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("datasets", "hub") from error
    try:
        table: Any = datasets.load_dataset(hub, subset, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        why = (str(error) or type(error).__name__).partition("\n")[0]
        raise UserError(
            f"cannot load the hub dataset ({why})",
            value=hub,
            remedy="check the id, the revision, the subset and the split, and the network (HF_HUB_OFFLINE)",
        ) from error
    number = 0
    for part in table.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
        for batch in part.to_batches():
            for row in columnar(batch):
                number += 1
                yield row._replace(number=number)
