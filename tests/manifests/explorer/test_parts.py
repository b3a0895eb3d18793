"""What the explorer is made of: its command line, its answers and its tables."""

from __future__ import annotations

import shutil

import duckdb
import polars as pl
import pytest

from manifests.errors import UserError
from manifests.explorer import data, launch, view
from manifests.store import Manifest


def test_the_page_is_served_here_alone_with_a_token_unless_told_otherwise(full):
    made = launch.command(full, host="127.0.0.1", port=None, browser=True, edit=False)
    assert made[1:4] == ["-m", "marimo", "run"]
    assert made[made.index("--host") + 1] == "127.0.0.1"
    assert "--token" in made
    assert not {"--port", "--headless"}.intersection(made)
    assert made[-2:] == ["--manifest", str((full / "manifest.duckdb").resolve())]
    made = launch.command(full, host="0.0.0.0", port=81, browser=False, edit=False)  # noqa: S104 - as a user may ask
    assert made[made.index("--port") + 1] == "81"
    assert "--headless" in made


def test_without_the_extra_the_remedy_is_told_before_anything_starts(full, monkeypatch):
    monkeypatch.setattr(launch, "installed", lambda name: name != "altair")
    with pytest.raises(UserError, match=r"'altair' is not installed\n.*blendsmith\[explore\]"):
        launch.command(full, host="127.0.0.1", port=None, browser=True, edit=False)


def test_without_a_manifest_nothing_starts(tmp_path):
    with pytest.raises(UserError, match="no manifest here"):
        launch.command(tmp_path, host="127.0.0.1", port=None, browser=True, edit=False)


def test_a_copy_is_edited_and_one_that_is_there_is_kept(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = launch.command(full, host="127.0.0.1", port=None, browser=True, edit=True)
    copy = tmp_path / "explorer.py"
    assert made[3] == "edit"
    assert str(copy) in made
    assert copy.read_bytes() == launch.NOTEBOOK.read_bytes()
    copy.write_text("mine")
    launch.command(full, host="127.0.0.1", port=None, browser=True, edit=True)
    assert copy.read_text() == "mine"


@pytest.mark.parametrize(
    "text", ["COPY samples TO 'x.csv'", "DROP VIEW samples", "SELECT 1; SELECT 2", "", "FROM 'x.csv'"]
)
def test_a_query_that_is_no_answer_is_an_error_in_words(full, text):
    assert data.query(full, text).error


def test_a_query_shows_its_first_rows_and_says_that_there_are_more(full):
    answer = data.query(full, "FROM samples -- all")
    assert (answer.rows.height, answer.total, answer.error) == (data.SHOWN, None, "")
    assert data.query(full, "SELECT 1 AS one;").total == 1


def test_samples_of_one_blend_are_its_members(full):
    with Manifest(full) as manifest:
        blend, n = manifest.sql("SELECT blend, n_samples FROM blends ORDER BY blend LIMIT 1").row(0)
    assert data.samples(full, "", blend).total == n
    assert data.samples(full, "role = 'eval'", blend).total == 0
    assert data.samples(full, "nonsense", blend).error.startswith("Binder Error")


def test_shares_of_a_blend_sum_to_one_though_sources_are_many(full):
    with Manifest(full) as manifest:
        sums = data.composition(manifest).group_by("blend").agg(pl.col("share").sum())["share"]
        assert sums.to_list() == pytest.approx([1.0] * 18)
        assert set(data.composition(manifest, ["filtered-100@0"])["blend"]) == {"filtered-100@0"}


def test_of_many_blends_the_first_of_each_recipe_is_drawn():
    names = [f"r{i}@{seed}" for i in range(30) for seed in range(3)]
    assert data.pictured(names[:6]) == names[:6]
    assert data.pictured(names) == sorted(f"r{i}@0" for i in range(30))


def test_two_blends_overlap_alike_from_both_sides(full):
    with Manifest(full) as manifest:
        there = data.overlap(manifest, "filtered-100@0", "all-rows-100@0").row(0)
        back = data.overlap(manifest, "all-rows-100@0", "filtered-100@0").row(0)
    assert there == (back[0], back[1], back[3], back[2])


def test_texts_are_escaped_and_values_are_written_for_people():
    frame = pl.DataFrame({"text": ["<script>x</script> **b**"], "share": [0.25], "n_rows": [1234], "p_value": [1e-6]})
    made = view.frame(frame)
    assert "&lt;script&gt;x&lt;/script&gt; **b**" in made
    assert "<script>" not in made
    assert {"25 %", "1,234", "&lt;\u00a0.001"} <= set(made.replace("</td>", ">").split(">"))


def test_recipes_are_compared_within_each_budget_of_their_runs(full, tmp_path):
    folder = shutil.copytree(full, tmp_path / "budgets")
    with duckdb.connect(str(folder / "manifest.duckdb")) as connection:
        connection.execute(
            "UPDATE store.comparisons SET blend_a = blend_a || '/tokens', blend_b = blend_b || '/tokens'"
        )
    with Manifest(full) as manifest, Manifest(folder) as other:
        plain = data.compared(manifest, "filtered-100@0", "all-rows-100@1")
        within = data.compared(other, "filtered-100@0", "all-rows-100@1")
        assert data.pair(other) == data.pair(manifest)
    assert plain.height == 2
    assert within["budget"].to_list() == ["tokens", "tokens"]
    assert within.drop("budget").equals(plain)
