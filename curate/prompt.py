"""Prompts: text files with placeholders, filled in one pass with data that cannot get out of its fence."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from manifests.errors import UserError
from manifests.names import digest

PROMPTS: Final = Path(__file__).parent / "prompts"
VERDICT: Final = ("instruction", "response")
"""What a prompt that asks for a verdict on a row must show."""
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_FENCE: Final = re.compile(r"[<＜﹤‹〈]([\s\u200b]*/?[\s\u200b]*data-)", re.IGNORECASE)
_TAIL: Final = 32


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template with placeholders for data and, where the data is fenced, {nonce}; `digest` names its text."""

    text: str
    digest: str

    @property
    def tail(self) -> str:
        """The fixed text just before the answer, at most 32 characters."""
        last = list(_PLACEHOLDER.finditer(self.text))[-1]
        return self.text[last.end() :][-_TAIL:]


def load_prompt(name: str, needs: Collection[str] = VERDICT, may: Collection[str] = ()) -> Prompt:
    """Return a packaged prompt by its name, or the one in the `.txt` file `name`.

    Raise UserError when there is none, when it lacks a placeholder of `needs`, when it has one that is neither in
    `needs`, in `may` nor `nonce`, and when nothing follows the data: the question must come after it.
    """
    packaged = {path.stem: path for path in PROMPTS.glob("*.txt")}
    path = packaged.get(name, Path(name))
    if path.suffix != ".txt" or not path.is_file():
        raise UserError("no such prompt", value=name, options=packaged, remedy="or give the path of a .txt file")
    text = path.read_text("utf-8").rstrip("\n")
    used = set(_PLACEHOLDER.findall(text))
    known = {*needs, *may, "nonce"}
    for unknown in sorted(used - known):
        raise UserError("unknown placeholder", where=str(path), value=unknown, options=sorted(known))
    for missing in sorted(set(needs) - used):
        raise UserError("the prompt lacks a placeholder", where=str(path), value="{" + missing + "}")
    prompt = Prompt(text, digest(text))
    if not prompt.tail.strip():
        raise UserError(
            "the prompt ends with data", where=str(path), value=text[-_TAIL:], remedy="put the question after the data"
        )
    return prompt


def render(template: str, values: Mapping[str, str], nonce: str) -> str:
    """Return the template with every placeholder replaced by its value, and {nonce} by `nonce`.

    Placeholders are substituted in one pass, so that data holding `{response}` pulls in nothing. What looks like a
    fence inside the data loses its angle bracket, so the fence of the template is the only one.
    """
    safe = {name: _FENCE.sub(r"(\1", text) for name, text in values.items()} | {"nonce": nonce}
    return _PLACEHOLDER.sub(lambda match: safe.get(match[1], match[0]), template)


def nonce(prompt: Prompt, content_id: str) -> str:
    """Return the fence's mark for one row: 8 hex digits that the row cannot know of itself."""
    return digest([prompt.digest, content_id])[:8]
