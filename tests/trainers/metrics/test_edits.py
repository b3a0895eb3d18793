"""F0.5 of edits on sentences whose edits are known, and against scikit-learn's F-beta."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from trainers.metrics.edits import edit_f05, edits

WRONG = "There is several reason for this"
RIGHT = "There are several reasons for this ."
TEXT = st.lists(st.sampled_from(list("abcd")), min_size=1, max_size=9).map(" ".join)


def test_the_edits_of_a_sentence_are_its_replaced_inserted_and_deleted_tokens():
    assert edits(WRONG, RIGHT) == {(1, 2, ("are",)), (3, 4, ("reasons",)), (6, 6, (".",))}
    assert edits("a very very good day", "a very good day") == {(2, 3, ())} or edits(
        "a very very good day", "a very good day"
    ) == {(1, 2, ())}
    assert edits(WRONG, WRONG) == frozenset()


def test_one_of_three_edits_is_all_precision_and_a_third_of_the_recall():
    only_verb = "There are several reason for this"
    assert edit_f05(WRONG, only_verb, [RIGHT]) == pytest.approx(1.25 * 1 * (1 / 3) / (0.25 * 1 + 1 / 3))


def test_a_wrong_edit_halves_precision():
    one_right_one_wrong = "There are several reason for these"
    assert edit_f05(WRONG, one_right_one_wrong, [RIGHT]) == pytest.approx(1.25 * 0.5 * (1 / 3) / (0.25 * 0.5 + 1 / 3))


def test_leaving_alone_is_right_only_where_nothing_is_wrong():
    assert edit_f05(RIGHT, RIGHT, [RIGHT]) == 1.0
    assert edit_f05(WRONG, WRONG, [RIGHT]) == 0.0
    assert edit_f05(RIGHT, WRONG, [RIGHT]) == 0.0


def test_the_best_reference_counts():
    assert edit_f05(WRONG, RIGHT, [WRONG, RIGHT]) == 1.0


@settings(max_examples=200, deadline=None)
@given(TEXT, TEXT, TEXT)
def test_it_is_scikit_learns_f_beta_over_the_union_of_edits(source, prediction, reference):
    made, wanted = edits(source, prediction), edits(source, reference)
    union = sorted(made | wanted)
    if not made or not wanted:
        expected = float(made == wanted)
    else:
        labels = [[edit in found for edit in union] for found in (wanted, made)]
        expected = fbeta_score(*labels, beta=0.5, zero_division=0.0)
    assert edit_f05(source, prediction, [reference]) == pytest.approx(expected)


@settings(max_examples=100)
@given(TEXT, TEXT)
def test_applying_the_edits_gives_the_target(source, target):
    words = source.split()
    for start, end, new in sorted(edits(source, target), reverse=True):
        words[start:end] = new
    assert " ".join(words) == target
