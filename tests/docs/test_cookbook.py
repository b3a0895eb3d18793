"""Every query of the cookbook answers on a whole manifest; on an empty one it says nothing, without an error."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import duckdb
import polars as pl
import pytest

from manifests import migrations, schema
from manifests.jobs import rows
from manifests.judging import Reader
from manifests.names import digest
from manifests.store import Manifest, StageRecord, Store
from tests.benchmarks.gates import ROOT
from tests.manifests import sample_manifest

PAGE = ROOT / "docs" / "COOKBOOK.md"
RECIPE = re.compile(r"^### (.+?)\n\n(.+?)\n\n```sql\n(.+?)^```$", re.MULTILINE | re.DOTALL)
NOTHING = "No row is the good answer."
WHEN = pl.lit("2026-11-21 09:00:00").str.to_datetime()
GATE = "filtered-100"


@dataclass(frozen=True)
class Recipe:
    """A question of the page: its title, how to read the answer, and the query."""

    title: str
    text: str
    query: str


RECIPES = [Recipe(*match.groups()) for match in RECIPE.finditer(PAGE.read_text("utf-8"))]
BY_TITLE = {recipe.title: recipe.query.strip().removesuffix(";") for recipe in RECIPES}


def spread(key, n):
    """Return a number 0..n-1 of a text, the same in every run."""
    return zlib.crc32(key.encode()) % n


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Open a job's manifest with a second judge, labels, baselines, witnesses, repeats, marginals and controls."""
    root = sample_manifest.write(tmp_path_factory.mktemp("cookbook"))
    with Store(root) as store:
        for place, (name, tables) in enumerate(_more(store)):
            store.commit(StageRecord(name, name.split(":")[0], digest(name), "{}", 900 + place), tables)
        store.publish()
    with Manifest(root) as opened:
        assert opened.verify()["ok"].all()
        yield opened


def _more(store):
    judged = store.query("SELECT sample_id, p_error FROM store.verdicts WHERE status = 'ok' ORDER BY ALL")
    ids = judged["sample_id"].to_list()
    yield "step:4-fuzzy", {"decisions": _witnessed(store)}
    second = judged.filter(pl.Series([spread(i, 3) > 0 for i in ids]))
    second = second.with_columns(p_error=1 - pl.col("p_error").pow(0.5), judge=pl.lit("second"), status=pl.lit("ok"))
    word = pl.when(pl.col("p_error") >= 0.5).then(pl.lit("wrong")).otherwise(pl.lit("correct"))
    second = second.with_columns(label=word)
    yield "score:5-judge", {"verdicts": second}
    first = judged.with_columns(judge=pl.lit("chosen"), status=pl.lit("ok"), label=pl.lit(None, dtype=pl.String))
    yield "score:6-factuality", {"verdicts": first.head(900)}
    yield "score:7-judge", {"verdicts": second.with_columns(judge=pl.lit("last"))}
    nearest = judged.select("sample_id", scorer=pl.lit("nearest"), value=1 - pl.col("p_error"), status=pl.lit("ok"))
    yield "score:8-nearest", {"scores": nearest}
    yield "labels:anna", {"labels": _labels(judged, "anna")}
    yield "labels:bert", {"labels": _labels(judged.head(50), "bert")}
    metrics = {"auroc": 0.91, "baseline_words_auroc": 0.71, "baseline_length_auroc": 0.55, "gain_auroc": 0.2}
    quality = [
        {"scorer": "judge", "measured_on": "labels", "metric": name, "value": value, "ci_low": value - 0.1,
         "ci_high": value + 0.1, "n": 200, "note": None}
        for name, value in metrics.items()
    ]  # fmt: skip
    yield "quality:judge", {"quality": schema.frame(quality, schema.QUALITY)}
    target = store.query("SELECT sample_id FROM store.samples WHERE role = 'eval' ORDER BY 1 LIMIT 30")
    narrow = target.with_columns(pl.lit("narrow").alias("space"), pl.lit(7, dtype=pl.Int32).alias("cell"))
    yield "cells:narrow", {"cells": narrow}
    kept = store.query("SELECT sample_id FROM store.samples ANTI JOIN"
                       " (FROM store.decisions WHERE NOT kept) USING (sample_id)")  # fmt: skip
    yield "mix:raked@0", _raked(judged.join(kept, on="sample_id", how="semi").sort("sample_id"))
    pairs = [(GATE, f"{GATE}-stratified"), (GATE, f"{GATE}-ungated"), (f"{GATE}-random-drop", GATE)]
    base = {"task": "facts-test", "metric": "loglik", "difference": 0.2, "ci_low": 0.1, "ci_high": 0.3, "p_value": 0.01,
            "verdict": "helps", "minimum_detectable": 0.1, "n_examples": 150, "n_seeds": 3}  # fmt: skip
    rows = [base | {"blend_a": a, "blend_b": b} for a, b in pairs]
    yield "compare:controls", {"comparisons": schema.frame(rows, schema.COMPARISONS)}


