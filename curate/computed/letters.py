"""Anagrams, palindromes and words with a given first or last letter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from curate.computed.answer import is_code
from curate.computed.ask import Ask, plain
from curate.computed.claim import Claim, Family, ruling
from curate.computed.items import body, items

LONGEST: Final = 1000
_QUOTED: Final = re.compile(r"[\"“]([^\"“”]{1,80})[\"”]|(?<!\w)['‘]([^'‘’]{1,80})['’](?!\w)")
_CODE_ASKED: Final = re.compile(
    r"\b(?:code|program|function|script|algorithm|method|python|java\w*|c\+\+|php|regex|class"
    r"|determine if|sql|ruby|bash|return)\b"
)
_ANAGRAM: Final = re.compile(
    r"^(?:please )?(?:create|generate|make|find|come up with|give|form|produce|provide|construct"
    r"|write|suggest|compose|name|think of|devise|formulate|design"
    r"|build|invent)(?: me)? (?:an?|one|two|three|four|five|\d|some|the|new|possible|different"
    r"|single|other)*(?: \w+){0,1} ?anagrams? (?:for|of|from|using|with|out of|based on)"
    r"(?: the| this| these| a| an| given| following| provided| word| words| phrase| letters?|"
    r" letters of| in| name| string| sentence| below| input| original)*[\s:]*(?P<what>.*)$"
)
_UNSCRAMBLE: Final = re.compile(
    r"^(?:please )?(?:unscramble|rearrange|re-arrange|unjumble)(?: the| these| this| given|"
    r" following| letters| word| words| jumbled| scrambled| in| of|"
    r" below)*[\s:]+(?P<what>[\"']?[a-z, ]+?[\"']?)"
    r"(?: to (?:form|make|create|spell|find|get|reveal)(?: an?| another| the| new| one|"
    r" meaningful| real| valid| english| correct| single| different)*(?: word| noun|"
    r" verb)s?)?[.?!: ]*$"
)
_OF_LETTERS: Final = re.compile(
    r"^(?:please )?(?:unscramble|unjumble)\b(?!.*\b(?:words|sentence)\b)|\bletters\b(?!.*\bsentence\b)"
)
_WITH: Final = re.compile(
    r"\b(?:words?|animals?|adjectives?|verbs?|nouns?|countries|country|fruits?|names?|cities|city"
    r"|foods?|vegetables?|flowers?|colou?rs?|adverbs?|states?|birds?|objects?|synonyms?"
    r"|items?|things|occupations?|professions?|plants?|titles?|movies?|companies|books?|places"
    r"|terms)\b(?: that| which| whose names?| all| each| both)* "
    r"(?P<end>start|starts|starting|begin|begins|beginning|end|ends|ending) (?:with|in)"
    r"(?: the| a| an)?(?: same)?(?: letters?| alphabet)? [\"']?(?P<letter>[a-z])[\"']?[.?!: ]*$"
)
_LISTS: Final = re.compile(
    r"(?:please |can you |could you )?(?:list|name|generate|give|find|come up|write|create"
    r"|provide|think|suggest|make|identify|produce|output|tell|brainstorm|compile|construct|state"
    r"|print|show|what (?:is|are))\b"
)
_ASKS_PALINDROME: Final = re.compile(
    r"\b(?:is|if|whether|that|does|of)\b[^.?]{0,60}\bpalindrom|\bpalindrome\b[^.?]{0,30}\bor not"
)
_MAKES_PALINDROME: Final = re.compile(
    r"^(?:please )?(?:create|generate|make|find|come up with|give|write|provide|construct|name"
    r"|think of|produce|compose|suggest|list|output)(?: me)?"
    r"(?: (?!about|on|with|using|containing|explaining|describing|defining|definition|meaning|explanation|history)\w+)"
    r"{0,4} palindromes?\b"
    r"(?! (?:program|code|function|checker|of|in|from|with|using|start))"
)


_UNSURE: Final = re.compile(
    r"\bwhether\b|\b(?:unclear|unknown)\b|(?:\bnot|n't) (?:clear|certain|sure|known|possible to (?:say|tell|know))\b"
)


def letters_of(text: str) -> str:
    """Return the letters and digits of a text in lower case."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _candidates(response: str, but: str = "") -> list[str]:
    """Return the words or phrases that a response offers: its lines or list, what it quotes, or all of it if short."""
    quoted = [one or two for one, two in _QUOTED.findall(response)]
    offered = [text for text in quoted if letters_of(text) != letters_of(but)]
    if quoted and len(offered) < 12:
        return offered
    said = body(response)
    listed = items(said)
    if listed and all(len(item.split()) <= 4 for item in listed):
        return listed
    after = re.search(r"\b(?:is|be|are)\b:?\s+([\w' -]{1,40})[.!]?$", said)
    if after and len(after[1].split()) <= 4:
        return [after[1]]
    return [said.strip(" .!")] if len(said.split()) <= 5 and "\n" not in said else []


