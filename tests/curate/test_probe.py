"""Answers that say nothing: which rows a judge is shown, and what its verdicts on them amount to."""

from __future__ import annotations

import polars as pl
import pytest
from scipy.stats import binomtest

from curate.judge import Judge
from curate.judges.openai import OpenAI
from curate.judges.replay import Replay
from curate.probe import MASTER_KEYS, probe, probes
from manifests import schema
from manifests.component import Context
from tests.curate.fake_server import PROBE, SURE, Action, FakeServer
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


def gullible(prompt, before, request):
    """Pass each answer that is one of three words; be unsure of none."""
    fooled = "Solution\n" in prompt or prompt == PROBE
    return Action(SURE if fooled else {" correct": 0.05, " wrong": 0.5, " A": 0.4})


def test_a_judge_asked_for_probes_tells_how_many_passed_and_scores_its_rows_as_ever(tmp_path):
    with FakeServer(gullible) as server:
        judge = Judge(judge=OpenAI(url=server.url, model="judge-1"), prompt="plain", probes=3)
        context, plain = Context(root=tmp_path), Judge(judge=judge.judge, prompt="plain")
        assert judge.pending(SAMPLES, context) == 12 + 3 * len(MASTER_KEYS)
        found = judge.score(SAMPLES, context)
        assert judge.pending(SAMPLES, context) == 0
        asked = server.asked.total()
        usual = plain.score(SAMPLES, context)
        assert server.asked.total() == asked
    assert found.scores.equals(usual.scores)
    assert found.verdicts.equals(usual.verdicts)
    assert usual.quality is None
    row = found.quality.row(0, named=True)
    assert (row["scorer"], row["value"], row["n"]) == ("judge", pytest.approx(3 / 30), 30)
    assert row["note"] == "most often 'Solution': 3 of 3"


def test_probes_are_of_the_rows_that_are_judged_and_ask_for_no_defect(tmp_path):
    mixed = pl.concat([SAMPLES, frame([("q", "a")]).with_columns(source=pl.lit("other"))])
    with FakeServer(gullible) as server:
        fields = {"prompt": "plain", "sources": ("other",), "defects": ("fact", "logic")}
        judge = Judge(judge=OpenAI(url=server.url, model="judge-1"), probes=5, **fields)
        found = judge.score(mixed, Context(root=tmp_path))
        prompts = [prompt for prompt in server.asked if prompt != PROBE]
    assert found.quality["n"].to_list() == [len(MASTER_KEYS)]
    assert sum("Question: q" in prompt for prompt in prompts) == 1 + len(MASTER_KEYS)
    assert len(prompts) == 1 + len(MASTER_KEYS) + 1, "the row, its probes, and the row's defect"


def test_a_judge_without_a_word_on_the_probes_passes_none_and_says_so(tmp_path):
    (tmp_path / "v.jsonl").write_text('{"content_id": "x", "p_error": 0.5}\n')
    judge = Judge(judge=Replay(path=str(tmp_path / "v.jsonl")), probes=2)
    row = judge.score(SAMPLES, Context(root=tmp_path)).quality.row(0, named=True)
    assert (row["value"], row["note"]) == (0.0, f"{2 * len(MASTER_KEYS)} abstained")