def _witnessed(store):
    """Return the decisions of a step that drops five rows which no blend holds, for rows that one does."""
    alive = store.query(
        "SELECT sample_id, source, sample_id IN (SELECT sample_id FROM blend_members) AS used FROM store.samples"
        " WHERE sample_id NOT IN (SELECT sample_id FROM store.decisions WHERE NOT kept) ORDER BY ALL"
    )
    gone = alive.filter(~pl.col("used") & (pl.col("source") == "chat-pool"))["sample_id"].head(5).implode()
    kept = ~pl.col("sample_id").is_in(gone)
    witness = alive.filter(pl.col("used") & (pl.col("source") == "chat-pool"))["sample_id"][0]
    return alive.select("sample_id", "source", kept=kept).with_columns(
        step=pl.lit("4-fuzzy"),
        reason=pl.when(~kept).then(pl.lit("near duplicate")),
        witness_id=pl.when(~kept).then(pl.lit(witness)),
        similarity=pl.when(~kept).then(pl.lit(0.9)),
    )


def _labels(judged, reader):
    rows = judged.head(200)
    wrong = [spread(reader + i, 100) < 100 * p for i, p in rows.iter_rows()]
    return rows.select("sample_id").with_columns(
        pl.Series("label", ["wrong" if w else "correct" for w in wrong]), pl.lit(reader).alias("labelled_by"),
        pl.lit(None, dtype=pl.String).alias("defect"), pl.lit(None, dtype=pl.String).alias("note"),
        WHEN.alias("labelled_at"),
    )  # fmt: skip


def _raked(used):
    members = used.filter(pl.col("p_error") < 0.3).sort("sample_id").head(40).select("sample_id").with_columns(
        pl.Series("position", range(40)), pl.lit("generalist").alias("role"), pl.lit(0.5).alias("weight"),
        pl.lit(2, dtype=pl.Int32).alias("repeats"), pl.lit("raked").alias("reason"), pl.lit("raked@0").alias("blend"),
    )  # fmt: skip
    about = {"blend": "raked@0", "recipe_name": "raked", "content_id": digest("raked"), "seed": 0, "recipe": "{}",
             "n_rows": 80, "n_samples": 40, "n_tokens": 880}  # fmt: skip
    line = {"available": 40, "requested": 100.0, "taken": 80, "repeats": 2, "samples": 40, "error_mass": 4.0,
            "note": None}  # fmt: skip
    strata = [
        line | {"stratum": "chat-pool", "limited_by": "epoch cap"},
        line | {"stratum": "marginal:task:qa", "limited_by": "infeasible", "note": "misses by -20.0 rows"},
    ]
    return {
        "blends": pl.DataFrame([about]).with_columns(WHEN.alias("created_at")),
        "members": members,
        "strata": schema.frame(strata, schema.STRATA).with_columns(blend=pl.lit("raked@0")),
    }


@pytest.fixture(scope="module")
def empty():
    with duckdb.connect(":memory:") as connection:
        migrations.prepare(connection, schema.VERSION, "memory")
        yield connection


def ask(manifest, title):
    return manifest.sql(BY_TITLE[title])


def test_the_page_has_at_least_twenty_questions_and_each_query_has_its_sentence():
    assert len(RECIPES) >= 20
    assert PAGE.read_text("utf-8").count("```sql") == len(RECIPES) == len(BY_TITLE)
    for recipe in RECIPES:
        assert re.match(r"[A-Z].{30,}\.$", recipe.text, re.DOTALL), recipe.title


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_the_query_answers(manifest, recipe):
    found = manifest.sql(recipe.query.strip().removesuffix(";"))
    assert (found.height == 0) == (NOTHING in recipe.text)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_the_query_finds_nothing_in_an_empty_manifest(empty, recipe):
    assert empty.execute(recipe.query).fetchall() == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_the_answer_comes_in_one_order(manifest, recipe):
    """Sums of floats are left out: their last digit depends on the threads."""
    query = recipe.query.strip().removesuffix(";")
    first, *others = [manifest.sql(query).select(pl.exclude(pl.Float64)) for _ in range(5)]
    assert all(other.equals(first) for other in others)


def test_lines_of_marginals_are_not_added_to_those_of_strata(manifest):
    found = ask(manifest, "What limited a draw").filter(pl.col("blend") == "raked@0")
    assert found.select("limited_by", "requested", "taken").rows() == [("epoch cap", 100.0, 80)]


