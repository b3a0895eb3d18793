"""The stemmer against NLTK's."""

from __future__ import annotations

import random
import re
from pathlib import Path

import nltk
from nltk.stem.porter import PorterStemmer

from trainers.metrics.porter import stem

REFERENCE = PorterStemmer()
LETTERS = "abeiolstyz"
SUFFIXES = re.findall(
    r"\w+",
    "ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness fulness ousness "
    "aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant "
    "ement ment ent ion ou ism ate iti ous ive ize ing ed eed ies ied s ss sses y e ll ",
)


def test_made_up_words_have_the_stems_of_nltk():
    draw = random.Random(0)
    words = {
        "".join(draw.choices(LETTERS, k=draw.randint(0, 5)) + draw.choices(SUFFIXES, k=draw.randint(0, 3)))
        for _ in range(6_000)
    }
    assert len(words) > 4_000
    assert {word: stem(word) for word in words} == {word: REFERENCE.stem(word) for word in words}


def test_every_word_of_a_large_english_text_has_the_stem_of_nltk():
    folder = Path(nltk.__file__).parent / "stem"
    words = {word for path in folder.glob("*.py") for word in re.findall(r"[a-z0-9]+", path.read_text("utf-8").lower())}
    assert len(words) > 3000
    assert {word: stem(word) for word in words} == {word: REFERENCE.stem(word) for word in words}


def test_irregular_words_keep_their_stems():
    assert [stem(word) for word in ("skies", "dying", "news", "innings", "proceed")] == [
        "sky",
        "die",
        "news",
        "inning",
        "proceed",
    ]
