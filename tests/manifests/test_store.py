"""The store: one writer, whole transactions, laws, and readers that see one published state or another."""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from manifests import fault, schema
from manifests.errors import BusyError, ConservationError, UserError
from manifests.laws import LAWS, TABLES
from manifests.names import digest, k64
from manifests.store import ASIDE, FILE, Manifest, StageRecord, Store
from tests.manifests.sample_manifest import RECIPES

ROOT = Path(__file__).parents[2]


def record(stage: str, position: int = 0, key: str = "k") -> StageRecord:
    return StageRecord(stage, stage.split(":", maxsplit=1)[0], key, "{}", position, 0.5)


def samples(source: str, n: int, role: str = "generalist") -> pl.DataFrame:
    ids = sorted(digest([source, i]) for i in range(n))
    row = {"source": source, "role": role, "prompt": "p", "response": "r", "messages": "[]", "n_turns": 2, "n_chars": 2}
    row |= {"n_tokens": 1, "licence": "MIT", "meta": "{}", "task": None, "system": None}
    return schema.frame([row | {"sample_id": i, "content_id": digest(i), "k64": k64(i)} for i in ids], schema.SAMPLES)


def read(source: str, n: int, role: str = "generalist", rejects: int = 0) -> dict[str, pl.DataFrame]:
    about = {"source": source, "role": role, "uri": "u", "revision": None, "licence": "MIT", "non_commercial": False}
    about |= {"rows": n + rejects, "samples": n, "rejects": rejects, "skipped": 0, "sha256": "h"}
    bad = [{"source": source, "line": i, "reason": "empty", "raw_hash": "h"} for i in range(rejects)]
    frame = pl.DataFrame([about], schema_overrides={"revision": pl.String})
    return {"sources": frame, "samples": samples(source, n, role), "rejects": schema.frame(bad, schema.REJECTS)}


def decisions(frame: pl.DataFrame, step: str, dropped: int = 0) -> dict[str, pl.DataFrame]:
    kept = [i >= dropped for i in range(frame.height)]
    decided = frame.select("sample_id", "source").with_columns(
        pl.lit(step).alias("step"), pl.Series("kept", kept), pl.Series("reason", [None if k else "bad" for k in kept])
    )
    return {"decisions": decided}


def blend(frame: pl.DataFrame, name: str = "a", role: str = "generalist", **more: int) -> dict[str, pl.DataFrame]:
    members = frame.select("sample_id").with_columns(
        pl.lit(f"{name}@0").alias("blend"), pl.Series("position", range(frame.height)), pl.lit(role).alias("role"),
        pl.lit(1.0).alias("weight"), pl.lit(1).alias("repeats"), pl.lit("drawn").alias("reason"),
    )  # fmt: skip
    about = {"blend": f"{name}@0", "recipe_name": name, "content_id": "c", "recipe": "{}", "seed": 0, "n_tokens": 1}
    about |= {"n_rows": frame.height, "n_samples": frame.height, "created_at": datetime(2026, 1, 1)} | more
    return {"blends": pl.DataFrame([about]), "members": members}


def state(store: Store) -> dict[str, list[tuple]]:
    return {table: sorted(store.query(f"FROM store.{table}").rows(), key=str) for table in (*TABLES, "stages")}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "m") as opened:
        yield opened


@pytest.fixture
def curated(store):
    """Two sources and a step that dropped two rows of one."""
    store.commit(record("read:a"), read("a", 6, rejects=1))
    store.commit(record("read:t", 1), read("t", 2, "eval"))
    store.commit(record("step:1-x", 2), decisions(samples("a", 6), "1-x", dropped=2))
    return store


def test_what_is_committed_is_read_through_the_views(curated):
    curated.publish()
    with Manifest(curated.root) as manifest:
        assert manifest.sql("SELECT source, rows, samples, rejects FROM sources ORDER BY 1").rows() == [
            ("a", 7, 6, 1),
            ("t", 2, 2, 0),
        ]
        kept = manifest.sql("SELECT sample_id FROM samples WHERE kept AND source = 'a' ORDER BY 1")["sample_id"]
        assert kept.to_list() == samples("a", 6)["sample_id"].to_list()[2:]
        funnel = manifest.sql("SELECT n_in, n_kept, n_dropped, reason FROM funnel ORDER BY reason NULLS FIRST").rows()
        assert funnel == [(6, 4, 2, None), (None, None, 2, "bad")]
        assert manifest.status()["n_rows"].to_list() == [8, 3, 6]
        assert manifest.verify()["ok"].all()


