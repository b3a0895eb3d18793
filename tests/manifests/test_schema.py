"""The tables, views and comments of the manifest, and what the tables refuse."""

from __future__ import annotations

from datetime import datetime

import duckdb
import polars as pl
import pytest

from manifests import migrations, schema
from manifests.errors import UserError
from manifests.laws import LAWS, TABLES
from manifests.store import FILE

DESIGN = {
    "sources": "source role uri revision licence non_commercial rows samples rejects sha256",
    "samples": "sample_id content_id source role task prompt response system messages n_turns n_chars licence meta"
    " kept",
    "rejects": "source line reason raw_hash",
    "decisions": "sample_id step kept reason witness_id similarity",
    "conflicts": "step conflict_id sample_id source prompt response similarity",
    "funnel": "stage step source n_in n_kept n_dropped reason",
    "scores": "sample_id scorer value status why key",
    "verdicts": "sample_id judge p_error label defect claims evidence status repair",
    "quality": "scorer measured_on metric value ci_low ci_high n note",
    "labels": "sample_id label defect note labelled_by labelled_at",
    "coverage": "target source metric value",
    "cells": "sample_id space cell",
    "blends": "blend content_id recipe seed n_rows n_samples n_tokens created_at",
    "blend_members": "blend position sample_id role weight repeats reason",
    "composition": "blend source role task n_rows share",
    "strata": "blend stratum available requested taken repeats limited_by samples error_mass note",
    "runs": "run blend trainer base seed status steps tokens seconds peak_memory content_id",
    "results": "run task example_id metric value prediction",
    "leaderboard": "blend task metric mean ci_low ci_high n_examples n_seeds",
    "comparisons": "task metric blend_a blend_b difference ci_low ci_high p_value verdict minimum_detectable",
    "best_sets": "task metric blend mean behind best p_value among_best",
    "costs": "run recipe_name seed status steps tokens seconds cpu_seconds peak_memory parameters flops"
    " tokens_per_cpu_second",
    "learning_curve": "run recipe_name seed step loss tokens",
    "ratio_curve": "task metric blend specialist_rows generalist_rows generalist_share mean ci_low ci_high n_seeds",
    "judged": "sample_id judge p_error label status",
    "blend_facts": "blend n_rows n_samples n_tokens specialist_share licences non_commercial_share error_mass"
    " n_unjudged unjudged_share",
    "blend_overlap": "blend_a blend_b n_both jaccard share_of_a share_of_b",
    "cell_weights": "space target cell n_target n_pool target_share pool_share weight",
    "blend_coverage": "blend space target cell_recall n_target",
}
MACROS = {"blend": 1, "blend_diff": 2, "why": 1, "compare": 2, "coverage_of": 1, "lineage": 1}
NUMBERED = {name: kind for name, kind in schema.MEMBERS.items() if name not in ("sample_id", "reason")} | {
    "sample_no": pl.UInt32,
    "reason_no": pl.UInt32,
}
"""A member as it is stored: whole numbers stand for its sample and its reason."""
FRAMES = {
    "samples": (schema.SAMPLES, {"sample_no"}),
    "rejects": (schema.REJECTS, set()),
    "decisions": (schema.DECISIONS, {"step", "source"}),
    "scores": (schema.SCORES, set()),
    "verdicts": (schema.VERDICTS, set()),
    "quality": (schema.QUALITY, set()),
    "labels": (schema.LABELS, set()),
    "cells": (schema.CELLS, set()),
    "coverage": (schema.COVERAGE, set()),
    "members": (NUMBERED, {"blend"}),
    "strata": (schema.STRATA, {"blend"}),
    "losses": (schema.LOSSES, set()),
    "results": (schema.RESULTS, set()),
    "leaderboard": (schema.LEADERBOARD, set()),
    "comparisons": (schema.COMPARISONS, {"n_examples", "n_seeds"} - set(schema.COMPARISONS)),
}
TYPES = {
    pl.String: "VARCHAR",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.UInt32: "UINTEGER",
    pl.UInt64: "UBIGINT",
    pl.Datetime("us"): "TIMESTAMP",
}
ID, OTHER = "0" * 32, "1" * 32


@pytest.fixture
def empty():
    with duckdb.connect(":memory:") as connection:
        migrations.prepare(connection, schema.VERSION, "memory")
        yield connection


@pytest.fixture(scope="module")
def shared():
    with duckdb.connect(":memory:") as connection:
        migrations.prepare(connection, schema.VERSION, "memory")
        yield connection


def test_the_views_are_those_of_the_design_with_their_columns_first(shared):
    for view, columns in DESIGN.items():
        found = [row[0] for row in shared.execute(f"DESCRIBE {view}").fetchall()]
        assert found[: len(columns.split())] == columns.split(), view
    views = shared.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    assert {name for (name,) in views} == {*DESIGN, "stages"}


