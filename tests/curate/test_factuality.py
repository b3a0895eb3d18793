"""The cascade: who decides, what is carried over, and how its errors are measured."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score, recall_score

from curate.factuality import Factuality, combined, errors
from curate.step import STEPS, Scorer
from manifests import schema
from manifests.component import Context
from manifests.errors import UserError
from manifests.predicate import verdict_column
from tests.curate.judged import numbered

PARTS = ("defect", "claims", "evidence", "repair")
FIELDS = {"value": pl.Float64, **dict.fromkeys(("status", "why", *PARTS), pl.String)}
NAMES = ("computed", "grounded", "judge")
CONTEXT = Context(root=None)


def said(value, why=None, **parts):
    """Return one instrument's answer: a number, or the status that stands in its place."""
    ok = isinstance(value, int | float)
    head = {"value": float(value) if ok else None, "status": "ok" if ok else value, "why": why}
    return {**head, **dict.fromkeys(PARTS), **parts}


def samples(rows, names=NAMES, wrong=None):
    """Return one sample per row, a row being the answers of `names`, None where one did not see it."""
    frame = numbered(len(rows))
    if wrong is not None:
        frame = frame.with_columns(meta=pl.Series([json.dumps({"wrong": w} if w is not None else {}) for w in wrong]))
    for at, name in enumerate(names):
        answers = [a if a is None or isinstance(a, dict) else said(a) for a in (row[at] for row in rows)]
        frame = frame.with_columns(pl.Series(verdict_column(name), answers, dtype=pl.Struct(FIELDS)))
    return frame


def judged(rows, names=NAMES, **fields):
    """Return the score and verdict of each row, in the rows' order."""
    frame = samples(rows, names)
    found = Factuality(reads=names, **fields).score(frame, CONTEXT)
    ids = frame.select("sample_id")
    keep = {"on": "sample_id", "maintain_order": "left"}
    return ids.join(found.scores, **keep).to_dicts(), ids.join(found.verdicts, **keep).to_dicts()


def test_it_is_a_scorer_of_the_table():
    assert STEPS.load("factuality") is Factuality
    scorer = Factuality(reads=("judge",))
    assert isinstance(scorer, Scorer)
    assert (scorer.good, scorer.reads_verdicts, scorer.pending(numbered(2), CONTEXT)) == ("low", True, 0)


def test_the_first_sure_instrument_decides_whatever_the_later_ones_say():
    scores, verdicts = judged([(1.0, 0.0, 0.0), (0.0, 1.0, 1.0), ("abstained", 0.95, 0.0), (None, 0.5, 0.02)])
    assert [row["value"] for row in scores] == [1.0, 0.0, 0.95, 0.02]
    assert [row["why"] for row in scores] == [
        "computed decides", "computed decides", "grounded decides", "judge decides",
    ]  # fmt: skip
    assert [row["label"] for row in verdicts] == ["wrong", "correct", "wrong", "correct"]
    assert {row["judge"] for row in verdicts} == {"factuality"}


def test_what_the_deciding_instrument_found_becomes_the_verdicts():
    found = {"defect": "arithmetic", "claims": "[1]", "evidence": "[2]", "repair": "It is 5."}
    _, (first, second) = judged([(said(1.0, **found), 0.0, 0.0), ("abstained", said(0.5, defect="x"), said(0.5))])
    assert {part: first[part] for part in PARTS} == found
    assert {part: second[part] for part in PARTS} == dict.fromkeys(PARTS)  # the judge spoke last, and found nothing


@pytest.mark.parametrize(("value", "decides"), [(0.1, True), (0.11, False), (0.89, False), (0.9, True), (0.5, False)])
def test_the_ends_of_the_band_decide(value, decides):
    (row, *_), _ = judged([(value, 0.0, 0.0)])
    assert (row["why"] == "computed decides") is decides


