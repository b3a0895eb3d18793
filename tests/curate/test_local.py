"""The local judge learns, never from a row's own prompt, keeps its models, and says how good it is."""

from __future__ import annotations

import random
from itertools import count

import numpy as np
import polars as pl
import pytest

from curate import tuning
from curate.calibrate import auroc
from curate.classifier import Labels
from curate.local import MODELS, Local, Read, combined
from curate.sample import samples_frame
from curate.step import STEPS, Scorer
from manifests import schema
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from tests.curate.judged import frame, sample
from tests.curate.tiny_bert import WORDS, build


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("bert"))
    return Local(label="bad", encoder=str(folder), folds=3, min_labels=5, epochs=2, rate=3e-3, longest=24, layers=2)


def rows(n: int, seed: int = 0, per_prompt: int = 2, *, labels: bool = True) -> pl.DataFrame:
    """Return n answers; the wrong ones hold the word `orange`, in nearly all."""
    chance = random.Random(seed)
    found = []
    for i in range(n):
        words = chance.choices([w for w in WORDS if w != "orange"], k=4)
        bad = chance.random() < 0.5
        words += ["orange"] if bad != (chance.random() < 0.05) else ["maybe"]
        chance.shuffle(words)
        prompt = f"question {seed} {i // per_prompt}"
        found.append(sample(prompt, " ".join(words), i, **({"bad": bad} if labels else {})))
    return samples_frame(found)


def truth(samples: pl.DataFrame) -> np.ndarray:
    return samples.sort("sample_id")["meta"].str.contains("true").to_numpy()


def test_it_ranks_labelled_rows_out_of_fold_and_rows_without_a_label(judge, tmp_path):
    known, fresh = rows(120), rows(40, seed=5)
    blind = fresh.with_columns(pl.lit("{}").alias("meta"))
    found = judge.score(pl.concat([known, blind]), Context(tmp_path)).scores
    assert set(found["status"]) == {"ok"}
    for part in (known, fresh):
        own = found.join(part.select("sample_id"), on="sample_id", how="semi").sort("sample_id")
        assert auroc(truth(part), own["value"]) > 0.8


def test_its_verdicts_and_quality_go_with_the_scores(judge, tmp_path):
    samples = rows(120)
    found = judge.score(samples, Context(tmp_path))
    assert found.verdicts is not None
    assert found.quality is not None
    assert dict(found.verdicts.schema) == schema.VERDICTS
    assert found.verdicts["p_error"].equals(found.scores["value"], null_equal=True)
    wrong = (found.verdicts["label"] == "wrong").to_list()
    assert wrong == (found.scores["value"] >= 0.5).to_list()
    told = {row["metric"]: row for row in found.quality.iter_rows(named=True)}
    assert told["auroc"]["value"] == pytest.approx(auroc(truth(samples), found.scores["value"]))
    assert told["auroc"]["ci_low"] <= told["auroc"]["value"] <= told["auroc"]["ci_high"]
    assert (told["groups"]["value"], told["auroc"]["n"], told["auroc"]["measured_on"]) == (60, 120, "bad")
    assert set(told) == {"auroc", "average_precision", "brier", "ece", "groups"}


def test_flipping_the_labels_of_a_prompt_moves_others_and_not_its_own_rows(judge, tmp_path):
    samples = rows(60, per_prompt=4)
    prompt = samples["prompt"][0]
    flip = pl.when(pl.col("meta").str.contains("true")).then(pl.lit('{"bad":false}')).otherwise(pl.lit('{"bad":true}'))
    flipped = samples.with_columns(pl.when(pl.col("prompt") == prompt).then(flip).otherwise("meta").alias("meta"))
    own = samples.filter(pl.col("prompt") == prompt).select("sample_id")
    before, after = (judge.score(each, Context(tmp_path)).scores for each in (samples, flipped))
    assert before.join(own, on="sample_id", how="semi").equals(after.join(own, on="sample_id", how="semi"))
    assert not before.equals(after)


