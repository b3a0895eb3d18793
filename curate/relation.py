"""How sentences and questions put the relations of a knowledge source, and which relations have one object only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

LONGEST: Final = 8
"""Words of the longest name."""


class Mention(NamedTuple):
    """A relation that a sentence puts, and the texts in which its subject and object stand.

    `start` of a text: the name is its beginning; `end`: the name is its end; `whole`: the name is all of it.
    """

    relation: str
    subject: str
    subject_at: str
    object: str
    object_at: str


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that put a relation. `shape` says what stands before, in the group `mid`, and behind them.

    A letter each: S subject, O object; as in `O-S` (before and behind) and `mS-O` (inside and behind).
    """

    relation: str
    shape: str
    words: re.Pattern[str]


def _cue(relation: str, shape: str, words: str) -> Cue:
    return Cue(relation, shape, re.compile(words))


_THE: Final = r"(?:[Tt]he )?"
_IN: Final = r"(?:in|at|near) (?:the (?:city|town|village) of )?"
_DATE: Final = r"(?:on [A-Z]?\w+ \w+,? \d{4},? |in \d{4},? |[a-z]+ )?"
_MID: Final = r"(?P<mid>[^,;:()]{2,60}?)"
CUES: Final[tuple[Cue, ...]] = (
    _cue("capital", "mS-O", rf"\b[Tt]he capital(?: city)? of (?:the )?{_MID} is (?:the city of )?"),
    _cue("capital", "O-S", rf"(?:,| is) the (?:\w+ )?capital(?: city)?(?: and \w+ \w+)? of {_THE}"),
    _cue("capital", "S-O", r"'s? capital(?: city)?(?: is|,) (?:the city of )?"),
    _cue("place of birth", "S-O", rf" was born {_DATE}{_IN}"),
    _cue("place of death", "S-O", rf" (?:died|passed away) {_DATE}{_IN}"),
    _cue("author", "mS-O", rf"\b[Tt]he (?:author|writer) of {_MID} (?:is|was) "),
    _cue("author", "O-S", r" (?:wrote|is the author of|was the author of|authored) (?:the \w+ )?"),
    _cue("author", "S-O", r",? (?:is |was )?(?:originally )?(?:written|authored) by (?:the \w+ )?(?:\w+ author )?"),
    _cue("author", "S-O", r",? is a (?:\w+ ){0,3}(?:novel|book|play|novella|memoir) (?:written )?by (?:\w+ author )?"),
    _cue("continent", "S-O", r" is (?:\w+ly )?(?:located |situated |found )?(?:in|on) (?:the continent of )?"),
    _cue("continent", "S-O", rf" is a (?:\w+ )?country (?:located |situated )?in {_THE}"),
    _cue("country", "S-O", r" is a (?:\w+ ){0,2}(?:city|town|village|province|state|river|lake|mountain|university"
         r"|district|municipality) (?:located |situated )?(?:\w+ )?in (?:the )?"),
    _cue("country", "S-O", r"(?: is|, which is|,) (?:located|situated) in (?:the )?"),
    _cue("currency", "mS-O", rf"\b[Tt]he (?:official )?currency (?:of|used in) {_THE}{_MID} is (?:called )?{_THE}"),
    _cue("currency", "S-O", r"'s? (?:official )?currency is (?:called )?(?:the )?"),
    _cue("atomic number", "mS-O", rf"\b[Tt]he atomic number (?:of|for) {_MID} is "),
    _cue("atomic number", "S-O", r" has (?:an|the) atomic number (?:of )?"),
    _cue("chemical symbol", "mS-O", rf"\b[Tt]he (?:chemical |atomic )?symbol (?:of|for) {_MID} is "),
    _cue("chemical symbol", "S-O", r" has the (?:chemical |atomic )?symbol (?:of )?"),
    _cue("chemical symbol", "S-O", r" is an? (?:\w+ )*element with (?:the )?(?:\w+ )?symbol (?:of )?"),
    _cue("atomic number", "S-O", r" is an? (?:\w+ )*element with (?:the (?:\w+ )?symbol \w+ and )?(?:an |the )?"
         r"atomic number (?:of )?"),
    _cue("founded by", "S-O", r" was (?:founded|established) (?:in \d{4} )?by "),
    _cue("founded by", "O-S", r" (?:is|was) the (?:co-)?founder of "),
    _cue("developer", "S-O", r" (?:is|was) developed by "),
    _cue("manufacturer", "S-O", r" (?:is|was) manufactured by "),
    _cue("performer", "S-O", r" is a(?:n album| song) by "),
    _cue("headquarters location", "S-O", r" is headquartered in "),
    _cue("native language", "mS-O", rf"\b[Tt]he native language of {_MID} is "),
    _cue("official language", "mS-O", rf"\b[Tt]he official language of (?:the )?{_MID} is "),
)  # fmt: skip
"""How the common relations are put in a sentence."""
_ASKED: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (relation, re.compile(rf"(?i){pattern}\s*[?.!]*"))
    for relation, pattern in (
        ("capital", r"(?:what(?:'s| is)|name|identify|find|give me|tell me)? ?the (?:name of the )?capital(?: city)?"
         rf" of {_THE}(?P<s>.+?)"),
        ("place of birth", r"(?:where|in (?:which|what) \w+) was (?P<s>.+?) born"),
        ("place of death", r"where did (?P<s>.+?) die"),
        ("author", r"(?:who (?:wrote|authored|(?:is|was) the (?:author|writer) of)|(?:name|identify|find) the author"
         r" of) (?:the (?:novel|book|play|poem|novella|story) )?(?P<s>.+?)"),
        ("continent", r"(?:on |in )?(?:which|what) continent (?:is|does) (?P<s>.+?)(?: located| found| situated| in"
         r"| on)*"),
        ("country", r"(?:in )?(?:which|what) country is (?P<s>.+?)(?: located| found| situated| in)*"),
        ("currency", rf"(?:what is|name|identify)? ?the (?:official )?currency (?:of|used in) {_THE}(?P<s>.+?)"),
        ("atomic number", r"(?:what is|find|give)? ?the atomic number (?:of|for) (?P<s>.+?)"),
        ("chemical symbol", r"(?:what is|find|give)? ?the (?:chemical |atomic )?symbol (?:of|for) (?P<s>.+?)"),
    )
)  # fmt: skip
_GENERIC: Final = re.compile(
    r"\b[Tt]he (?P<relation>[a-z][\w -]{2,40}?) of (?:the )?(?P<s>[^,;:()]{2,60}?) is (?:the )?"
)
_GENERIC_ASKED: Final = re.compile(
    r"(?i)(?:what|who|where) (?:is|was) the (?P<relation>[a-z][\w -]{2,40}?) of (?:the )?(?P<s>.+?)\s*[?.!]*"
)
FUNCTIONAL: Final = frozenset({
    "atomic number", "author", "capital", "chemical symbol", "continent", "country", "currency", "place of birth",
    "place of death",
})  # fmt: skip
"""Relations whose listed objects are all there are: another one refutes."""
PLACES: Final = frozenset({"capital", "continent", "country", "place of birth", "place of death"})
"""Relations between places, where a larger or smaller one may be meant."""
CONTAINERS: Final = frozenset({
    "country", "continent", "located in the administrative territorial entity", "state", "region", "is part of",
    "subregion", "part of", "location",
})  # fmt: skip
"""Relations whose object holds the subject."""
_ALIASES: Final[Mapping[str, str]] = {
    "p36": "capital", "p50": "author", "p19": "place of birth", "p20": "place of death", "p30": "continent",
    "p17": "country", "birth place": "place of birth", "birthplace": "place of birth", "place born": "place of birth",
    "death place": "place of death", "symbol": "chemical symbol", "writer": "author",
    "p131": "located in the administrative territorial entity", "located in": "location", "p112": "founded by",
    "founder": "founded by", "p178": "developer", "p176": "manufacturer", "p175": "performer",
    "p159": "headquarters location", "p103": "native language", "p37": "official language",
}  # fmt: skip