def test_each_instrument_may_have_a_band_of_its_own():
    scores, _ = judged([("abstained", 0.6, 0.0), ("abstained", 0.05, 0.0)], bands={"grounded": (0.04, 0.6)})
    assert [row["why"] for row in scores] == ["grounded decides", "judge decides"]
    (row,), _ = judged([(0.4, 0.0, 0.0)], band=(0.5, 0.5))
    assert row["why"] == "computed decides"


def test_a_row_in_every_band_gets_the_last_value_the_sum_or_none():
    row = [("abstained", 0.7, 0.6)]
    (last,), _ = judged(row)
    (both,), _ = judged(row, otherwise="combine")
    (none,), (verdict,) = judged(row, otherwise="abstain")
    assert (last["value"], last["why"]) == (0.6, "no instrument is sure, judge spoke last")
    assert both["value"] == pytest.approx(0.42 / (0.42 + 0.12))
    assert both["why"] == "grounded and judge together"
    assert (none["status"], none["why"]) == ("abstained", "no instrument is sure: grounded, judge")
    assert (verdict["p_error"], verdict["label"]) == (None, None)


def test_a_row_of_which_nothing_is_said_abstains_or_failed_and_says_why():
    scores, verdicts = judged(
        [
            (said("abstained", "nothing to check"), None, said("abstained", "empty response")),
            ("abstained", None, said("failed", "off the menu")),
            ("abstained", 0.6, said("failed", "too long")),
        ]
    )
    assert [row["status"] for row in scores] == ["abstained", "failed", "ok"]
    assert [row["status"] for row in verdicts] == ["abstained", "failed", "ok"]
    assert scores[0]["why"] == "computed: nothing to check; grounded: it did not see the row; judge: empty response"
    assert scores[1]["why"] == "judge failed: off the menu"
    assert scores[2]["why"] == "no instrument is sure, grounded spoke last; judge failed: too long"
    assert [row["value"] for row in scores] == [None, None, 0.6]


ANSWER = st.one_of(st.none(), st.floats(0, 1), st.sampled_from(["abstained", "failed"]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(ANSWER, ANSWER, ANSWER), max_size=8), st.sampled_from(["last", "combine", "abstain"]))
def test_every_row_has_one_status_and_a_number_exactly_when_it_is_ok(rows, otherwise):
    frame = samples(rows)
    found = Factuality(reads=NAMES, otherwise=otherwise).score(frame, CONTEXT)
    turned = Factuality(reads=NAMES, otherwise=otherwise).score(frame.reverse(), CONTEXT)
    assert found.scores.equals(turned.scores)
    assert found.verdicts.equals(turned.verdicts)
    assert (found.scores.schema, found.verdicts.schema) == (pl.Schema(schema.SCORES), pl.Schema(schema.VERDICTS))
    assert found.scores["sample_id"].to_list() == sorted(frame["sample_id"])
    for row, p_error in zip(found.scores.iter_rows(named=True), found.verdicts["p_error"], strict=True):
        assert (row["status"] == "ok") == (row["value"] is not None)
        assert row["value"] == p_error
        assert row["value"] is None or 0.0 <= row["value"] <= 1.0
        assert row["why"]


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5), st.floats(0.05, 0.95))
def test_the_sum_of_log_odds_is_bayes_rule(values, prior):
    odds = prior / (1 - prior) * math.prod(v / (1 - v) / (prior / (1 - prior)) for v in values)
    assert combined(values, prior) == pytest.approx(odds / (1 + odds), abs=1e-9)
    assert combined(values[:1], prior) == pytest.approx(values[0])
    assert combined(values, prior) == pytest.approx(combined(values[::-1], prior))


def test_no_single_value_outweighs_all_others():
    assert combined([1.0, 0.0]) == pytest.approx(0.5)
    assert 0.0 < combined([0.0] * 3) < combined([1.0] * 300) <= 1.0


