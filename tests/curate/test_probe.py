"""Answers that say nothing: which rows a judge is shown, and what its verdicts on them amount to."""

from __future__ import annotations

import polars as pl
import pytest
from scipy.stats import binomtest

from curate.probe import MASTER_KEYS, probe, probes
from manifests import schema
from tests.curate.judged import frame, numbered

SAMPLES = numbered(12)


def judged(label_of):
    def verdicts(rows: pl.DataFrame) -> pl.DataFrame:
        found = []
        for row in rows.iter_rows(named=True):
            label = label_of(row)
            status = "ok" if label in ("correct", "wrong") else label
            said = {"sample_id": row["sample_id"], "judge": "j", "status": status}
            found.append(dict.fromkeys(schema.VERDICTS) | said | {"label": label if status == "ok" else None})
        return schema.frame(found, schema.VERDICTS)

    return verdicts


def test_each_instruction_gets_each_text_and_ids_of_its_own():
    rows = probes(SAMPLES, 5)
    assert rows.height == 5 * len(MASTER_KEYS) == rows["sample_id"].n_unique()
    assert dict(rows.schema) == dict(SAMPLES.schema)
    assert set(rows["response"]) == set(MASTER_KEYS)
    assert rows["prompt"].n_unique() == 5
    assert set(rows["prompt"]) <= set(SAMPLES["prompt"])
    assert not set(rows["sample_id"]) & set(SAMPLES["sample_id"])
    assert not set(rows["content_id"]) & set(SAMPLES["content_id"])
    assert rows["sample_id"].is_sorted()


def test_the_choice_follows_the_seed_and_not_the_order_of_rows():
    shuffled = SAMPLES.sample(fraction=1.0, shuffle=True, seed=3)
    assert probes(shuffled, 4).equals(probes(SAMPLES, 4))
    chosen = {frozenset(probes(SAMPLES, 4, seed)["prompt"]) for seed in range(8)}
    assert len(chosen) > 1


def test_equal_instructions_are_probed_once_and_few_rows_are_enough():
    rows = probes(frame([("q", "a"), ("q", "b"), ("r", "a")]), 10)
    assert rows.height == 2 * len(MASTER_KEYS)


def test_the_label_of_the_row_that_lent_its_instruction_is_not_the_probes():
    labelled = SAMPLES.with_columns(meta=pl.lit('{"wrong": false}'), source=pl.lit("pool"))
    rows = probes(labelled, 2)
    assert set(rows["meta"]) == {"{}"}
    assert set(rows["source"]) == {"pool"}


def test_the_rate_and_its_interval_are_those_of_the_probes_called_correct():
    found = probe(judged(lambda row: "correct" if row["response"] == "Solution" else "wrong"), SAMPLES, 6, "j")
    row = found.row(0, named=True)
    n = 6 * len(MASTER_KEYS)
    interval = binomtest(6, n).proportion_ci(method="wilson")
    assert found.schema == pl.Schema(dict(schema.QUALITY))
    assert (row["scorer"], row["measured_on"], row["metric"], row["n"]) == ("j", "master-keys", "false_pass_rate", n)
    assert row["value"] == pytest.approx(6 / n)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert row["note"] == "most often 'Solution': 6 of 6"


def test_what_failed_or_was_abstained_from_did_not_pass_and_is_counted():
    labels = {":": "failed", ".": "abstained"}
    row = probe(judged(lambda row: labels.get(row["response"], "wrong")), SAMPLES, 3, "j").row(0, named=True)
    assert row["value"] == 0.0
    assert row["n"] == 3 * len(MASTER_KEYS)
    assert row["note"] == "3 abstained; 3 failed"


def test_no_instruction_gives_no_figure():
    assert probe(judged(lambda row: "wrong"), SAMPLES.clear(), 3, "j").is_empty()
    assert probe(judged(lambda row: "wrong"), SAMPLES, 0, "j").is_empty()
