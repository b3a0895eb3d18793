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

from curate.numbering import Codes
from curate.text import Grams

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BUDGET: Final = 2_000_000
"""Candidates, and members of candidates, that are in memory at once; 8 bytes and a few copies each."""
_MANY: Final = 0xFFFF
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
        place = rank[grams.gram]
        alone = place < 0
        size = np.bincount(grams.row[alone], minlength=grams.rows)
        bits = np.int64(len(used).bit_length())
        key = grams.row[~alone].astype(np.int64)
        key <<= bits
        key |= place[~alone]
        del often, rank, place, alone
        key = _distinct(key)
        row, member = (key >> bits).astype(np.int32), (key & ((1 << bits) - 1)).astype(np.int32)
        rows_with = np.bincount(member, minlength=len(used))
        if max_rows is not None and (rows_with > max_rows).any():
            rare = rows_with[member] <= max_rows
            row, member = row[rare], member[rare]
        size += np.bincount(row, minlength=grams.rows)
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
) -> Iterator[Pairs]:
    """Yield every pair of rows with Jaccard similarity >= threshold (0 < threshold <= 1), block by block.

    Rows with another label in `group` are not compared. `alive` may be changed by the caller while a block is in its
    hands: rows of that block or an earlier one that are then false are not matched with later blocks, so that
    selecting leaders costs no more than comparing with the leaders. An empty set is similar to nothing. Memory is
    bounded by the sets, an index of the live prefixes and `budget`; rows of one block are compared with each other,
    whether live or not.
    """
    label = np.zeros(len(sets), np.int64) if group is None else group
    live = np.ones(len(sets), np.bool_) if alive is None else alive
    join = _Join(sets, threshold, label, budget)
    first, rows = 0, 1024
    while first < len(sets):
        entries = join.entries(first, min(first + rows, len(sets)))
        stop, later, earlier = join.candidates(entries)
        later, earlier, similarity = join.verified(later, earlier)
        yield Pairs(later, earlier, similarity, stop)
        join.settle(entries.where((entries.row < stop) & live[entries.row]))
        rows = rows * 2 if stop == entries.stop else max(1, stop - first)
        first = stop


@dataclass(frozen=True, eq=False)
class _Entries:
    """Prefix members: `member[k]` stands at `place[k]` of the set of `row[k]`; for the rows from start to stop."""

    member: Ints
    row: Ints
    place: Ints
    start: int
    stop: int

    def where(self, mask: Mask | Ints) -> _Entries:
        return _Entries(self.member[mask], self.row[mask], self.place[mask], self.start, self.stop)


@dataclass(frozen=True, eq=False)
class _Segment:
    """A part of the index: entries ordered by (member, size of the set), with that pair as one key."""

    key: Ints
    entries: _Entries


@dataclass(eq=False)
class _Join:
    """The state of one join: what was settled so far, in segments of which each is half the one before or smaller."""

    sets: Sets
    threshold: float
    label: Ints
    budget: int
    segments: list[_Segment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.width = int(self.sets.size.max(initial=0)) + 2
        self.prefix = self.sets.size - np.ceil(self.threshold * self.sets.size - _SLACK).astype(np.int64) + 1
        self.mark = np.zeros(self.sets.members, np.bool_)

    def entries(self, start: int, stop: int) -> _Entries:
        """Return the shared prefix members of the rows from start to stop, by row."""
        begin, end = self.sets.start[start:stop], self.sets.start[start + 1 : stop + 1]
        alone = self.sets.size[start:stop] - (end - begin)
        count = np.clip(self.prefix[start:stop] - alone, 0, end - begin)
        at = _ranges(begin, count)
        row = np.repeat(np.arange(start, stop), count)
        return _Entries(self.sets.member[at].astype(np.int64), row, at - np.repeat(begin - alone, count), start, stop)

    def settle(self, entries: _Entries) -> None:
        """Add entries to the index, merging segments so that there are few."""
        while self.segments and len(self.segments[-1].key) < 2 * len(entries.row):
            old = self.segments.pop().entries
            both = [np.concatenate(pair) for pair in zip(_columns(old), _columns(entries), strict=True)]
            entries = _Entries(both[0], both[1], both[2], old.start, entries.stop)
        key = entries.member * self.width + self.sets.size[entries.row]
        order = np.argsort(key, kind="stable")
        self.segments.append(_Segment(key[order], entries.where(order)))

    def candidates(self, entries: _Entries) -> tuple[int, Ints, Ints]:
        """Return the row to go on from, and the distinct pairs (later, earlier) that pass the filters."""
        size = self.sets.size[entries.row]
        low = entries.member * self.width + np.ceil(self.threshold * size - _SLACK).astype(np.int64)
        high = entries.member * self.width + np.floor(size / self.threshold + _SLACK).astype(np.int64)
        high = np.minimum(high, (entries.member + 1) * self.width - 1)
        spans = [(np.searchsorted(s.key, low), np.searchsorted(s.key, high, "right")) for s in self.segments]
        within = _Within.of(entries)
        raw = within.count + sum((hi - lo for lo, hi in spans), np.zeros(len(size), np.int64))
        stop = self._cut(entries, raw)
        take = int(np.searchsorted(entries.row, stop))
        found = [
            self._pairs(entries, take, segment.entries, lo, hi - lo)
            for segment, (lo, hi) in zip(self.segments, spans, strict=True)
        ]
        found.append(self._pairs(entries, take, entries.where(within.order), within.begin, within.count))
        key = _distinct(np.concatenate(found))
        return stop, key // len(self.sets), key % len(self.sets)

    def _cut(self, entries: _Entries, raw: Ints) -> int:
        """Return the first row that would exceed the budget, at least one row on."""
        over = int(np.searchsorted(np.cumsum(raw), self.budget, "right"))
        return entries.stop if over == len(raw) else max(int(entries.row[over]), entries.start + 1)

    def _pairs(self, entries: _Entries, take: int, index: _Entries, begin: Ints, count: Ints) -> Ints:
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

    def _filtered(self, entries: _Entries, probe: Ints, index: _Entries, place: Ints) -> Ints:
        """Return those pairs that the label, the sizes and the positions allow."""
        later, earlier = entries.row[probe], index.row[place]
        fit = self.label[later] == self.label[earlier]
        later, earlier, probe, place = later[fit], earlier[fit], probe[fit], place[fit]
        mine, other = self.sets.size[later], self.sets.size[earlier]
        need = np.ceil(self.threshold / (1 + self.threshold) * (mine + other) - _SLACK)
        fit = np.minimum(mine, other) >= self.threshold * np.maximum(mine, other) - _SLACK
        # A similar pair passes where it first meets: its other shared members are less rare, so they all come later.
        fit &= np.minimum(mine - entries.place[probe], other - index.place[place]) >= need
        return np.asarray(later[fit] * len(self.sets) + earlier[fit])

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


@dataclass(frozen=True, eq=False)
class _Within:
    """A block's entries against those of its own earlier rows: entry k meets `order[begin[k]:begin[k] + count[k]]`."""

    order: Ints
    begin: Ints
    count: Ints

    @classmethod
    def of(cls, entries: _Entries) -> _Within:
        order = np.argsort(entries.member, kind="stable")
        member = entries.member[order]
        first = np.searchsorted(member, member)
        begin = np.empty(len(order), np.int64)
        begin[order] = first
        count = np.empty(len(order), np.int64)
        count[order] = np.arange(len(order)) - first
        return cls(order, begin, count)


def _columns(entries: _Entries) -> tuple[Ints, Ints, Ints]:
    return entries.member, entries.row, entries.place


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