def test_a_stage_committed_again_replaces_what_it_wrote_and_nothing_else(store):
    store.commit(record("read:a"), read("a", 6, rejects=1))
    store.commit(record("read:b", 1), read("b", 2))
    before = store.query("FROM store.samples WHERE source = 'b'")
    assert store.commit(record("read:a", key="k2"), read("a", 3)) == 4
    assert store.query("SELECT source, rows FROM sources ORDER BY 1").rows() == [("a", 3), ("b", 2)]
    assert store.query("SELECT count(*) FROM rejects").item() == 0
    assert store.query("FROM store.samples WHERE source = 'b'").equals(before)
    assert store.keys() == {"read:a": "k2", "read:b": "k"}


def test_a_blend_outlives_its_source_being_read_again_in_another_order(curated):
    curated.commit(record("mix:a@0", 3), blend(samples("a", 6)[2:]))
    curated.retire(["step:1-x"])
    before = curated.query("FROM blend('a@0')")
    again = read("a", 6, rejects=1)
    curated.commit(record("read:a", key="k2"), again | {"samples": again["samples"].reverse()})
    assert curated.query("FROM blend('a@0')").equals(before)


def test_the_numbers_of_a_source_that_was_taken_away_are_never_given_to_other_rows(store):
    store.commit(record("read:a"), read("a", 6))
    store.commit(record("mix:a@0", 3), blend(samples("a", 6)[2:]))
    store.retire(["read:a"])
    with pytest.raises(ConservationError, match="is in a blend"):
        store.commit(record("read:b"), read("b", 9))
    assert store.query("FROM samples").is_empty()


def test_a_blend_of_a_sample_that_was_never_read_is_refused_by_its_id(curated):
    stray = samples("b", 1)
    with pytest.raises(ConservationError, match=stray["sample_id"][0]):
        curated.commit(record("mix:a@0", 3), blend(pl.concat([samples("a", 6)[2:], stray])))


@pytest.mark.parametrize("broken", ["NULL", "(SELECT max(sample_no) FROM store.samples)"])
def test_a_sample_without_a_number_of_its_own_breaks_a_law(curated, broken):
    place = "SELECT min(sample_no) FROM store.samples"
    curated._connection.execute(f"UPDATE store.samples SET sample_no = {broken} WHERE sample_no = ({place})")
    curated.publish()
    with Manifest(curated.root) as manifest:
        laws = manifest.verify()
        assert laws.filter(~pl.col("ok"))["law"].to_list() == ["sample ids are unique"]


def broken(frame: pl.DataFrame) -> dict[str, tuple[str, dict[str, pl.DataFrame]]]:
    """Return law -> (stage, tables) that break it, given the samples of source a, the first two of them dropped."""
    lost = read("b", 3)
    alien = samples("alien", 1)
    score = frame.select("sample_id").with_columns(
        scorer=pl.lit("j"),
        value=pl.lit(0.5),
        status=pl.lit("ok"),
        why=pl.lit(None, pl.String),
        key=pl.lit(None, pl.String),
    )
    twice = read("b", 3)
    twice["samples"] = pl.concat([twice["samples"].head(2), twice["samples"].head(1)])
    again = decisions(pl.concat([frame[2:], frame[2:3]]), "2-y")
    fewer = decisions(frame[3:], "2-y")
    reborn = decisions(pl.concat([frame[1:5]]), "2-y")
    return {
        "rows read = samples + rejects": ("read:b", lost | {"samples": lost["samples"].head(2)}),
        "sample ids are unique": ("read:b", twice),
        "each step decides once on each sample it saw": ("step:2-y", again),
        "in = what the step before kept": ("step:2-y", fewer),
        "no step sees a row that an earlier one dropped": ("step:2-y", reborn),
        "every decision, score, verdict and cell is of a sample": (
            "score:3-j",
            {"scores": score.with_columns(pl.lit(alien["sample_id"][0]).alias("sample_id"))[:1]},
        ),
        "one score per scorer and sample": ("score:3-j", {"scores": pl.concat([score, score[:1]])}),
        "no eval row and no dropped row is in a blend": ("mix:a@0", blend(frame[1:3])),
        "a blend holds what it says": ("mix:a@0", blend(frame[2:4], n_rows=9)),
    }


