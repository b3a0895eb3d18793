"""Runs one family of checks on one question and answer."""

from __future__ import annotations

from curate.computed.ask import asked
from curate.computed.claim import Claim
from curate.computed.family import FAMILIES
from curate.computed.scorer import checked
from tests.curate.judged import frame


def claims(kind: str, prompt: str, response: str) -> list[Claim]:
    """Return what the family finds in a row."""
    return list(FAMILIES[kind].check(asked(prompt), response))


def verdict(kind: str, prompt: str, response: str) -> str | None:
    """Return `wrong` when the family finds anything wrong, `right` when it finds all right, None when it abstains."""
    found = {claim.verdict for claim in claims(kind, prompt, response)}
    return None if not found else "wrong" if "wrong" in found else "right"


def prefiltered(kind: str, prompt: str, response: str) -> bool:
    """Return whether the regular expressions of the family let the row through to its check."""
    rows = frame([(prompt, response)])
    family = FAMILIES[kind]
    return (
        bool(rows["prompt"].str.contains(family.prompt)[0] and rows["response"].str.contains(family.response)[0])
        and checked((kind,), rows.select("sample_id", "prompt", "response").with_columns(**{kind: True})) is not None
    )  # type: ignore[arg-type]


def sole(kind: str, prompt: str, response: str) -> Claim:
    """Return the only claim that the family finds in a row."""
    (claim,) = claims(kind, prompt, response)
    return claim
