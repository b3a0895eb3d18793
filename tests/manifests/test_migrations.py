"""A manifest of every earlier version, written by that version's code, opens and becomes one of the present version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
import zstandard

from manifests import migrations, schema
from manifests.store import FILE, Manifest, StageRecord, Store

VERSIONS = sorted(
    Path(__file__).with_name("versions").glob("*.duckdb.zst"), key=lambda file: int(file.name.split(".")[0])
)
SHAPE = (
    "SELECT table_name, column_name, data_type, column_index, comment FROM duckdb_columns() WHERE NOT internal"
    " AND schema_name IN ('main', 'store') ORDER BY ALL",
    "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "SELECT function_name, parameters, macro_definition, comment FROM duckdb_functions() WHERE NOT internal"
    " AND function_type = 'table_macro' ORDER BY ALL",
)


def shape(connection: duckdb.DuckDBPyConnection) -> list:
    return [connection.execute(query).fetchall() for query in SHAPE]


@pytest.fixture(params=VERSIONS, ids=lambda file: file.name.split(".")[0])
def old(request, tmp_path):
    """Return the folder of a manifest of an earlier version, with its work file."""
    (tmp_path / "work").mkdir()
    for file in (tmp_path / FILE, tmp_path / "work" / FILE):
        file.write_bytes(zstandard.ZstdDecompressor().decompress(request.param.read_bytes(), max_output_size=2**26))
    return tmp_path


def test_there_is_a_manifest_of_every_earlier_version():
    assert [int(file.name.split(".")[0]) for file in VERSIONS] == list(range(1, schema.VERSION))


def test_a_reader_opens_an_old_manifest_as_it_is(old):
    with Manifest(old) as manifest:
        assert manifest.sql("SELECT count(*) AS n FROM samples")["n"][0] > 1000
        assert manifest.verify()["ok"].all()


def views(root: Path) -> dict[str, pl.DataFrame]:
    """Return the rows of every view, in an order of their own, and of the macros about blends and samples."""
    with Manifest(root) as manifest:
        names = manifest.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal")["view_name"].to_list()
        some = manifest.sql("SELECT max(sample_id) FROM samples WHERE kept AND role = 'specialist'").item()
        asked = {name: f"FROM {name}" for name in names} | {
            "blend": "FROM blend('all-rows-400')",
            "blend_diff": "FROM blend_diff('all-rows-400@0', 'filtered-400@0')",
            "why": f"FROM why('{some}')",
        }
        return {name: manifest.sql(f"SELECT * FROM ({query}) ORDER BY ALL") for name, query in asked.items()}


def test_a_migrated_manifest_has_the_shape_of_a_new_one_and_equal_rows_in_every_view(old):
    before = views(old)
    with Store(old) as store:
        store.publish()
    with Store(old / "new") as store:
        store.publish()
    after = views(old)
    assert before["samples"].height > 1000
    for name, rows in before.items():
        assert after[name].select(rows.columns).sort(rows.columns).equals(rows.sort(rows.columns)), name
    with Manifest(old) as manifest, Manifest(old / "new") as fresh:
        assert shape(manifest._connection) == shape(fresh._connection)
        assert manifest.verify()["ok"].all()


@pytest.mark.parametrize("old", VERSIONS[-1:], indirect=True, ids=["newest"])
def test_a_migrated_manifest_takes_a_blend_and_gives_it_back(old):
    with Store(old) as store:
        drawn = store.query("FROM blend_members WHERE blend = 'all-rows-100@0' ORDER BY position")
        head = store.query("FROM store.blends WHERE blend = 'all-rows-100@0'").drop("stage")
        again = drawn.with_columns(blend=pl.lit("again@0"), reason=pl.lit("drawn again"))
        tables = {"blends": head.with_columns(blend=pl.lit("again@0")), "members": again}
        store.commit(StageRecord("mix:again@0", "mix", "k", "{}", 99), tables)
        assert store.query("FROM blend_members WHERE blend = 'again@0' ORDER BY position").equals(again)
        assert store.query("FROM blend_members WHERE blend = 'all-rows-100@0' ORDER BY position").equals(drawn)


def test_a_migration_that_fails_leaves_the_old_manifest(old, monkeypatch):
    monkeypatch.setattr(migrations, "views_sql", lambda: "CREATE OR REPLACE VIEW decisions AS nonsense")
    with pytest.raises(duckdb.Error), Store(old):
        pass
    monkeypatch.undo()
    with Store(old) as store:
        assert store.query("SELECT max(version) AS v FROM store.migrations")["v"][0] == schema.VERSION


KILLED = """
import os, signal, sys
from pathlib import Path
from manifests import migrations
from manifests.store import Store
migrations.views_sql = lambda: os.kill(os.getpid(), signal.SIGKILL)
with Store(Path(sys.argv[1])):
    pass
"""


@pytest.mark.parametrize("old", VERSIONS[-1:], indirect=True, ids=["newest"])
def test_a_migration_that_is_killed_midway_leaves_the_old_version_whole(old):
    file = old / "work" / FILE
    assert subprocess.run([sys.executable, "-c", KILLED, str(old)], check=False).returncode == -9
    with duckdb.connect(str(file)) as connection:
        assert connection.execute("SELECT max(version) FROM store.migrations").fetchone() == (schema.VERSION - 1,)
    (old / FILE).unlink()
    file.rename(old / FILE)
    with Manifest(old) as manifest:
        assert manifest.verify()["ok"].all()
        assert manifest.sql("SELECT count(*) FROM blend_members").item() > 1000