def test_every_view_column_and_macro_has_a_comment(shared):
    comments = shared.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
    comments += shared.execute(
        "SELECT table_name || '.' || column_name, comment FROM duckdb_columns()"
        " WHERE schema_name = 'main' AND NOT internal"
    ).fetchall()
    comments += shared.execute(
        "SELECT function_name, comment FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal"
    ).fetchall()
    assert len(comments) > 130
    for name, comment in comments:
        assert comment, name


def test_the_macros_are_those_of_the_design(shared):
    found = shared.execute(
        "SELECT function_name, len(parameters) FROM duckdb_functions()"
        " WHERE function_type = 'table_macro' AND NOT internal"
    ).fetchall()
    assert dict(found) == MACROS
    for name, arity in MACROS.items():
        assert shared.execute(f"FROM {name}({', '.join(['?'] * arity)})", ["x"] * arity).fetchall() == []


def test_each_frame_of_the_contract_fits_its_table(shared):
    for table, (frame, added) in FRAMES.items():
        found = dict(
            shared.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'store' AND table_name = ?",
                [table],
            ).fetchall()
        )
        assert set(found) - added - {"stage"} == set(frame), table
        assert {name: TYPES[kind] for name, kind in frame.items()}.items() <= found.items(), table


def test_the_writer_knows_every_table(shared):
    tables = shared.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store'").fetchall()
    assert {name for (name,) in tables} == {*TABLES, "meta", "migrations", "stages"}


def test_every_law_holds_on_an_empty_manifest(shared):
    for law, sql in LAWS.items():
        assert shared.execute(sql).fetchall() == [], law


NAN, INFINITE = float("nan"), float("inf")
SOURCE = ("read", "s", "generalist", "u", None, "MIT", False, 3, 2, 1, 0, "h")
SAMPLE = ("read", ID, ID, 1, "s", "generalist", None, "p", "r", None, "[]", 2, 9, 3, "MIT", "{}", 0)
BLEND = ("mix", "a@0", "a", "c", "{}", 0, 2, 2, 9, "2026-01-01")
RUN = ("train", "r", "a@0", "full", "b", 0, "done", 1, 1, 1.0, 1, "c", None, 0.5, 100)


@pytest.mark.parametrize(
    ("table", "good", "bad"),
    [
        ("stages", ("s", "read", "k", "{}", 0, 1.0, 1, "2026-01-01"), {5: NAN}),
        ("stages", ("s", "read", "k", "{}", 0, 1.0, 1, "2026-01-01"), {5: -1.0}),
        ("sources", SOURCE, {2: "expert"}),
        ("sources", SOURCE, {7: 4}),
        ("samples", SAMPLE, {1: "short"}),
        ("samples", SAMPLE, {5: "expert"}),
        ("samples", SAMPLE, {13: 0}),
        ("rejects", ("read", "s", 1, "empty", "h"), {3: ""}),
        ("decisions", ("step", "1", ID, "s", False, "dup", OTHER, 0.9, None), {5: None}),
        ("decisions", ("step", "1", ID, "s", False, "dup", OTHER, 0.9, None), {6: ID}),
        ("decisions", ("step", "1", ID, "s", False, "dup", OTHER, 0.9, None), {7: NAN}),
        ("decisions", ("step", "1", ID, "s", False, "dup", OTHER, 0.9, None), {7: 1.1}),
        ("scores", ("score", ID, "j", 0.5, "ok", None, "k"), {3: NAN}),
        ("scores", ("score", ID, "j", 0.5, "ok", None, "k"), {3: INFINITE}),
        ("scores", ("score", ID, "j", 0.5, "ok", None, "k"), {3: None}),
        ("scores", ("score", ID, "j", None, "failed", "w", "k"), {3: 0.5}),
        ("scores", ("score", ID, "j", 0.5, "ok", None, "k"), {4: "unsure"}),
        ("verdicts", ("score", ID, "j", 0.5, "wrong", None, None, None, "ok", None), {3: 1.5}),
        ("verdicts", ("score", ID, "j", 0.5, "wrong", None, None, None, "ok", None), {3: NAN}),
        ("verdicts", ("score", ID, "j", 0.5, "wrong", None, None, None, "ok", None), {4: "maybe"}),
        ("quality", ("score", "j", "truth", "auroc", 0.7, 0.6, 0.8, 90, None), {4: NAN}),
        ("quality", ("score", "j", "truth", "auroc", 0.7, 0.6, 0.8, 90, None), {5: INFINITE}),
        ("quality", ("score", "j", "truth", "auroc", 0.7, 0.6, 0.8, 90, None), {6: NAN}),
        ("quality", ("score", "j", "truth", "auroc", 0.7, 0.6, 0.8, 90, None), {7: -1}),
        ("labels", ("labels", ID, "wrong", None, None, "me", datetime(2026, 1, 1)), {2: "maybe"}),
        ("verdicts", ("score", ID, "j", None, None, None, None, None, "failed", None), {3: 0.5}),
        ("coverage", ("cells", "t", "s", "m", 0.5), {4: NAN}),
        ("blends", BLEND, {6: 1}),
        ("members", ("mix", "a@0", 0, 0, "generalist", 1.0, 1, 0), {4: "eval"}),
        ("members", ("mix", "a@0", 0, 0, "generalist", 1.0, 1, 0), {5: 0.0}),
        ("members", ("mix", "a@0", 0, 0, "generalist", 1.0, 1, 0), {5: INFINITE}),
        ("members", ("mix", "a@0", 0, 0, "generalist", 1.0, 1, 0), {6: 0}),
        ("strata", ("mix", "a@0", "s", 3, 2.0, 2, 1, None, 2, 0.1, None), {4: NAN}),
        ("strata", ("mix", "a@0", "s", 3, 2.0, 2, 1, None, 2, None, "n"), {5: -1}),
        ("runs", RUN, {6: "lost"}),
        ("runs", RUN, {11: None}),
        ("results", ("measure", "r", "t", "e", "m", 0.5, None), {5: NAN}),
        ("leaderboard", ("compare", "a", "t", "m", 0.5, 0.4, 0.6, 9, 3), {4: NAN}),
        (
            "comparisons",
            ("compare", "t", "m", "a", "b", 0.1, 0.0, 0.2, 0.5, "helps", 0.1, 9, 3, 0.4, 5, None),
            {9: "better"},
        ),
        (
            "comparisons",
            ("compare", "t", "m", "a", "b", 0.1, 0.0, 0.2, 0.5, "helps", 0.1, 9, 3, 0.4, 5, None),
            {8: 1.5},
        ),
        ("losses", ("train", "r", 10, 2.5), {3: NAN}),
        ("losses", ("train", "r", 10, 2.5), {2: -1}),
    ],
)
def test_the_tables_take_a_good_row_and_refuse_a_bad_one(shared, table, good, bad):
    insert = f"INSERT INTO store.{table} VALUES ({', '.join(['?'] * len(good))})"
    wrong = [bad.get(i, value) for i, value in enumerate(good)]
    with pytest.raises(duckdb.ConstraintException):
        shared.execute(insert, wrong)
    shared.execute("BEGIN")
    shared.execute(insert, list(good))
    shared.execute("ROLLBACK")


