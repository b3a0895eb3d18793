"""The classifier learns labels, never values a row by what it saw of its prompt, and says how good it is."""

from __future__ import annotations

import math
import random

import numpy as np
import polars as pl
import pytest

from curate.calibrate import auroc
from curate.classifier import STRENGTHS, Classifier, crossfit, features, folded, with_words
from curate.logistic import Design, sigmoid
from curate.sample import samples_frame
from curate.step import STEPS, Scorer
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from tests.curate.judged import frame, sample

NAMES = ["river", "stone", "lantern", "orange", "window", "quiet", "mountain", "paper"]


def rows(n: int, seed: int = 0, *, labelled: float = 1.0, per_prompt: int = 2) -> pl.DataFrame:
    """Return n answers, good ones mostly with the word `indeed`, of which a share has the label `good`."""
    chance = random.Random(seed)
    found = []
    for i in range(n):
        good = chance.random() < 0.4
        words = chance.choices(NAMES, k=6) + (["indeed"] if good != (chance.random() < 0.1) else ["maybe"])
        chance.shuffle(words)
        meta = {"good": good} if chance.random() < labelled else {}
        found.append(sample(f"Question {seed} {i // per_prompt}?", f"{i} {' '.join(words)}", **meta))
    return samples_frame(found)


def truth(samples: pl.DataFrame) -> np.ndarray:
    return samples.sort("sample_id")["meta"].str.contains("true").to_numpy()


PLAIN = Classifier(label="good", encoder=None, min_labels=10)


def test_it_ranks_rows_by_the_label_out_of_fold_and_is_calibrated(tmp_path):
    samples = rows(300)
    found = PLAIN.score(samples, Context(tmp_path)).scores
    assert set(found["status"]) == {"ok"}
    assert found["value"].is_between(0, 1).all()
    assert auroc(truth(samples), found["value"]) > 0.85
    assert found["value"].mean() == pytest.approx(truth(samples).mean(), abs=0.05)


def test_it_reads_embeddings_too(tmp_path):
    samples = rows(200)
    found = Classifier(label="good", encoder="hash", min_labels=10).score(samples, Context(tmp_path)).scores
    assert auroc(truth(samples), found["value"]) > 0.8


def test_labels_without_a_pattern_are_not_learnt_by_heart(tmp_path):
    chance = random.Random(1)
    samples = samples_frame([sample(f"q {i // 4}", f"answer {i}", good=chance.random() < 0.5) for i in range(300)])
    assert PLAIN.quality(samples, Context(tmp_path))["auroc"] == pytest.approx(0.5, abs=0.12)