def test_the_gate_meets_its_controls_in_one_direction(manifest):
    found = ask(manifest, "A gate against its three controls").select("control", "difference", "verdict")
    assert found.rows() == [
        (f"{GATE}-random-drop", -0.2, "hurts"),
        (f"{GATE}-stratified", 0.2, "helps"),
        (f"{GATE}-ungated", 0.2, "helps"),
    ]


def test_the_calibration_curve_is_that_of_the_majority(manifest):
    found = ask(manifest, "Calibration curve of a judge").filter(pl.col("judge") == "judge")
    votes = manifest.sql("SELECT sample_id, label FROM labels").with_columns(wrong=pl.col("label") == "wrong")
    truth = votes.group_by("sample_id").agg(pl.col("wrong").mean()).filter(pl.col("wrong") != 0.5)
    assert found["n"].sum() == truth.height < votes["sample_id"].n_unique()
    share = (found["observed"] * found["n"]).sum() / truth.height
    assert share == pytest.approx((truth["wrong"] > 0.5).mean(), abs=1e-3)


def test_the_lead_is_over_the_best_baseline(manifest):
    found = ask(manifest, "A judge beside its baselines")
    assert found.select("metric", "value", "best_baseline", "which", "gain").rows() == [
        ("auroc", 0.91, 0.71, "baseline_words_auroc", 0.2)
    ]


def test_cells_that_nothing_reaches_are_those_without_a_generalist_member(manifest):
    found = ask(manifest, "Cells of the target that no blend reaches")
    assert found.select("space", "target", "cell", "n_target", "in_pool").rows() == [("narrow", "facts-test", 7, 30, 0)]


def test_the_best_of_each_metric_is_not_behind(manifest):
    found = ask(manifest, "Leaderboard with the gap to the best")
    assert found.group_by("task", "metric").agg(pl.col("behind").min())["behind"].to_list() == [0.0, 0.0]
    assert (found["behind"] >= 0).all()


def test_tokens_of_the_sources_are_those_of_the_members(manifest):
    found = ask(manifest, "Token budget of each source")
    sizes = manifest.sql("SELECT sample_id, n_tokens FROM samples")
    members = manifest.sql("FROM blend_members").join(sizes, on="sample_id")
    assert found["n_tokens"].sum() == (members["repeats"] * members["n_tokens"]).sum()
    assert found.group_by("blend").agg(pl.col("share_of_tokens").sum())["share_of_tokens"].to_list() == pytest.approx(
        [1.0] * 19, abs=1e-3
    )


def test_a_dose_is_the_rows_of_each_role(manifest):
    found = ask(manifest, "Dose curve").filter(pl.col("metric") == "loglik")
    assert set(found.select("blend", "specialist_rows", "generalist_rows").rows()) == {
        (name, float(n), 420.0 if name.startswith("all") else 300.0) for name, n in sample_manifest.RECIPES.items()
    }


def members(manifest):
    """Return the members of all blends with what is known of their samples, joined without SQL."""
    frame = manifest.sql("FROM blend_members")
    frame = frame.join(manifest.sql("FROM samples").drop("role"), on="sample_id")
    frame = frame.join(manifest.sql("SELECT source, non_commercial, uri, sha256 FROM sources"), on="source")
    return frame.join(manifest.sql("SELECT sample_id, p_error FROM judged"), on="sample_id", how="left")


def test_the_p_error_of_the_view_is_the_one_that_recipes_use(manifest):
    used = rows.scored(Reader(manifest)).select("sample_id", "p_error").drop_nulls().sort("sample_id")
    found = manifest.sql("SELECT DISTINCT judge FROM judged")["judge"].to_list()
    seen = manifest.sql(
        "SELECT sample_id, p_error FROM judged JOIN samples USING (sample_id) WHERE kept ORDER BY sample_id"
    )
    assert found == ["chosen"]
    assert seen.equals(used)
    assert used.height > 500


def test_the_facts_of_a_blend_are_those_of_its_members(manifest):
    facts = {row["blend"]: row for row in manifest.sql("FROM blend_facts").iter_rows(named=True)}
    assert len(facts) == 19
    for (blend,), held in members(manifest).group_by("blend"):
        row, general = facts[blend], held.filter(pl.col("role") == "generalist")
        n, unjudged = held["repeats"].sum(), general.filter(pl.col("p_error").is_null())["repeats"].sum()
        mass = (general["p_error"] * general["weight"] * general["repeats"]).sum()
        assert row["n_rows"] == n
        assert row["error_mass"] == pytest.approx(mass)
        assert row["n_unjudged"] == unjudged
        assert row["unjudged_share"] == pytest.approx(unjudged / general["repeats"].sum())
        assert row["non_commercial_share"] == pytest.approx(held.filter("non_commercial")["repeats"].sum() / n)
        assert row["specialist_share"] == pytest.approx(1 - general["repeats"].sum() / n)
        assert row["licences"] == ", ".join(sorted(set(held["licence"])))
    assert any(row["n_unjudged"] for row in facts.values())


