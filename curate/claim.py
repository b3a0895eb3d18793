"""Claims of a response that evidence could bear out or refute, found by rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from curate.sentence import sentences

MOST: Final = 40
"""Claims of one response that are looked at."""
MOST_WORDS: Final = 60
LONGEST_QUESTION: Final = 300
"""Characters of the longest prompt that is one question."""
_FEWEST_WORDS: Final = 3
_SHORT_ANSWER: Final = 8
_INVENTED: Final = re.compile(
    r"(?i)\b(?:story|stories|tale|fable|poem|poetry|haiku|limerick|sonnet|lyrics?|song|rap|joke|pun|riddle|novel"
    r"|fiction(?:al)?|imagin\w+|pretend|role.?play|dialogue|conversation|script|scene|screenplay|character|slogan"
    r"|tagline|advert\w*|tweet|caption|e-?mail|letter|speech|hypothetical|made.up|fake|invent (?:a|an)\b|satir\w+"
    r"|headline|metaphor|simile|create a (?:sentence|phrase|statement|title|name)|(?:write|generate|compose|construct"
    r"|form|make) (?:a|an|two|three|some|\d+) (?:\w+ )?(?:sentence|phrase|statement|question)s?)\b"
)
_GIVEN: Final = re.compile(
    r"(?i)\b(?:rewrite|rephrase|reword|paraphrase|edit|correct|fix|proofread|translate|punctuat\w+|grammar"
    r"|true or false|false|incorrect|mistakes?|errors?|classify|categorize|fact or|opinion|misleading|myth|lie|wrong"
    r"|inaccurate|not true|summari[sz]e|summary|convert|replace|change|modify|rearrange|reorder|complete the|fill in"
    r"|continue|(?:following|given) (?:text|passage|article|sentence|paragraph|statement)s?)\b"
)
_PERSONAL: Final = re.compile(r"(?i)\b(?:i|i'm|i've|my|me|you|your|we|our|us|let's|please)\b")
_HEDGED: Final = re.compile(
    r"(?i)\b(?:may|might|could|would|should|perhaps|probably|possibly|if|imagine|suppose|think|believe|feel)\b"
)
_QUOTED: Final = re.compile(r"(?i)\b(?:false|untrue|incorrect|not true|wrong|myth|fact that|said to|claims?|claimed)\b")
_STATED: Final = re.compile(
    r"(?i)\b(?:is|are|was|were|has|have|had|became|becomes|did|does|wrote|won|lies|lived|died|born|invented|discovered"
    r"|(?-i:[a-z]{3,}ed))\b"
)
_FACTUAL: Final = re.compile(r"\d|(?<=[\w,;] )[\"“]?[A-Z][\w'’-]+|^[\"“]?[A-Z][\w'’-]+ [A-Z]")
_PRONOUN: Final = re.compile(r"^(?:(He|She|It|They|This)|(His|Her|Its|Their))\b")
_NAME: Final = re.compile(
    r"[\"“]?[A-Z][\w.'’-]*(?:[ -](?:of|the|de|la|le|von|van|du|del|da|[A-Z0-9][\w.'’-]*))*(?<! of)(?<! the)[\"”]?"
)
_INITIAL: Final = re.compile(r"\b[A-Z]\.$")
_ASKS: Final = re.compile(
    r"(?i)(?:what|who|whom|whose|where|when|which|how|in (?:what|which)|on (?:what|which)|name|identify|find|give|state"
    r"|tell|determine|provide|list|answer)\b"
)
_OPENERS: Final = frozenset({
    "the", "a", "an", "in", "on", "at", "for", "from", "by", "as", "it", "he", "she", "they", "this", "that",
    "these", "those", "there", "when", "while", "since", "after", "before", "what", "who", "where", "which", "why",
    "how", "name", "give", "tell", "list", "describe", "explain", "write", "find", "state", "identify", "provide",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that a response states."""

    text: str
    """The sentence, or the short answer, as the response has it."""
    alone: str
    """The same, readable by itself: a leading pronoun replaced by the topic, a short answer behind its question."""
    question: str = ""
    """The question, where the claim is a short answer to it."""


def claims_of(prompt: str, response: str) -> list[Claim]:
    """Return the claims of a response in their order, at most `MOST`.

    None where the prompt asks for something invented or hands a text over to be worked on: what such a response says
    is not its own claim. A claim is a sentence that states something about a name or with a number, or a short answer
    to a question; questions, advice, hedges and what is said of the writer or reader are none.
    """
    if _INVENTED.search(prompt) or _GIVEN.search(prompt):
        return []
    answer = response.strip()
    if _short(answer):
        question = _question(prompt)
        return [Claim(answer, f"{question} {answer}", question)] if question and answer else []
    topic = _topic(prompt)
    found: list[Claim] = []
    for i, sentence in enumerate(sentences(answer)):
        if not i:
            topic = _subject(sentence) or topic
        if _checkable(sentence) and len(found) < MOST:
            found.append(Claim(sentence, _resolved(sentence, topic)))
    return found


def _short(answer: str) -> bool:
    """Return whether a response is a few words that answer, not a sentence that states."""
    sentence = any(pattern.search(answer) for pattern in (_STATED, _PERSONAL, _HEDGED))
    return len(answer.split()) <= _SHORT_ANSWER and "\n" not in answer and not sentence


def names_of(text: str) -> list[str]:
    """Return the runs of capitalised words in a text, without a word that only begins a sentence."""
    found = []
    for match in _NAME.finditer(text):
        name = match[0].strip('"“”')
        name = name.rstrip(".") if _INITIAL.search(name) is None else name
        first, _, rest = name.partition(" ")
        if first.lower() in _OPENERS:
            name = rest if rest[:1].isupper() else ""
        if name:
            found.append(name)
    return found


def _checkable(sentence: str) -> bool:
    words = sentence.split()
    return (
        _FEWEST_WORDS <= len(words) <= MOST_WORDS
        and not sentence.endswith(("?", ":"))
        and _STATED.search(sentence) is not None
        and _FACTUAL.search(sentence) is not None
        and _PERSONAL.search(sentence) is None
        and _QUOTED.search(sentence) is None
        and _HEDGED.search(sentence) is None
    )


def _question(prompt: str) -> str:
    """Return the prompt where it is one question or one request for a fact, else an empty text."""
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    asks = len(lines) == 1 and len(lines[0]) <= LONGEST_QUESTION and (_ASKS.match(lines[0]) or lines[0].endswith("?"))
    return lines[0] if asks else ""


def _topic(prompt: str) -> str:
    """Return the longest name of the prompt, or an empty text."""
    return max(names_of(prompt), key=len, default="")


def _subject(sentence: str) -> str:
    """Return the name that a sentence begins with, or an empty text."""
    match = _NAME.match(sentence)
    found = names_of(match[0]) if match else []
    return found[0] if found and sentence.startswith(found[0]) else ""


def _resolved(sentence: str, topic: str) -> str:
    match = _PRONOUN.match(sentence)
    if match is None or not topic:
        return sentence
    return (topic if match[1] else f"{topic}'s") + sentence[match.end() :]
