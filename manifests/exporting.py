"""A published blend as a folder of files: for `datasets.load_dataset`, as shards, or in a trainer's layout."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests.atomic import check_links
from manifests.errors import UserError, missing_extra

if TYPE_CHECKING:
    from manifests.store import Manifest

OURS = "recipe.json"
"""A folder that holds this file is an export, and may be replaced by another."""


def export(
    manifest: Manifest,
    ref: str,
    folder: Path | None = None,
    layout: str = "dataset",
    *,
    expand: bool = False,
    shard_rows: int = 100_000,
) -> Path:
    """Write the blend `ref` (`name@seed`, or a name with one seed) into `folder` and return the folder.

    `layout` is `dataset`, whose files are those that a run writes, byte for byte, or one of `export_files.LAYOUTS`, for
    which `expand` and `shard_rows` are as there. Left out, `folder` is `blends/<ref>` of the manifest, or
    `exports/<ref>-<layout>` for another layout: the folder of a run stays what the run wrote. A folder that holds
    anything but an export is not replaced: raises UserError, as for a blend that does not exist.
    """
    from manifests.jobs.rows import Published, blend_of
    from mixers.export import export as write
    from mixers.export_files import LAYOUTS, export_as

    blends = manifest.sql("SELECT blend FROM blends ORDER BY blend")["blend"].to_list()
    found = [blend for blend in blends if ref in (blend, blend.rpartition("@")[0])]
    if not found:
        raise UserError("no such blend", value=ref, options=blends)
    if len(found) > 1:
        raise UserError("this recipe has a blend for each of several seeds", value=ref, remedy=f"name {found[0]}")
    plain = layout == "dataset"
    if plain and expand:
        raise UserError("the layout 'dataset' keeps repeats as a field", remedy="add --format parquet to expand them")
    if not plain and layout not in LAYOUTS:
        raise UserError("no such layout", value=layout, options=["dataset", *sorted(LAYOUTS)])
    usual = Path("blends", found[0]) if plain else Path("exports", f"{found[0]}-{layout}")
    if folder is None:
        check_links(manifest.root)
    out = manifest.root / usual if folder is None else folder
    if out.exists() and not out.is_dir():
        raise UserError("not a folder", value=str(out), remedy="give a folder to write")
    if out.is_dir() and any(out.iterdir()) and not (out / OURS).exists():
        raise UserError("this folder holds other files", value=str(out), remedy="give a new folder: it is replaced")
    text = "" if layout == "ids" else "s.messages, "
    samples = manifest.sql(
        f"SELECT s.sample_id, {text}s.source, s.task, s.licence, o.non_commercial FROM samples s"  # noqa: S608
        " JOIN sources o USING (source) SEMI JOIN (FROM blend_members WHERE blend = ?) USING (sample_id)",
        [found[0]],
    )
    drawn = blend_of(Published(manifest), found[0])
    if plain:
        return write(drawn, samples, out)
    return export_as(drawn, samples, out, layout, expand=expand, shard_rows=shard_rows)


def dataset(manifest: Manifest, ref: str) -> Any:  # noqa: ANN401 - `datasets` is optional and has no types
    """Return the blend `ref` as a `datasets.Dataset` in training order, messages typed; repeats stay a field.

    A recipe's name gives all its seeds, one after the other. Raises UserError where `datasets` is not installed.
    """
    from mixers.export import table_of

    try:
        peer = importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise missing_extra("datasets", "hub") from error
    return peer.Dataset(table_of(manifest.blend(ref)))
