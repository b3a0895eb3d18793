"""Security, SQL: nobody's query, condition, name or manifest reads a file, runs a program or changes a setting."""

from __future__ import annotations

import random
import shutil
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

from manifests import cli, names
from manifests.errors import UserError
from manifests.predicate import check_where, select
from manifests.store import FILE, Manifest, StageRecord, Store

SECRET = "sk-planted-in-a-file"  # noqa: S105 - not one
TRIES = {
    "reads a text": "FROM read_text('{file}')",
    "reads bytes": "FROM read_blob('{file}')",
    "reads a table": "FROM read_csv('{file}', header = false)",
    "reads JSON": "FROM read_json_objects('{file}')",
    "reads what Parquet says": "FROM parquet_metadata('{file}')",
    "lists a folder": "FROM glob('{folder}/*')",
    "scans a file for a table": "FROM '{file}'",
    "scans a file as a table by name": 'FROM "{file}"',
    "reads by a query in a text": "FROM query('FROM read_text(''{file}'')')",
    "reads by a name in a text": "FROM query_table('{file}')",
    "scans a variable of Python": "FROM planted",
    "attaches a database": "ATTACH '{folder}/other.duckdb'",
    "attaches over the network": "ATTACH 'https://example.org/a.duckdb'",
    "installs an extension": "INSTALL httpfs",
    "installs one by force": "FORCE INSTALL httpfs FROM community",
    "loads an extension": "LOAD httpfs",
    "loads a program": "LOAD '{folder}/evil.duckdb_extension'",
    "writes a file": "COPY (SELECT 1) TO '{folder}/out.csv'",
    "writes to a device": "COPY (SELECT 1) TO '/dev/stdout' (FORMAT csv)",
    "fills a table from a file": "COPY store.samples FROM '{file}'",
    "writes the database": "EXPORT DATABASE '{folder}/out'",
    "runs statements of a file": "IMPORT DATABASE '{folder}'",
    "asks the environment": "SELECT getenv('HOME')",
    "lists stored keys": "FROM duckdb_secrets()",
    "stores a key": "CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "unlocks the settings": "SET lock_configuration = false",
    "opens the files again": "SET enable_external_access = true",
    "opens a folder": "SET allowed_directories = ['/']",
    "opens Python again": "SET python_enable_replacements = true",
    "opens all frames of Python": "SET python_scan_all_frames = true",
    "resets a setting": "RESET lock_configuration",
    "logs into a file": "CALL enable_logging(storage = 'file', storage_path = '{folder}/log')",
    "profiles into a file": "PRAGMA profiling_output = '{folder}/profile.json'",
    "spills elsewhere": "SET temp_directory = '{folder}/spill'",
    "changes the manifest": "DELETE FROM store.stages",
    "redefines a view": "CREATE OR REPLACE VIEW samples AS SELECT 1",
    "redefines a macro": "CREATE OR REPLACE MACRO why(id) AS TABLE SELECT 1",
}
"""What a query tries -> the query; none may succeed."""
CONDITIONS = [query for name, query in TRIES.items() if query.startswith("FROM")]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.txt").write_text(SECRET)
    return folder


def aimed(query: str, outside: Path) -> str:
    return query.format(file=outside / "secret.txt", folder=outside)


@pytest.mark.parametrize("name", TRIES)
def test_a_query_is_refused_that(name, full, outside):
    before = sorted(outside.iterdir())
    planted = pl.DataFrame({"a": [SECRET]})
    with Manifest(full) as manifest, pytest.raises(UserError, match="the query failed") as refused:
        manifest.sql(aimed(TRIES[name], outside))
    assert SECRET not in str(refused.value)
    assert sorted(outside.iterdir()) == before
    assert planted.height == 1


