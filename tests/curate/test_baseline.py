"""What a judge is measured beside: predictors that see lengths and words, and no label of the row's own prompt."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from curate import calibrate
from curate.baseline import baselines
from curate.classifier import folded

WORDS = np.array(["red", "green", "tall", "short", "old", "new", "warm", "cold", "big", "dry", "wet", "far", "loud"])


def made(n, seed, prompts=None):
    """Rows whose wrong answers say `never` more often, and whose prompts tell a little."""
    random = np.random.default_rng(seed)
    wrong = random.random(n) < 0.4
    prompt = [
        f"is {' '.join(random.choice(WORDS, 3))} {'always' if w and random.random() < 0.3 else ''}" for w in wrong
    ]
    answer = [
        f"{' '.join(random.choice(WORDS, 6))} {'never' if random.random() < 0.2 + 0.5 * w else 'yes'}" for w in wrong
    ]
    names = [str(i % prompts) for i in range(n)] if prompts else [str(i) for i in range(n)]
    return pl.DataFrame({"prompt": prompt, "response": answer}), wrong, names


def by_name(rows, wrong, names, **more):
    return {rival.name: rival for rival in baselines(rows, wrong, names, **more)}


def test_each_baseline_knows_what_it_should():
    rows, wrong, names = made(1500, 0)
    found = by_name(rows, wrong, names)
    assert list(found) == ["majority", "length", "prompt", "words"]
    auroc = {name: calibrate.auroc(wrong, rival.p_error) for name, rival in found.items()}
    assert auroc["majority"] == 0.5
    assert 0.53 < auroc["prompt"] < auroc["words"] - 0.05
    assert {rival.threshold for rival in found.values()} == {wrong.mean()}


def test_length_is_found_where_it_tells():
    random = np.random.default_rng(1)
    wrong = random.random(400) < 0.5
    rows = pl.DataFrame(
        {"prompt": ["q"] * 400, "response": ["a " * int(random.integers(1, 20) + 8 * w) for w in wrong]}
    )
    found = by_name(rows, wrong, [str(i) for i in range(400)])
    assert calibrate.auroc(wrong, found["length"].p_error) > 0.75


def test_the_words_predict_about_as_well_as_scikit_learns():
    rows, wrong, names = made(1200, 2)
    ours = calibrate.auroc(wrong, by_name(rows, wrong, names)["words"].p_error)
    texts = [f"{p} {r}" for p, r in rows.iter_rows()]
    folds = folded(pl.Series(sorted(set(names))), 5, 0)
    fold = np.array([folds[name] for name in names])
    features = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True).fit_transform(texts)
    theirs = np.empty(1200)
    for k in range(5):
        model = LogisticRegression(C=1.0, max_iter=500).fit(features[fold != k], wrong[fold != k])
        theirs[fold == k] = model.predict_proba(features[fold == k])[:, 1]
    assert ours == pytest.approx(calibrate.auroc(wrong, theirs), abs=0.02)


def test_no_row_is_told_by_a_label_of_its_own_group():
    rows, wrong, names = made(300, 3, prompts=20)
    found = by_name(rows, wrong, names)
    turned = wrong.copy()
    mine = np.array(names) == "7"
    turned[mine] = ~turned[mine]
    again = by_name(rows, turned, names)
    for name in ("length", "prompt", "words"):
        assert (found[name].p_error[mine] == again[name].p_error[mine]).all()
        assert (found[name].p_error[~mine] != again[name].p_error[~mine]).any()


def test_the_order_of_rows_changes_nothing_but_rounding():
    rows, wrong, names = made(300, 4)
    order = np.random.default_rng(0).permutation(300)
    one = by_name(rows, wrong, names)
    two = by_name(rows[order.tolist()], wrong[order], [names[i] for i in order])
    for name, rival in one.items():
        assert two[name].p_error == pytest.approx(rival.p_error[order], abs=1e-3)


def test_without_two_groups_or_two_classes_there_is_none():
    rows, wrong, names = made(20, 5)
    assert baselines(rows, wrong, ["one"] * 20) == []
    assert baselines(rows, np.zeros(20, bool), names) == []


def test_a_fold_whose_rest_has_one_class_gets_its_share():
    rows, _, _ = made(6, 6)
    wrong = np.array([True, True, True, False, False, False])
    found = by_name(rows, wrong, list("aaabbb"))
    assert set(found["words"].p_error[:3]) == {0.0}
    assert set(found["words"].p_error[3:]) == {1.0}
