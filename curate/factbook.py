"""A knowledge source's facts by subject and relation, and what they say of a sentence."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from curate.claim import Claim
from curate.evidence import Fact
from curate.relation import CONTAINERS, FUNCTIONAL, LONGEST, PLACES, Mention, asked, mentions, relation_key

_ASIDE: Final = re.compile(r"\s*\([^)]*\)\s*$")
_PLACED: Final = re.compile(r"(?!(?:In|On|At|By|For|From|After|As|However|Born|Today|Since|While|When)\b)[A-Z].*")
"""What stands before a comma where the name goes on behind it, as in `Kamensky District, Sverdlovsk Oblast`."""
_SPLIT: Final = re.compile(r"\s+")
LONG_TITLE: Final = 3
"""Words of a title, articles left out, that names one work."""
_LEVELS: Final = 4
_SAME: Final = (
    frozenset({"united states of america", "united states", "usa", "us", "u.s", "u.s.a", "america"}),
    frozenset({"united kingdom", "uk", "u.k", "great britain", "britain", "england", "scotland", "wales",
               "northern ireland"}),
    frozenset({"ireland", "republic of ireland"}),
    frozenset({"china", "people's republic of china"}),
    frozenset({"russia", "russian federation", "soviet union", "ussr", "russian empire"}),
    frozenset({"north america", "central america", "americas", "america", "caribbean", "south america",
               "latin america"}),
    frozenset({"oceania", "australia", "pacific"}),
    frozenset({"turkey", "ottoman empire", "türkiye"}),
    frozenset({"germany", "prussia", "german empire", "west germany", "east germany"}),
    frozenset({"czech republic", "czechia", "czechoslovakia", "austria-hungary", "austrian empire", "bohemia"}),
)  # fmt: skip
"""Names that do not exclude each other."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the facts say of one thing that a claim states."""

    verdict: str
    """`support` or `refute`."""
    relation: str
    subject: str
    said: str
    known: tuple[str, ...]
    ids: tuple[str, ...]


def name_key(name: str) -> str:
    """Return one spelling of a name: lower case, no article, quotes, end marks or remark in brackets."""
    text = unicodedata.normalize("NFKC", _ASIDE.sub("", name)).casefold().replace("’", "'")
    return _SPLIT.sub(" ", text).strip(" \"'“”.,;:!?*_").removeprefix("the ")


class Factbook:
    """Facts by (relation, subject). Where a subject has several facts of a relation, any of their objects is right."""

    def __init__(self, facts: Iterable[Fact], functional: Iterable[str] = ()) -> None:
        """Read the facts; `functional` names further relations whose listed objects are all there are."""
        self._objects: dict[tuple[str, str], dict[str, str]] = {}
        self._ids: dict[tuple[str, str], list[str]] = {}
        self._ranges: dict[str, set[str]] = {}
        self._holders: dict[str, set[str]] = {}
        self.functional = FUNCTIONAL | {relation_key(name) for name in functional}
        for fact in facts:
            relation, subject = relation_key(fact.relation), name_key(fact.subject)
            objects = {name_key(each): each for each in fact.objects}
            self._objects.setdefault((relation, subject), {}).update(objects)
            self._ids.setdefault((relation, subject), []).append(fact.id)
            self._ranges.setdefault(relation, set()).update(objects)
            if relation in CONTAINERS:
                self._holders.setdefault(subject, set()).update(objects)
        self.relations = frozenset(self._ranges)

    def judged(self, claim: Claim) -> list[Found]:
        """Return what the facts bear out or refute of a claim, each relation and subject once.

        Refuted is an object of a relation with one object only that the source knows as an object of that relation, and
        that is neither another name, a part nor a whole of a right one. Anything else says nothing.
        """
        put = asked(claim.question, claim.text, self.relations) if claim.question else ()
        found: dict[tuple[str, str], Found] = {}
        for mention in (*put, *mentions(claim.alone, self.relations)):
            one = self._found(mention)
            if one is not None:
                found.setdefault((one.relation, one.subject), one)
        return list(found.values())

    def _found(self, mention: Mention) -> Found | None:
        relation = mention.relation
        subject = next(
            (name for name in _names(mention.subject, mention.subject_at) if (relation, name) in self._objects), None
        )
        if subject is None:
            return None
        right = self._objects[relation, subject]
        names = list(_names(mention.object, mention.object_at))
        ids, known = tuple(sorted(self._ids[relation, subject])), tuple(sorted(right.values()))
        match = next((name for name in names if name in right), None)
        if match is not None:
            return Found("support", relation, subject, match, known, ids)
        other = next((name for name in names if name in self._ranges[relation]), None)
        if other is None or relation not in self.functional or other == subject or _ambiguous(relation, subject):
            return None
        if any(self._compatible(relation, other, name) for name in right):
            return None
        return Found("refute", relation, subject, other, known, ids)

    def _compatible(self, relation: str, said: str, right: str) -> bool:
        """Return whether two names may stand for one thing, or one place be in the other."""
        if any(said in group and right in group for group in _SAME):
            return True
        mine, theirs = set(re.findall(r"\w+", said)), set(re.findall(r"\w+", right))
        if mine <= theirs or theirs <= mine:
            return True
        if relation in PLACES:
            return self._holds(said, right) or self._holds(right, said)
        if relation == "currency":
            return said.rpartition(" ")[2] == right.rpartition(" ")[2]
        if relation == "author":
            return bool({word for word in mine if len(word) > 2} & theirs)
        return False

    def _holds(self, larger: str, smaller: str) -> bool:
        """Return whether the facts put one place within another, over at most `_LEVELS` steps."""
        reached = {smaller}
        for _ in range(_LEVELS):
            reached |= {holder for place in reached for holder in self._holders.get(place, ())}
        return larger in reached or any(larger in group and not group.isdisjoint(reached) for group in _SAME)


def _ambiguous(relation: str, subject: str) -> bool:
    """Return whether several works may have this title: few words are seldom one author's alone."""
    return relation == "author" and len(subject.split()) < LONG_TITLE


def _names(text: str, at: str) -> Iterator[str]:
    """Yield the names, as `name_key` spells them, that a text may be, begin or end with: the longest first.

    A name does not end before, or begin behind, a capitalised word: that would be a part of a longer name. Nor does one
    that ends a text begin behind a comma and another name.
    """
    text = text.strip()
    if at == "whole":
        yield name_key(text)
        return
    if at == "start":
        text = re.split(r"[,;:()]|\.\s|\.$", text, maxsplit=1)[0]
    else:
        *before, text = re.split(r"[,;:()]", text)
        if before and _PLACED.fullmatch(before[-1].strip()):
            return
    words = text.split()
    for size in range(min(LONGEST, len(words)), 0, -1):
        taken = words[:size] if at == "start" else words[-size:]
        beside = words[size : size + 1] if at == "start" else words[-size - 1 : -size]
        if beside and (beside[0][:1].isupper() or beside[0][:1].isdigit()) and beside[0] not in ("The", "In", "A"):
            continue
        if taken[0][:1].isupper() or taken[0][:1].isdigit() or taken[0][:1] in "\"“'.":
            yield name_key(" ".join(taken))