def test_preparing_twice_changes_nothing(empty):
    before = empty.execute("SELECT * FROM store.migrations").fetchall()
    migrations.prepare(empty, schema.VERSION, "memory")
    assert empty.execute("SELECT * FROM store.migrations").fetchall() == before
    assert [row[0] for row in before] == [schema.VERSION]


def test_a_manifest_of_a_newer_version_is_refused(empty):
    empty.execute("INSERT INTO store.migrations VALUES (99, now()::TIMESTAMP)")
    with pytest.raises(UserError, match="schema version 99") as caught:
        migrations.prepare(empty, schema.VERSION, f"here/{FILE}")
    assert caught.value.where == f"here/{FILE}"


def test_a_migration_is_applied_and_recorded_together(empty, monkeypatch):
    following = schema.VERSION + 1
    monkeypatch.setattr(migrations, "MIGRATIONS", {following: "CREATE TABLE store.extra (a INTEGER)"})
    migrations.prepare(empty, following, "memory")
    assert empty.execute("SELECT count(*) FROM store.extra").fetchall() == [(0,)]
    assert empty.execute("SELECT max(version) FROM store.migrations").fetchall() == [(following,)]


def test_a_migration_that_fails_leaves_the_version_before(empty, monkeypatch):
    following = schema.VERSION + 1
    monkeypatch.setattr(migrations, "MIGRATIONS", {following: "CREATE TABLE store.extra (a INTEGER); SELECT 1 / 'x'"})
    with pytest.raises(duckdb.Error):
        migrations.prepare(empty, following, "memory")
    assert empty.execute("SELECT max(version) FROM store.migrations").fetchall() == [(schema.VERSION,)]
    assert empty.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'extra'").fetchall() == [(0,)]


def test_an_interrupted_creation_leaves_an_empty_database(monkeypatch):
    monkeypatch.setattr(
        migrations, "schema_sql", lambda: "CREATE SCHEMA store; CREATE TABLE store.meta (a INT); nonsense"
    )
    with duckdb.connect(":memory:") as connection:
        with pytest.raises(duckdb.Error):
            migrations.prepare(connection, schema.VERSION, "memory")
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]


def test_frames_have_exactly_the_columns_of_their_schema():
    rows = [{"sample_id": "a", "space": "s", "cell": 3}]
    assert schema.frame(rows, schema.CELLS).schema == schema.frame([], schema.CELLS).schema == pl.Schema(schema.CELLS)
    assert schema.frame({"cell": [3], "space": ["s"], "sample_id": ["a"]}, schema.CELLS).columns == list(schema.CELLS)
    with pytest.raises(pl.exceptions.PolarsError):
        schema.frame([{"sample_id": "a", "space": "s", "cell": "three"}], schema.CELLS)
