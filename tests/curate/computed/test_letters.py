"""Anagrams, palindromes, first letters, and yes or no."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.computed.letters import letters_of, yes_or_no
from tests.curate.computed.checking import claims, sole, verdict

WORD = st.text("abcdeilnorst", min_size=4, max_size=10)


@settings(max_examples=50)
@given(WORD, st.randoms(use_true_random=False), st.sampled_from(["{}", '"{}"', 'The anagram is "{}".']))
def test_an_anagram_has_the_same_letters(word, random, shape):
    letters = list(word)
    random.shuffle(letters)
    mixed = "".join(letters)
    assume(mixed != word)
    prompt = f'Create an anagram of the word "{word}".'
    assert sole("anagram", prompt, shape.format(mixed)).verdict == "right"
    longer = sole("anagram", prompt, f'"{mixed}x"')
    assert (longer.verdict, longer.found) == ("wrong", f"{mixed}x")
    assert longer.expected == f"the letters {''.join(sorted(word))}"
    assert Counter(longer.how.rpartition(": ")[2]) == Counter(f"{mixed}x")


def test_of_several_anagrams_the_bad_one_is_shown():
    prompt = "Generate three anagrams of stale"
    assert sole("anagram", prompt, "least, steal, tales").verdict == "right"
    claim = sole("anagram", prompt, "1. least\n2. stall\n3. tales")
    assert (claim.verdict, claim.found, claim.how) == ("wrong", "stall", "letters of stale: aelst; of stall: allst")


def test_the_same_word_again_is_neither_right_nor_wrong():
    assert claims("anagram", 'Create an anagram of the word "listen".', "Listen") == []


def test_letters_of_a_phrase_count_without_spaces_marks_and_case():
    assert letters_of("Don't, É 2 STOP!") == "donté2stop"
    assert sole("anagram", 'Find an anagram of the phrase "Dormitory".', '"Dirty room!"').verdict == "right"


@settings(max_examples=50)
@given(st.text("abcd", min_size=2, max_size=9), st.booleans())
def test_a_palindrome_equals_its_reversal(word, said):
    true = word == word[::-1]
    claim = sole("palindrome", f'Is the word "{word}" a palindrome?', "Yes, it is." if said else "No, it is not.")
    assert claim.verdict == ("right" if said == true else "wrong")
    assert (claim.expected, claim.found) == tuple("yes" if one else "no" for one in (true, said))
    assert claim.how == f"{word} backwards: {word[::-1]}"


@settings(max_examples=30)
@given(st.text("abcdef", min_size=3, max_size=8))
def test_a_mirrored_word_is_a_palindrome_until_a_letter_is_put_at_its_end(word):
    mirrored = word + word[::-1]
    assert sole("palindrome", "Write a palindrome.", mirrored).verdict == "right"
    wrong = sole("palindrome", "Write a palindrome.", f"{mirrored}z")
    assert (wrong.verdict, wrong.found) == ("wrong", f"{mirrored}z")
    assert wrong.how == f"{mirrored}z backwards: z{mirrored}"


def test_a_palindrome_is_read_without_spaces_and_marks():
    phrase = "A man, a plan, a canal: Panama!"
    assert sole("palindrome", "Create a palindrome phrase.", phrase).verdict == "right"
    assert sole("palindrome", 'Is "Was it a car or a cat I saw" a palindrome?', "No.").expected == "yes"


@pytest.mark.parametrize(
    ("prompt", "response", "bad"),
    [
        ("List three animals that start with the letter B.", "Bear, Bat, Bee", None),
        ("List three animals that start with the letter B.", "Bear, Rat, Bee", "Rat"),
        ("List three animals that start with the letter B.", "1. the bear\n2. a bat\n3. cow", "cow"),
        ("Name two people whose names start with K.", "Karl May, Ada Keller", None),
        ("List three words ending with the letter e", "tree, bee, sky", "sky"),
        ("List three words ending in e", "tree - a plant, bee - it buzzes, hive", None),
        ("Give me words that begin with the letter q", "queen, **quiz**, kiosk", "kiosk"),
    ],
)
def test_each_word_starts_or_ends_as_asked(prompt, response, bad):
    claim = sole("initial", prompt, response)
    assert claim.verdict == ("wrong" if bad else "right")
    if bad:
        side = "ends" if "ending" in prompt else "starts"
        assert claim.found == bad
        assert claim.how == f"{bad} {side} with {bad.lower()[-1 if side == 'ends' else 0]}"
        assert claim.expected.startswith(f"each {side} with ")


@pytest.mark.parametrize(
    ("response", "told"),
    [
        ("Yes", True),
        ("yes, it is", True),
        ("True.", True),
        ("Correct!", True),
        ("No", False),
        ("False", False),
        ("It is not.", False),
        ("It isn't one.", False),
        ("51 is not a prime number.", False),
        ("The word is a palindrome.", True),
        ("It is not a palindrome, as you see if you turn it around.", False),
        ("Yes, it is not.", None),
        ("Perhaps.", None),
        ("", None),
        ("It is not clear whether it is one.", None),
        ("It is unknown.", None),
        ("It is not possible to say.", None),
        ("I do not know whether it is.", None),
        ("A word is a palindrome if it reads the same both ways.", None),
        ("It is one unless spaces count.", None),
    ],
)
def test_yes_and_no_are_told_from_what_says_neither(response, told):
    assert yes_or_no(response) is told


def test_a_definition_in_place_of_an_answer_is_not_called_wrong():
    response = "A word is a palindrome if it reads the same backwards."
    assert claims("palindrome", 'Is "racecar" a palindrome?', response) == []
    assert claims("palindrome", 'Is "racecar" a palindrome?', "It is not clear.") == []
    assert verdict("palindrome", 'Is "racecar" a palindrome?', "It isn't a palindrome.") == "wrong"


@pytest.mark.parametrize(
    ("kind", "prompt", "response"),
    [
        ("anagram", 'Create an anagram of the word "listen".', "```\nprint('lister')\n```"),
        ("anagram", "Create an anagram of cat, dog", "tack"),
        ("anagram", "Unscramble the words to make a sentence: is sky blue the", "The sky was blue"),
        ("anagram", "Create an anagram of a word", ", ".join(["drew"] * 13)),
        ("palindrome", 'Is "level" or "lever" a palindrome?', "No."),
        ("palindrome", "Write a sentence about a palindrome.", "It is a word."),
        ("palindrome", "Give me the definition of a palindrome.", "A backward word."),
        ("palindrome", "Write a sentence with a palindrome.", "Mom went home."),
        ("palindrome", "Is the list a palindrome?\n\n1, 2, 3", "Yes."),
        ("initial", "List animals that start with the letter B or C.", "ant"),
        ("initial", "List words that start with the letter B in each sentence.", "ant"),
        ("initial", "List animals that start with the letter B.", "I would say that most animals do not, for example"),
    ],
)
def test_what_is_not_certain_is_left_alone(kind, prompt, response):
    assert claims(kind, prompt, response) == []
