"""Words, grams and normalisation against Python references."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import text, tokens
from curate.text import Lexicon, grams_of, keyed, normalise, numbers, whole, words

CHARACTERS = st.characters(exclude_categories=("Cs", "Cn"))
TEXTS = st.lists(st.text(CHARACTERS, max_size=40), max_size=8)
SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d", "ab"]), max_size=12).map(" ".join)
PLAIN = st.lists(SENTENCES, min_size=1, max_size=10)

WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def column(*texts: str) -> pl.Series:
    return pl.Series("text", list(texts), dtype=pl.String)


def units(sentence: str, unit: str) -> list[str]:
    if unit == "word":
        return re.findall(r"\w+", sentence.lower())
    return list(re.sub(f"[{WHITE}]+", " ", sentence.lower()).strip(" "))


def reference(sentence: str, n: int, unit: str = "word") -> list[tuple[str, ...]]:
    found = units(sentence, unit)
    if 0 < len(found) < n:
        return [tuple(found)]
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


@given(TEXTS)
def test_words_are_those_of_pythons_regular_expression(texts):
    assert words(column(*texts)).to_list() == [re.findall(r"\w+", t.lower()) for t in texts]


def test_every_assigned_character_is_in_a_word_exactly_where_python_says_so():
    characters = [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) not in {"Cn", "Cs"}]
    ours = pl.Series(characters).str.contains(text.WORD).to_list()
    assert [c for c, inside in zip(characters, ours, strict=True) if inside != bool(re.match(r"\w", c))] == []


def test_whole_joins_the_words_and_forgets_case_and_punctuation():
    assert whole(column("What is  2+2?", "...", "")).to_list() == ["what is 2 2", "", ""]


@given(TEXTS, st.integers(1, 5), st.sampled_from(["word", "char"]))
@settings(max_examples=60, deadline=None)
def test_two_grams_have_one_number_exactly_when_they_are_equal(texts, n, unit):
    grams = grams_of(column(*texts), n, unit)
    expected = [(row, gram) for row, t in enumerate(texts) for gram in reference(t, n, unit)]
    assert grams.row.tolist() == [row for row, _ in expected]
    names: dict[int, tuple[str, ...]] = {}
    numbers_of: dict[tuple[str, ...], int] = {}
    for number, (_, gram) in zip(grams.gram.tolist(), expected, strict=True):
        assert names.setdefault(number, gram) == gram
        assert numbers_of.setdefault(gram, number) == number


@pytest.mark.parametrize("n", [1, 2, 3, 7, 13, 24, 64])
def test_long_grams_are_exact_however_many_packings_they_take(n):
    rng = np.random.default_rng(n)
    texts = [" ".join(f"w{rng.integers(3)}" for _ in range(80)) for _ in range(20)]
    texts += [texts[0], texts[1][3:]]
    grams = grams_of(column(*texts), n)
    ours = Counter(grams.gram.tolist()).values()
    theirs = Counter(gram for t in texts for gram in reference(t, n)).values()
    assert sorted(ours) == sorted(theirs)


def test_a_vocabulary_too_large_to_pack_at_once_is_still_exact():
    texts = [" ".join(f"{i}x{j}" for j in range(40)) for i in range(3000)]
    grams = grams_of(column(*texts, texts[7]), 6)
    assert len(np.unique(grams.gram)) == 3000 * 35
    assert grams.gram[grams.row == 7].tolist() == grams.gram[grams.row == 3000].tolist()


def test_a_short_text_has_one_gram_that_no_longer_text_has():
    grams = grams_of(column("a b", "a b", "a b c", "b", "!?"), 3)
    assert grams.row.tolist() == [0, 1, 2, 3]
    assert grams.gram[0] == grams.gram[1]
    assert len(set(grams.gram.tolist())) == 3


def test_which_grams_are_equal_does_not_depend_on_the_chunk(monkeypatch):
    texts = column(*[f"row {i % 5} of {i} things and {i % 3} mor\u00e9 incomprehensibilities" for i in range(50)])
    at_once = grams_of(texts, 13)
    monkeypatch.setattr(tokens, "CHUNK", 7)
    monkeypatch.setattr(text, "BLOCK", 11)
    in_parts = grams_of(texts, 13)
    assert at_once.row.tolist() == in_parts.row.tolist()
    pairs = set(zip(at_once.gram.tolist(), in_parts.gram.tolist(), strict=True))
    assert len(pairs) == len(set(at_once.gram.tolist())) == len(set(in_parts.gram.tolist()))


LETTERS = st.sampled_from(["a", "b", "\u00e9", "\u4e2d", "\U0001d49c", "_", "7"])
LONG_WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=90), max_size=6)


@given(st.lists(LONG_WORDS.map(" ".join), max_size=6))
@settings(max_examples=80, deadline=None)
def test_words_of_any_length_and_script_have_one_number_exactly_when_they_are_equal(texts):
    found = grams_of(column(*texts), 1)
    expected = [word for t in texts for word in reference(t, 1)]
    pairs = set(zip(found.gram.tolist(), expected, strict=True))
    assert len(pairs) == len(set(found.gram.tolist())) == len(set(expected))


@pytest.mark.parametrize("size", [7, 8, 9, 15, 16, 17, 63, 64, 65, 200, 5000])
def test_words_that_differ_in_their_last_letter_or_by_one_letter_are_other_words(size):
    word = "x" * (size - 1)
    found = grams_of(column(word + "x", word + "y", word, "y" + word, word + "x"), 1).gram.tolist()
    assert len(set(found)) == 4
    assert found[0] == found[4]


def test_a_zero_byte_is_no_part_of_a_word():
    found = grams_of(column("ab\0", "ab", "\0ab\0ab"), 1)
    assert len(set(found.gram.tolist())) == 1
    assert found.row.tolist() == [0, 1, 2, 2]


@given(PLAIN, PLAIN, st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_a_lexicon_finds_exactly_the_grams_that_it_was_made_from(known, other, n):
    lexicon = Lexicon.of(column(*known), n)
    of_known = {g for t in known for g in reference(t, n) if len(g) == n}
    found = lexicon.grams(column(*other))
    expected = [row for row, t in enumerate(other) for g in reference(t, n) if g in of_known]
    assert found.row.tolist() == expected
    assert all(0 <= g < len(lexicon) for g in found.gram.tolist())


@given(PLAIN, st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_a_lexicon_gives_a_gram_the_same_number_in_every_text(texts, n):
    lexicon = Lexicon.of(column(*texts), n)
    alone = [lexicon.grams(column(t)).gram.tolist() for t in texts]
    together = lexicon.grams(column(*texts))
    assert [g for part in alone for g in part] == together.gram.tolist()


def test_an_unknown_word_ends_every_gram_that_it_is_in():
    lexicon = Lexicon.of(column("a b c d e"), 2)
    assert lexicon.grams(column("a b x c d")).row.tolist() == [0, 0]


def test_a_lexicon_of_characters_knows_characters():
    lexicon = Lexicon.of(column("the cat"), 3, "char")
    assert len(lexicon.grams(column("THE   CAT")).gram) == 5
    assert lexicon.grams(column("dog")).gram.tolist() == []


@pytest.mark.parametrize("unit", ["word", "char"])
def test_no_texts_have_no_grams(unit):
    assert grams_of(column(), 3, unit).gram.tolist() == []
    assert grams_of(column("", " \n"), 3, unit).gram.tolist() == []
    lexicon = Lexicon.of(column(), 3, unit)
    assert lexicon.grams(column("a b c d")).gram.tolist() == []
    assert lexicon.grams(column()).rows == 0


@given(st.lists(st.text(CHARACTERS, max_size=20), max_size=6), st.booleans(), st.booleans())
def test_normalising_twice_changes_nothing(texts, case, whitespace):
    once = normalise(column(*texts), case=case, whitespace=whitespace)
    assert normalise(once, case=case, whitespace=whitespace).to_list() == once.to_list()


def test_normalisation_does_what_each_field_says():
    decomposed, composed = "cafe\u0301", "caf\u00e9"
    assert normalise(column(decomposed)).to_list() == [composed]
    assert normalise(column(decomposed), nfc=False).to_list() == [decomposed]
    assert normalise(column("STRASSE", "straße"), case=True).n_unique() == 1
    assert normalise(column("STRASSE", "Strasse")).n_unique() == 2
    assert normalise(column(" a \t\n b\u00a0c ")).to_list() == ["a b c"]
    assert normalise(column(" a "), whitespace=False).to_list() == [" a "]


def test_the_same_numbers_in_any_order_have_one_label():
    labels = numbers(column("2 and 30", "30, then 2.", "2 and 31", "2, 2 and 30", "none", "", "1,200.50", "1200.50"))
    assert labels[0] == labels[1]
    assert labels[4] == labels[5]
    assert len(set(labels.tolist())) == 6


def test_the_key_chooses_what_is_compared():
    rows = pl.DataFrame({"prompt": ["p"], "response": ["r"]})
    assert [keyed(rows, key).to_list() for key in ("prompt", "response", "both")] == [["p"], ["r"], ["p\nr"]]
