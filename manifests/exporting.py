"""A published blend as a folder that `datasets.load_dataset` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from manifests.store import Manifest

OURS = "recipe.json"
"""A folder that holds this file is an export, and may be replaced by another."""


@dataclass(frozen=True)
class _State:
    """A published manifest as `rows.State`."""

    manifest: Manifest

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        return self.manifest.sql(sql, parameters)


def export(manifest: Manifest, ref: str, folder: Path | None = None) -> Path:
    """Write the blend `ref` (`name@seed`, or a name with one seed) into `folder` and return the folder.

    Left out, `folder` is `blends/<ref>` of the manifest. The files are those that a run writes, byte for byte. A folder
    that holds anything but an export is not replaced: raises UserError, as for a blend that does not exist.
    """
    from manifests.jobs.rows import blend_of
    from mixers.export import export as write

    blends = manifest.sql("SELECT blend FROM blends ORDER BY blend")["blend"].to_list()
    found = [blend for blend in blends if ref in (blend, blend.rpartition("@")[0])]
    if not found:
        raise UserError("no such blend", value=ref, options=blends)
    if len(found) > 1:
        raise UserError("this recipe has a blend for each of several seeds", value=ref, remedy=f"name {found[0]}")
    out = manifest.root / "blends" / found[0] if folder is None else folder
    if out.exists() and not out.is_dir():
        raise UserError("not a folder", value=str(out), remedy="give a folder to write")
    if out.is_dir() and any(out.iterdir()) and not (out / OURS).exists():
        raise UserError("this folder holds other files", value=str(out), remedy="give a new folder: it is replaced")
    samples = manifest.sql(
        "SELECT DISTINCT s.sample_id, s.messages, s.source, s.task, s.licence, o.non_commercial FROM samples s"
        " JOIN sources o USING (source) JOIN blend_members m USING (sample_id) WHERE m.blend = ? ORDER BY s.sample_id",
        [found[0]],
    )
    return write(blend_of(_State(manifest), found[0]), samples, out)
