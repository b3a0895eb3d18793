"""What a prompt asks for, in one plain spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SIGNS: Final = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "“": '"', "”": '"', "’": "'", "‘": "'", "×": "*", "⋅": "*"}
)
_LEAD: Final = re.compile(
    r"(?:please|kindly|can you|could you|calculate|compute|evaluate|find(?: out)?|determine|solve"
    r"|work out|tell me|give(?: me)?"
    r"|what(?:'s| is| are| was| would be| will be)|identify|output|return|state|show|figure out"
    r"|provide|perform|simplify|get"
    r"|generate|report|conduct|complete|do|answer|express|name|i need|help me|take"
    r"|(?:the |an? )?(?:final |correct |exact |numerical |numeric |approximate )?"
    r"(?:value|result|answer|solution|output|outcome)s? (?:of|to|for|when)"
    r"|(?:the |this |these |an? |given |following |simple |basic |below |arithmetic "
    r"|math(?:ematical|ematics|s)? |algebraic |numerical )*"
    r"(?:expressions?|equations?|problems?|calculations?|operations?|questions?|sums?(?="
    r"[:\s]+[\d(][\d.]*\s?[-+*/x^(])|computations?|formula)"
    r"(?: given| below)?(?: and (?:give|output|find|provide|calculate|compute) the (?:answer|result|value))?"
    r"|how much is|of|the(?! )|for)[\s:,.]+"
)
_TAIL: Final = re.compile(
    r"(?:[\s.?:=]|(?<!\d)!)+$|,? (?:and )?(?:please )?(?:show|explain) (?:your|the|all|each) (?:work|steps?"
    r"|working|reasoning|process|answer)$"
    r"|[.,]? (?:and )?(?:output|give|write|express|provide|return|state|present)(?: (?:the|your"
    r"|it|just|only|a|an|as|in|single|final|specific|exact))*"
    r"(?: (?:result|answer|number|value|integer|decimal|output|solution|word|form|amount))?(?:"
    r" (?:directly|only|as an? (?:integer|number|decimal)|in the output))?$"
    r"|,? (?:equal(?: to)?|equals|expressed|expressed as a decimal|in decimal form)$"
)
_GIVEN: Final = re.compile(
    r"^(?:given|for|using|based on|with|in) (?:a|an|the|this|these|two|three|some|below)\b[a-z' ]{0,60}, (?!and )"
)
_EMPTY: Final = re.compile(r"\W*(?:no ?input|n/?a|none|no input (?:required|needed|given|provided))\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt: as written, and in lower case with plain signs, single spaces and no repeated input."""

    raw: str
    instruction: str
    input: str
    """As written; empty where there is none or it repeats the instruction."""
    text: str
    """Instruction and input in lower case on one line, parted by `: `."""


def asked(prompt: str) -> Ask:
    """Return what a prompt asks; the part after the first blank line is its input."""
    instruction, _, given = prompt.partition("\n\n")
    given = given.strip()
    if _EMPTY.fullmatch(given) or plain(given).strip(" .?!") in plain(instruction):
        given = ""
    head = plain(instruction).rstrip(" .:")
    return Ask(prompt, instruction.strip(), given, f"{head}: {plain(given)}" if given else plain(instruction))


def plain(text: str) -> str:
    """Return the text in lower case, with plain minus signs and quotes and single spaces."""
    return " ".join(text.translate(_SIGNS).lower().split())


def bare(text: str) -> str:
    """Return a plain text without the words that only ask (`what is the value of`) and without its closing marks."""
    text = _GIVEN.sub("", text, count=1)
    for _ in range(8):
        stripped = _LEAD.sub("", text, count=1) if _LEAD.match(text) else text
        stripped = _TAIL.sub("", stripped).strip()
        if stripped == text:
            break
        text = stripped
    return text
