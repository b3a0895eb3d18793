"""Prompt templates: `{name}` stands for a column; values are put in once and never looked at again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from curate.reason import BadRow

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w .-]*)\}")


@dataclass(frozen=True)
class Template:
    """A parsed template: texts, and the names of columns between them.

    `{{` and `}}` stand for braces; a brace that is part of neither these nor a `{name}` stands for itself.
    """

    literals: tuple[str, ...]
    """One more than `names`: the text before, between and after the placeholders."""
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template that `text` writes."""
        literals, names, at = [""], [], 0
        for token in _TOKEN.finditer(text):
            literals[-1] += text[at : token.start()]
            at = token.end()
            if token[1] is None:
                literals[-1] += token[0][0]
            else:
                names.append(token[1])
                literals.append("")
        literals[-1] += text[at:]
        return cls(tuple(literals), tuple(names))

    def render(self, prompt: str, row: Mapping[str, Any]) -> str:
        """Return the text with `{prompt}` and the columns of `row` put in, in one pass.

        Raises BadRow `missing column` for a column that the row lacks, `wrong type` for a list or an object.
        """
        parts = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            parts.append(prompt if name == "prompt" else _written(row, name))
            parts.append(literal)
        return "".join(parts)


def _written(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        raise BadRow("missing column")
    value = row[name]
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise BadRow("wrong type")
