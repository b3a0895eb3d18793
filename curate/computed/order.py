"""Lists to be sorted, by alphabet or by size, and lists, words and strings to be reversed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

from curate.computed.answer import is_code
from curate.computed.ask import Ask
from curate.computed.claim import Claim, Family, ruling
from curate.computed.items import body, items, subject
from curate.computed.number import numbers

LONGEST: Final = 2000
_SORT: Final = r"\b(?:sort|arrange|rearrange|re-arrange|order|reorder|put|place|organi[sz]e|list|rank|alphabeti[sz]e)\b"
_OTHER: Final = re.compile(
    r"\b(?:code|program|function|script|algorithm|python|java|javascript|c\+\+|sql|query|method"
    r"|implement|explain|describe|steps?|then|only|even"
    r"|odd|unique|duplicates?|top|first|absolute|merge|by (?!size|value|alphabet|comma)\w+|last"
    r" names?|surnames?|lengths?|author|sentences?|paragraph"
    r"|letters of|letters in|characters in|categor\w+|column|row|group|if|create a|write a"
    r"|generate|whether|check|quick ?sort|bubble|insertion|loop"
    r"|missing|remove|add|pairs?|second|third|largest (?:number|value)|longest|\w*sequences?|find"
    r"|dates?|chronological|swaps?|not)\b"
)
_UP: Final = re.compile(
    r"\bascending|\bincreasing|\bnon[ -]?de(?:creas|scend)ing|\b(?:smallest|lowest|least|low"
    r"|small|minimum|shortest)(?: \w+)? to\b|\bfrom (?:the )?(?:smallest|lowest|least)"
)
_DOWN: Final = re.compile(
    r"(?<!non)(?<!non[ -])\bdescending|(?<!non)(?<!non[ -])\bdecreasing|\b(?:largest|highest"
    r"|greatest|biggest|high|large|maximum|most)(?: \w+)? to\b|\bfrom (?:the )?(?:largest|highest"
    r"|greatest|biggest)"
)
_BACK: Final = re.compile(r"reverse|descending|z to a|z-a|backward|from z")


def _sorted(ask: Ask, response: str) -> Iterator[Claim]:
    if len(response) > LONGEST or len(ask.raw) > LONGEST or is_code(response):
        return
    wish = ask.instruction.lower().partition(":")[0]
    if not re.search(_SORT, wish) or wish.startswith("reverse") or _OTHER.search(wish):
        return
    given = items(subject(ask.instruction, ask.input))
    said = items(body(response))
    if "," in response and len(said) > 1 and re.search(r"\b(?:is|are|be)\b", said[0]):
        said = items(re.sub(r"^[^,:]{0,160}\b(?:is|are|be)\b:?\s+", "", response))
    if len(given) < 3 or not said:
        return
    if re.search(r"\balphabeti", wish):
        yield from _by_alphabet(given, said, back=bool(_BACK.search(wish)))
    else:
        yield from _by_size(given, said, wish)


def _by_alphabet(given: Sequence[str], said: Sequence[str], *, back: bool) -> Iterator[Claim]:
    """Yield whether the items are in order, under any usual way to compare them; nothing when items were changed."""
    if Counter(map(_letters, given)) != Counter(map(_letters, said)) or any(re.match(r"[\d\W]", item) for item in said):
        return
    ways = (str.casefold, _letters, _without_article, lambda item: _letters(item.split()[-1]))
    right = any([*map(way, said)] == sorted(map(way, said), reverse=back) for way in ways)
    expected = sorted(given, key=str.casefold, reverse=back)
    yield _claim("alphabetical order", given, expected, said, right=right)


def _by_size(given: Sequence[str], said: Sequence[str], wish: str) -> Iterator[Claim]:
    sizes, found = _values(given), _values(said)
    up, down = _UP.search(wish) is not None, _DOWN.search(wish) is not None
    if not sizes or not found or (not up and not down):
        return
    fit = [reverse for reverse, asked in ((False, up), (True, down)) if asked or not (up or down)]
    right = any(found == sorted(sizes, reverse=reverse) for reverse in fit)
    if not right and (len(found) < len(sizes) - 1 or (set(sizes) == set(found) and len(sizes) != len(found))):
        return
    expected = [item for _, item in sorted(zip(sizes, given, strict=True), reverse=fit[0])]
    yield _claim("numerical order", given, expected, said, right=right)


def _claim(what: str, given: Sequence[str], expected: Sequence[str], said: Sequence[str], *, right: bool) -> Claim:
    want, have = ", ".join(expected)[:300], ", ".join(said)[:300]
    return Claim("order", f"{what} of {', '.join(given)[:150]}", want, have, ruling(right), f"sorted: {want}")


def _values(parts: Sequence[str]) -> list[Fraction]:
    """Return the numbers of a list whose items are numbers and nothing else; empty when one is not."""
    found = [numbers(part) for part in parts]
    whole = all(len(n) == 1 and n[0].start == 0 and n[0].end == len(part) for n, part in zip(found, parts, strict=True))
    return [n[0].value for n in found] if whole else []


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _without_article(text: str) -> str:
    return _letters(re.sub(r"^(?:the|a|an)\s+", "", text.casefold()))


_REVERSE: Final = re.compile(
    r"(?:reverse|flip|invert|write|spell|output|print|return|give|display)\b.*\b(?:reverse[ds]?"
    r"|backwards?|flip|invert)\b|^reverse\b|\bthe reverse of\b"
)
_OF_WORDS: Final = re.compile(r"order of (?:the |all )?words|word order|words? (?:in|order)|words in reverse|the words")
_OF_LETTERS: Final = re.compile(
    r"\bstring|\bletters?\b|\bcharacters?\b|\bthe (?:following |given )?word\b|\bword\b|\bdigits\b|\bspell"
)
_OF_LIST: Final = re.compile(r"\b(?:list|array|elements|items|sequence|numbers)\b")
_MEANING: Final = re.compile(
    r"\b(?:meaning|engineer|roles?|statement|sentiment|tone|opposite|voice|word in a|sentence"
    r"|phrase|acronym|vowels|every|each)\b"
)


def _reversed(ask: Ask, response: str) -> Iterator[Claim]:
    wish = ask.instruction.lower()
    if len(response) > LONGEST or len(ask.raw) > LONGEST or is_code(response) or not _REVERSE.search(wish):
        return
    head = re.sub(r"[\"“][^\"”]*[\"”]", '""', wish.partition(":")[0])
    if re.search(
        r"\b(?:code|program|function|script|algorithm|method|loop|python|java\w*|c\+\+|sql|write a"
        r"|create a|sort|then|and|using|without)\b",
        head,
    ):
        return
    what = subject(ask.instruction, ask.input).strip(" .\"'“”")
    if not what or len(what) > 300:
        return
    if re.search(r"\b(?:sense|new sentence|new phrase|correct|meaningful)\b", wish):
        return
    if _OF_WORDS.search(head):
        yield from _same(what, what.split()[::-1], response, " ")
    elif _MEANING.search(head):
        return
    elif _OF_LIST.search(head) and "alphabet" not in head:
        yield from _same(what, items(what)[::-1], response, ", ")
    elif _OF_LETTERS.search(head):
        yield from _same(what, list(what[::-1]), response, "")


def _same(what: str, parts: Sequence[str], response: str, glue: str) -> Iterator[Claim]:
    """Yield whether the response is these parts in this order, if it is about as long as they are."""
    expected, said = glue.join(parts), body(response)
    quoted = re.findall(r"[\"“]([^\"“”]+)[\"”]", said)
    said = (
        quoted[-1] if quoted else re.sub(r"^.*?\b(?:is|be|reads)\b\s*", "", said) if " is " in said else said
    ).strip()
    want, have = _letters(expected), _letters(said)
    if len(parts) < 2 or want == _letters(what) or not 0.6 * len(want) <= len(have) <= 1.6 * len(want):
        return
    if want != have and (want in _letters(response) or have == _letters(what)):
        return
    yield Claim(
        "reverse", f"reverse of {what}"[:200], expected, said[:300], ruling(want == have), f"reversed: {expected}"[:500]
    )


ORDER: Final = Family(
    r"(?i)\b(ascending|descending|increasing|decreasing|alphabeti\w*|smallest|largest|lowest"
    r"|highest|least|greatest|biggest)\b",
    r"[,\n;]",
    _sorted,
)
REVERSE: Final = Family(r"(?i)\b(reverse|reversed|backwards?)\b", r"\w", _reversed)
