"""Whether every byte of a manifest is what was written: `doctor M --verify`, and what to do about what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from manifests import seal
from manifests.errors import BusyError, UserError
from manifests.laws import TABLES
from manifests.lock import Lock
from manifests.store import FILE, Manifest

if TYPE_CHECKING:
    import polars as pl

Found = tuple[str, str, str]
"""What was checked; ok, absent or problem; what was found, and for a problem what to do."""
AGAIN: Final = "run the job again"
_UNCOUNTED: Final = ("stages", "reasons")
"""Tables that the number of rows of a stage leaves out: of itself, and of texts that its members hold by number."""


def verify(manifest: Manifest) -> Iterator[Found]:
    """Give (check, status, detail) of everything below the folder of an open manifest, reading all of it once.

    Of the published copy and the work file: every block by its checksum, and as many rows as each stage says. Of each
    blend: its content id from its members, and the exported files by their hashes. Of each run and base: files by their
    hashes, weights by their content id. Of the caches: SQLite's own check, and each reply by its hash. A copy or cache
    that another process writes is left alone.
    """
    yield from _database("published copy", manifest, f"{AGAIN}: it is replaced from the work file")
    yield from _work(manifest)
    yield from _blends(manifest)
    yield from _runs(manifest)
    for base in sorted(path for path in (manifest.root / "bases").glob("*") if path.is_dir()):
        yield _folder(f"base {base.name}", base, f"remove {base} and {AGAIN}: the base is made anew")
    for file in sorted((manifest.root / "cache").glob("*.sqlite")):
        yield _cache(file)


def _database(name: str, manifest: Manifest, remedy: str) -> Iterator[Found]:
    """Read every value of every table, which reads every block that is in use, and count the rows of each stage."""
    wrong, read = [], 0
    counted: dict[str, int] = {}
    for table in (*TABLES, "stages"):
        try:
            rows = manifest.sql(
                f"SELECT stage, count(*) AS n, bit_xor(hash(t)) AS h FROM store.{table} t GROUP BY stage"  # noqa: S608
            )
        except UserError as error:
            wrong.append(f"table {table}: {_said(error)}")
            continue
        if table in _UNCOUNTED:
            continue
        for stage, n in rows.select("stage", "n").iter_rows():
            counted[stage], read = counted.get(stage, 0) + n, read + n
    if not wrong:
        wrong = _short(manifest, counted)
    yield (name, "problem", f"{'; '.join(wrong)}; {remedy}") if wrong else (name, "ok", f"{read:,} rows read")


def _short(manifest: Manifest, counted: dict[str, int]) -> list[str]:
    try:
        stages = manifest.sql("SELECT stage, n_rows FROM store.stages ORDER BY stage").rows()
    except UserError as error:
        return [f"table stages: {_said(error)}"]
    return [
        f"stage {stage} has {counted.get(stage, 0):,} rows and wrote {n:,}"
        for stage, n in stages
        if counted.get(stage, 0) != n
    ] + [f"rows of the stage {stage}, which is not recorded" for stage in sorted(set(counted) - {s for s, _ in stages})]


def _work(manifest: Manifest) -> Iterator[Found]:
    file = manifest.root / "work" / FILE
    if not file.is_file():
        yield "work file", "absent", "made from the published copy when the job is run"
        return
    try:
        lock = Lock(manifest.root)
    except BusyError as error:
        yield "work file", "absent", f"not looked at: {error.what}"
        return
    remedy = f"{AGAIN}: it is put aside, and the job goes on from the published copy"
    try:
        with Manifest(file) as work:
            yield from _database("work file", work, remedy)
    except UserError as error:
        yield "work file", "problem", f"{_said(error)}; {remedy}"
    finally:
        lock.release()


def _blends(manifest: Manifest) -> Iterator[Found]:
    try:
        blends = manifest.sql("SELECT blend, content_id FROM blends ORDER BY blend").rows()
    except UserError as error:
        yield "blends", "problem", _said(error)
        return
    for ref, recorded in blends:
        folder = manifest.root / "blends" / ref
        try:
            found = _content_id(manifest, ref)
        except UserError as error:
            yield f"blend {ref}", "problem", _said(error)
            continue
        if found != recorded:
            yield f"blend {ref}", "problem", f"recorded {recorded}, computed {found}; {AGAIN} without its work folder"
        elif not folder.is_dir():
            yield f"blend {ref}", "problem", f"{recorded}; its folder is absent; {AGAIN}: it is written anew"
        else:
            check, status, detail = _folder(f"blend {ref}", folder, f"remove {folder} and {AGAIN}: it is written anew")
            yield check, status, detail or recorded


def _content_id(manifest: Manifest, ref: str) -> str:
    """Return the content id of a blend as its members have it."""
    import polars as pl

    from mixers.blend import Blend

    query = "SELECT position, sample_id, role, weight, repeats FROM blend_members WHERE blend = ?"
    members: pl.DataFrame = manifest.sql(query, [ref])
    return Blend(ref, {}, 0, members, pl.DataFrame()).content_id


def _runs(manifest: Manifest) -> Iterator[Found]:
    from trainers.state import content_id

    try:
        runs = manifest.sql("SELECT run, content_id FROM runs WHERE status = 'done' ORDER BY run").rows()
    except UserError as error:
        yield "runs", "problem", _said(error)
        return
    for run, recorded in runs:
        folder = manifest.root / "runs" / run
        if not folder.is_dir():
            yield f"run {run}", "absent", "its weights were removed; they are made again when they are to be measured"
            continue
        remedy = f"remove {folder} and {AGAIN}: the run is made anew when it is to be measured"
        check, status, detail = _folder(f"run {run}", folder, remedy)
        if status == "ok":
            try:
                found = content_id(folder)
            except UserError as error:
                found = error.what
            if found != recorded:
                status, detail = "problem", f"recorded {recorded}, computed {found}; {remedy}"
        yield check, status, detail or recorded


def _folder(name: str, folder: Path, remedy: str) -> Found:
    """Compare a folder's files with its SHA256SUMS."""
    wrong = seal.damaged(folder)
    if wrong is None:
        return name, "ok", "written by an earlier version: no hashes to compare"
    return (name, "problem", f"{'; '.join(wrong)}; {remedy}") if wrong else (name, "ok", "")


def _cache(file: Path) -> Found:
    import sqlite3

    name = f"cache {file.name}"
    if file.name == "calls.sqlite":
        from curate.cache import CallCache

        try:
            with CallCache(file) as cache:
                held, wrong = cache.damaged()
        except UserError as error:
            return name, "problem", str(error).replace("\n ", ";")
        said = f"{held:,} replies"
        return (
            (name, "problem", f"{wrong:,} of {said} are damaged and will be asked again")
            if wrong
            else (name, "ok", said)
        )
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            found = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        found = str(error)
    remedy = f"move it away (mv '{file}' '{file}.damaged'): it is filled again"
    return (name, "ok", "") if found == "ok" else (name, "problem", f"{found.splitlines()[0]}; {remedy}")


def _said(error: UserError) -> str:
    return error.what.splitlines()[0]