def test_the_overlap_is_that_of_the_sets(manifest):
    sets = {blend: set(held["sample_id"]) for (blend,), held in manifest.sql("FROM blend_members").group_by("blend")}
    found = manifest.sql("FROM blend_overlap ORDER BY ALL")
    assert [(row["blend_a"], row["blend_b"]) for row in found.iter_rows(named=True)] == [
        (a, b) for a in sorted(sets) for b in sorted(sets) if a < b
    ]
    for a, b, both, jaccard, of_a, of_b in found.iter_rows():
        n = len(sets[a] & sets[b])
        assert (both, jaccard) == (n, pytest.approx(n / len(sets[a] | sets[b])))
        assert (of_a, of_b) == (pytest.approx(n / len(sets[a])), pytest.approx(n / len(sets[b])))


def test_blends_that_share_nothing_and_empty_ones_are_in_the_views(empty):
    insert = "INSERT INTO store.blends VALUES ('mix', ?, 'x', 'c', '{}', 0, ?, ?, 0, '2026-01-01')"
    empty.execute("BEGIN")
    empty.executemany(insert, [["a@0", 0, 0], ["b@0", 0, 0], ["c@0", 2, 2]])
    overlap = empty.execute(
        "SELECT blend_a, blend_b, n_both, jaccard, share_of_b FROM blend_overlap ORDER BY ALL"
    ).fetchall()
    facts = empty.execute(
        "SELECT blend, n_unjudged, error_mass, unjudged_share FROM blend_facts ORDER BY ALL"
    ).fetchall()
    empty.execute("ROLLBACK")
    assert overlap == [("a@0", "b@0", 0, None, None), ("a@0", "c@0", 0, 0.0, 0.0), ("b@0", "c@0", 0, 0.0, 0.0)]
    assert facts == [(name, 0, None, None) for name in ("a@0", "b@0", "c@0")]


def test_the_coverage_of_all_blends_is_that_of_each(manifest):
    every = manifest.sql("FROM blend_coverage ORDER BY ALL")
    for blend in ("filtered-100@0", "all-rows-400@2", "raked@0"):
        one = manifest.sql("FROM coverage_of(?) ORDER BY ALL", [blend])
        mine = every.filter(pl.col("blend") == blend)
        assert mine.select("space", "target", "n_target").equals(one.select("space", "target", "n_target"))
        assert mine["cell_recall"].to_list() == pytest.approx([value or 0.0 for value in one["cell_recall"]])
    assert every.filter(pl.col("space") == "narrow")["cell_recall"].unique().to_list() == [0.0]


def test_the_lineage_goes_from_the_file_to_the_draw_over_every_step_in_order(manifest):
    found = manifest.sql("FROM lineage('filtered-100')")
    held = members(manifest).filter(pl.col("blend").str.starts_with("filtered-100@")).sort("blend", "position")
    same = [
        "blend",
        "position",
        "sample_id",
        "source",
        "uri",
        "sha256",
        "licence",
        "p_error",
        "role",
        "weight",
        "repeats",
    ]
    assert found.select(same).equals(held.select(same))
    assert set(found["steps"]) == {"1-exact, 2-rules, 3-decontaminate, 4-fuzzy"}
    remarks = manifest.sql("SELECT DISTINCT sample_id FROM decisions WHERE kept AND reason IS NOT NULL")["sample_id"]
    assert set(found.filter(pl.col("remarks").is_not_null())["sample_id"]) == set(found["sample_id"]) & set(remarks)


def test_steps_beyond_the_ninth_follow_the_ninth(empty):
    empty.execute("BEGIN")
    empty.execute("INSERT INTO store.sources VALUES ('r', 's', 'generalist', 'u', NULL, 'MIT', false, 1, 1, 0, 0, 'h')")
    sample = ["0" * 32, "0" * 32]
    empty.execute(
        "INSERT INTO store.samples VALUES"
        " ('r', ?, ?, 1, 's', 'generalist', NULL, 'p', 'r', NULL, '[]', 2, 9, 3, 'MIT', '{}', 0)",
        sample,
    )
    for step in ("10-rules", "9-exact", "2-length"):
        empty.execute(
            "INSERT INTO store.decisions VALUES ('x', ?, ?, 's', true, NULL, NULL, NULL, NULL)", [step, sample[0]]
        )
    empty.execute("INSERT INTO store.members VALUES ('mix', 'a@0', 0, 0, 'generalist', 1, 1, 0)")
    empty.execute("INSERT INTO store.reasons VALUES ('mix', 0, 'drawn')")
    found = empty.execute("SELECT steps FROM lineage('a')").fetchall()
    empty.execute("ROLLBACK")
    assert found == [("2-length, 9-exact, 10-rules",)]