def _anagram(ask: Ask, response: str) -> Iterator[Claim]:
    if len(response) > LONGEST or is_code(response) or _CODE_ASKED.search(ask.text):
        return
    head = plain(ask.instruction)
    match = _ANAGRAM.match(head) or (_UNSCRAMBLE.match(head) if _OF_LETTERS.search(head) else None)
    if match is None:
        return
    what = _named(match["what"], ask.input)
    target = letters_of(what)
    if not 2 <= len(target) <= 40 or len(what.split()) > 6 or "," in what:
        return
    found = [text for text in _candidates(response, what) if letters_of(text) != target]
    found = [re.sub(r"\(.*?\)", "", text).strip() for text in found]
    found = [
        text for text in found if letters_of(text) and not re.search(r"\banagram|\b(?:is|of|the word)\b", text.lower())
    ]
    if not found or len(found) > 12:
        return
    bad = [text for text in found if sorted(letters_of(text)) != sorted(target)]
    shown = ", ".join(bad or found)
    how = (
        f"letters of {what}: {''.join(sorted(target))}; of {(bad or found)[0]}:"
        f" {''.join(sorted(letters_of((bad or found)[0])))}"
    )
    yield Claim(
        "anagram",
        f"anagram of {what}",
        f"the letters {''.join(sorted(target))}",
        shown[:300],
        ruling(not bad),
        how[:500],
    )


def _named(rest: str, given: str) -> str:
    """Return the word that a request names at its end, in quotes, or as its input."""
    if given:
        return re.sub(r"^\w+:\s+", "", given).strip(" .\"'“”")
    quoted = _QUOTED.findall(rest)
    if len(quoted) == 1:
        return str(quoted[0][0] or quoted[0][1])
    return rest.strip(" .\"'?!:")


def _initial(ask: Ask, response: str) -> Iterator[Claim]:
    """Words of which each must start or end with one letter."""
    head = plain(ask.instruction)
    match = _WITH.search(head)
    if (
        match is None
        or not _LISTS.match(head)
        or ask.input
        or len(response) > LONGEST
        or is_code(response)
        or _CODE_ASKED.search(head)
    ):
        return
    if re.search(
        r"\b(?:sentence|story|poem|paragraph|phrase|alliteration|not|or|acronym|each word|every word|tongue)\b", head
    ):
        return
    said = body(response)
    found = items(said) or ([said.strip(" .!")] if len(said.split()) <= 2 else [])
    found = [re.split(r"\s[-–:(]|[:(]", item)[0].strip() for item in found]
    found = [re.sub(r"^(?:the|a|an) ", "", item.strip("*"), flags=re.IGNORECASE) for item in found]
    if not found or any(len(item.split()) > 3 or not letters_of(item) for item in found):
        return
    place = -1 if match["end"].startswith("end") else 0
    bad = [
        item
        for item in found
        if letters_of(item)[place] != match["letter"] and not _other_end(item, place, match["letter"])
    ]
    side = "ends" if place else "starts"
    how = f"{(bad or found)[0]} {side} with {letters_of((bad or found)[0])[place]}"
    yield Claim(
        "initial",
        head[:200],
        f"each {side} with {match['letter']}",
        ", ".join(bad or found)[:300],
        ruling(not bad),
        how,
    )


