"""Rows packed into batches of fixed width that do not see each other."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifests.names import sampling_key
from trainers.render import Rendered

CHUNK: Final = 32
"""Steps that are packed together: more fill the bins better, fewer keep closer to the seeded order."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Item:
    """A rendered row, the weight of its loss, the 64-bit key that orders it, its role and the id of its sample."""

    rendered: Rendered
    weight: float = 1.0
    key: int = 0
    role: str = ""
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows of one optimizer step, or of a part of it.

    `ids`, `positions` and `segments` have shape (bins, width); a position's segment is its row's number in the bin,
    from 1, and 0 for padding. `where` holds the flat positions whose next token is learnt, `targets` those tokens and
    `weights` their rows' weights, each of shape (learnt tokens,).
    """

    ids: Ints
    positions: Ints
    segments: Ints
    where: Ints
    targets: Ints
    weights: NDArray[np.float32]

    @property
    def tokens(self) -> int:
        """Return the tokens of the batch, padding excluded."""
        return int((self.segments > 0).sum())


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return bins of row indexes, each of at most `capacity` tokens, by best-fit decreasing.

    Rows are placed longest first, ties by index, each into the fullest bin that takes it. Uses at most 11/9 of the
    fewest bins plus 4 (Johnson, 1973); O(n log n) for bounded lengths. Every length must be 1 to `capacity`.
    """
    bins: list[list[int]] = []
    by_space: dict[int, list[int]] = {}
    spaces: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        at = bisect_left(spaces, length)
        if at == len(spaces):
            bins.append([])
            chosen, space = len(bins) - 1, capacity
        else:
            space = spaces[at]
            chosen = by_space[space].pop()
            if not by_space[space]:
                del spaces[at], by_space[space]
        bins[chosen].append(index)
        left = space - length
        if left:
            if left not in by_space:
                by_space[left] = []
                insort(spaces, left)
            by_space[left].append(chosen)
    return bins


def batches(items: Sequence[Item], capacity: int, height: int, seed: int, steps: int) -> Iterator[list[list[int]]]:
    """Yield for each of `steps` steps its `height` bins of item indexes; the same for the same items and seed.

    Items come in an order drawn anew for each epoch; those of up to `CHUNK` steps are packed together, the fullest bins
    are used and the rest waits for the next chunk, where it goes first. Steps are filled across the ends of epochs, so
    that every blend gets the same positions per step.
    """
    lengths = [len(item.rendered.ids) for item in items]
    count = height * min(CHUNK, steps)
    order, held, done, chunk = cycle(items, seed), list[int](), 0, 0
    while done < steps:
        rows = list(held)
        total = sum(lengths[i] for i in rows)
        while total < count * capacity:
            rows.append(next(order))
            total += lengths[rows[-1]]
        kept, held = _fullest([lengths[i] for i in rows], rows, len(held), capacity, count)
        shuffled = _shuffled(kept, seed, chunk)
        for first in range(0, min(count, (steps - done) * height), height):
            yield shuffled[first : first + height]
        done, chunk = done + count // height, chunk + 1