@pytest.mark.parametrize("law", LAWS)
def test_a_stage_that_breaks_a_law_is_refused_and_nothing_of_it_is_written(curated, law):
    before = state(curated)
    stage, tables = broken(samples("a", 6))[law]
    with pytest.raises(ConservationError, match=f"stage {stage} breaks a law: ") as caught:
        curated.commit(record(stage, 3), tables)
    assert law in str(caught.value)
    assert state(curated) == before


def test_eval_rows_cannot_be_drawn(curated):
    with pytest.raises(ConservationError, match="no eval row"):
        curated.commit(record("mix:a@0", 3), blend(samples("t", 2, "eval")))


def test_a_law_that_a_replaced_stage_breaks_elsewhere_is_found(curated):
    curated.commit(record("mix:a@0", 3), blend(samples("a", 6)[2:]))
    before = state(curated)
    with pytest.raises(ConservationError, match="no dropped row is in a blend"):
        curated.commit(record("step:1-x", 2), decisions(samples("a", 6), "1-x", dropped=3))
    assert state(curated) == before


def test_a_replaced_stage_is_checked_for_what_it_took_away(curated):
    before = state(curated)
    with pytest.raises(ConservationError, match="is of a sample"):
        curated.commit(record("read:a"), {})
    assert state(curated) == before


def test_a_row_that_a_table_refuses_takes_the_whole_stage_with_it(curated):
    before = state(curated)
    bad = samples("a", 6).select("sample_id").with_columns(
        pl.lit("j").alias("scorer"), pl.lit(float("nan")).alias("value"), pl.lit("ok").alias("status")
    )  # fmt: skip
    with pytest.raises(duckdb.ConstraintException):
        curated.commit(record("score:3-j", 3), {"scores": bad, "cells": pl.DataFrame()})
    with pytest.raises(ConservationError, match="no such table: stages"):
        curated.commit(record("x:y", 3), {"stages": pl.DataFrame({"stage": ["x"]})})
    assert state(curated) == before


def test_retired_stages_leave_nothing_behind(curated):
    curated.retire([])
    curated.retire(["step:1-x", "read:a", "never:there"])
    left = state(curated)
    assert [row[0] for row in left["stages"]] == ["read:t"]
    assert {row[0] for rows in left.values() for row in rows} == {"read:t"}


def test_times_are_utc_whatever_the_zone_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with Store(tmp_path) as store:
            store.commit(record("read:a"), read("a", 1))
            found = store.query("SELECT finished_at FROM stages UNION ALL SELECT applied_at FROM store.migrations")
    finally:
        monkeypatch.undo()
        time.tzset()
    now = datetime.now(UTC).replace(tzinfo=None)
    assert all(abs((now - then).total_seconds()) < 600 for then in found["finished_at"])


def test_meta_is_replaced_key_by_key(store):
    store.set_meta({"job": "one", "file": "a.yaml"})
    store.set_meta({"job": "two"})
    store.publish()
    with Manifest(store.root) as manifest:
        assert manifest.meta() == {"job": "two", "file": "a.yaml"}


def limit(connection) -> str:
    return connection.sql("SELECT current_setting('memory_limit')").fetchall()[0][0]


def test_the_bound_of_memory_is_the_writers_and_that_of_whoever_reads_afterwards(tmp_path):
    with Store(tmp_path, 200) as store:
        assert store.query("SELECT current_setting('memory_limit') AS m").item() == "190.7 MiB"  # 200 million bytes
        store.set_meta({"memory": "200"})
        store.publish()
    with Manifest(tmp_path) as manifest, Manifest(tmp_path, 100) as mine, Manifest(tmp_path, 0) as free:
        assert [limit(m.connection) for m in (manifest, mine)] == ["190.7 MiB", "95.3 MiB"]
        assert limit(free.connection) == limit(duckdb.connect(":memory:"))
        with pytest.raises(UserError, match="locked"):
            manifest.sql("SET memory_limit = '2GB'")
    with Store(tmp_path) as store:
        assert store.query("SELECT current_setting('memory_limit') AS m").item() == "190.7 MiB"


def test_a_query_over_the_bound_is_refused_and_one_that_can_spill_is_not(tmp_path):
    with Store(tmp_path, 64) as store:
        counted = store.query(
            "SELECT count(*) FROM (SELECT range AS i, hash(range) AS h FROM range(4000000) ORDER BY h)"
        )
        assert counted.item() == 4_000_000
        with pytest.raises(duckdb.OutOfMemoryException) as caught:
            store.query("SELECT length(string_agg(repeat('x', 1000), '')) FROM range(200000)")
    assert fault.told(caught.value).remedy == "raise the job's `memory`"


