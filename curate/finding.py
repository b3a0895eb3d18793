"""What a rule is: a named defect, the expression that finds it, and what to say about a row that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

PROMPT: Final = pl.col("prompt")
RESPONSE: Final = pl.col("response")
CODE: Final = (
    r"```|<svg|<html|<div|<a [a-z]+=|<img|</|#include|\b(import|def|function|from|const|let|var|public) \w+|[{};]\s*\n"
)
"""What only program text and markup have."""
_SHOWN: Final = 80


@dataclass(frozen=True, eq=False)
class Rule:
    """A named defect and the expression that finds it.

    Both expressions are over `prompt`, `response` and the columns that the step measures beforehand (`measures`).
    """

    defect: str
    """The class of defect, and where it is documented."""
    hits: pl.Expr
    """True where the row has the defect; null counts as false."""
    detail: pl.Expr | None = None
    """What was found, as text; evaluated on the rows found only."""
    measures: tuple[str, ...] = ()
    """The measured columns that it reads."""


def any_of(alternatives: str) -> str:
    """Return a pattern for any of the alternatives, given with `|` and with line breaks that do not count."""
    return "(" + "".join(line.strip() for line in alternatives.splitlines()) + ")"


def either(pattern: str) -> pl.Expr:
    """Return whether the prompt or the response contains the pattern."""
    return PROMPT.str.contains(pattern) | RESPONSE.str.contains(pattern)


def shown(text: pl.Expr, pattern: str) -> pl.Expr:
    """Return the first match of the pattern on one line, at most 80 characters of it."""
    return text.str.extract(f"({pattern})", 1).str.replace_all(r"\s+", " ").str.slice(0, _SHOWN)
