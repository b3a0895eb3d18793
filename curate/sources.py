"""A source: where rows come from, which of them are wanted, and how each becomes a sample."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as component_dataclass

from curate import container
from curate.formats import FORMATS
from curate.hub import check as check_hub
from curate.hub import read as read_hub
from curate.location import locate
from curate.raw import RawRow
from curate.rowreader import RowReader, smallest
from curate.sample import Reject, Sample
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted, UserError
from manifests.names import check_name

Scalar = str | int | float | bool | None

_OWN_FIELDS = ("licence", "references", "task")
_STEP = 1024


@dataclass(frozen=True)
class Reading:
    """All rows of a source.

    `rows` = samples + rejects; `skipped` counts the rows that `select` and `limit` left out, which are in neither.
    `sha256` is the source's fingerprint. Samples and rejects are in the order of the rows.
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


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Source:
    """Rows of one origin: a file, a folder or pattern of files, or a dataset on the hub.

    Every row becomes a `Sample` or a `Reject` with a reason of `curate.reason.REASONS`, unless `select` or `limit`
    leaves it out.
    """

    kind: ClassVar[str] = "source"
    version: ClassVar[int] = 1

    name: str
    """Name of the source: lower-case letters, digits and dashes."""
    role: Literal["generalist", "specialist", "eval", "knowledge"]
    """What its rows are for: generalist, specialist, eval or knowledge."""
    path: str | None = None
    """File, folder or pattern (*, ?, **) of files, relative to the job's data folder."""
    hub: str | None = None
    """Dataset on the Hugging Face hub, as OWNER/NAME; needs a revision."""
    revision: str | None = None
    """Commit hash of the hub dataset, 40 hex digits."""
    subset: str | None = None
    """Configuration of the hub dataset."""
    split: str = "train"
    """Split of the hub dataset."""
    format: str = "auto"
    """Row format: auto, alpaca, messages, sharegpt, prompt-completion, question-answer, super-natural-instructions."""
    task: str | None = None
    """Task of every row; left out, the row's own column `task`, if it is text."""
    licence: str = "unknown"
    """Licence of the rows, as an SPDX name where there is one; columns can map a column to it."""
    non_commercial: bool = False
    """True when the licence forbids commercial use."""
    select: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    """Column -> the value, or values, that a row must have there to be read; other rows are skipped."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The format's column -> the column's name in the rows, as in {prompt: source, completion: targets}."""
    template: str | None = None
    """Text around the last user turn: {prompt} stands for it, {NAME} for a column, {{ and }} for braces."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Most samples to keep: those first in a random order that the samples' ids alone decide, not the file's first."""
    keep: tuple[str, ...] = ()
    """Columns copied into each sample's meta."""

    def __post_init__(self) -> None:
        """Check what the types cannot: names, one origin, the format, the mapped columns."""
        check_name(self.name, noun="name of a source")
        if (self.path is None) == (self.hub is None):
            raise UserError("a source needs one of 'path' and 'hub'", value=self.path or self.hub)
        if self.hub is not None:
            check_hub(self.hub, self.revision)
        elif self.revision is not None or self.subset is not None:
            raise UserError("'revision' and 'subset' are for hub datasets", value=self.revision or self.subset)
        if self.format != "auto" and self.format not in FORMATS:
            raise UserError("unknown format", value=self.format, options=("auto", *FORMATS))
        kinds = FORMATS.values() if self.format == "auto" else (FORMATS[self.format],)
        known = {*_OWN_FIELDS, *(name for kind in kinds for name in kind.columns)}
        for name in self.columns:
            if name not in known:
                raise UserError(f"no column of the format '{self.format}'", value=name, options=known)

    def files(self, root: Path, allowed: Sequence[Path] = ()) -> list[Path]:
        """Return the source's files, absolute and sorted; empty for a hub dataset.

        Paths are relative to `root` and must lie in it or in a folder of `allowed`, symlinks resolved. Raises UserError
        when one does not, or nothing is there.
        """
        return [] if self.path is None else locate(self.path, root, allowed)

    def fingerprint(self, root: Path, allowed: Sequence[Path] = ()) -> str:
        """Return the SHA-256, 64 hex digits, that changes when the rows may have changed.

        One file: of its bytes. Several: of their names and hashes. Hub: of id, revision, subset and split. Reads every
        file once.
        """
        return self._fingerprint([(file, container.sha256(file)) for file in self.files(root, allowed)])

    def count(self, root: Path, allowed: Sequence[Path] = ()) -> int | None:
        """Return the rows of the files before `select` and `limit`, or None where that is not cheap to know."""
        if self.hub is not None:
            return None
        counts = [container.count(file) for file in self.files(root, allowed)]
        return None if None in counts else sum(n for n in counts if n is not None)

    def read(
        self, root: Path, allowed: Sequence[Path] = (), context: Context | None = None
    ) -> Iterator[Sample | Reject]:
        """Yield a sample or a reject for every row, in the order of the rows.

        Memory does not grow with the texts, unless there is a `limit`: it is known at the end, so all is read first.
        Errors as in `read_all`.
        """
        if self.limit is None:
            yield from (item for _, item in self._items(RowReader(self), self._hashed(root, allowed), context))
            return
        samples, rejects, _ = self._collect(self._hashed(root, allowed), context)
        items: list[tuple[int, Sample | Reject]] = [*samples, *rejects]
        yield from (item for _, item in sorted(items, key=lambda pair: pair[0]))

    def read_all(self, root: Path, allowed: Sequence[Path] = (), context: Context | None = None) -> Reading:
        """Return every sample and every reject of the source.

        Raises UserError when a file cannot be opened as what it is or changes while it is read, when no row has a
        column that the source names, when `select` matches no row, and when no row fits the format;
        `errors.Interrupted` when the context asks to stop.
        """
        hashed = self._hashed(root, allowed)
        samples, rejects, skipped = self._collect(hashed, context)
        return Reading(
            samples=[sample for _, sample in samples],
            rejects=[reject for _, reject in rejects],
            rows=len(samples) + len(rejects),
            skipped=skipped,
            sha256=self._fingerprint(hashed),
        )

    def _hashed(self, root: Path, allowed: Sequence[Path]) -> list[tuple[Path, str]]:
        return [(file, container.sha256(file)) for file in self.files(root, allowed)]

    def _fingerprint(self, hashed: Sequence[tuple[Path, str]]) -> str:
        if len(hashed) == 1:
            return hashed[0][1]
        lines = [f"{digest}  {file.name}" for file, digest in hashed]
        if self.hub is not None:
            lines = [str(part) for part in (self.hub, self.revision, self.subset, self.split)]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def _collect(
        self, hashed: Sequence[tuple[Path, str]], context: Context | None
    ) -> tuple[list[tuple[int, Sample]], list[tuple[int, Reject]], int]:
        reader = RowReader(self)
        samples: list[tuple[int, Sample]] = []
        rejects: list[tuple[int, Reject]] = []
        dropped = 0
        for place, item in self._items(reader, hashed, context):
            if isinstance(item, Reject):
                rejects.append((place, item))
                continue
            samples.append((place, item))
            if self.limit is not None and len(samples) >= 2 * self.limit + _STEP:
                dropped += len(samples) - self.limit
                samples = smallest(samples, self.limit)
        if self.limit is not None and len(samples) > self.limit:
            dropped += len(samples) - self.limit
            samples = smallest(samples, self.limit)
        return samples, rejects, reader.skipped + dropped

    def _items(
        self, reader: RowReader, hashed: Sequence[tuple[Path, str]], context: Context | None
    ) -> Iterator[tuple[int, Sample | Reject]]:
        """Yield each row's place in the source and what became of it."""
        done = 0
        for rows in self._rows(hashed):
            reader.begin_file()
            for row in rows:
                item = reader.item(row)
                done += 1
                if context is not None and done % _STEP == 0:
                    _tell(context, done)
                if item is not None:
                    yield done, item
        reader.finish(self._where(hashed))
        if context is not None:
            context.progress(done, done)

    def _rows(self, hashed: Sequence[tuple[Path, str]]) -> Iterator[Iterable[RawRow]]:
        """Yield the raw rows of each file."""
        if self.hub is not None:
            yield read_hub(self.hub, str(self.revision), self.subset, self.split)
        for file, digest in hashed:
            yield container.read(file, digest)

    def _where(self, hashed: Sequence[tuple[Path, str]]) -> str:
        return f"source '{self.name}' ({self.hub or (hashed[0][0].name if len(hashed) == 1 else self.path)})"


def _tell(context: Context, done: int) -> None:
    context.progress(done, 0)
    if context.stopping():
        raise Interrupted("stopped while reading")