def test_labels_that_only_the_prompt_gives_away_do_not_leak_from_row_to_row(tmp_path):
    chance = random.Random(2)
    verdict = [chance.random() < 0.5 for _ in range(60)]
    samples = samples_frame([sample(f"only{i // 5}", f"a {i}", good=verdict[i // 5]) for i in range(300)])
    assert PLAIN.quality(samples, Context(tmp_path))["auroc"] < 0.65


def test_prompts_that_differ_in_case_or_spaces_are_in_one_fold():
    prompts = pl.Series([f"p{i}" for i in range(23)])
    found = folded(prompts, 5, 0)
    assert folded(prompts.reverse(), 5, 0) == found
    assert sorted(np.bincount(list(found.values()))) == [4, 4, 5, 5, 5]
    assert folded(prompts, 5, 1) != found
    samples = samples_frame([sample("Why  so?", "a", good=True), sample("why SO?", "b", good=False)])
    _, labels = PLAIN._labels(samples, {})
    assert labels.fold[0] == labels.fold[1] >= 0


def test_the_order_of_rows_does_not_matter(tmp_path):
    samples = rows(120, labelled=0.7)
    assert PLAIN.score(samples.reverse(), Context(tmp_path)).scores.equals(
        PLAIN.score(samples, Context(tmp_path)).scores
    )


def test_rows_without_a_label_get_a_value_from_the_labelled_ones(tmp_path):
    taught, fresh = rows(300), rows(100, seed=7)
    blind = fresh.with_columns(pl.lit("{}").alias("meta"))
    found = PLAIN.score(pl.concat([taught, blind]), Context(tmp_path)).scores
    values = found.join(fresh.select("sample_id"), on="sample_id", how="semi").sort("sample_id")["value"]
    assert len(values) == 100
    assert auroc(truth(fresh), values) > 0.85


def test_rows_of_teachers_teach_and_are_not_scored(tmp_path):
    scorer = Classifier(label="good", encoder=None, teachers=("knowledge",))
    assert scorer.needs == ("knowledge",)
    blind = rows(50, seed=7).with_columns(pl.lit("{}").alias("meta"))
    found = scorer.score(blind, Context(tmp_path), {"knowledge": rows(300)}).scores
    assert sorted(found["sample_id"]) == sorted(blind["sample_id"])
    assert auroc(truth(rows(50, seed=7)), found["value"]) > 0.8


def test_too_few_labels_of_a_class_make_every_row_abstain_and_say_so(tmp_path):
    scorer = Classifier(label="good", encoder=None, min_labels=500)
    found = scorer.score(rows(40), Context(tmp_path)).scores
    assert set(found["status"]) == {"abstained"}
    assert "500 of each are needed" in found["why"][0]
    with pytest.raises(UserError, match="cannot be trained"):
        scorer.quality(rows(40), Context(tmp_path))


def test_a_class_that_one_prompt_holds_alone_cannot_be_cross_fitted(tmp_path):
    samples = samples_frame([sample("one" if i < 12 else f"q{i}", f"a{i}", good=i < 12) for i in range(40)])
    found = PLAIN.score(samples, Context(tmp_path)).scores
    assert set(found["why"]) == {"too few prompts have labels of both classes"}


def test_a_label_that_no_row_has_is_named_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="good"):
        Classifier(label="goood", encoder=None).score(rows(10), Context(tmp_path))


def test_its_quality_is_that_of_rows_it_did_not_see(tmp_path):
    found = PLAIN.quality(rows(300), Context(tmp_path))
    assert (found["n"], found["groups"]) == (300, 150)
    assert found["low"] < found["auroc"] < found["high"]
    assert 0 <= found["ece"] < 0.1


def test_the_folds_models_rank_as_scikit_learns_do():
    from sklearn.feature_extraction.text import TfidfVectorizer

    samples = rows(300)
    texts = samples["response"]
    design = with_words(np.zeros((300, 0)), [texts])
    theirs = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts)  # noqa: S106
    ours = np.zeros((300, design.columns))
    ours[design.row, design.column] = design.value
    assert design.columns == theirs.shape[1]
    assert ours @ ours.T == pytest.approx((theirs @ theirs.T).toarray(), abs=1e-9)


def test_a_stop_is_obeyed_between_fits(tmp_path):
    with pytest.raises(Interrupted):
        PLAIN.score(rows(60), Context(tmp_path, stopping=lambda: True))
    with pytest.raises(Interrupted):
        crossfit(
            Design.of(np.ones((4, 1))), np.ones(4, np.bool_), np.arange(4), 4, Context(tmp_path, stopping=lambda: True)
        )


def test_it_is_a_scorer_and_answers_no_rows_with_none(tmp_path):
    assert STEPS.load("classifier") is Classifier
    assert isinstance(PLAIN, Scorer)
    assert PLAIN.score(frame([]), Context(tmp_path)).scores.height == 0
    assert PLAIN.pending(frame([]), Context(tmp_path)) == 0
    assert (PLAIN.good, Classifier(label="x", better="low").good) == ("high", "low")


def test_the_encoders_identity_is_part_of_the_key():
    assert PLAIN.identity() == {}
    assert "encoder" in Classifier(label="good", encoder="hash").identity()


def test_probabilities_are_finite_for_classes_that_are_told_apart_perfectly(tmp_path):
    samples = samples_frame([sample(f"q{i}", "yes" if i % 2 else "no", good=bool(i % 2)) for i in range(80)])
    found = PLAIN.score(samples, Context(tmp_path)).scores["value"]
    assert all(math.isfinite(value) for value in found)
    assert sigmoid(np.array([0.0])).item() == 0.5


def leaky(seed: int, prompts: int = 40) -> pl.DataFrame:
    """Return 5 answers to each prompt, with a word of the prompt's own, and a label that the prompt alone decides."""
    chance = random.Random(seed)
    verdict = [chance.random() < 0.5 for _ in range(prompts)]
    return samples_frame(
        sample(
            f"secret {i % prompts}",
            f"{i} word{i % prompts} {' '.join(chance.choices(NAMES, k=4))}",
            good=verdict[i % prompts],
        )
        for i in range(5 * prompts)
    )


def test_a_label_that_only_the_prompt_knows_is_learnt_in_fold_and_not_out_of_it(tmp_path):
    reached = []
    for seed in range(8):
        samples = leaky(seed)
        found = PLAIN.score(samples, Context(tmp_path)).scores
        reached.append(auroc(truth(samples), found["value"]))
    assert np.mean(reached) < 0.55
    rows, labels = PLAIN._labels(samples, {})
    design = features(rows, None, Context(tmp_path))
    models, _ = crossfit(design, labels.true, labels.fold, 5, Context(tmp_path))
    for k, model in enumerate(models):
        own = labels.fold == k
        assert auroc(labels.true[~own], sigmoid(model.logits(design))[~own]) > 0.99


def test_flipping_the_labels_of_a_prompt_does_not_move_its_own_rows(tmp_path):
    samples = rows(200, per_prompt=4)
    prompt = samples["prompt"][0]
    flip = (
        pl.when(pl.col("meta").str.contains("true")).then(pl.lit('{"good":false}')).otherwise(pl.lit('{"good":true}'))
    )
    flipped = samples.with_columns(pl.when(pl.col("prompt") == prompt).then(flip).otherwise("meta").alias("meta"))
    own = samples.filter(pl.col("prompt") == prompt).select("sample_id")
    assert own.height == 4
    before, after = (PLAIN.score(each, Context(tmp_path)).scores for each in (samples, flipped))
    assert before.join(own, on="sample_id", how="semi").equals(after.join(own, on="sample_id", how="semi"))
    assert not before.equals(after)


def test_calibration_is_monotone_in_the_log_odds_of_each_fold(tmp_path):
    samples = rows(300)
    ordered, labels = PLAIN._labels(samples, {})
    design = features(ordered, None, Context(tmp_path))
    models, _ = crossfit(design, labels.true, labels.fold, 5, Context(tmp_path))
    p = PLAIN.score(samples, Context(tmp_path)).scores["value"].to_numpy()
    for k, model in enumerate(models):
        mine = labels.fold == k
        order = np.argsort(model.logits(design)[mine], kind="stable")
        assert (np.diff(p[mine][order]) >= 0).all()
        assert p[mine].max() - p[mine].min() > 0.5


def test_the_models_of_the_folds_are_scikit_learns_on_the_same_features(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    samples = rows(200)
    ordered, labels = PLAIN._labels(samples, {})
    design = features(ordered, None, Context(tmp_path))
    whole = np.zeros(design.shape)
    whole[design.row, design.column] = design.value
    models, _ = crossfit(design, labels.true, labels.fold, 5, Context(tmp_path))
    for k, model in enumerate(models):
        losses = []
        for c in STRENGTHS:
            held = 0.0
            for j in set(range(5)) - {k}:
                train, test = (labels.fold != k) & (labels.fold != j), labels.fold == j
                theirs = LogisticRegression(C=c, max_iter=1000).fit(whole[train], labels.true[train])
                held += log_loss(labels.true[test], theirs.predict_proba(whole[test])[:, 1])
            losses.append(held)
        train = labels.fold != k
        best = LogisticRegression(C=STRENGTHS[int(np.argmin(losses))], tol=1e-9, max_iter=5000)
        expected = best.fit(whole[train], labels.true[train]).decision_function(whole)
        assert model.logits(design) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("good", "bad", "status"), [(9, 60, "abstained"), (60, 9, "abstained"), (60, 10, "ok")])
def test_each_class_needs_its_labels(tmp_path, good, bad, status):
    samples = samples_frame([sample(f"q{i}", f"a {i}", good=i < good) for i in range(good + bad)])
    found = PLAIN.score(samples, Context(tmp_path)).scores
    assert set(found["status"]) == {status}
    if status == "abstained":
        assert found["why"][0] == f"{good} rows are labelled true and {bad} false; 10 of each are needed"


@pytest.mark.parametrize("value", ["true", 1, [True]])
def test_a_label_that_is_not_true_or_false_is_refused(tmp_path, value):
    samples = samples_frame([sample("q", "a", good=True), sample("r", "b", good=value)])
    with pytest.raises(UserError, match="must be true or false"):
        PLAIN.score(samples, Context(tmp_path))
