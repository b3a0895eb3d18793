"""The calibrated scorer: probabilities from labels of other prompts, and a threshold that keeps its promise."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from curate import measure
from curate.calibrated import Calibrated, best_draw
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from manifests.component import Context
from manifests.errors import UserError


def pool(n, seed=0, prompts=None, share=0.3, sharp=3.0, labelled=1.0):
    """Return samples whose judge is overconfident but tells wrong from right; a share carries a label in meta."""
    random = np.random.default_rng(seed)
    rows, raw = [], {}
    for i in range(n):
        wrong = bool(random.random() < share)
        messages = (Message("user", f"question {i if prompts is None else i % prompts}"), Message("assistant", f"a{i}"))
        content = content_id(messages)
        meta = {"wrong": wrong} if random.random() < labelled else {}
        made = Sample(sample_id(content, "pool", i), content, "pool", "generalist", messages, meta=meta)
        rows.append(made)
        odds = sharp * (random.normal() + 1.5 * wrong - 1.2)
        raw[made.id] = float(1 / (1 + np.exp(-odds)))
    frame = samples_frame(rows)
    return frame.with_columns(frame["sample_id"].replace_strict(raw, return_dtype=pl.Float64).alias("judge"))


def truth(frame):
    return np.array([json.loads(meta).get("wrong") for meta in frame["meta"]], dtype=object)


def quality(scored):
    return {row["metric"]: row for row in scored.quality.iter_rows(named=True)}


def go(frame, tmp_path, **fields):
    given = {"of": "judge", "label": "wrong"} | fields
    return Calibrated(**given).score(frame, Context(tmp_path))


def test_values_are_better_calibrated_than_the_judge_and_keep_its_order(tmp_path):
    frame = pool(1500).sort("sample_id")
    wrong = truth(frame).astype(bool)
    scored = go(frame, tmp_path)
    p = scored.scores["value"].to_numpy()
    assert scored.scores["status"].unique().to_list() == ["ok"]
    assert measure.ece(wrong, p) < 0.04 < measure.ece(wrong, frame["judge"].to_numpy())
    found = quality(scored)
    assert found["ece_after"]["value"] == pytest.approx(measure.ece(wrong, p))
    assert found["ece_before"]["value"] > found["ece_after"]["value"]
    assert (scored.verdicts["p_error"] == scored.scores["value"]).all()
    assert set(scored.verdicts["label"]) == {"wrong", "correct"}


def test_no_row_s_value_depends_on_the_labels_of_its_prompt(tmp_path):
    frame = pool(400, prompts=40).sort("sample_id")
    mine = (frame["prompt"] == "question 7").to_numpy()
    turned = [
        json.dumps({"wrong": not json.loads(meta)["wrong"]}) if own else meta
        for meta, own in zip(frame["meta"], mine, strict=True)
    ]
    one = go(frame, tmp_path).scores["value"].to_numpy()
    two = go(frame.with_columns(pl.Series("meta", turned)), tmp_path).scores["value"].to_numpy()
    assert (one[mine] == two[mine]).all()
    assert (one[~mine] != two[~mine]).any()


def test_the_order_of_rows_and_of_the_frame_changes_nothing(tmp_path):
    frame = pool(300, prompts=100)
    one, two = (go(rows, tmp_path, keep_false=0.3) for rows in (frame, frame.sample(fraction=1, shuffle=True, seed=1)))
    assert one.scores.equals(two.scores)
    assert one.verdicts.equals(two.verdicts)
    assert one.quality.equals(two.quality)


def test_the_certified_rows_keep_the_promise_on_rows_that_no_label_was_seen_of(tmp_path):
    broken = certified = 0
    for seed in range(40):
        frame = pool(3000, seed, labelled=1.0).sort("sample_id")
        wrong = truth(frame).astype(bool)
        seen = np.random.default_rng(seed).random(3000) < 0.2
        hidden = frame.with_columns(pl.Series("meta", np.where(seen, frame["meta"], "{}"), dtype=pl.String))
        scored = go(hidden, tmp_path, keep_false=0.1, confidence=0.9)
        kept = (scored.verdicts["label"] == "correct").fill_null(value=False).to_numpy() & ~seen
        if kept.any():
            certified += 1
            broken += wrong[kept].mean() > 0.1
            assert quality(scored)["certified"]["value"] == 1.0
            assert quality(scored)["certified_error"]["ci_high"] <= 0.1
    assert certified > 20
    assert broken <= 8  # the 0.98 quantile of 40 draws at 0.1


def test_precision_and_recall_can_be_promised(tmp_path):
    frame = pool(4000, 3).sort("sample_id")
    wrong = truth(frame).astype(bool)
    for promise, share in (("precision", 0.6), ("recall", 0.8)):
        called = (go(frame, tmp_path, **{promise: share}).verdicts["label"] == "wrong").to_numpy()
        precision, recall = wrong[called].mean(), called[wrong].mean()
        assert {"precision": precision, "recall": recall}[promise] > share
        assert min(precision, recall) > 0.2  # not by calling everything, or nothing, wrong
    lenient = go(frame, tmp_path, recall=0.95).verdicts["label"].value_counts()
    assert lenient.filter(pl.col("label") == "wrong")["count"].item() > called.sum()


def test_a_promise_that_the_labels_cannot_keep_is_refused_and_says_what_would_do(tmp_path):
    scored = go(pool(120, 4), tmp_path, keep_false=0.02)
    found = quality(scored)
    assert found["certified"]["value"] == 0.0
    assert "keep_false 0.02, confidence 0.95: " in found["certified"]["note"]
    assert found["labels_needed"]["value"] > 120
    assert scored.verdicts["label"].null_count() == 120
    assert scored.scores["status"].unique().to_list() == ["ok"]  # calibrated all the same


def test_a_gate_has_a_value_only_where_something_was_certified(tmp_path):
    refused = go(pool(120, 4), tmp_path, keep_false=0.02, value="gate")
    assert refused.scores["status"].unique().to_list() == ["abstained"]
    assert "needed" in refused.scores["why"][0]
    assert refused.verdicts["p_error"].null_count() == 0
    scored = go(pool(2000, 5), tmp_path, keep_false=0.1, value="gate")
    wanted = scored.verdicts["label"].replace_strict({"wrong": 1.0, "correct": 0.0})
    assert scored.scores["value"].to_list() == wanted.to_list()


def test_rows_without_a_number_abstain_and_teach_nothing(tmp_path):
    frame = pool(300, 6).sort("sample_id")
    holes = frame.with_columns(pl.when(pl.int_range(300) % 3 == 0).then(None).otherwise(pl.col("judge")).alias("judge"))
    scored = go(holes, tmp_path)
    lost = scored.scores.filter(holes["judge"].is_null())
    assert set(lost["status"]) == {"abstained"}
    assert set(lost["why"]) == {"'judge' gave no number"}
    assert scored.verdicts["label"].null_count() == 100
    assert quality(scored)["ece_before"]["n"] == 200


def test_too_few_labels_make_every_row_abstain(tmp_path):
    scored = go(pool(40, 7, share=0.1), tmp_path, min_labels=30)
    assert set(scored.scores["status"]) == {"abstained"}
    assert "30 of each are needed" in scored.scores["why"][0]
    assert quality(scored)["certified"]["note"] == scored.scores["why"][0]
    one = go(pool(60, 8, prompts=1), tmp_path)
    assert "one prompt" in one.scores["why"][0]


def test_a_scale_whose_better_end_is_high_is_turned_round(tmp_path):
    frame = pool(400, 9)
    low = go(frame, tmp_path)
    high = go(frame.with_columns(judge=1.0 - pl.col("judge")), tmp_path, better="high")
    assert high.scores["value"].to_list() == pytest.approx(low.scores["value"].to_list(), abs=1e-6)


def test_numbers_that_are_no_probabilities_are_refused(tmp_path):
    with pytest.raises(UserError, match="not all 0 to 1"):
        go(pool(30).with_columns(judge=pl.col("judge") * 9), tmp_path)


def by_hand(frame, strategy):
    wrong = [bool(value) for value in truth(frame)]
    return frame.with_columns(
        pl.Series("label_wrong", wrong),
        label_drawn=pl.lit(strategy),
        label_weight=pl.lit(1.0 if strategy == "random" else None),
    )


def test_labels_by_hand_certify_only_where_they_were_drawn_at_random(tmp_path):
    frame = pool(1500, 10)
    for strategy, certified in (("random", 1.0), ("uncertain", 0.0)):
        scored = go(by_hand(frame, strategy), tmp_path, label=None, labels=True, keep_false=0.15)
        found = quality(scored)
        assert found["certified"]["value"] == certified
        assert found["certified"]["measured_on"] == "labels"
        assert (found["prevalence_ppi"]["value"] is None) == (strategy == "uncertain")
        assert scored.scores["value"].null_count() == 0
    assert "random draw" in found["certified"]["note"]
    assert "random or stratified" in found["prevalence_ppi"]["note"]
    with pytest.raises(UserError, match="no labels beside the samples"):
        go(frame, tmp_path, label=None, labels=True)


def test_one_row_a_prompt_counts_for_a_promise(tmp_path):
    scored = go(pool(1200, 11, prompts=300), tmp_path, keep_false=0.25)
    assert quality(scored)["certified"]["n"] <= 300


def test_the_shares_of_wrong_rows_hold_the_truth(tmp_path):
    frame = pool(3000, 12, labelled=0.3)
    found = quality(go(frame, tmp_path))
    for name in ("prevalence_rogan_gladen", "prevalence_ppi"):
        assert found[name]["ci_low"] <= 0.3 <= found[name]["ci_high"]
    assert {"sensitivity", "specificity", "threshold"} <= set(found)


def test_the_larger_of_two_draws_counts():
    drawn = np.array(["random", "stratified", "stratified", "uncertain"])
    assert best_draw(drawn).tolist() == [False, True, True, False]
    assert best_draw(drawn[:2]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "one source of labels"),
        ({"label": "wrong", "labels": True}, "one source of labels"),
        ({"label": "wrong", "recall": 0.5, "precision": 0.5}, "one promise"),
        ({"label": "wrong", "value": "gate"}, "a gate needs a promise"),
    ],
)
def test_contradictions_are_refused(fields, word):
    with pytest.raises(UserError, match=word):
        Calibrated(of="judge", **fields)


def test_it_reads_the_scorer_it_calibrates_and_calls_no_model(tmp_path):
    step = Calibrated(of="judge", labels=True)
    assert step.reads == ("judge",)
    assert step.reads_labels
    assert step.pending(pool(3), Context(tmp_path)) == 0