def relation_key(name: str) -> str:
    """Return one spelling of a relation's name: lower case, words apart, Wikidata's ids and other names resolved."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]", " ", name).lower().strip()
    return _ALIASES.get(words, words)


def mentions(sentence: str, known: frozenset[str]) -> Iterator[Mention]:
    """Yield the relations of `known` (keys) that a sentence puts, in words of `CUES` or as "the R of S is O"."""
    for cue in CUES:
        if cue.relation in known:
            for match in cue.words.finditer(sentence):
                yield _mention(cue, sentence, match)
    for match in _GENERIC.finditer(sentence):
        if relation_key(match["relation"]) in known - FUNCTIONAL:
            rest = sentence[match.end() :]
            yield Mention(relation_key(match["relation"]), match["s"], "whole", rest, "start")


def asked(question: str, answer: str, known: frozenset[str]) -> Iterator[Mention]:
    """Yield the relation of `known` that a question asks for, with the answer as its object."""
    text = question.strip()
    for relation, pattern in _ASKED:
        if relation in known and (match := pattern.fullmatch(text)):
            yield Mention(relation, match["s"], "whole", answer, "whole")
            return
    match = _GENERIC_ASKED.fullmatch(text)
    if match and relation_key(match["relation"]) in known:
        yield Mention(relation_key(match["relation"]), match["s"], "whole", answer, "whole")


def _mention(cue: Cue, sentence: str, match: re.Match[str]) -> Mention:
    before, behind = sentence[: match.start()], sentence[match.end() :]
    if cue.shape == "mS-O":
        return Mention(cue.relation, match["mid"], "whole", behind, "start")
    if cue.shape == "S-O":
        return Mention(cue.relation, before, "end", behind, "start")
    return Mention(cue.relation, behind, "start", before, "end")
