"""Rows drawn for a person, the page and tables they are read on, and the labels that come back."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import polars as pl
import pytest

from manifests import labels, review, review_page
from manifests.errors import UserError
from manifests.judging import Reader
from manifests.labelling import import_labels
from manifests.store import Manifest, StageRecord, Store
from tests.manifests import sample_manifest

HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> &amp; \u2028 '\"\n=1+1"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sample_manifest.write(tmp_path_factory.mktemp("review") / "m", "score")


@pytest.fixture
def own(root, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "manifest.duckdb").write_bytes((root / "manifest.duckdb").read_bytes())
    return tmp_path / "m"


def drawn(root, out, **how):
    with Manifest(root) as opened:
        n = review.review(opened, out, **how)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(rows) == n
    return rows


def judged(root):
    with Manifest(root) as opened:
        return opened.sql("SELECT sample_id, p_error FROM verdicts WHERE status = 'ok' ORDER BY 1")


def test_a_random_draw_is_a_prefix_of_a_larger_one_and_notes_its_chance(root, tmp_path):
    small = drawn(root, tmp_path / "a.jsonl", n=40, seed=3)
    large = drawn(root, tmp_path / "b.jsonl", n=90, seed=3)
    assert [row["sample_id"] for row in large[:40]] == [row["sample_id"] for row in small]
    total = judged(root).height
    assert {row["drawn"] for row in small} == {labels.drawn("random", 40 / total)}
    assert labels.parsed(small[0]["drawn"]) == ("random", pytest.approx(40 / total))
    other = drawn(root, tmp_path / "c.jsonl", n=40, seed=4)
    assert {row["sample_id"] for row in other} != {row["sample_id"] for row in small}


def test_a_stratified_draw_takes_as_many_from_each_fifth_and_its_weights_add_up(root, tmp_path):
    rows = drawn(root, tmp_path / "a.jsonl", n=100, strategy="stratified")
    held = np.bincount(np.minimum((judged(root)["p_error"].to_numpy() * 5).astype(int), 4), minlength=5)
    taken = np.bincount([min(int(row["p_error"] * 5), 4) for row in rows], minlength=5)
    assert taken.sum() == 100
    assert (taken <= held).all()
    assert taken[held > 25].min() >= 20
    weights = [1 / labels.parsed(row["drawn"])[1] for row in rows]
    assert sum(weights) == pytest.approx(judged(root).height, rel=1e-6)


def test_an_uncertain_draw_takes_the_rows_nearest_to_the_threshold_and_no_chance(root, tmp_path):
    rows = drawn(root, tmp_path / "a.jsonl", n=30, strategy="uncertain")
    far = max(abs(row["p_error"] - 0.5) for row in rows)
    near = judged(root).filter((pl.col("p_error") - 0.5).abs() < far - 1e-12)
    assert near.height < 30
    assert {row["drawn"] for row in rows} == {"drawn uncertain"}
    order = [abs(row["p_error"] - 0.5) for row in rows]
    assert order != sorted(order)  # the order says nothing of the judge


def test_more_rows_than_there_are_gives_all(root, tmp_path):
    for strategy in ("random", "stratified", "uncertain"):
        rows = drawn(root, tmp_path / "a.jsonl", n=10**6, strategy=strategy)
        assert {row["sample_id"] for row in rows} == set(judged(root)["sample_id"])


@pytest.mark.parametrize(
    ("how", "word"),
    [({"strategy": "randon"}, "random"), ({"judge": "jugde"}, "judge"), ({}, "page")],
)
def test_what_cannot_be_drawn_is_refused(root, tmp_path, how, word):
    out = tmp_path / ("a.jsonl" if how else "a.txt")
    with Manifest(root) as opened, pytest.raises(UserError, match=word):
        review.review(opened, out, **how)
    assert not out.exists()


def hostile():
    row = {"sample_id": "a" * 32, "prompt": HOSTILE, "response": "=cmd|' /C calc'!A0", "p_error": 0.5}
    row |= {"label": None, "defect": None, "note": None, "drawn": "drawn random 0.5"}
    return pl.DataFrame([row], schema_overrides={"label": pl.String, "defect": pl.String, "note": pl.String})


def test_what_a_row_holds_cannot_leave_its_place_on_the_page():
    text = review_page.page(hostile(), f"title {HOSTILE}")
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    assert "<!--" not in text
    body = re.search(r'<script type="application/json" id="rows">(.*?)</script>', text, re.DOTALL).group(1)
    assert json.loads(body)[0]["prompt"] == HOSTILE
    assert "innerHTML" not in text
    assert "insertAdjacentHTML" not in text


def test_the_page_runs_its_own_script_alone_and_reaches_nothing():
    import base64
    import hashlib

    text = review_page.page(hostile(), "t")
    script = text[text.rindex("<script>") + 8 : text.rindex("</script>")]
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{own}&#x27;" in text
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"https?:|src=|fetch\(|XMLHttp|import\(", text.replace("img src=x", ""))


def test_a_table_holds_no_formula_and_comes_back_as_it_was(tmp_path, own):
    ids = judged(own)["sample_id"]
    rows = hostile().with_columns(sample_id=pl.lit(ids[0]), label=pl.lit("wrong"), note=pl.lit("-see =1+1"))
    review.write(rows, tmp_path / "a.csv", "t")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["response"].startswith("'=")
    assert row["prompt"] == HOSTILE
    assert import_labels(own, tmp_path / "a.csv", "ann") == {"labels": 1, "unlabelled": 0, "total": 1}
    with Manifest(own) as opened:
        assert opened.sql("SELECT label, note, labelled_by FROM labels").row(0) == (
            "wrong", "drawn random 0.5; -see =1+1", "ann",
        )  # fmt: skip


def lines(own, tmp_path, *rows, name="labels.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_labels_come_in_and_a_second_reading_replaces_only_its_own(own, tmp_path):
    a, b, c = judged(own)["sample_id"].head(3)
    one = [{"sample_id": a, "label": "wrong", "defect": "date"}, {"sample_id": b, "label": "correct"}]
    import_labels(own, lines(own, tmp_path, *one, {"sample_id": c, "label": ""}), "ann")
    import_labels(own, lines(own, tmp_path, {"sample_id": a, "label": "correct"}), "bob")
    found = import_labels(own, lines(own, tmp_path, {"sample_id": b, "label": "Unsure"}), "ann")
    assert found == {"labels": 1, "unlabelled": 0, "total": 2}
    with Manifest(own) as opened:
        held = opened.sql("SELECT sample_id, label, labelled_by FROM labels ORDER BY labelled_by, sample_id").rows()
        assert held == [(a, "wrong", "ann"), (b, "unsure", "ann"), (a, "correct", "bob")]
        assert labels.truth(Reader(opened)).height == 0  # a tie, and unsure


def test_the_majority_is_the_truth_and_the_best_draw_its_weight(own, tmp_path):
    a = judged(own)["sample_id"][0]
    for by, word, how in (("ann", "wrong", ""), ("bob", "wrong", "drawn random 0.25"), ("cy", "correct", "")):
        import_labels(own, lines(own, tmp_path, {"sample_id": a, "label": word, "drawn": how}), by)
    with Manifest(own) as opened:
        assert labels.truth(Reader(opened)).rows() == [(a, True, "random", 4.0)]


def test_every_bad_line_is_named_and_nothing_is_written(own, tmp_path):
    a, b = judged(own)["sample_id"].head(2)
    bad = lines(
        own,
        tmp_path,
        {"sample_id": a, "label": "wrong"},
        {"sample_id": "f" * 32, "label": "wrong"},
        {"sample_id": b, "label": "wrnog"},
        {"sample_id": a, "label": "correct"},
    )
    with pytest.raises(UserError) as caught:
        import_labels(own, bad, "ann")
    said = str(caught.value)
    assert "labels.jsonl:2: no such sample" in said
    assert "labels.jsonl:3: not a label: 'wrnog'" in said
    assert "did you mean 'wrong'?" in said
    assert "labels.jsonl:4: a second label of this sample, the first ('wrong') is at labels.jsonl:1" in said
    with Manifest(own) as opened:
        assert opened.sql("SELECT count(*) FROM labels").item() == 0


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("a.csv", "sample_id,label\nx,wrong,more\n", "a.csv:2: more fields"),
        ("a.csv", 'sample_id,label\nx,"wrong\n', "not a CSV file"),
        ("a.csv", "id,label\nx,wrong\n", "needs the column 'sample_id'"),
        ("a.jsonl", '{"sample_id": "x", "label": ""}\n', "no row has a label"),
        ("a.jsonl", "\n{nonsense\n", "a.jsonl:2: not JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl:1: not an object"),
        ("a.jsonl", "[" * 5000, "a.jsonl:1: not JSON (nested too deeply)"),
        ("a.json", "[" * 5000, "not JSON (nested too deeply)"),
        ("a.json", "[1]", "entry 1: not an object"),
        ("a.json", "{}", "is a list"),
        ("a.json", "nonsense", "not JSON"),
        ("a.txt", "", "read from .csv"),
    ],
)
def test_a_file_that_is_none_says_where(own, tmp_path, name, text, word):
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(UserError, match=re.escape(word)):
        import_labels(own, tmp_path / name, "ann")


def test_bytes_names_and_folders_that_are_wrong_are_refused(own, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"sample_id,label\n\xff,wrong\n")
    with pytest.raises(UserError, match="UTF-8"):
        import_labels(own, tmp_path / "a.csv", "ann")
    with pytest.raises(UserError, match="no such file"):
        import_labels(own, tmp_path / "none.csv", "ann")
    with pytest.raises(UserError, match="name of a reader"):
        import_labels(own, tmp_path / "a.csv", "Ann B")
    with pytest.raises(UserError, match="blendsmith run"):
        import_labels(tmp_path / "nowhere", tmp_path / "a.csv", "ann")


def test_a_reader_cannot_pass_a_note_for_a_draw(own, tmp_path):
    a = judged(own)["sample_id"][0]
    import_labels(own, lines(own, tmp_path, {"sample_id": a, "label": "wrong", "note": "drawn random 0.5"}), "ann")
    with Manifest(own) as opened:
        assert labels.truth(Reader(opened))["label_drawn"].to_list() == ["other"]


def test_a_second_review_shows_the_labels_that_are_there(own, tmp_path):
    first = drawn(own, tmp_path / "a.jsonl", n=5)
    import_labels(own, lines(own, tmp_path, first[0] | {"label": "wrong"}), "ann")
    assert [row["label"] for row in drawn(own, tmp_path / "b.jsonl", n=5)] == ["wrong", "", "", "", ""]


def test_labels_weigh_nothing_where_no_stage_reads_them(own):
    with Manifest(own) as opened:
        assert labels.digest_for(Reader(opened), [object()]) == ""

        class Reads:
            reads_labels = True

        none = labels.digest_for(Reader(opened), [Reads()])
    assert none == labels.digest_for(None, [Reads()])
    with Store(own) as store:
        row = {"sample_id": "a" * 32, "label": "wrong", "defect": None, "note": None, "labelled_by": "x"}
        frame = pl.DataFrame([row], schema_overrides={"defect": pl.String, "note": pl.String})
        frame = frame.with_columns(labelled_at=pl.lit("2026-01-01").str.to_datetime())
        store.commit(StageRecord("labels:x", "labels", "k", "{}", 1), {"labels": frame})
        assert labels.digest_for(store, [Reads()]) != none
