"""Scores from a file: every format, matched by a key, with a reason wherever there is none."""

from __future__ import annotations

import json

import polars as pl
import pytest

from curate.imported import Imported
from curate.sample import samples_frame
from curate.step import STEPS, Scorer
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from tests.curate.judged import by_response, frame, sample

ROWS = [{"row_id": f"r{i}", "kept": bool(i % 2), "score": i / 2} for i in range(6)]
SAMPLES = samples_frame([sample(f"q{i}", f"a{i}", row_id=f"r{i}") for i in range(4)] + [sample("q", "none")])


def written(folder, kind):
    path = folder / f"scores.{kind}"
    if kind == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    elif kind == "parquet":
        pl.DataFrame(ROWS).write_parquet(path)
    else:
        pl.DataFrame(ROWS).write_csv(path)
    return path


def scores(path, **fields):
    context = Context(path.parent)
    return by_response(
        SAMPLES, Imported(path=str(path), **{"column": "score", **fields}).score(SAMPLES, context).scores
    )


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
@pytest.mark.parametrize("column", ["score", "kept"])
def test_each_format_gives_the_same_numbers(tmp_path, kind, column):
    found = scores(written(tmp_path, kind), column=column)
    expected = [0.0, 0.5, 1.0, 1.5] if column == "score" else [0.0, 1.0, 0.0, 1.0]
    assert [found[f"a{i}"]["value"] for i in range(4)] == expected
    assert (found["none"]["status"], found["none"]["why"]) == ("abstained", "no meta.row_id")


def test_rows_without_a_value_abstain_and_bad_values_fail_with_the_reason(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text(
        '{"row_id": "r0", "score": null}\n{"row_id": "r1", "score": "high"}\n{"row_id": "r2", "score": 1}\n'
        '{"row_id": "r2", "score": 2}\n{"score": 7}\nbroken\n'
    )
    found = scores(path)
    assert {name: (row["status"], row["why"]) for name, row in found.items()} == {
        "a0": ("abstained", "s.jsonl has no value for it"),
        "a1": ("failed", "not a number: 'high'"),
        "a2": ("failed", "the file has more than one value for it"),
        "a3": ("abstained", "s.jsonl has no row for it"),
        "none": ("abstained", "no meta.row_id"),
    }


def test_nan_and_infinity_in_a_file_never_become_scores(tmp_path):
    path = tmp_path / "s.parquet"
    pl.DataFrame({"row_id": ["r0", "r1", "r2"], "score": [float("nan"), float("inf"), 1.0]}).write_parquet(path)
    found = scores(path)
    assert [found[f"a{i}"]["status"] for i in range(3)] == ["failed", "failed", "ok"]


@pytest.mark.parametrize("match", ["sample_id", "content_id"])
def test_rows_can_be_matched_by_their_ids(tmp_path, match):
    path = tmp_path / "s.csv"
    SAMPLES.select(pl.col(match).alias("id"), pl.lit(3).alias("score")).write_csv(path)
    found = Imported(path=str(path), column="score", id="id", match=match).score(SAMPLES, Context(tmp_path)).scores
    assert found["value"].to_list() == [3.0] * 5


def test_a_file_that_matches_nothing_is_an_error_with_the_nearest_key(tmp_path):
    path = written(tmp_path, "jsonl")
    with pytest.raises(UserError, match=r"none of the 6 rows(.|\n)*did you mean 'meta.row_id'"):
        scores(path, match="meta.rowid")
    with pytest.raises(UserError, match="its row_id are like 'r0', the samples' are like"):
        scores(path, match="sample_id")


def test_columns_that_the_file_lacks_are_named_with_the_nearest(tmp_path):
    path = written(tmp_path, "csv")
    with pytest.raises(UserError, match="did you mean 'score'"):
        scores(path, column="scores")
    with pytest.raises(UserError, match="did you mean 'row_id'"):
        scores(path, id="row_ids")


def test_rows_can_only_be_matched_by_ids_or_meta(tmp_path):
    for match in ("prompt", "meta."):
        with pytest.raises(UserError, match="cannot be matched"):
            Imported(path="x", column="y", match=match)


def test_changed_bytes_are_another_identity_and_the_user_says_which_end_is_good(tmp_path):
    path = written(tmp_path, "jsonl")
    scorer = Imported(path=str(path), column="score", better="low")
    before = scorer.identity()
    path.write_text(path.read_text() + "\n")
    assert scorer.identity() != before
    assert scorer.good == "low"


def test_it_is_a_scorer_that_obeys_a_stop_and_answers_no_rows_with_none(tmp_path):
    scorer = Imported(path=str(written(tmp_path, "jsonl")), column="score")
    assert isinstance(scorer, Scorer)
    assert STEPS.load("imported") is Imported
    assert scorer.score(frame([]), Context(tmp_path)).scores.height == scorer.pending(SAMPLES, Context(tmp_path)) == 0
    with pytest.raises(Interrupted):
        scorer.score(SAMPLES, Context(tmp_path, stopping=lambda: True))
    assert scorer.score(SAMPLES.reverse(), Context(tmp_path)).scores.equals(
        scorer.score(SAMPLES, Context(tmp_path)).scores
    )


@pytest.mark.parametrize(
    ("given", "value", "why"),
    [
        (1.5, 1.5, None),
        ("1.5", 1.5, None),
        (" 2 ", 2.0, None),
        ("TRUE", 1.0, None),
        (False, 0.0, None),
        ("", None, "has no value for it"),
        ("NaN", None, "not a finite number: nan"),
        ("-inf", None, "not a finite number: -inf"),
        (10**400, None, "not a number: '1000"),
        ([1.0], None, "not a number: '[1.0]'"),
        ({"a": 1}, None, "not a number: "),
        ("yes", None, "not a number: 'yes'"),
        ("x" * 99, None, f"not a number: '{'x' * 60}'"),
    ],
)
def test_a_value_of_any_type_is_a_number_or_says_why_it_is_none(tmp_path, given, value, why):
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps({"row_id": f"r{i}", "score": v}) + "\n" for i, v in enumerate((given, 7))))
    found = scores(path)
    assert (found["a0"]["value"], found["a1"]["value"]) == (value, 7.0)
    assert (why in found["a0"]["why"]) if why else found["a0"]["why"] is None


