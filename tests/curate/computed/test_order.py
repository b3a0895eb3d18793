"""Lists sorted and reversed, against Python's sorted and reversed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.curate.computed.checking import claims, sole, verdict

NUMBERS = st.lists(st.integers(-50, 999), min_size=3, max_size=8)


@settings(max_examples=50)
@given(NUMBERS, st.booleans(), st.randoms(use_true_random=False))
def test_numbers_are_in_order_when_python_sorts_them_so(values, down, random):
    mixed = list(values)
    random.shuffle(mixed)
    wish = random.choice(
        ["descending order", "order from largest to smallest"]
        if down
        else ["ascending order", "non-decreasing order", "order from the smallest to the largest"]
    )
    true = sorted(values, reverse=down)
    claim = sole("order", f"Arrange the numbers in {wish}: {', '.join(map(str, values))}", ", ".join(map(str, mixed)))
    assert claim.verdict == ("right" if mixed == true else "wrong")
    assert claim.expected == ", ".join(map(str, true))
    assert claim.found == ", ".join(map(str, mixed))


@settings(max_examples=40)
@given(st.lists(st.fractions(0, 5, max_denominator=12), min_size=3, max_size=6, unique=True))
def test_fractions_are_compared_by_value(values):
    prompt = f"Order the following from least to greatest: {', '.join(map(str, values))}"
    assert sole("order", prompt, ", ".join(map(str, sorted(values)))).verdict == "right"
    assert sole("order", prompt, ", ".join(map(str, sorted(values, reverse=True)))).verdict == "wrong"
    by_letters = sorted(values, key=str)
    assert verdict("order", prompt, ", ".join(map(str, by_letters))) == (
        "right" if by_letters == sorted(values) else "wrong"
    )


@settings(max_examples=40)
@given(st.lists(st.text("abcXYZ", min_size=2, max_size=5), min_size=3, max_size=6, unique_by=str.casefold))
def test_letters_of_either_case_are_alike_in_the_alphabet(words):
    true = sorted(words, key=str.casefold)
    prompt = f"Sort the words in alphabetical order: {', '.join(words)}"
    assert sole("order", prompt, ", ".join(true)).verdict == "right"
    back = sole("order", prompt, ", ".join(reversed(true)))
    assert (back.verdict, back.expected) == ("wrong", ", ".join(true))
    assert sole("order", f"Sort in reverse alphabetical order: {', '.join(words)}", ", ".join(true)).verdict == "wrong"


@pytest.mark.parametrize(
    "response",
    [
        "ant, bee, cow",
        "[ant, bee, cow]",
        "ant; bee; cow",
        "1. ant\n2. bee\n3. cow",
        "- ant\n- bee\n- cow",
        "The sorted list is: ant, bee, cow",
        "The words in order are ant, bee, and cow.",
        '"ant", "bee", "cow"',
        "ant\nbee\ncow",
    ],
)
def test_a_sorted_list_is_read_in_any_layout(response):
    prompt = "Sort these words alphabetically: cow, ant, bee"
    assert sole("order", prompt, response).verdict == "right"
    swapped = response.replace("bee", "@").replace("ant", "bee").replace("@", "ant")
    assert sole("order", prompt, swapped).verdict == "wrong"


def test_titles_may_be_sorted_with_or_without_their_article_and_names_by_either_part():
    titles = "Put the titles in alphabetical order: The Red Ant, A New Yak, Lost Zoo"
    for order in ("A New Yak, Lost Zoo, The Red Ant", "Lost Zoo, A New Yak, The Red Ant"):
        assert verdict("order", titles, order) == "right"
    assert verdict("order", titles, "Lost Zoo, The Red Ant, A New Yak") == "wrong"
    names = "Put the names in alphabetical order: Ann Young, Bob Hill, Cy Moss"
    for order in ("Ann Young, Bob Hill, Cy Moss", "Bob Hill, Cy Moss, Ann Young"):
        assert verdict("order", names, order) == "right"


def test_a_number_that_was_changed_is_wrong_but_two_lost_or_a_repeat_dropped_are_unclear():
    prompt = "Sort the numbers in ascending order: 9, 4, 7, 4, 1"
    assert verdict("order", prompt, "1, 4, 4, 7, 8") == "wrong"
    assert verdict("order", prompt, "1, 4, 7, 9") is None
    assert verdict("order", prompt, "4, 7, 9") is None
    assert verdict("order", "Sort the numbers in ascending order: 9, 4, 7, 1", "1, 4, 7") == "wrong"


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Sort the numbers: 3, 1, 2", "3, 1, 2"),
        ("Sort in ascending order: 3, 1", "3, 1"),
        ("Sort in ascending order: three bears, 2 pigs, 7 dwarfs", "7 dwarfs, 2 pigs, three bears"),
        ("Sort the words alphabetically by length: aaa, b, cc", "cc, b, aaa"),
        ("Sort in ascending order and remove duplicates: 3, 1, 2", "3, 1, 2"),
        ("Write a function to sort in ascending order: 3, 1, 2", "3, 1, 2"),
        ("Sort in ascending order: 3, 1, 2", "```\n3, 1, 2\n```"),
        ("Sort the words alphabetically: pear, fig, apple", "pear, fig, grape"),
    ],
)
def test_an_order_that_is_not_certain_is_left_alone(prompt, response):
    assert claims("order", prompt, response) == []


@settings(max_examples=40)
@given(st.lists(st.integers(0, 99), min_size=3, max_size=8))
def test_a_reversed_list_is_that_of_python(values):
    assume(values != values[::-1])
    prompt = f"Reverse the list: {values}"
    true = ", ".join(map(str, reversed(values)))
    joined = "".join(map(str, values[::-1]))
    if joined != "".join(map(str, values)):
        assert sole("reverse", prompt, str(values[::-1])).verdict == "right"
        wrong = values[::-1]
        wrong[0] += 1 if wrong[0] != 9 else -1
        claim = sole("reverse", prompt, str(wrong))
        assert (claim.verdict, claim.expected) == ("wrong", true)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["red", "sun", "old", "sea", "wet", "ice"]), min_size=3, max_size=6, unique=True))
def test_reversed_words_keep_their_letters(words):
    prompt = f"Reverse the order of the words.\n\n{' '.join(words)}"
    assert sole("reverse", prompt, " ".join(words[::-1])).verdict == "right"
    letters = sole("reverse", prompt, " ".join(words)[::-1])
    assert (letters.verdict, letters.expected) == ("wrong", " ".join(words[::-1]))


@settings(max_examples=40)
@given(st.text("abcdefghij", min_size=4, max_size=14), st.integers(0, 12))
def test_one_pair_of_letters_swapped_is_no_reversal(word, place):
    true = word[::-1]
    at = place % (len(true) - 1)
    slip = true[:at] + true[at + 1] + true[at] + true[at + 2 :]
    assume(word != true and slip not in (true, word))
    claim = sole("reverse", f'Reverse the letters of the word "{word}".', f'The reversed word is "{slip}".')
    assert (claim.verdict, claim.expected, claim.found) == ("wrong", true, slip)


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ('Reverse the string "level".', "lavel"),
        ('Reverse the string "stone".', "e"),
        ('Reverse the string "stone".', "The string stone is turned around letter by letter until it is done."),
        ('Reverse the string "stone" and write it in capitals.', "ENOTZ"),
        ("Reverse the string.", "gnirtz"),
        ('Reverse the string "stone".', "stone"),
    ],
)
def test_a_reversal_that_is_not_certain_is_left_alone(prompt, response):
    assert claims("reverse", prompt, response) == []


def test_fractions_and_decimals_of_one_value_are_equal_in_order():
    assert Fraction("0.5") == Fraction(1, 2)
    prompt = "Sort from smallest to largest: 0.75, 1/2, 0.5, 0.1"
    for order in ("0.1, 1/2, 0.5, 0.75", "0.1, 0.5, 1/2, 0.75"):
        assert sole("order", prompt, order).verdict == "right"
