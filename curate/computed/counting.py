"""Counts of words, letters, vowels, characters and sentences of a text in the prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final

from curate.computed.answer import judged
from curate.computed.ask import Ask, plain
from curate.computed.claim import Claim, Family
from curate.computed.items import items
from curate.computed.letters import letters_of

LONGEST: Final = 1500
"""Characters of the longest text that is counted."""


def words(text: str) -> set[int]:
    """Return the counts of words under the usual readings of hyphens, slashes, apostrophes and numbers."""
    spaced = [token for token in text.split() if any(letter.isalnum() for letter in token)]
    return {
        len(spaced),
        len(re.findall(r"[\w'’-]+", text)),
        len(re.findall(r"[\w'’]+", text)),
        len([token for token in spaced if any(letter.isalpha() for letter in token)]),
    }


def characters(text: str) -> set[int]:
    """Return the counts of characters with and without spaces, punctuation, quotes and the closing mark."""
    whole, closed = text.strip(), text.strip().rstrip(".!?")
    counts = {len(part) for part in (text, whole, closed)}
    counts |= {len("".join(part.split())) for part in (whole, closed)}
    return counts | {len(letters_of(whole)), len(whole) + 2, len(re.sub(r"[^\w\s]", "", whole))}


def sentences(text: str) -> set[int]:
    """Return the count of sentences; empty where abbreviations, quotes or lines make it uncertain."""
    if (
        re.search(r"\b(?:mr|mrs|ms|dr|st|jr|sr|vs|etc|e\.g|i\.e|no|u\.s)\.|\.\.|[\"“”:;]|\b[a-z]\.", text.lower())
        or "\n" in text
    ):
        return set()
    return {max(1, len(re.findall(r"[.!?]+(?=\s|$)", text.strip())))}


def _letters(text: str) -> set[int]:
    return {
        sum(map(str.isalpha, text)),
        len(letters_of(text)),
        *({len(text.replace(" ", ""))} if "'" in text or "-" in text else set()),
    }


def _vowels(text: str) -> set[int]:
    return {sum(letter in kinds for letter in text.lower()) for kinds in ("aeiou", "aeiouy")}


def _consonants(text: str) -> set[int]:
    return {sum(letter.isalpha() and letter not in kinds for letter in text.lower()) for kinds in ("aeiou", "aeiouy")}


COUNTS: Final[dict[str, Callable[[str], set[int]]]] = {
    "word": words,
    "letter": _letters,
    "alphabet": _letters,
    "character": characters,
    "vowel": _vowels,
    "consonant": _consonants,
    "sentence": sentences,
}
_ASK: Final = re.compile(
    r"(?:how many|number of|total number of|count(?: up)?(?: the)?(?: total)?(?: number of)?"
    r"|count how many|count of(?: the)?|total(?: number of)?)(?: total| the| all| of)*"
    r" (?P<what>words?|letters?|characters?|vowels?|consonants?|sentences?)\b"
    r"(?! (?:that|which|starting|with|containing|count|are (?:the same|in common)|the letter|of"
    r"|long|longer|per|do|should|can|will|must|could|would|would you|[\"'(]))"
)
_TIMES: Final = re.compile(
    r"(?:how many times (?:does |do |is )?(?:the )?(?:(?:letter|character|word)s?"
    r" )?[\"']?(?P<one>\w+)[\"']? (?:appears?|occurs?|shows? up|is used|used|repeated|mentioned"
    r"|is present|present)"
    r"|(?:how many|number of|count(?: the)?(?: number of)?)(?: occurrences? of)?(?: times)?(?:"
    r" the)? (?:(?:letter|character)s? [\"']?(?P<two>\w)[\"']?(?:s|'s)?(?![\w'])|words?"
    r" [\"'](?P<three>\w+)[\"']))"
)
_HEAD_ODD: Final = re.compile(
    r"\b(?:write|create|function|code|program|script|method|python|java\w*|unique|different"
    r"|distinct|duplicate|longest|average|possible|syllables?|generate|rewrite|each|every|both"
    r"|summar\w+"
    r"|spaces|excluding|without|except|not counting|including|if|paragraph of|long|and (?:then"
    r"|the|count|output)|and (?:words|letters|characters|sentences|vowels|consonants)|first|last"
    r"|capital|uppercase|lowercase|following string s|more|most|least|at least|limit)\b"
)
_IN_WORD: Final = re.compile(
    r"(?:how many|count (?:the )?(?:number of )?|(?:find|determine|calculate|what is|give|output"
    r"|tell me) the (?:total )?number of)(?: the)? ?(?P<what>letters|vowels|consonants"
    r"|characters)(?: are)?(?: there)? (?:in|of|does|are in)"
    r"(?P<named> the (?:english )?(?:word|name|term))? [\"']?(?P<word>[a-z-]{2,30})[\"']?(?: have"
    r"| contain| has)?[?.! ]*"
)


def _counting(ask: Ask, response: str) -> Iterator[Claim]:
    head = plain(ask.instruction.partition(":")[0] if ":" in ask.instruction else ask.instruction)
    unquoted = re.sub(r"\"[^\"]*\"", '""', plain(ask.instruction))
    if len(ask.raw) > LONGEST or _HEAD_ODD.search(re.sub(r"\"[^\"]*\"", '""', head)) or len(response) > 600:
        return
    text = _text(ask)
    if not text:
        return
    found = _times(head, text) or _plainly(unquoted, text)
    if found is None or not found[1]:
        return
    what, counts = found
    said = response.replace(text, " ").replace(text.strip(" ."), " ")
    said = re.sub(r"\"[^\"]*\"|“[^”]*”", '""', said)
    how = f"{what} in {text[:200]!r}: {' or '.join(map(str, sorted(counts)))}"
    yield from judged("counting", f"{what} in {text}", said, [Fraction(count) for count in sorted(counts)], how[:500])


def _plainly(head: str, text: str) -> tuple[str, set[int]] | None:
    match = _ASK.search(head)
    if match is None:
        return None
    what = match["what"].rstrip("s")
    if what == "sentence" and len(text.split()) < 3:
        return None
    return f"{what}s", COUNTS[what](text)


def _times(head: str, text: str) -> tuple[str, set[int]] | None:
    match = _TIMES.search(head)
    if match is None:
        return None
    one = match["one"] or match["two"] or match["three"]
    if (
        one in ("it", "each", "the", "a", "in", "that", "this", "letter", "word", "of", "and", "does")
        and f"letter {one}" not in head
    ):
        return None
    lower = text.lower()
    if len(one) == 1 and "word" not in match[0]:
        return f"the letter {one}", {lower.count(one), text.count(one)}
    counts = {
        len(re.findall(rf"\b{re.escape(one)}\b", lower)),
        lower.count(one),
        len(re.findall(rf"\b{re.escape(one)}\b", text)),
    }
    return f"the word {one}", counts


def _text(ask: Ask) -> str:
    """Return the text that is to be counted: the input, the only long quotation, what follows the colon, or a word."""
    if ask.input:
        named = re.match(
            r"(?:the |given |input )*(?:sentence|string|text|phrase|word|paragraph|input|passage)\s*[:=]\s*",
            ask.input,
            re.IGNORECASE,
        )
        text = ask.input[named.end() :] if named else ask.input
        if (not named and re.match(r"[A-Z]\w{0,20}:\s", text)) or re.search(r"\n\w+:", text):
            return ""
        return text.strip().strip('"“”')
    quoted = re.findall(r"\"([^\"]{2,})\"|“([^”]{2,})”|(?<!\w)[‘']([^'’]{2,})['’](?!\w)", ask.instruction)
    if len(quoted) == 1:
        return str(next(part for part in quoted[0] if part))
    _, colon, rest = ask.instruction.partition(":")
    if colon and not quoted and len(rest.strip()) > 1:
        return rest.strip().strip('"“”')
    match = _IN_WORD.fullmatch(plain(ask.instruction))
    odd = (
        "sentence",
        "word",
        "phrase",
        "text",
        "paragraph",
        "string",
        "it",
        "alphabet",
        "language",
        "english",
        "list",
        "this",
        "passage",
        "there",
        "article",
        "book",
        "poem",
    )
    if match and match["word"] not in odd and (match["named"] or match["what"] != "characters"):
        return match["word"]
    return ""


def _listed(ask: Ask, response: str) -> Iterator[Claim]:
    """How many items or elements a list in the prompt has."""
    head = plain(ask.instruction.partition(":")[0].partition("[")[0])
    if not re.fullmatch(
        r"(?:please )?(?:count|how many|find|determine|calculate|tell me|what is|give|output)(?: the|"
        r" how many| total| number| of| find)* (?:items|elements|objects|entries)(?: are)?(?:"
        r" there)?(?: in| of)?(?: the| this| given| following| below| list| array| set|"
        r" sequence)*[.?: ]*",
        head,
    ):
        return
    listed = re.search(r"\[[^\[\]]{1,600}\]", ask.instruction)
    found = items(ask.input or (listed[0] if listed else ask.instruction.partition(":")[2]))
    if len(found) > 1:
        how = f"{len(found)} items: {', '.join(found)}"
        yield from judged(
            "counting",
            f"items of {', '.join(found)}",
            response,
            [Fraction(n) for n in sorted({len(found), len(set(found))})],
            how[:500],
        )


def _both(ask: Ask, response: str) -> Iterator[Claim]:
    found = list(_listed(ask, response))
    yield from found or _counting(ask, response)


COUNTING: Final = Family(
    r"(?i)\b(how many|number of|count|total)\b",
    r"\d|(?i)\b(no|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|\w+ty)\b",
    _both,
)