@pytest.mark.parametrize(
    ("values", "value", "status"),
    [
        ([1, 1.0, "1"], 1.0, "ok"),
        ([None, 1], 1.0, "ok"),
        ([1, None], 1.0, "ok"),
        ([None, None], None, "abstained"),
        ([1, 2, 1], None, "failed"),
        ([2, "bad"], None, "failed"),
        (["bad", 2], None, "failed"),
        ([True, 1], 1.0, "ok"),
    ],
)
def test_an_id_twice_is_one_value_when_the_file_says_the_same_twice(tmp_path, values, value, status):
    path = tmp_path / "s.jsonl"
    for order in (values, values[::-1]):
        path.write_text("".join(json.dumps({"row_id": "r0", "score": v}) + "\n" for v in order))
        found = scores(path)["a0"]
        assert (found["value"], found["status"]) == (value, status)


@pytest.mark.parametrize(("given", "held"), [(7, 7), (7, "7"), ("7", 7), (True, True), (0, 0)])
def test_ids_that_are_numbers_match_their_texts(tmp_path, given, held):
    path = tmp_path / "s.json"
    path.write_text(json.dumps([{"row_id": held, "score": 0.5}, {"row_id": None, "score": 9}]))
    samples = samples_frame([sample("q", "a", row_id=given), sample("q", "b", row_id=None)])
    found = by_response(samples, Imported(path=str(path), column="score").score(samples, Context(tmp_path)).scores)
    assert found["a"]["value"] == 0.5
    assert (found["b"]["status"], found["b"]["why"]) == ("abstained", "no meta.row_id")


def test_a_file_without_rows_or_with_none_that_parses_is_an_error(tmp_path):
    path = tmp_path / "s.jsonl"
    for text, rows in (("", 0), ("broken\n{\n", 2)):
        path.write_text(text)
        with pytest.raises(UserError, match=rf"no row of s.jsonl has this column \({rows} rows\)"):
            scores(path)


def test_samples_without_the_key_are_an_error_that_says_so(tmp_path):
    path = written(tmp_path, "jsonl")
    with pytest.raises(UserError, match=r"no sample has a meta\.uid"):
        scores(path, match="meta.uid")
