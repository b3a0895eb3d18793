"""Counts of words, letters and items, against str.count and plain loops."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.computed.counting import COUNTS, LONGEST
from tests.curate.computed.checking import claims, sole, verdict

WORD = st.text("abcdefghiklmnorstu", min_size=5, max_size=14)


@settings(max_examples=50)
@given(WORD, st.sampled_from(["letters", "vowels", "consonants"]))
def test_letters_of_a_word_are_counted_by_a_loop(word, what):
    vowels = sum(word.count(letter) for letter in "aeiou")
    value = {"letters": len(word), "vowels": vowels, "consonants": len(word) - vowels}[what]
    prompt = f'How many {what} are in the word "{word}"?'
    right = sole("counting", prompt, f"There are {value} {what}.")
    assert (right.verdict, right.expected) == ("right", str(value))
    wrong = sole("counting", prompt, f"There are {value + 1} {what}.")
    assert (wrong.verdict, wrong.found) == ("wrong", str(value + 1))


@settings(max_examples=50)
@given(WORD, st.sampled_from("bdlrst"))
def test_a_letter_is_counted_as_str_count_does(word, letter):
    assume(word not in "count the occurrences of the letter")
    prompt, value = f'How many times does the letter {letter} appear in the word "{word}"?', word.count(letter)
    ways = [prompt, f"Count the occurrences of the letter {letter}.\n\n{word}"]
    for way in ways:
        assert verdict("counting", way, f"It appears {value} times.") == "right"
        wrong = sole("counting", way, f"It appears {value + 1} times.")
        assert (wrong.verdict, wrong.expected) == ("wrong", str(value))
        assert wrong.how.startswith(f"the letter {letter} in ")


@pytest.mark.parametrize(
    ("what", "text", "counts"),
    [
        ("word", "one", {1}),
        ("word", "well-known", {1, 2}),
        ("word", "and/or", {1, 2}),
        ("word", "don't stop", {2}),
        ("word", "7 days - no more", {4, 5, 3}),
        ("letter", "ab 12", {2, 4}),
        ("letter", "it's", {3, 4}),
        ("vowel", "Yearly OAK", {4, 6}),
        ("consonant", "Yearly OAK", {5, 3}),
        ("sentence", "One. Two? Three!", {3}),
        ("sentence", "No mark at the end", {1}),
        ("sentence", "It cost 3.50 in all. Yes.", {2}),
        ("sentence", "J. Smith ran.", set()),
        ("sentence", "Line one.\nLine two.", set()),
        ("sentence", "Well... yes.", set()),
    ],
)
def test_each_count_holds_its_usual_readings_and_no_more(what, text, counts):
    assert COUNTS[what](text) == counts


@pytest.mark.parametrize("length", range(11, 24))
def test_characters_may_be_counted_with_or_without_spaces_quotes_and_closing_mark(length):
    text = "The cat sat at it."
    readings = {len(text), len(text) - 1, len(text.replace(" ", "")), len(text.replace(" ", "")) - 1, len(f'"{text}"')}
    prompt = f"How many characters are in the following sentence?\n\n{text}"
    expected = "right" if length in readings else "wrong"
    assert verdict("counting", prompt, f"There are {length} characters.") == expected


@settings(max_examples=40)
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=5), min_size=2, max_size=9))
def test_items_of_a_list_are_counted_with_or_without_repeats(parts):
    prompt = f"How many items are in the list?\n\n{', '.join(parts)}"
    for value in (len(parts), len(set(parts))):
        assert sole("counting", prompt, f"There are {value} items.").verdict == "right"
    wrong = sole("counting", prompt, f"There are {len(parts) + 1} items.")
    assert wrong.verdict == "wrong"
    assert wrong.how == f"{len(parts)} items: {', '.join(parts)}"


@pytest.mark.parametrize(
    "said", ["4", "Four", "four.", "There are 4 words.", "The sentence has four words.", "4 words", "**4**", "= 4"]
)
def test_a_count_is_read_in_digits_and_words(said):
    assert verdict("counting", 'How many words are in the sentence "Red birds sing early"?', said) == "right"
    assert verdict("counting", 'How many words are in the sentence "Red birds sing"?', said) == "wrong"


def test_the_text_repeated_in_the_answer_is_not_searched_for_the_count():
    prompt = "Count the number of words in this sentence.\n\nThere were 7 cats and 9 dogs."
    assert sole("counting", prompt, '"There were 7 cats and 9 dogs." has 11 words.').found == "11"
    assert verdict("counting", prompt, "There were 7 cats and 9 dogs. That is 7 words.") == "right"


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [
        ('How many times does the word "hen" appear in the text?\n\nHen, then a hen', (1, 2, 3)),
        ('Count the number of times the word "an" appears.\n\nAn ant, an elf and a man', (1, 2, 5)),
    ],
)
def test_a_word_may_be_counted_alone_or_inside_others(prompt, counts):
    for count in counts:
        assert verdict("counting", prompt, f"It appears {count} times.") == "right"
    assert verdict("counting", prompt, "It appears 9 times.") == "wrong"


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("How many words are in the sentence?", "There are 9 words."),
        ("How many letters are in the word it?", "9"),
        ("How many different letters are in the word below?\n\nbanana", "9"),
        ("Count the words and the letters.\n\nThe cat sat down.", "9"),
        ('How many words are in "one two" and "three four"?', "9"),
        ("How many words per minute can you type: fast", "9"),
        ("Count the number of words.\n\nText: The cat\nNote: sat down", "9"),
        ("Count the words.\n\nThe cat sat down.", "It has a few words."),
        ("Count the words.\n\n" + "word " * (LONGEST // 5 + 1), "9"),
        ("Write code to count the words.\n\nThe cat sat down.", "9"),
    ],
)
def test_a_text_that_is_not_certain_is_left_alone(prompt, response):
    assert claims("counting", prompt, response) == []


def test_the_proof_quotes_the_text_and_gives_every_reading():
    claim = sole("counting", 'How many vowels are in the string "yes"?', "There are 3 vowels.")
    assert (claim.expected, claim.found, claim.how) == ("1 or 2", "3", "vowels in 'yes': 1 or 2")