def test_models_are_kept_and_a_second_run_trains_none(judge, tmp_path, monkeypatch):
    samples = rows(60)
    first = judge.score(samples, Context(tmp_path)).scores
    assert len(list((tmp_path / MODELS).glob("*.safetensors"))) == 3
    monkeypatch.setattr(tuning, "tune", lambda *_: pytest.fail("trained again"))
    assert judge.score(samples.reverse(), Context(tmp_path)).scores.equals(first)
    more = pl.concat([samples, rows(4, seed=9).with_columns(pl.lit("{}").alias("meta"))])
    assert judge.score(more, Context(tmp_path)).scores.height == 64


def test_another_folder_gives_the_same_values(judge, tmp_path):
    samples = rows(60)
    first, second = (judge.score(samples, Context(tmp_path / name)).scores for name in "ab")
    assert first.equals(second)


def test_a_stopped_run_keeps_the_models_that_were_finished(judge, tmp_path):
    samples = rows(60)
    calls = count()
    with pytest.raises(Interrupted):
        judge.score(samples, Context(tmp_path, stopping=lambda: next(calls) >= 10))
    kept = len(list((tmp_path / MODELS).glob("*.safetensors")))
    assert 1 <= kept < 3
    again = judge.score(samples, Context(tmp_path)).scores
    assert again.equals(judge.score(samples, Context(tmp_path / "other")).scores)


def test_rows_of_teachers_teach_and_are_not_scored(judge, tmp_path):
    scorer = Local(label="bad", encoder=judge.encoder, folds=3, min_labels=5, epochs=1, teachers=("knowledge",))
    blind = rows(8, seed=3, labels=False)
    found = scorer.score(blind, Context(tmp_path), {"knowledge": rows(60)})
    assert scorer.needs == ("knowledge",)
    assert sorted(found.scores["sample_id"]) == sorted(blind["sample_id"])


def test_too_few_labels_make_all_rows_abstain_with_the_reason(judge, tmp_path):
    scorer = Local(label="bad", encoder=judge.encoder, min_labels=500)
    found = scorer.score(rows(20), Context(tmp_path))
    assert set(found.scores["status"]) == {"abstained"}
    assert "500 of each are needed" in found.scores["why"][0]
    assert found.quality is not None
    assert found.quality.height == 0
    assert found.verdicts is not None
    assert found.verdicts["label"].null_count() == 20


def test_a_label_that_no_row_has_and_an_encoder_that_cannot_learn_are_named(judge, tmp_path):
    with pytest.raises(UserError, match="bad"):
        Local(label="bd", encoder=judge.encoder).score(rows(10), Context(tmp_path))
    with pytest.raises(UserError, match="cannot be fine-tuned"):
        Local(label="bad", encoder="hash", min_labels=5).score(rows(60), Context(tmp_path))


def test_a_member_that_misleads_is_left_out_and_noise_gives_the_share():
    chance = np.random.default_rng(0)
    true = np.arange(300) % 3 == 0
    fold = np.arange(300) % 4
    labels = Labels(np.ones(300, np.bool_), true, fold, np.arange(300))
    pairs = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    good = np.where(true, 1.0, -1.0) + chance.normal(size=(6, 300))
    both = combined(Read(pairs, np.stack([good, -good], axis=2)), labels, 4)
    alone = combined(Read(pairs, good[..., None]), labels, 4)
    assert both == pytest.approx(alone)
    assert auroc(true, alone) > 0.9
    turned = combined(Read(pairs, -good[..., None]), labels, 4)
    assert turned == pytest.approx(1 / 3, abs=0.01)


def test_it_is_a_scorer_and_answers_no_rows_with_none(judge, tmp_path):
    assert STEPS.load("local") is Local
    assert isinstance(judge, Scorer)
    assert judge.good == "low"
    assert judge.score(frame([]), Context(tmp_path)).scores.height == 0
    assert judge.pending(frame([]), Context(tmp_path)) == 0
    assert "encoder" in judge.identity()
