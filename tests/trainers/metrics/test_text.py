"""Tokens, n-grams and subsequences."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from trainers.metrics.text import f1, lcs, ngrams, stated, tokens

WORDS = st.lists(st.sampled_from("abcd"), max_size=14)


def slow_lcs(a: list[str], b: list[str]) -> int:
    @cache
    def best(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        if a[i] == b[j]:
            return 1 + best(i + 1, j + 1)
        return max(best(i + 1, j), best(i, j + 1))

    return best(0, 0)


@given(WORDS, WORDS)
def test_the_bit_parallel_subsequence_is_as_long_as_the_recursive_one(a, b):
    assert lcs(a, b) == slow_lcs(a, b) == lcs(b, a)


def test_subsequences_longer_than_a_machine_word_are_counted():
    assert lcs("ab" * 200, "ba" * 200) == 399


def test_ngrams_count_repeats_and_are_empty_for_short_texts():
    assert ngrams(["a", "b", "a", "b"], 2) == {("a", "b"): 2, ("b", "a"): 1}
    assert not ngrams(["a"], 2)


def test_words_split_punctuation_apart_and_spaces_do_not():
    assert tokens("Don't stop, now.", "word") == ["Don", "'", "t", "stop", ",", "now", "."]
    assert tokens("Don't  stop, now.") == ["Don't", "stop,", "now."]


def test_f1_of_nothing_is_zero():
    assert f1(0.0, 0.0) == 0.0
    assert f1(0.5, 1.0) == 2 / 3


def test_blank_references_say_nothing():
    assert stated(["", " \n", "yes", "no "]) == ["yes", "no "]
