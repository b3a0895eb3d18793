"""Thresholds from labelled pairs."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.pair_calibration import labelled, table, threshold_for, wilson
from manifests.errors import UserError


def test_the_interval_is_the_published_one():
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, Wilson: 0.2553 to 0.3662."""
    low, high = wilson([81, 0], [263, 0])
    assert low == pytest.approx([0.2553, 0], abs=1e-4)
    assert high == pytest.approx([0.3662, 1], abs=1e-4)


def test_the_table_agrees_with_scikit_learn():
    from sklearn.metrics import f1_score, precision_score, recall_score

    random = np.random.default_rng(0)
    label = random.integers(0, 2, 400)
    value = np.clip(label * 0.3 + random.random(400) * 0.7, 0, 1)
    found = table(value, label, [0.2, 0.5, 0.8])
    for row in found.iter_rows(named=True):
        said = value >= row["threshold"]
        assert row["precision"] == pytest.approx(precision_score(label, said))
        assert row["recall"] == pytest.approx(recall_score(label, said))
        assert row["f1"] == pytest.approx(f1_score(label, said))
        assert row["precision_low"] < row["precision"] <= row["precision_high"]


def test_nothing_above_a_threshold_has_no_precision():
    row = table([0.1], [1], [0.9]).row(0, named=True)
    assert (row["pairs"], row["precision"], row["recall"]) == (0, None, 0.0)
    assert table([0.1], [0], [0.0]).row(0, named=True)["recall"] is None


def test_the_threshold_is_the_lowest_that_is_certain():
    value = np.repeat([0.9, 0.8, 0.7], 200)
    label = np.concatenate([np.ones(400), np.zeros(200)])
    assert threshold_for(value, label, 0.95) == 0.8
    assert threshold_for(value, label, 0.6) == 0.7


def test_too_few_labels_certify_nothing_and_say_how_many_would():
    with pytest.raises(UserError, match="73 faultless"):
        threshold_for([0.9] * 20, [1] * 20, 0.95)
    with pytest.raises(UserError, match="cannot certify"):
        threshold_for([], [], 0.5)


@pytest.mark.parametrize(("value", "label"), [([0.5], [0.5]), ([np.nan], [1]), ([0.1, 0.2], [1])])
def test_what_is_no_labelled_similarity_is_refused(value, label):
    with pytest.raises(UserError):
        threshold_for(value, label, 0.9)


def test_a_file_must_be_there_and_have_its_columns(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"text1": "a", "text2": "b", "label": 1}\n')
    assert labelled(path).rows() == [("a", "b", 1.0)]
    path.write_text('{"text1": "a"}\n')
    with pytest.raises(UserError, match="lack columns"):
        labelled(path)
    with pytest.raises(UserError, match="cannot be read"):
        labelled(tmp_path / "none.parquet")


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_an_empty_file_is_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read"):
        labelled(tmp_path / name)


@pytest.mark.parametrize(
    "line",
    [
        '{"text1": "a", "text2": "b", "label": "yes"}',
        '{"text1": ["a"], "text2": "b", "label": 1}',
        '{"text1": "a", "text2": "b", "label": NaN}',
        '{"text1": "a", "te',
    ],
)
def test_values_of_another_type_are_a_user_error(line, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match="cannot be read"):
        labelled(path)


def test_a_label_that_is_nan_is_refused_and_a_missing_one_left_out(tmp_path):
    path = tmp_path / "pairs.parquet"
    texts = {"text1": ["a", "c"], "text2": ["b", "d"]}
    pl.DataFrame({**texts, "label": [1.0, float("nan")]}).write_parquet(path)
    with pytest.raises(UserError, match="labels 0 or 1"):
        threshold_for([0.9, 0.8], labelled(path)["label"].to_numpy(), 0.5)
    pl.DataFrame({**texts, "label": [1, None]}).write_parquet(path)
    assert labelled(path).rows() == [("a", "b", 1.0)]


def test_a_file_of_no_pairs_certifies_nothing(tmp_path):
    path = tmp_path / "pairs.parquet"
    pl.DataFrame(schema={"text1": pl.String, "text2": pl.String, "label": pl.Int8}).write_parquet(path)
    with pytest.raises(UserError, match="0 pairs"):
        threshold_for([], labelled(path)["label"].to_numpy(), 0.5)


@given(st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9]), st.booleans()), max_size=120))
def test_the_threshold_is_that_of_trying_every_one(pairs):
    value, label = [v for v, _ in pairs], [int(same) for _, same in pairs]
    good = [
        at
        for at in sorted(set(value))
        if wilson(sum(same for v, same in zip(value, label, strict=True) if v >= at), sum(v >= at for v in value))[0]
        >= 0.6
    ]
    if good:
        assert threshold_for(value, label, 0.6) == good[0]
    else:
        with pytest.raises(UserError, match="cannot certify"):
            threshold_for(value, label, 0.6)
