"""A manifest of every earlier version, written by that version's code, opens and becomes one of the present version."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import zstandard

from manifests import migrations, schema
from manifests.store import FILE, Manifest, Store

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


def test_a_migrated_manifest_has_the_shape_of_a_new_one_and_all_its_rows(old):
    with Manifest(old) as manifest:
        before = manifest.sql("SELECT * FROM decisions ORDER BY ALL")
    with Store(old) as store:
        store.publish()
    with Store(old / "new") as store:
        store.publish()
    with Manifest(old) as manifest, Manifest(old / "new") as fresh:
        assert shape(manifest._connection) == shape(fresh._connection)
        assert manifest.verify()["ok"].all()
        assert manifest.sql("SELECT * FROM decisions ORDER BY ALL").select(before.columns).equals(before)


def test_a_migration_that_is_cut_off_leaves_the_old_manifest(old, monkeypatch):
    monkeypatch.setattr(migrations, "views_sql", lambda: "CREATE OR REPLACE VIEW decisions AS nonsense")
    with pytest.raises(duckdb.Error), Store(old):
        pass
    monkeypatch.undo()
    with Store(old) as store:
        assert store.query("SELECT max(version) AS v FROM store.migrations")["v"][0] == schema.VERSION