def test_errors_are_those_of_scikit_learn_and_an_abstention_finds_nothing():
    random = np.random.default_rng(3)
    wrong = random.random(200) < 0.3
    p = np.where(random.random(200) < 0.8, wrong, ~wrong) * 0.8 + 0.1
    p[random.random(200) < 0.25] = np.nan
    sure = ~np.isnan(p) & (random.random(200) < 0.5)
    found = {row["metric"]: row for row in errors(wrong, p, sure, None, 0.5, 0, 200)}
    flagged = np.nan_to_num(p) >= 0.5
    assert found["precision"]["value"] == pytest.approx(precision_score(wrong, flagged))
    assert found["recall"]["value"] == pytest.approx(recall_score(wrong, flagged))
    assert (found["precision"]["n"], found["recall"]["n"]) == (flagged.sum(), wrong.sum())
    assert found["coverage"]["value"] == pytest.approx(1 - np.isnan(p).mean())
    assert found["decided"]["value"] == pytest.approx(sure.mean())
    for row in found.values():
        assert row["ci_low"] < row["value"] < row["ci_high"]


def test_errors_that_the_rows_do_not_define_are_null():
    nothing = errors(np.zeros(4, np.bool_), np.full(4, np.nan), np.zeros(4, np.bool_), None, 0.5, 0, 20)
    by = {row["metric"]: row["value"] for row in nothing}
    assert by == {"precision": None, "recall": None, "coverage": 0.0, "decided": 0.0}


def test_with_a_truth_each_instruments_errors_are_measured_and_unlabelled_rows_left_out():
    rows = [(1.0, None, 0.0), (0.0, None, 0.0), ("abstained", None, 0.95), ("abstained", None, 0.3), (None, None, 1.0)]
    frame = samples(rows, wrong=[True, False, True, True, None])
    quality = Factuality(reads=NAMES, truth="wrong").score(frame, CONTEXT).quality
    assert quality.schema == pl.Schema(schema.QUALITY)
    found = {(row["scorer"], row["metric"]): (row["value"], row["n"]) for row in quality.iter_rows(named=True)}
    assert found["computed", "precision"] == (1.0, 1)
    assert found["computed", "recall"] == (pytest.approx(1 / 3), 3)
    assert found["computed", "coverage"] == (0.5, 4)
    assert found["computed", "decided"] == (0.5, 4)
    assert found["grounded", "coverage"] == (0.0, 4)
    assert found["judge", "recall"] == (pytest.approx(1 / 3), 3)  # alone it misses what `computed` found
    assert found["judge", "decided"] == (0.25, 4)
    assert found["factuality", "recall"] == (pytest.approx(2 / 3), 3)
    assert found["factuality", "decided"] == (0.75, 4)
    assert found["factuality", "coverage"] == (1.0, 4)
    assert set(quality["measured_on"]) == {"meta.wrong in factuality"}
    assert Factuality(reads=NAMES).score(frame, CONTEXT).quality is None


def test_the_truth_changes_no_verdict():
    frame = samples([(0.5, 0.6, 0.4), (0.95, None, "failed")], wrong=[True, False])
    blind, seen = (Factuality(reads=NAMES, truth=truth).score(frame, CONTEXT) for truth in (None, "wrong"))
    assert blind.scores.equals(seen.scores)
    assert blind.verdicts.equals(seen.verdicts)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reads": ("judge", "judge")}, "named twice"),
        ({"reads": ("judge",), "bands": {"jugde": (0.1, 0.9)}}, "not read"),
        ({"reads": ("judge",), "bands": {"judge": (0.9, 0.1)}}, "before it begins"),
        ({"reads": ("judge",), "band": (0.9, 0.1)}, "before it begins"),
        ({"reads": ()}, "at least 1"),
        ({"reads": ("judge",), "band": (0.1, 1.1)}, "less than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields, message):
    with pytest.raises((UserError, ValueError), match=message):
        Factuality(**fields)


def test_a_value_that_is_no_probability_and_a_missing_column_are_said():
    with pytest.raises(UserError, match="the value of length is no probability: 3"):
        judged([(3.0,)], ("length",))
    with pytest.raises(UserError, match="no verdicts of an instrument beside the samples"):
        Factuality(reads=("judge",)).score(numbered(1), CONTEXT)
