"""New data against a stored index: its rows come first, stay, and are named as witnesses."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from curate.fuzzy import Fuzzy
from curate.index import COLUMNS, index_digest, read_index, write_index
from manifests import schema
from manifests.component import Context
from manifests.errors import UserError
from tests.curate.pool import STORY, rows, talks, together

HERE = Context(root=Path())


def test_it_reads_back_what_was_written_in_the_order_of_ids(tmp_path):
    frame = together(
        rows(("p", STORY), ("q", "r")), talks([[("system", "s"), ("user", "u"), ("assistant", "a")]], "old")
    )
    write_index(frame.reverse(), tmp_path / "old.parquet")
    assert read_index(tmp_path / "old.parquet").equals(frame.select(COLUMNS))
    assert index_digest(tmp_path / "old.parquet") != index_digest(tmp_path / "none.parquet") == ""
    assert [path.name for path in tmp_path.iterdir()] == ["old.parquet"]


def test_a_row_near_an_indexed_one_goes_and_the_index_is_no_decision(tmp_path):
    old = rows(("Say it.", STORY), ("Say it.", STORY + " now"), source="old")
    new = rows(("Say it.", STORY + " and much longer"), ("Say it.", "Something else entirely"), source="new")
    write_index(old, tmp_path / "old.parquet")
    found = Fuzzy(threshold=0.7, index=str(tmp_path / "old.parquet")).decide(new, {}, HERE)
    assert dict(found.schema) == dict(schema.DECISIONS)
    assert (
        found["sample_id"].to_list()
        == new.filter(pl.col("response") == STORY + " and much longer")["sample_id"].to_list()
    )
    assert found["witness_id"].item() in set(old["sample_id"])
    assert found["detail"].item() == "the witness is a row of the index, source old"


@pytest.mark.parametrize("fields", [{}, {"floor": 0.4}])
def test_a_given_row_that_the_index_holds_stays_and_is_never_its_own_witness(tmp_path, fields):
    old = rows(("Say it.", STORY), source="pool")
    new = together(old, rows(("Say it.", STORY + " now"), source="new"))
    write_index(old, tmp_path / "old.parquet")
    step = Fuzzy(threshold=0.7, index=str(tmp_path / "old.parquet"), **fields)
    found = step.decide(new, {}, Context(root=tmp_path))
    assert found.select("witness_id", "detail").rows() == [(old["sample_id"].item(), None)]
    assert len(step.decide(old, {}, Context(root=tmp_path))) == 0


def test_the_loss_and_the_size_count_given_rows_only(tmp_path):
    old = rows(*[("p", f"{STORY} {k}") for k in "abcdef"], source="new")
    new = rows(("p", STORY), ("p", "Something else entirely"), source="new")
    write_index(old, tmp_path / "old.parquet")
    context, index = Context(root=tmp_path), str(tmp_path / "old.parquet")
    with pytest.raises(UserError, match=r"new: 1 of 2 \(50\.0%\)"):
        Fuzzy(threshold=0.7, index=index, max_removed_share=0.2).decide(new, {}, context)
    kept_one = Fuzzy(floor=0.5, keep=1, index=index).decide(new, {}, context)
    assert len(kept_one) == 1
    assert "leaves 1 rows, 1 asked for; the witness is a row of the index" in kept_one["detail"].item()


def test_an_index_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such index"):
        read_index(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(UserError, match="not an index"):
        read_index(tmp_path / "text.parquet")
    pl.DataFrame({"sample_id": ["a"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(UserError, match="other columns"):
        read_index(tmp_path / "other.parquet")


def test_a_changed_index_changes_the_step_s_identity(tmp_path):
    write_index(rows(("p", STORY)), tmp_path / "old.parquet")
    step = Fuzzy(index=str(tmp_path / "old.parquet"))
    before = step.identity()
    write_index(rows(("p", STORY), ("q", STORY)), tmp_path / "old.parquet")
    assert step.identity() != before
