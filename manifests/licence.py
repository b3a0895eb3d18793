"""What the name of a licence says: whether it is stated at all, and whether it rules out commercial use."""

from __future__ import annotations

import re
from typing import Final

_NON_COMMERCIAL: Final = re.compile(r"(?<![a-z])nc(?![a-z])|non-?\s?commercial|research[\s-]only", re.IGNORECASE)
_UNSTATED: Final = frozenset(
    {"", "-", "?", "n/a", "na", "none", "not stated", "none stated", "other", "unclear", "unknown"}
)


def non_commercial(licence: str) -> bool:
    """Return whether the licence's name rules out commercial use (CC BY-NC and its kin)."""
    return bool(_NON_COMMERCIAL.search(licence))


def stated(licence: str) -> bool:
    """Return whether the text names a licence, and does not say that there is none or that nobody knows it."""
    return licence.strip().lower() not in _UNSTATED