@pytest.mark.parametrize("value", ["", "1", "-5", "1e3", "99999999999", "64; SELECT 1"])
def test_what_is_no_number_of_megabytes_bounds_nothing(tmp_path, value):
    with Store(tmp_path) as store:
        store.set_meta({"memory": value})
        store.publish()
    with Manifest(tmp_path) as manifest:
        assert limit(manifest.connection) == limit(duckdb.connect(":memory:"))


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path):
    with Store(tmp_path):
        with pytest.raises(BusyError, match=f"process {os.getpid()}") as caught:
            Store(tmp_path).__enter__()
        assert caught.value.exit_code == 3
    with Store(tmp_path) as again:
        assert again.keys() == {}


def test_a_store_that_cannot_be_opened_gives_the_lock_back(tmp_path):
    with Store(tmp_path) as store:
        store._connection.execute("INSERT INTO store.migrations VALUES (99, '2026-01-01')")
    for _ in range(2):
        with pytest.raises(UserError, match="schema version 99"), Store(tmp_path):
            pass


def test_a_damaged_work_file_is_put_aside_with_its_log_and_the_published_copy_goes_on(tmp_path):
    with Store(tmp_path) as store:
        store.commit(record("read:a"), read("a", 2))
        store.publish()
        store.commit(record("read:b"), read("b", 2))
    store.work.write_bytes(b"nonsense" * 4096)
    store.work.with_name(f"{FILE}.wal").write_bytes(b"more of it")
    with pytest.warns(UserWarning, match="not a valid DuckDB database file.*put aside"), Store(tmp_path) as again:
        assert again.keys() == {"read:a": "k"}
    assert store.work.with_name(f"{FILE}{ASIDE}").read_bytes().startswith(b"nonsense")
    assert store.work.with_name(f"{FILE}.wal{ASIDE}").read_bytes() == b"more of it"


def test_a_damaged_work_file_that_was_never_published_is_refused_and_left_where_it_is(tmp_path):
    with Store(tmp_path) as store:
        store.commit(record("read:a"), read("a", 2))
    store.work.write_bytes(b"nonsense" * 4096)
    with pytest.raises(UserError, match="cannot be opened") as caught, Store(tmp_path):
        pass
    assert str(store.work.parent) in caught.value.remedy
    assert store.work.read_bytes().startswith(b"nonsense")


def test_what_was_committed_and_not_published_is_still_there_next_time(tmp_path):
    with Store(tmp_path) as store:
        store.publish()
        store.commit(record("read:a"), read("a", 2))
    with Manifest(tmp_path) as manifest:
        assert manifest.status().is_empty()
    with Store(tmp_path) as store:
        assert store.keys() == {"read:a": "k"}


def test_a_reader_keeps_its_copy_and_the_next_reader_sees_the_new_one(tmp_path):
    with Store(tmp_path) as store:
        store.commit(record("read:a"), read("a", 2))
        store.publish()
        with Manifest(tmp_path) as first, Manifest(tmp_path / FILE) as beside:
            store.commit(record("read:b"), read("b", 2))
            assert first.status().height == beside.status().height == 1
            store.publish()
            with Manifest(tmp_path) as second:
                assert (first.status().height, beside.status().height, second.status().height) == (1, 1, 2)
    assert not list(tmp_path.glob(".*.tmp"))


def test_readers_in_other_threads_never_fail_and_never_see_half_a_stage(tmp_path):
    seen, stop, faults = [], threading.Event(), []

    def look():
        while not stop.is_set():
            try:
                with Manifest(tmp_path) as manifest:
                    rows = manifest.sql("SELECT (SELECT sum(n_rows) FROM stages), (SELECT count(*) FROM store.samples)"
                                        " + (SELECT count(*) FROM sources)").row(0)  # fmt: skip
                seen.append(rows)
            except Exception as error:  # noqa: BLE001 - the test fails on any of them
                faults.append(error)

    with Store(tmp_path) as store:
        store.commit(record("read:s"), read("s", 3))
        store.publish()
        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        for i in range(12):
            store.commit(record(f"read:s{i}", i), read(f"s{i}", 5))
            store.publish()
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert len(seen) > 1
    assert all(total == rows for total, rows in seen)


