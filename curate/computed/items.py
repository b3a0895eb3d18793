"""Lists in prompts and responses: the items, without brackets, bullets and numbering."""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 60
"""Items of the longest list."""
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):]|[a-z][.)])\s+", re.IGNORECASE)
_QUOTES: Final = "\"'“”‘’`"


def items(text: str) -> list[str]:
    """Return the items of a list: one a line, or parted by semicolons or commas; empty when it is not a list."""
    text = text.strip()
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        parts = [_BULLET.sub("", line).rstrip(",;") for line in lines]
    else:
        text = text.strip(" .").removeprefix("[").removeprefix("{").removeprefix("(")
        text = text.removesuffix("]").removesuffix("}").removesuffix(")")
        text = re.sub(r",?\s+and\s+(?=[^,;]{1,40}$)", ", ", text) if "," in text or text.count(" and ") == 1 else text
        parts = text.split(";" if ";" in text else ",")
    found = [part.strip().strip(_QUOTES).rstrip(".").strip(_QUOTES).strip() for part in parts]
    return found if 1 < len(found) <= MOST and all(found) else []


def body(response: str) -> str:
    """Return a response without a first line or opening words that end in a colon, and without a closing sentence."""
    response = response.strip()
    head, colon, rest = response.partition(":")
    if colon and rest.strip() and "," not in head and "\n" not in head.strip() and len(head) < 160:
        return rest.strip()
    return response


def subject(instruction: str, given: str) -> str:
    """Return what a prompt is about: its input, what it quotes, or what follows its colon; empty if none is certain."""
    if given:
        return re.sub(r"^(?:\w+ ?){1,3}:\s+", "", given)
    bracket = re.findall(r"\[[^\[\]]{1,600}\]", instruction)
    if len(bracket) == 1:
        return str(bracket[0])
    quoted = re.findall(r"[\"“]([^\"“”]{1,600})[\"”]|(?<!\w)['‘]([^'‘’]{1,600})['’](?!\w)", instruction)
    if len(quoted) == 1:
        return str(quoted[0][0] or quoted[0][1])
    _, colon, rest = instruction.partition(":")
    return rest.strip() if colon and not quoted else ""
