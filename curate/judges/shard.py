"""Which calls go together, whatever else is asked: all that is asked about one conversation, by its content id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby

from curate.judges import Call


def shards(calls: Sequence[Call], n: int) -> list[list[Call]]:
    """Return the calls in n lists: those about one conversation in the same one, in the order given.

    Their prompts often begin alike, and only an engine that has seen the beginning need not read it again.
    """
    found: list[list[Call]] = [[] for _ in range(n)]
    for call in calls:
        found[_hash(call) % n].append(call)
    return found


def parts(calls: Sequence[Call], size: int) -> list[list[Call]]:
    """Return the calls in lists of `size` or a little more: no conversation is divided, in the order of the hashes."""
    found: list[list[Call]] = []
    for _, group in groupby(sorted(calls, key=_hash), key=_hash):
        if not found or len(found[-1]) >= size:
            found.append([])
        found[-1].extend(group)
    return found


def _hash(call: Call) -> int:
    return int.from_bytes(hashlib.blake2b(call.content_id.encode(), digest_size=8).digest(), "little")
