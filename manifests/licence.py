"""What the name of a licence says: whether it is stated at all, and whether it rules out commercial use."""

from __future__ import annotations

import re
from typing import Final

_NON_COMMERCIAL: Final = re.compile(
    r"(?<![a-z])(?:(?:cc)?by)?nc(?![a-z])|(?<![a-z])(?:cc)?bync(?:sa|nd)(?![a-z])"
    r"|(?<![a-z])(?:non?|not(?:[\W_]+for)?)[\W_]*commercial"
    r"|(?:academic|educational|personal|research)[\W_]+(?:(?:purposes?|use)[\W_]+)?only"
    r"|only[\W_]+for[\W_]+(?:academic|educational|personal|research)",
    re.IGNORECASE,
)
_UNSTATED: Final = frozenset(
    {"", "-", "?", "n/a", "na", "nan", "no licence", "no license", "noassertion", "none", "none stated"}
    | {"not available", "not specified", "not stated", "null", "other", "unclear", "undefined", "unknown"}
    | {"unlicensed", "unspecified"}
)


def non_commercial(licence: str) -> bool:
    """Return whether the licence's name rules out commercial use (CC BY-NC and its kin)."""
    return bool(_NON_COMMERCIAL.search(licence))


def stated(licence: str) -> bool:
    """Return whether the text names a licence, and does not say that there is none or that nobody knows it."""
    return licence.strip().lower() not in _UNSTATED