def finite(items: Sequence[Item], order: Sequence[int], capacity: int, height: int, seed: int) -> list[list[list[int]]]:
    """Return the bins of each step that shows the item indexes `order`, each place of it once.

    Packed as `batches` does; steps have `height` bins, those of the last chunk as many or fewer, even to within one.
    """
    lengths = [len(item.rendered.ids) for item in items]
    steps: list[list[list[int]]] = []
    held: list[int] = []
    at = chunk = 0
    while at < len(order) or held:
        rows = list(held)
        total = sum(lengths[i] for i in rows)
        while at < len(order) and total < CHUNK * height * capacity:
            rows.append(order[at])
            total, at = total + lengths[order[at]], at + 1
        most = len(rows) if at == len(order) else CHUNK * height
        kept, held = _fullest([lengths[i] for i in rows], rows, len(held), capacity, most)
        shuffled = _shuffled(kept, seed, chunk)
        count = -(-len(kept) // height)
        cuts = [len(kept) * n // count for n in range(count + 1)]
        steps += [shuffled[a:b] for a, b in pairwise(cuts)]
        chunk += 1
    return steps


def collate(items: Sequence[Item], bins: Sequence[Sequence[int]], width: int = 0) -> Batch:
    """Return the bins as arrays, as wide as the fullest bin or `width`; no row's loss reaches over its own border."""
    width = max(width, *(sum(len(items[i].rendered.ids) for i in places) for places in bins))
    ids, positions, segments = (np.zeros((len(bins), width), dtype=np.int64) for _ in range(3))
    where: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for n, places in enumerate(bins):
        at = 0
        for segment, i in enumerate(places, start=1):
            row, length = items[i].rendered, len(items[i].rendered.ids)
            ids[n, at : at + length] = row.ids
            positions[n, at : at + length] = np.arange(length)
            segments[n, at : at + length] = segment
            first = max(row.start, 1)
            where += range(n * width + at + first - 1, n * width + at + length - 1)
            targets += row.ids[first:]
            weights += [items[i].weight] * (length - first)
            at += length
    return Batch(
        ids,
        positions,
        segments,
        np.array(where, dtype=np.int64),
        np.array(targets, dtype=np.int64),
        np.array(weights, dtype=np.float32),
    )


def inputs(batch: Batch, device: str, dtype: Any, *, flex: bool = False) -> dict[str, Any]:  # noqa: ANN401 - tensors
    """Return the model's inputs: ids, positions and a block-diagonal causal mask.

    The mask is additive, shape (bins, 1, w, w), or with `flex` a `BlockMask`, which skips the blocks that nothing sees.
    It is explicit because an attention mask of ones beside restarted positions makes transformers attend over the
    borders without a warning. Padding attends to itself alone, so that no row of the mask is empty.
    """
    import torch

    segments = torch.from_numpy(batch.segments).to(device)
    given = {
        "input_ids": torch.from_numpy(batch.ids).to(device),
        "position_ids": torch.from_numpy(batch.positions).to(device),
    }
    return given | {"attention_mask": _blocks(segments) if flex else _additive(segments, dtype)}


def _blocks(segments: Any) -> Any:  # noqa: ANN401 - tensors
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(row: Any, _: Any, query: Any, key: Any) -> Any:  # noqa: ANN401 - tensors
        """Return whether a position sees another one: an earlier one of its row, or itself."""
        mine = segments[row, query]
        return (query == key) | ((mine == segments[row, key]) & (mine > 0) & (query > key))

    rows, width = segments.shape
    return create_block_mask(seen, rows, None, width, width, device=segments.device)


def _additive(segments: Any, dtype: Any) -> Any:  # noqa: ANN401 - tensors
    import torch

    width, device = segments.shape[1], segments.device
    same = segments[:, :, None] == segments[:, None, :]
    causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    seen = same & causal & (segments > 0)[:, :, None]
    seen |= torch.eye(width, dtype=torch.bool, device=device)
    return torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def by_flex(model: Any) -> bool:  # noqa: ANN401 - a model
    """Return whether a model's layers attend by flex attention, which takes the mask as blocks."""
    return getattr(getattr(model, "config", None), "_attn_implementation", "") == "flex_attention"


def efficiency(items: Sequence[Item], bins: Sequence[Sequence[int]], capacity: int) -> float:
    """Return the share of the bins' positions that hold tokens, 0 to 1."""
    used = sum(len(items[i].rendered.ids) for places in bins for i in places)
    return used / (capacity * len(bins)) if bins else 0.0


def _fullest(
    lengths: Sequence[int], rows: Sequence[int], waited: int, capacity: int, most: int
) -> tuple[list[list[int]], list[int]]:
    """Return at most `most` bins of a chunk's rows, those of the first `waited` rows, then the fullest; and the rest.

    `lengths` are those of `rows`, item indexes; so are the bins and the rest, in the order of the chunk.
    """
    bins = pack(lengths, capacity)
    bins.sort(key=lambda places: (min(places) >= waited, -sum(lengths[place] for place in places), places))
    rest = sorted(place for places in bins[most:] for place in places)
    return [[rows[place] for place in places] for places in bins[:most]], [rows[place] for place in rest]


def _shuffled(bins: Sequence[list[int]], seed: int, chunk: int) -> list[list[int]]:
    drawn = sampling_key(np.arange(len(bins), dtype=np.uint64), seed, f"chunk-{chunk}")
    return [bins[n] for n in np.argsort(drawn, kind="stable").tolist()]


def cycle(items: Sequence[Item], seed: int) -> Iterator[int]:
    """Yield item indexes for ever, each epoch in an order of its own that depends on keys and seed alone."""
    keys = np.array([item.key for item in items], dtype=np.uint64)
    epoch = 0
    while True:
        yield from np.argsort(sampling_key(keys, seed, f"epoch-{epoch}"), kind="stable").tolist()
        epoch += 1
