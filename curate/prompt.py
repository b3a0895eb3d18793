"""Prompts: text files with placeholders, filled in one pass with data that cannot get out of its fence."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from manifests.errors import UserError
from manifests.names import digest

PROMPTS: Final = Path(__file__).parent / "prompts"
VERDICT: Final = ("instruction", "response")
"""What a prompt that asks for a verdict on a row must show."""
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_TAIL: Final = 32
_NONCE: Final = 8
_FENCED: Final = "data-"
_OPENING: Final = re.compile(
    r"[<＜﹤‹〈\u2329⟨⟪《«❬❮❰≺≪˂ᐸ⋖⧼⦑]|&(?:amp;)*(?:lt|#0*60|#x0*3c);?|%3c|\\(?:u003c|x3c)", re.IGNORECASE
)
"""What reads as an opening angle bracket: other brackets, and the ways to write one in HTML, URLs and JSON."""
_SLASHES: Final = frozenset("/\\／⁄∕⧸╱")
_DASHES: Final = frozenset("-‐‑‒–—―−﹘﹣－⁃˗➖_")
_CONFUSED: Final = str.maketrans("аɑαԁɗđτтŧ", "aaadddttt")
"""Letters of other scripts that look like those of `data`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template with placeholders for data and, where the data is fenced, {nonce}; `digest` names its text."""

    text: str
    digest: str
    name: str = ""

    @property
    def tail(self) -> str:
        """The fixed text just before the answer, at most 32 characters."""
        last = list(_PLACEHOLDER.finditer(self.text))[-1]
        return self.text[last.end() :][-_TAIL:]

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of the placeholders."""
        return frozenset(_PLACEHOLDER.findall(self.text))


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
    prompt = Prompt(text, digest(text), path.stem)
    known = {*needs, *may, "nonce"}
    for unknown in sorted(prompt.placeholders - known):
        raise UserError("unknown placeholder", where=str(path), value=unknown, options=sorted(known))
    for missing in sorted(set(needs) - prompt.placeholders):
        raise UserError("the prompt lacks a placeholder", where=str(path), value="{" + missing + "}")
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
    safe = {name: harmless(text) for name, text in values.items()} | {"nonce": nonce}
    return _PLACEHOLDER.sub(lambda match: safe.get(match[1], match[0]), template)


def harmless(text: str) -> str:
    """Return the text with a round bracket in the place of each angle bracket that opens what looks like a fence.

    A fence is `<data-` or `</data-` in any case, with other brackets, slashes, dashes and look-alike letters, with the
    bracket as an entity or escape, and with white space and invisible characters in between.
    """
    return _OPENING.sub(lambda match: "(" if _fenced(text, match.end()) else match[0], text)


def nonce(prompt: Prompt, content_id: str, data: Iterable[str] = ()) -> str:
    """Return the fence's mark for one row: 8 hex digits that occur nowhere in `data`, the texts to be fenced.

    The same on every machine, so that the prompt and its cache key are. A row could be made to hold the digits that
    its own content hash gives (a search of 2^32); such digits are passed over for the next ones of the row.
    """
    texts = [_plain(text) for text in data]
    mark, attempt = digest([prompt.digest, content_id])[:_NONCE], 0
    while any(mark in text for text in texts):
        attempt += 1
        mark = digest([prompt.digest, content_id, attempt])[:_NONCE]
    return mark


def _plain(text: str) -> str:
    """Return the text in lower case, in compatibility form and without invisible characters."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKC", text) if not _invisible(c)).lower()


def _invisible(char: str) -> bool:
    return unicodedata.category(char) in {"Cf", "Mn", "Me", "Cc"} and not char.isspace()


def _fenced(text: str, start: int) -> bool:
    """Return whether what follows a bracket at `start` reads as `data-` or `/data-`."""
    at = 0
    for i in range(start, len(text)):
        if at == 0 and (text[i].isspace() or text[i] in _SLASHES):
            continue
        for char in unicodedata.normalize("NFKD", text[i]).lower().translate(_CONFUSED):
            if _invisible(char):
                continue
            if at == len(_FENCED):
                return True
            if char != _FENCED[at] and not (_FENCED[at] == "-" and char in _DASHES):
                return False
            at += 1
        if at == len(_FENCED):
            return True
    return False
