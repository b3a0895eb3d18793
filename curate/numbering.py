"""Exact numbering of integers without sorting: hash tables as arrays, in which every answer is checked.

A key's number is the slot in which it is stored, so two keys have one number exactly when they are equal: a key that
finds another in its slot moves on to the next table. Ten nanoseconds a key where a sort takes sixty.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Keys = NDArray[np.uint64]

LEVELS: Final = 12
"""Tables before the few keys that are left go to a dictionary: a bound for keys chosen to collide."""
_SMALLEST: Final = 12
_BLOCK: Final = 1 << 16
_MULTIPLIER: Final = 0x9E3779B97F4A7C15


class Numbering:
    """Numbers the keys it is shown, from 0, the same key always alike; numbers have gaps. Keys are above 0.

    Memory: 16 bytes per key of `expected`, and more tables, each twice the one before, when there are more.
    """

    def __init__(self, expected: int) -> None:
        """Make room for `expected` distinct keys; a wrong guess costs time or memory, nothing else."""
        self._bits = max(_SMALLEST, min(30, int(expected).bit_length()))
        self._tables: list[Keys] = []
        self._first = 0
        self._rest: dict[int, int] = {}

    def __len__(self) -> int:
        """Return a bound on the numbers in use: every number given so far is below it."""
        return self._first + len(self._rest)

    def number(self, keys: Keys) -> Codes:
        """Return each key's number."""
        numbers = np.empty(len(keys), np.int32)
        todo: NDArray[np.int64] | None = None
        first = 0
        for level in range(LEVELS):
            if not len(keys):
                return numbers
            table = self._table(level)
            slot = _slots(keys, level, len(table))
            held = table[slot]
            free = np.flatnonzero(held == 0)
            if len(free):
                table[slot[free]] = keys[free]
                held[free] = table[slot[free]]
            found = held == keys
            slot += first
            if todo is None:
                numbers[:] = slot
                todo = np.flatnonzero(~found)
            else:
                numbers[todo[found]] = slot[found]
                todo = todo[~found]
            keys = keys[~found]
            first += len(table)
        for at, key in zip([] if todo is None else todo.tolist(), keys.tolist(), strict=True):
            numbers[at] = first + self._rest.setdefault(key, len(self._rest))
        return numbers

    def _table(self, level: int) -> Keys:
        """Return the table of a level, made when first needed: two halves after the first, then doubling."""
        if level == len(self._tables):
            bits = self._bits if level == 0 else max(_SMALLEST, min(30, self._bits + max(level - 3, -1)))
            self._tables.append(np.zeros(1 << bits, np.uint64))
            self._first += 1 << bits
        return self._tables[level]


def _slots(keys: Keys, level: int, size: int) -> NDArray[np.int64]:
    """Return each key's slot: the upper bits of a product, another one at each level."""
    multiplier = (_MULTIPLIER * (2 * level + 1) + (level << 32)) & 0xFFFFFFFFFFFFFFFF | 1
    mixed = keys ^ (keys >> np.uint64(32)) if level else keys.copy()
    mixed *= np.uint64(multiplier)
    mixed >>= np.uint64(65 - size.bit_length())
    return mixed.view(np.int64)


def dense(codes: Codes) -> int:
    """Renumber codes from 0 on, in place, from 1 without gaps, order kept; return how many there are."""
    if not len(codes):
        return 0
    used = np.zeros(int(codes.max()) + 1, np.bool_)
    used[codes] = True
    place = np.cumsum(used, dtype=np.int32)
    for at in range(0, len(codes), _BLOCK):
        codes[at : at + _BLOCK] = place[codes[at : at + _BLOCK]]
    return int(place[-1])