@pytest.mark.parametrize("query", CONDITIONS)
def test_a_condition_cannot_hold_what_a_query_may_not(query, outside):
    planted = pl.DataFrame({"a": [SECRET]})
    rows = pl.DataFrame({"sample_id": ["a"], "prompt": ["x"]})
    for predicate in (f"EXISTS ({aimed(query, outside)})", f"prompt IN (SELECT 'x' {aimed(query, outside)})"):
        with pytest.raises(UserError) as refused:
            select(rows, predicate)
        assert SECRET not in str(refused.value)
        if "secrets" not in query:  # bound without being run, as the names of functions are
            with pytest.raises(UserError):
                check_where(predicate, {"sample_id": "VARCHAR", "prompt": "VARCHAR"})
    assert planted.height == 1


def _reading(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    for (view,) in connection.execute(
        "SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
    ).fetchall():
        fields = ", ".join(
            f"CAST({'content' if kind == 'VARCHAR' else 'NULL'} AS {kind}) AS {names.quote(name)}"
            for name, kind, *_ in connection.execute(f"DESCRIBE {view}").fetchall()
        )
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT {fields} FROM read_text('{file}')")


def _shadowing(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    found = f"SELECT content FROM read_text('{file}')"
    columns = "content AS sample_id, content AS what, content AS name, content AS detail, 1.0 AS value"
    connection.execute(f"CREATE OR REPLACE MACRO why(id) AS TABLE SELECT {columns} FROM read_text('{file}')")
    for name in ("count", "lower", "sum", "coalesce_", "any_value", "json_extract_string"):
        connection.execute(f"CREATE OR REPLACE MACRO {name}(x) AS ({found})")


def _lacking(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    connection.execute("DROP MACRO TABLE why")
    for view in ("leaderboard", "samples", "stages", "sources"):
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT 1 AS blend")


HOSTILE: dict[str, Callable[[duckdb.DuckDBPyConnection, Path], None]] = {
    "whose views read a file": _reading,
    "whose macros read a file and hide functions": _shadowing,
    "whose views are others": _lacking,
}


@pytest.fixture(scope="module", params=HOSTILE)
def strange(request, full, outside, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("strange")
    shutil.copyfile(full / FILE, root / FILE)
    with duckdb.connect(str(root / FILE)) as connection:
        HOSTILE[request.param](connection, outside / "secret.txt")
    return root


COMMANDS = (
    *("status M", "why M a", "show M --tokens", "report M", "export M filtered-100@0 --to OUT", "ls M", "doctor M"),
    *("doctor M --verify", "judge eval M --label wrong", "judge review M OUT.jsonl", "sql M query"),
)


@pytest.mark.parametrize("line", COMMANDS)
def test_no_command_on_a_manifest_of_others_reads_a_file_or_breaks(strange, line, tmp_path, monkeypatch, capsys):
    words = {"M": str(strange), "OUT": str(tmp_path / "out"), "OUT.jsonl": str(tmp_path / "o.jsonl")}
    words["query"] = "SELECT * FROM samples, leaderboard LIMIT 3"
    monkeypatch.setattr(sys, "argv", ["blendsmith", *(words.get(word, word) for word in line.split())])
    code: object = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code
    said = "".join(capsys.readouterr())
    assert code in (0, None, 2)
    assert SECRET not in said
    assert not [path for path in (*tmp_path.rglob("*"), *strange.glob("*.html")) if holds(path, SECRET)]


def holds(path: Path, text: str) -> bool:
    return path.is_file() and text.encode() in path.read_bytes()


def test_a_job_that_goes_on_with_a_manifest_of_others_reads_no_file_of_theirs(full, outside, tmp_path):
    shutil.copyfile(full / FILE, tmp_path / FILE)
    with duckdb.connect(str(tmp_path / FILE)) as connection:
        _reading(connection, outside / "secret.txt")
    with Store(tmp_path) as store:
        for query in ("FROM samples", f"FROM read_text('{outside / 'secret.txt'}')", "SET enable_external_access=true"):
            with pytest.raises(duckdb.Error, match=r"Permission Error|locked"):
                store.query(query)
        assert "read:chat-pool" in set(store.keys())


def test_a_strangers_view_in_place_of_the_meta_table_is_not_looked_at_when_a_manifest_is_opened(full, tmp_path):
    shutil.copyfile(full / FILE, tmp_path / FILE)
    with duckdb.connect(str(tmp_path / FILE)) as connection:
        connection.execute("DROP TABLE store.meta CASCADE")
        connection.execute("CREATE VIEW store.meta AS SELECT 'memory' AS key, error('it was read')::TEXT AS value")
    with Manifest(tmp_path) as manifest:
        assert manifest.sql("SELECT current_setting('memory_limit') AS m").item() != "61.0 MiB"
        with pytest.raises(UserError, match="it was read"):
            manifest.meta()


def test_the_writer_is_confined_and_still_spills_and_publishes(tmp_path):
    with Store(tmp_path / "it's") as store:
        spilled = store.query("SELECT current_setting('temp_directory') AS t").item()
        assert Path(spilled) == store.work.parent / "spill"
        assert store.publish().is_file()
        store.set_meta({"a": "b"})
        store.publish()
    with Manifest(tmp_path / "it's") as manifest:
        assert manifest.meta()["a"] == "b"


LOOKALIKES = "aａаɑ０o0-‐‑–—_ .;'\"`\\/%?*[](){}<>|&$#@!~^=+,:\0\n\r\t\x1b\u200b\u202e\ufeffıſKß’“"
HARM = (
    "'; DROP TABLE store.samples; --",
    '"; ATTACH',
    "' OR 1=1 --",
    "x') UNION SELECT 1 --",
    "a\0b",
    "../../etc",
    "CON",
)


def odd_names(n: int) -> list[str]:
    """Return `n` names made of quotes, NUL, look-alike letters, SQL and ordinary characters, the same every time."""
    chance = random.Random(8)
    found = [*HARM]
    while len(found) < n:
        letters = chance.choices(LOOKALIKES, k=chance.randint(0, 12))
        piece = chance.choice((*HARM, "", "", "cov-20k"))
        at = chance.randint(0, len(letters))
        found.append("".join(letters[:at]) + piece + "".join(letters[at:]))
    return found


def refusal(name: str) -> str | None:
    try:
        names.check_name(name)
    except UserError as error:
        return str(error)
    return None


def test_of_1000_names_only_plain_ones_pass_and_none_means_more_than_itself():
    connection = duckdb.connect(":memory:")
    connection.execute("CREATE TABLE kept AS SELECT 1 AS a")
    accepted = 0
    for name in odd_names(1000):
        said = refusal(name)
        accepted += said is None
        assert said is not None or set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert not [c for c in said or "" if unicodedata.category(c) == "Cc" and c != "\n"]
        if "\0" in name:
            with pytest.raises(UserError, match="NUL"):
                names.quote(name)
            continue
        quoted = names.quote(name)
        if name:
            row = connection.execute(f"SELECT a AS {quoted} FROM kept")
            assert [column[0] for column in row.description] == [name]
            assert row.fetchall() == [(1,)]
    assert 0 < accepted < 100
    assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(1,)]


def test_names_reach_the_manifest_as_values_alone(full):
    with Manifest(full) as manifest:
        samples = manifest.sql("SELECT count(*) FROM samples").item()
        for name in odd_names(60):
            for ask in (manifest.why, manifest.blend):
                with pytest.raises(UserError):
                    ask(name or "nothing")
        assert manifest.sql("SELECT count(*) FROM samples").item() == samples


def test_names_reach_the_writer_as_values_alone(tmp_path):
    with Store(tmp_path) as store:
        given = [name.replace("\0", "") or "empty" for name in odd_names(60)]
        for position, name in enumerate(dict.fromkeys(given)):
            store.commit(StageRecord(f"read:{name}", "read", name, name, position), {})
        assert sorted(store.keys()) == sorted({f"read:{name}" for name in given})
        store.retire([f"read:{name}" for name in given])
        assert store.keys() == {}


def test_every_scorers_column_is_its_quoted_name():
    for name in odd_names(40):
        if "\0" in name or not name:
            continue
        columns = {name: "DOUBLE", "prompt": "VARCHAR"}
        if name.lower() != "prompt":
            check_where(f"{names.quote(name)} > 0.5", columns)
