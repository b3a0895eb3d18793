"""What a written reply decides: one label, read from its last field or line only, or the reason why it decides none.

Judged text is untrusted, and a judge that reasons quotes it. So nothing before the last line of a reply counts: neither
a verdict that the judge changed its mind about, nor one that the judged row put into its own text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

EMPTY: Final = "empty reply"
TRUNCATED: Final = "truncated: cut off before a complete verdict"
CLAIM_LABELS: Final = ("true", "false", "unknown")
"""The words of a claim's recorded verdict in HaluEval-2.0 (arXiv 2401.03205): the second may carry a correction."""
_CUT: Final = "length"
_NAMED: Final = re.compile(r"[\s*_#>`\-]*[^\W\d_][\w /\-]{0,40}?[\s*_`]*[:：=](?P<value>.*)", re.DOTALL)
_CORRECTION: Final = re.compile(r"\[\s*corrected\s+facts?\s*\][\s:]*", re.IGNORECASE)
_DECORATION: Final = " \t\r\n\f\v*_`~#>'\"“”‘’«»()[]<>{}.,;:!?-–—"
_AFTER: Final = frozenset(".,;:!-–—(")
_SHOWN: Final = 80
_CANDIDATES: Final = 64
"""Lines from the end at which a JSON object that ends the reply may begin."""


class ClaimVerdict(NamedTuple):
    """A claim's verdict: the label's index, or None and `why`; `correction` is what should stand instead."""

    label: int | None
    why: str | None = None
    correction: str | None = None


def read_answer(text: str, finish: str, labels: Sequence[str]) -> tuple[int | None, str | None]:
    """Return (index of the label that the reply's last field or line states, None), or (None, why).

    Read are: a JSON object that ends the reply, by its last field; otherwise the last line that is not blank, as
    `name: label` or the label alone. Case, width, markdown and punctuation around the label do not matter, and more may
    follow it after a punctuation mark. `finish` is `length` when the reply was cut off.

    `why` begins with `empty`, `truncated`, `off the menu` (no label there), or `malformed` (two labels, or a last field
    that is no text). Raise nothing, whatever the text; linear in its length but for 64 tries to read JSON.
    """
    names = [_folded(label) for label in labels]
    lines = text.rstrip().removesuffix("```").rstrip().split("\n")
    if not lines[-1].strip():
        return None, TRUNCATED if finish == _CUT else EMPTY
    found = _json_object(lines)
    if isinstance(found, str):
        return None, found
    if found is not None:
        return _field(found, names)
    named = _NAMED.fullmatch(lines[-1])
    index, why = _stated(named["value"] if named else lines[-1], names)
    if finish != _CUT:
        return index, why
    complete = index is not None and (named is not None or text.endswith("\n")) and not _goes_on(names, index)
    return (index, None) if complete else (None, TRUNCATED)


def read_claim(text: str, finish: str = "stop", labels: Sequence[str] = CLAIM_LABELS) -> ClaimVerdict:
    """Return the verdict of a reply such as `false, [corrected fact]: It is Rome.`, with the correction apart.

    What stands after the marker is data: no label is read from it. A correction that was cut off is None, its label
    counts. A label other than the second with a correction is malformed.
    """
    marker = _CORRECTION.search(text)
    if marker is None:
        return ClaimVerdict(*read_answer(text, finish, labels))
    index, why = read_answer(text[: marker.start()].rstrip(" \t\r\n\f\v,;.:-"), "stop", labels)
    if index is None:
        return ClaimVerdict(None, why)
    if index != 1:
        return ClaimVerdict(None, f"malformed: a correction of what is {labels[index].strip()}")
    correction = text[marker.end() :].strip()
    return ClaimVerdict(index, None, correction if correction and finish != _CUT else None)


def _json_object(lines: Sequence[str]) -> list[tuple[str, Any]] | str | None:
    """Return the fields of the JSON object that ends the reply, why it cannot be used, or None when there is none."""
    if not lines[-1].rstrip().endswith("}"):
        return None
    starts = [i for i in range(len(lines) - 1, -1, -1) if lines[i].lstrip().startswith("{")]
    for start in starts[:_CANDIDATES]:
        try:
            fields = json.loads("\n".join(lines[start:]), object_pairs_hook=_Fields, parse_constant=_refused)
        except _Twice as twice:
            return f"malformed: two fields named {twice.args[0]!r}"
        except (ValueError, RecursionError):
            continue
        return list(fields) or "malformed: an object without a field"
    return None


class _Twice(Exception):  # noqa: N818 - it becomes a reason
    """An object that has one field twice: which of them counts would be a guess."""


class _Fields(tuple[tuple[str, Any], ...]):
    """The fields of an object in their order."""

    __slots__ = ()

    def __new__(cls, pairs: Sequence[tuple[str, Any]]) -> _Fields:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise _Twice(name[:_SHOWN])
            names.add(name)
        return super().__new__(cls, pairs)


def _refused(name: str) -> None:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _field(fields: Sequence[tuple[str, Any]], names: Sequence[str]) -> tuple[int | None, str | None]:
    name, value = fields[-1]
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str):
        return None, f"malformed: the last field {name[:_SHOWN]!r} holds no text"
    return _stated(value, names)


def _stated(value: str, names: Sequence[str]) -> tuple[int | None, str | None]:
    """Return the label that the value is, or begins with; two labels in it decide nothing."""
    said = _folded(value)
    if said in names:
        return names.index(said), None
    longest = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    within = re.findall(rf"(?<!\w)(?:{longest})(?!\w)", said)
    shown = repr(value.strip()[:_SHOWN])
    if len(set(within)) > 1:
        return None, f"malformed: more than one label in {shown}"
    if within and said.startswith(within[0]) and said[len(within[0]) :].lstrip()[:1] in _AFTER:
        return names.index(within[0]), None
    return None, f"off the menu: {shown}"


def _goes_on(names: Sequence[str], index: int) -> bool:
    """Return whether the label could be the beginning of another one that was cut off."""
    return any(name.startswith(names[index]) for i, name in enumerate(names) if i != index)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().strip(_DECORATION).split())