def _other_end(item: str, place: int, letter: str) -> bool:
    """Return whether another word of the item has the letter at that place: the last name of a person, for one."""
    return any(letters_of(word)[place : place + 1 or None] == letter for word in item.split() if letters_of(word))


def _palindrome(ask: Ask, response: str) -> Iterator[Claim]:
    if len(response) > LONGEST or is_code(response) or _CODE_ASKED.search(ask.text.replace("determine if", "")):
        return
    head = plain(ask.instruction)
    if _MAKES_PALINDROME.match(head) and not ask.input:
        whole = letters_of(body(response))
        double = re.findall(r"[\"“]([^\"“”]{2,80})[\"”]", response)
        offered = double or ([body(response)] if re.search(r"sentence|phrase", head) else _candidates(response))
        found = [response] if whole == whole[::-1] else [text for text in offered if len(letters_of(text)) > 1]
        bad = [text for text in found if letters_of(text) != letters_of(text)[::-1]]
        if found and not any("palindrom" in text.lower() for text in bad):
            one = (bad or found)[0]
            how = f"{letters_of(one)} backwards: {letters_of(one)[::-1]}"
            yield Claim(
                "palindrome", head[:200], "the same backwards", ", ".join(bad or found)[:300], ruling(not bad), how
            )
    elif _ASKS_PALINDROME.search(head) and not re.search(
        r"minimum|number of|how many|make it|longest|shortest|needed", head
    ):
        yield from _is_palindrome(ask, response)


def _is_palindrome(ask: Ask, response: str) -> Iterator[Claim]:
    quoted = _QUOTED.findall(ask.instruction)
    what = ask.input or (quoted[0][0] or quoted[0][1] if len(quoted) == 1 else "")
    what = re.sub(r"^\w+ ?[:=]\s*", "", what).strip(" .\"'")
    said = yes_or_no(response)
    if said is None or not 1 < len(letters_of(what)) <= 200 or "\n" in what or "," in what:
        return
    truth = letters_of(what) == letters_of(what)[::-1]
    how = f"{letters_of(what)} backwards: {letters_of(what)[::-1]}"
    yield Claim(
        "palindrome", f"is {what} a palindrome"[:200], _yes(truth), _yes(said), ruling(said == truth), how[:500]
    )


def yes_or_no(response: str) -> bool | None:
    """Return what a response says to a question: yes or true, no or false or `is not`; None when it is not certain."""
    said = plain(response)[:200]
    opening = re.match(r"\W*(yes|true|correct|no|false|incorrect|not)\b", said)
    denied = re.search(r"\b(?:is|are|was|does|do|can|has)(?: not|n't)\b|\bcannot\b|\bnot a\b", said.split(". ")[0])
    if opening:
        word = opening[1] in ("yes", "true", "correct")
        return None if word and denied else word
    if _UNSURE.search(said) or not re.match(r"^[^.]{0,80}\b(?:is|are|was|does)(?:n't)?\b", said):
        return None
    if denied:
        return False
    return None if re.search(r"\b(?:if|unless|either)\b", said) else True


def _yes(value: bool) -> str:
    return "yes" if value else "no"


ANAGRAM: Final = Family(r"(?i)\banagrams?\b|unscramble|unjumble|arrange", r"\w", _anagram)
INITIAL: Final = Family(
    r"(?i)\b(start|starts|starting|begin|begins|beginning|end|ends|ending)\b.*\b[a-z]\b", r"\w", _initial
)
PALINDROME: Final = Family(r"(?i)palindrom", r"\w", _palindrome)
