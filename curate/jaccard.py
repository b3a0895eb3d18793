"""All pairs of sets whose Jaccard similarity reaches a threshold, exactly: a prefix-filter self-join on arrays.

Method: order each set by how rare its members are over all sets; two sets with |A and B| / |A or B| >= t share a member
among the first |A| - ceil(t |A|) + 1 of A and likewise of B (prefix filter: Chaudhuri, Ganti and Kaushik, "A Primitive
Operator for Similarity Joins", ICDE 2006; Bayardo, Ma and Srikant, "Scaling Up All Pairs Similarity Search", WWW 2007),
their sizes are within a factor t, and what follows the shared member must still suffice (positional filter: Xiao et
al., "Efficient Similarity Joins for Near Duplicate Detection", WWW 2008). Every pair that passes is intersected
exactly, so no pair is missed and none is reported wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.minhash import Bands
from curate.numbering import Codes
from curate.text import Grams

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_Found = tuple[Ints | Codes, Ints | Codes]
"""The rows of entries in the order of an index, and what is left of their sets."""

BUDGET: Final = 2_000_000
"""Candidates, and members of candidates, that are in memory at once."""
_BYTES: Final = 80
"""Memory that a candidate takes while it is filtered."""
_MANY: Final = 0xFFFF
_RUN: Final = 1 << 15
_SLACK: Final = 1e-6
"""Keeps the filters on the safe side of rounding; the final comparison is exact."""


@dataclass(frozen=True, eq=False)
class Sets:
    """Sets of members, one per row: compressed rows of those members that another row has too, rarest first."""

    size: Ints
    """Members of each set, alone or shared; shape (rows,)."""
    start: Ints
    """Row r's shared members are `member[start[r]:start[r + 1]]`; shape (rows + 1,)."""
    member: Codes
    """Shared members as ranks: 0 is the rarest."""
    members: int
    """A bound on the ranks: all are below it."""

    @classmethod
    def of(cls, grams: Grams, *, max_rows: int | None = None) -> Sets:
        """Return the sets of distinct grams per row; grams in more than `max_rows` rows are left out of all sets."""
        often = np.bincount(grams.gram, minlength=1)
        used = np.flatnonzero(often > 1)
        # By occurrences, repeats in a row counted too: any order of the members that all rows share is right.
        order = np.argsort(np.minimum(often[used], _MANY).astype(np.uint16), kind="stable")
        rank = np.full(len(often), -1, np.int32)
        rank[used[order]] = np.arange(len(used), dtype=np.int32)
        del often, order
        bits = np.int64(len(used).bit_length())
        size = np.zeros(grams.rows, np.int64)
        rows, members = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
        for at, stop in _row_blocks(grams.row):
            place = rank[grams.gram[at:stop]]
            alone = place < 0
            mine = grams.row[at:stop]
            first, last = int(mine[0]), int(mine[-1]) + 1
            key = mine[~alone].astype(np.int64)
            key <<= bits
            key |= place[~alone]
            key = _distinct(key)
            rows.append((key >> bits).astype(np.int32))
            members.append((key & ((1 << bits) - 1)).astype(np.int32))
            size[first:last] = np.bincount(mine[alone] - first, minlength=last - first)
        row, member = np.concatenate(rows), np.concatenate(members)
        del rows, members, rank
        rows_with = np.bincount(member, minlength=len(used))
        if max_rows is not None and (rows_with > max_rows).any():
            rare = rows_with[member] <= max_rows
            row, member = row[rare], member[rare]
        size += np.bincount(row, minlength=grams.rows)
        if (rows_with == 1).any():
            shared = rows_with[member] > 1
            row, member = row[shared], member[shared]
        start = np.zeros(grams.rows + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=grams.rows), out=start[1:])
        return cls(size, start, member, len(used))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.size)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs found in one block: `similarity[k]` of rows `later[k]` > `earlier[k]`, ordered by both."""

    later: Ints
    earlier: Ints
    similarity: Floats
    upto: int
    """All pairs whose later row is below this have been reported."""


def similar_pairs(
    sets: Sets,
    threshold: float,
    *,
    group: Ints | None = None,
    alive: Mask | None = None,
    budget: int = BUDGET,
    bands: Bands | None = None,
) -> Iterator[Pairs]:
    """Yield every pair of rows with Jaccard similarity >= threshold (0 < threshold <= 1), block by block.

    Rows with another label in `group` are not compared. `alive` may be changed by the caller while a block is in its
    hands: rows of that block or an earlier one that are then false are not matched with later blocks, so that
    selecting leaders costs no more than comparing with the leaders. An empty set is similar to nothing. Memory is
    bounded by the sets, an index of the live rows (16 bytes an entry) and `budget` (see `budget_of`); rows of one block
    are compared with each other, whether live or not.

    With `bands` the candidates come from MinHash bands instead of prefixes: pairs may then be missed, at the rate that
    the bands were chosen for; those reported are verified all the same.
    """
    live = np.ones(len(sets), np.bool_) if alive is None else alive
    join = _Join(sets, threshold, group, budget, bands)
    first, rows = 0, 1024
    while first < len(sets):
        entries = join.entries(first, min(first + rows, join.within(first)))
        stop, later, earlier = join.candidates(entries)
        later, earlier, similarity = join.verified(later, earlier)
        yield Pairs(later, earlier, similarity, stop)
        join.settle(entries.where((entries.row < stop) & live[entries.row]))
        rows = rows * 2 if stop == entries.stop else max(1, stop - first)
        first = stop


def budget_of(memory: float) -> int:
    """Return the `budget` with which a block of the join takes no more than `memory` megabytes (2^20 bytes)."""
    return max(1, int(memory * 2**20 / _BYTES))


@dataclass(frozen=True, eq=False)
class _Entries:
    """What rows from start to stop are found by: `member[k]` of `row[k]`, after which `left[k]` of its set follow."""

    member: Ints
    row: Ints
    left: Ints
    """Members from this one on: the most that two sets can share which first meet here."""
    start: int
    stop: int

    def where(self, mask: Mask | Ints) -> _Entries:
        """Return the entries that a mask or places choose."""
        return _Entries(self.member[mask], self.row[mask], self.left[mask], self.start, self.stop)


@dataclass(frozen=True, eq=False)
class _Segment:
    """A part of the index, ordered by (member, size of the set), with that pair as one key."""

    key: Ints
    row: Codes
    left: Codes


@dataclass(eq=False)
class _Join:
    """The state of one join: what was settled so far, in segments of which each is half the one before or smaller."""

    sets: Sets
    threshold: float
    label: Ints | None
    budget: int
    bands: Bands | None
    segments: list[_Segment] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = self.sets.size
        self.width = int(size.max(initial=0)) + 2
        self.prefix = size - np.ceil(self.threshold * size - _SLACK).astype(np.int64) + 1
        # Two sets with |A and B| >= t |A or B| share at least t / (1 + t) (|A| + |B|).
        self.share = self.threshold / (1 + self.threshold) * size - _SLACK / 2
        self.mark = np.zeros(self.sets.members, np.bool_)
        self.total = np.cumsum(self._counts(0, len(size)))

    def within(self, first: int) -> int:
        """Return the row before which the entries from `first` on are a quarter of the budget, at least one row on."""
        done = int(self.total[first - 1]) if first else 0
        return max(first + 1, int(np.searchsorted(self.total, done + self.budget // 4, "right")))

    def _counts(self, start: int, stop: int) -> Ints:
        """Return how many entries each row from start to stop has."""
        shared = self.sets.start[start + 1 : stop + 1] - self.sets.start[start:stop]
        if self.bands is not None:
            return np.where(shared > 0, self.bands.count, 0)
        return np.asarray(np.clip(self.prefix[start:stop] - self.sets.size[start:stop] + shared, 0, shared))

    def entries(self, start: int, stop: int) -> _Entries:
        """Return the shared prefix members of the rows from start to stop, or their bands, by row."""
        begin, end = self.sets.start[start:stop], self.sets.start[start + 1 : stop + 1]
        if self.bands is not None:
            local, member = self.bands.buckets(begin, end, self.sets.member)
            return _Entries(member, local + start, self.sets.size[local + start], start, stop)
        count = self._counts(start, stop)
        at = _ranges(begin, count)
        row = np.repeat(np.arange(start, stop), count)
        return _Entries(self.sets.member[at].astype(np.int64), row, np.repeat(end, count) - at, start, stop)

    def settle(self, entries: _Entries) -> None:
        """Add entries to the index, merging segments so that there are few."""
        key = entries.member * self.width + self.sets.size[entries.row]
        columns: list[tuple[Ints, Codes, Codes]] = [
            (key, entries.row.astype(np.int32), entries.left.astype(np.int32)),
        ]
        while self.segments and len(self.segments[-1].key) < 2 * sum(len(c[0]) for c in columns):
            old = self.segments.pop()
            columns.insert(0, (old.key, old.row, old.left))
        key, row, left = (np.concatenate(c) for c in zip(*columns, strict=True))
        order = np.argsort(key, kind="stable")
        self.segments.append(_Segment(key[order], row[order], left[order]))

    def candidates(self, entries: _Entries) -> tuple[int, Ints, Ints]:
        """Return the row to go on from, and the distinct pairs (later, earlier) that pass the filters."""
        size = self.sets.size[entries.row]
        low = entries.member * self.width + np.ceil(self.threshold * size - _SLACK).astype(np.int64)
        high = entries.member * self.width + np.floor(size / self.threshold + _SLACK).astype(np.int64)
        high = np.minimum(high, (entries.member + 1) * self.width - 1)
        spans = [(np.searchsorted(s.key, low), np.searchsorted(s.key, high, "right")) for s in self.segments]
        order, begin, count = _within(entries.member)
        raw = count + sum((hi - lo for lo, hi in spans), np.zeros(len(size), np.int64))
        stop = self._cut(entries, raw)
        take = int(np.searchsorted(entries.row, stop))
        found = [
            self._pairs(entries, take, (segment.row, segment.left), lo, hi - lo)
            for segment, (lo, hi) in zip(self.segments, spans, strict=True)
        ]
        found.append(self._pairs(entries, take, (entries.row[order], entries.left[order]), begin, count))
        key = _distinct(np.concatenate(found))
        return stop, key // len(self.sets), key % len(self.sets)

    def _cut(self, entries: _Entries, raw: Ints) -> int:
        """Return the first row that would exceed the budget, at least one row on."""
        over = int(np.searchsorted(np.cumsum(raw), self.budget, "right"))
        return entries.stop if over == len(raw) else max(int(entries.row[over]), entries.start + 1)

    def _pairs(self, entries: _Entries, take: int, index: _Found, begin: Ints, count: Ints) -> Ints:
        """Return pairs as later * rows + earlier: the first `take` entries with their spans of the index."""
        parts = [np.empty(0, np.int64)]
        total = np.cumsum(count[:take])
        at = 0
        while at < take:
            done = int(total[at - 1]) if at else 0
            stop = max(at + 1, int(np.searchsorted(total, done + self.budget, "right")))
            probe = np.repeat(np.arange(at, stop), count[at:stop])
            place = _ranges(begin[at:stop], count[at:stop])
            parts.append(self._filtered(entries, probe, index, place))
            at = stop
        return np.concatenate(parts)

    def _filtered(self, entries: _Entries, probe: Ints, index: _Found, place: Ints) -> Ints:
        """Return those pairs that the label, the sizes and the positions allow."""
        later, earlier = entries.row[probe], index[0][place]
        # A similar pair passes where it first meets: its other shared members are less rare, so they all come later.
        # Sets whose sizes are further apart than the threshold fail too, wherever they meet.
        fit = np.minimum(entries.left[probe], index[1][place]) >= self.share[later] + self.share[earlier]
        later, earlier = later[fit], earlier[fit]
        if self.label is not None:
            fit = self.label[later] == self.label[earlier]
            later, earlier = later[fit], earlier[fit]
        return np.asarray(later * len(self.sets) + earlier)

    def verified(self, later: Ints, earlier: Ints) -> tuple[Ints, Ints, Floats]:
        """Return the pairs that reach the threshold, with their similarity."""
        both = self._overlap(later, earlier)
        similarity = both / np.maximum(self.sets.size[later] + self.sets.size[earlier] - both, 1)
        fit = similarity >= self.threshold
        return later[fit], earlier[fit], similarity[fit]

    def _overlap(self, later: Ints, earlier: Ints) -> Ints:
        """Return how many members each pair shares; `later` is sorted."""
        start, member, mark = self.sets.start, self.sets.member, self.mark
        count = start[earlier + 1] - start[earlier]
        total = np.concatenate(([0], np.cumsum(count)))
        both = np.zeros(len(later), np.int64)
        at = 0
        while at < len(later):
            stop = max(at + 1, int(np.searchsorted(total, total[at] + self.budget, "right")) - 1)
            tokens = member[_ranges(start[earlier[at:stop]], count[at:stop])]
            hit = np.empty(len(tokens), np.bool_)
            edges = np.concatenate((np.flatnonzero(np.diff(later[at:stop], prepend=-1)), [stop - at]))
            bounds = total[at + edges] - total[at]
            for row, lo, hi in zip(later[at:stop][edges[:-1]], bounds[:-1], bounds[1:], strict=True):
                mine = member[start[row] : start[row + 1]]
                mark[mine] = True
                np.take(mark, tokens[lo:hi], out=hit[lo:hi])
                mark[mine] = False
            counted = np.concatenate(([0], np.cumsum(hit)))
            ends = total[at : stop + 1] - total[at]
            both[at:stop] = counted[ends[1:]] - counted[ends[:-1]]
            at = stop
        return both


def _within(member: Ints) -> tuple[Ints, Ints, Ints]:
    """Return where each entry meets earlier ones of its own block: entry k `order[begin[k]:begin[k] + count[k]]`."""
    order = np.argsort(member, kind="stable")
    ordered = member[order]
    new = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(order)])
    first = np.repeat(new, np.diff(np.append(new, len(order))))
    begin, count = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    begin[order] = first
    count[order] = np.arange(len(order)) - first
    return order, begin, count


def _row_blocks(row: Ints | Codes) -> Iterator[tuple[int, int]]:
    """Yield the bounds of runs of whole rows, of about `_RUN` entries each; `row` is sorted."""
    at = 0
    while at < len(row):
        stop = min(at + _RUN, len(row)) - 1
        stop = int(np.searchsorted(row, row[stop], "left" if row[stop] != row[at] else "right"))
        yield at, stop
        at = stop


def _ranges(begin: Ints, count: Ints) -> Ints:
    """Return begin[0], begin[0] + 1, ... (count[0] of them), then those of begin[1], and so on."""
    ends = np.cumsum(count)
    total = int(ends[-1]) if len(ends) else 0
    places: Ints = np.arange(total) + np.repeat(begin - (ends - count), count)
    return places


def _distinct(keys: Ints) -> Ints:
    """Return the distinct keys, sorted."""
    ordered = np.sort(keys)
    new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    distinct: Ints = ordered if new.all() else ordered[new]
    return distinct
