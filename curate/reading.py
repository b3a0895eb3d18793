"""One pass over the files of a source: its blocks are parsed one by one, by any engine, and put together in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from curate.raw import Block
from curate.rowreader import BlockReader, Facts, Numbering, Part, parts, smallest
from curate.sample import Reject, Sample, samples_frame
from manifests import schema
from manifests.component import Context
from manifests.errors import Interrupted
from manifests.names import k64

if TYPE_CHECKING:
    from curate.sources import Source

_STEP = 1024


@dataclass(frozen=True)
class Reading:
    """All rows of a source.

    `rows` = samples + rejects; `skipped` counts the rows that `select` and `limit` left out, which are in neither.
    `sha256` is that of the files: of one file its bytes', of several that of their names and hashes. Samples and
    rejects are in the order of the rows.
    """

    samples: list[Sample] = field(repr=False)
    rejects: list[Reject] = field(repr=False)
    rows: int
    skipped: int
    sha256: str

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were rejected for each reason, by name."""
        return dict(sorted(Counter(reject.reason for reject in self.rejects).items()))


@dataclass(frozen=True)
class Tables:
    """All rows of a source as frames: `samples` (`schema.SAMPLES`, by sample_id) and `rejects` (`schema.REJECTS`).

    The other fields are those of `Reading`.
    """

    samples: pl.DataFrame = field(repr=False)
    rejects: pl.DataFrame = field(repr=False)
    rows: int
    skipped: int
    sha256: str


class _Parsed(NamedTuple):
    """What a worker made of one part: `samples` in the order of the rows, ids of first occurrences."""

    file: int
    samples: pl.DataFrame
    rejects: list[tuple[int, str, str]]
    facts: Facts


def items(
    numbering: Numbering, files: Iterable[Iterable[Block]], where: str, context: Context | None
) -> Iterator[tuple[int, Sample | Reject]]:
    """Yield each row's place in the source and what became of it, parsed here; rows left out are not yielded.

    Raises UserError, placed at `where`, as `Numbering.finish` does.
    """
    told = 0
    for part in parts(numbering.source, files):
        offset, before = numbering.begin(part.file), numbering.facts.rows
        reader = BlockReader(numbering.source, part.kind)
        for place, item in reader.items(part.block):
            yield before + place, _placed(item, numbering, offset)
        numbering.end(reader.facts)
        told = _tell(context, numbering.facts.rows, told)
    numbering.finish(where)
    _done(context, numbering, told)


def collect(
    source: Source, files: Iterable[Iterable[Block]], where: str, context: Context | None
) -> tuple[list[tuple[int, Sample]], list[tuple[int, Reject]], int]:
    """Return the samples and the rejects with their places, and how many rows were left out. Errors as `items`."""
    numbering = Numbering(source)
    samples: list[tuple[int, Sample]] = []
    rejects: list[tuple[int, Reject]] = []
    dropped = 0
    for place, item in items(numbering, files, where, context):
        if isinstance(item, Reject):
            rejects.append((place, item))
            continue
        samples.append((place, item))
        if source.limit is not None and len(samples) >= 2 * source.limit + _STEP:
            samples, less = _smallest(samples, source.limit)
            dropped += less
    if source.limit is not None:
        samples, less = _smallest(samples, source.limit)
        dropped += less
    return samples, rejects, numbering.facts.skipped + dropped


def _smallest(samples: list[tuple[int, Sample]], limit: int) -> tuple[list[tuple[int, Sample]], int]:
    kept = smallest([sample.id for _, sample in samples], limit)
    return [samples[i] for i in kept], len(samples) - len(kept)


def _placed(item: Sample | Reject, numbering: Numbering, offset: int) -> Sample | Reject:
    """Return the item with its own id, or its line in the source."""
    if isinstance(item, Reject):
        return item if not offset else Reject(item.source, offset + item.line, item.reason, item.raw_hash)
    own = numbering.id_of(item.content_id, item.id)
    return item if own == item.id else replace(item, id=own)


def tables(source: Source, files: Iterable[Iterable[Block]], where: str, context: Context) -> Tables:
    """Return all rows as frames, parsed by the context's engine; memory holds them once. Errors as `items`.

    `sha256` is left empty.
    """
    numbering, told, dropped = Numbering(source), 0, 0
    frames: list[pl.DataFrame] = []
    rejects: list[tuple[int, str, str]] = []
    with closing(_parsed(source, files, context)) as done:
        for part in done:
            offset = numbering.begin(part.file)
            rejects += [(offset + line, reason, raw_hash) for line, reason, raw_hash in part.rejects]
            frames.append(_numbered(part.samples, numbering))
            numbering.end(part.facts)
            told = _tell(context, numbering.facts.rows, told)
            if source.limit is not None and sum(f.height for f in frames) >= 2 * source.limit + _STEP:
                frames, less = _limited(frames, source.limit)
                dropped += less
    numbering.finish(where)
    _done(context, numbering, told)
    if source.limit is not None:
        frames, less = _limited(frames, source.limit)
        dropped += less
    samples = pl.concat([samples_frame(()), *frames]).sort("sample_id")
    columns = {
        "source": [source.name] * len(rejects),
        "line": [line for line, _, _ in rejects],
        "reason": [reason for _, reason, _ in rejects],
        "raw_hash": [raw_hash for _, _, raw_hash in rejects],
    }
    return Tables(
        samples=samples,
        rejects=schema.frame(columns, schema.REJECTS),
        rows=samples.height + len(rejects),
        skipped=numbering.facts.skipped + dropped,
        sha256="",
    )


def _parsed(source: Source, files: Iterable[Iterable[Block]], context: Context) -> Generator[_Parsed]:
    yield from context.engine.map(partial(parse, source), parts(source, files))


def parse(source: Source, part: Part) -> _Parsed:
    """Return what the rows of one part are; runs in a worker."""
    reader = BlockReader(source, part.kind)
    samples, rejects = [], []
    for _, item in reader.items(part.block):
        if isinstance(item, Sample):
            samples.append(item)
        else:
            rejects.append((item.line, item.reason, item.raw_hash))
    return _Parsed(part.file, samples_frame(samples, ordered=False), rejects, reader.facts)


def _numbered(samples: pl.DataFrame, numbering: Numbering) -> pl.DataFrame:
    """Return the samples with their own ids in place of those of first occurrences."""
    first = samples["sample_id"].to_list()
    ids = [numbering.id_of(content, each) for content, each in zip(samples["content_id"].to_list(), first, strict=True)]
    if ids == first:
        return samples
    keys = pl.Series("k64", [k64(each) for each in ids], dtype=pl.UInt64)
    return samples.with_columns(pl.Series("sample_id", ids, dtype=pl.String), keys)


def _limited(frames: Sequence[pl.DataFrame], limit: int) -> tuple[list[pl.DataFrame], int]:
    """Return the rows that `limit` keeps, and how many it leaves out."""
    whole = pl.concat([samples_frame(()), *frames])
    if whole.height <= limit:
        return [whole], 0
    return [whole[smallest(whole["sample_id"].to_list(), limit)]], whole.height - limit


def _tell(context: Context | None, done: int, told: int) -> int:
    """Report progress and heed a wish to stop, about every thousand rows; return when that was last done."""
    if context is None or done - told < _STEP:
        return told
    context.progress(done, 0)
    if context.stopping():
        raise Interrupted("stopped while reading")
    return done


def _done(context: Context | None, numbering: Numbering, told: int) -> None:
    if context is not None and numbering.facts.rows > told:
        context.progress(numbering.facts.rows, numbering.facts.rows)
