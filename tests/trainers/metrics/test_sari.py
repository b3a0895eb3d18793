"""SARI against published values and exact counting."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.metrics.sari import sari

SOURCE = "About 95 species are currently accepted ."
REFERENCES = [
    "About 95 species are currently known .",
    "About 95 species are now accepted .",
    "95 species are now accepted .",
]


@pytest.mark.parametrize(
    ("prediction", "value"),
    [
        ("About 95 you now get in .", 0.2695360195360195),
        ("About 95 species are now agreed .", 0.6170965608465608),
        ("About 95 species are currently agreed .", 0.5088681849551414),
    ],
)
def test_the_examples_of_the_authors_have_their_published_values(prediction, value):
    assert sari(SOURCE, prediction, REFERENCES) == pytest.approx(value, abs=1e-12)


def grams(text: str, n: int) -> list[str]:
    words = text.lower().split()
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


def harmonic(a: Fraction, b: Fraction) -> Fraction:
    return 2 * a * b / (a + b) if a + b else Fraction(0)


def share(a: int | Fraction, b: int) -> Fraction:
    return Fraction(a) / b if b else Fraction(0)


def slow(source: str, prediction: str, references: list[str]) -> Fraction:
    """SARI counted gram by gram, each reference as a fraction of a vote (the paper's equations 1 to 4)."""
    r, total = len(references), Fraction(0)
    for n in range(1, 5):
        old, new = grams(source, n), grams(prediction, n)
        wanted = [gram for reference in references for gram in grams(reference, n)]
        kept = kept_right = should = deleted = Fraction(0)
        kept_types = deleted_types = 0
        for gram in set(old):
            i, o, votes = old.count(gram), new.count(gram), Fraction(wanted.count(gram), r)
            both = min(i, o)
            should += min(Fraction(i), votes)
            if both:
                kept_types += 1
                kept += min(Fraction(both), votes) / both
                kept_right += min(Fraction(both), votes)
            if i > o:
                deleted_types += 1
                deleted += max(Fraction(i - o) - votes, Fraction(0)) / (i - o)
        recall = kept_right / should if should else Fraction(0)
        added, additions = set(new) - set(old), set(wanted) - set(old)
        right = len(added & additions)
        total += harmonic(share(kept, kept_types), recall)
        total += share(deleted, deleted_types)
        total += harmonic(share(right, len(added)), share(right, len(additions)))
    return total / 12


TEXT = st.lists(st.sampled_from(list("abcdE")), max_size=9).map(" ".join)


@settings(max_examples=100)
@given(TEXT, TEXT, st.lists(TEXT.filter(bool), min_size=1, max_size=3))
def test_it_equals_exact_counting_gram_by_gram(source, prediction, references):
    assert sari(source, prediction, references) == pytest.approx(float(slow(source, prediction, references)), abs=1e-12)


def test_letter_case_does_not_count_and_the_split_may_set_punctuation_apart():
    assert sari("A b c d e", "a B c d", ["a b c d"]) == sari("a b c d e", "a b c d", ["a b c d"])
    assert sari("One, two three.", "One, two.", ["one , two ."], "word") > sari(
        "One, two three.", "One, two.", ["one , two ."]
    )


def test_the_wanted_simplification_beats_a_copy_and_an_empty_answer():
    wanted = REFERENCES[1]
    assert sari(SOURCE, wanted, REFERENCES) > sari(SOURCE, SOURCE, REFERENCES) > 0
    assert sari(SOURCE, wanted, REFERENCES) > sari(SOURCE, "", REFERENCES)