WRITER = """
import sys
from pathlib import Path
from manifests.store import Store
from tests.manifests.test_store import read, record
with Store(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    for n in range(10_000):
        store.commit(record(f"read:s{n % 7}", n, key=str(n)), read(f"s{n % 7}", 50 + n % 9, rejects=n % 3))
        if n % 2 == 0:
            store.publish()
        print(n, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_stages_and_a_free_lock(tmp_path):
    rng = random.Random(5)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for wait in (0, 3, 9, 10):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        )
        try:
            assert writer.stdout.readline() == b"ready\n"
            with pytest.raises(BusyError, match=f"process {writer.pid}"):
                Store(tmp_path).__enter__()
            for n in range(wait):
                assert writer.stdout.readline() == f"{n}\n".encode()
            time.sleep(rng.uniform(0, 0.2))
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            writer.stdout.close()
        if (tmp_path / FILE).exists():
            with Manifest(tmp_path) as manifest:
                check_whole(manifest.sql, manifest.verify())
        with Store(tmp_path) as store:
            check_whole(store.query, None)
            assert len(store.keys()) >= min(wait, 7)
            assert wait == 0 or int(store.keys()[f"read:s{(wait - 1) % 7}"]) >= wait - 1
            store.publish()


def check_whole(query, laws):
    assert laws is None or laws["ok"].all()
    counts = query(
        "SELECT s.stage, s.n_rows, (SELECT count(*) FROM store.samples x WHERE x.stage = s.stage)"
        " + (SELECT count(*) FROM store.rejects x WHERE x.stage = s.stage)"
        " + (SELECT count(*) FROM store.sources x WHERE x.stage = s.stage) AS found FROM store.stages s"
    )
    assert counts["n_rows"].equals(counts["found"], check_names=False)


def test_the_file_has_the_storage_version_that_duckdb_1_4_reads(full):
    header = (full / FILE).read_bytes()[:24]
    assert header[8:12] == b"DUCK"
    assert struct.unpack("<Q", header[12:20]) == (64,)


def test_the_file_opens_as_it_is_and_every_view_answers(full):
    with duckdb.connect(str(full / FILE), read_only=True) as connection:
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        empty = {name for (name,) in views if connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)}
        assert empty == {"labels", "quality"}, "no row of this manifest was labelled by hand and no scorer measured"
        assert connection.execute("SELECT count(*) FROM blend('filtered-100@0')").fetchone() == (400,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '/tmp/out.csv'",
        "EXPORT DATABASE '/tmp/out'",
        "IMPORT DATABASE '/tmp/out'",
        "ATTACH '/tmp/other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM 'https://example.org/x.parquet'",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET threads = 1",
        "RESET lock_configuration",
        "SET temp_directory = '/tmp/spill'",
        "PRAGMA log_query_path = '/tmp/log'",
        "SELECT * FROM python_variable",
        "CREATE TABLE more (a INTEGER)",
        "CREATE OR REPLACE VIEW samples AS SELECT 1",
        "DELETE FROM store.stages",
        "UPDATE store.meta SET value = ''",
        "DROP VIEW samples",
        "CALL no_such_thing()",
    ],
)
def test_a_reader_can_only_read(full, query):
    python_variable = pl.DataFrame({"a": [1]})
    with Manifest(full) as manifest:
        with pytest.raises(UserError, match="the query failed"):
            manifest.sql(query)
        assert manifest.status().height > 0
    assert python_variable.height == 1


def test_a_reader_leaves_no_trace_in_the_folder(full, tmp_path):
    shutil.copyfile(full / FILE, tmp_path / FILE)
    before = (tmp_path / FILE).read_bytes()
    with Manifest(tmp_path) as manifest:
        manifest.leaderboard()
        manifest.verify()
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_bytes() == before


def test_a_folder_without_a_manifest_and_a_file_that_is_none_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="no manifest here"):
        Manifest(tmp_path)
    (tmp_path / FILE).write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match="not a readable manifest"):
        Manifest(tmp_path)


def test_a_path_with_a_quote_in_it_is_a_path(tmp_path):
    root = tmp_path / "it's; DROP"
    with Store(root) as store:
        store.commit(record("read:a"), read("a", 2))
        store.publish()
    with Manifest(root) as manifest:
        assert manifest.status().height == 1


@pytest.fixture(scope="module")
def manifest(full):
    with Manifest(full) as opened:
        yield opened


def test_blend_gives_the_rows_of_one_seed_or_of_all(manifest):
    one = manifest.blend("filtered-100@1")
    assert one["position"].to_list() == list(range(400))
    assert set(one["blend"]) == {"filtered-100@1"}
    assert manifest.blend("filtered-100").height == 1200
    with pytest.raises(UserError, match="no such blend") as caught:
        manifest.blend("filtered-10@1")
    assert "did you mean 'filtered-100@1'?" in str(caught.value)
    with pytest.raises(UserError):
        manifest.blend("x' OR 1 = 1 --")


def test_blend_diff_agrees_with_sets(manifest):
    a, b = (set(manifest.blend(f"{name}-100@0")["sample_id"]) for name in ("filtered", "all-rows"))
    found = dict(
        manifest.sql(
            "SELECT change, count(*) FROM blend_diff('filtered-100@0', 'all-rows-100@0') GROUP BY 1"
        ).iter_rows()
    )
    assert found == {"added": len(b - a), "removed": len(a - b), "same": len(a & b)}


def test_compare_reads_in_both_directions(manifest):
    forward = manifest.sql("FROM compare('filtered-100', 'all-rows-100') ORDER BY task").to_dicts()
    back = manifest.sql("FROM compare('all-rows-100', 'filtered-100') ORDER BY task").to_dicts()
    assert [row["verdict"] for row in forward] == ["cannot tell", "helps"]
    assert [row["verdict"] for row in back] == ["cannot tell", "hurts"]
    for a, b in zip(forward, back, strict=True):
        assert b["difference"] == -a["difference"]
        assert (b["ci_low"], b["ci_high"]) == (-a["ci_high"], -a["ci_low"])
        assert b["p_value"] == a["p_value"]


def test_why_tells_all_that_happened_to_a_sample(manifest):
    dropped = manifest.sql("SELECT min(sample_id) FROM decisions WHERE NOT kept AND step = '2-rules'").item()
    story = manifest.why(dropped[:16])
    assert set(story["sample_id"]) == {dropped}
    assert story["what"].to_list() == ["source", "kept", "dropped"]
    drawn = manifest.blend("filtered-400@0").filter(pl.col("role") == "generalist")["sample_id"][0]
    whats = set(manifest.why(drawn)["what"])
    assert {"source", "kept", "score", "blend"} == whats
    for nothing in ("f" * 32, "no"):
        with pytest.raises(UserError, match="no such sample"):
            manifest.why(nothing)


def test_coverage_of_agrees_with_counting_cells_by_hand(manifest):
    cells = dict(manifest.sql("SELECT sample_id, cell FROM cells").iter_rows())
    members = manifest.blend("filtered-100@0").filter(pl.col("role") == "generalist")["sample_id"]
    held = {cells[i] for i in members}
    targets = manifest.sql("SELECT source, sample_id FROM samples WHERE role IN ('specialist', 'eval')").rows()
    for row in manifest.sql("FROM coverage_of('filtered-100@0')").iter_rows(named=True):
        mine = [cells[i] for source, i in targets if source == row["target"] and i in cells]
        assert row["n_target"] == len(mine)
        assert row["cell_recall"] == pytest.approx(sum(c in held for c in mine) / len(mine))
    assert set(manifest.sql("FROM coverage_of('filtered-100')")["blend"]) == {f"filtered-100@{s}" for s in range(3)}


def test_cell_weights_agree_with_counting_cells_by_hand(manifest):
    rows = manifest.sql("SELECT role, source, cell FROM cells JOIN samples USING (sample_id)").rows()
    pool = Counter(cell for role, _, cell in rows if role == "generalist")
    found = manifest.sql("FROM cell_weights")
    assert found.height > 0
    for target in set(found["target"]):
        mine = Counter(cell for _, source, cell in rows if source == target)
        lines = found.filter(pl.col("target") == target)
        assert set(lines["cell"]) == set(mine) | set(pool)
        for row in lines.iter_rows(named=True):
            assert (row["n_target"], row["n_pool"]) == (mine[row["cell"]], pool[row["cell"]])
            share, stock = mine[row["cell"]] / mine.total(), pool[row["cell"]] / pool.total()
            assert row["weight"] == (pytest.approx(share / stock) if stock else None)


def test_composition_shares_add_up_to_one(manifest):
    sums = manifest.sql("SELECT blend, sum(share) AS share, sum(n_rows) AS n FROM composition GROUP BY 1")
    assert sums.height == 3 * len(RECIPES)
    assert all(abs(share - 1) < 1e-12 for share in sums["share"])


def test_the_leaderboard_is_best_first(manifest):
    board = manifest.leaderboard()
    for _, group in board.group_by("task", "metric"):
        assert group["mean"].to_list() == sorted(group["mean"], reverse=True)
