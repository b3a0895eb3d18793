"""A source: where rows come from, which of them are wanted, and how each becomes a sample."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as component_dataclass

from curate import container, hub, reading, remote
from curate.formats import FORMATS
from curate.location import locate
from curate.raw import Block
from curate.reading import Reading, Tables
from curate.rowreader import Numbering
from curate.sample import Reject, Sample
from manifests.component import COMPONENT, Context
from manifests.errors import UserError
from manifests.licence import non_commercial, stated
from manifests.names import check_name

Scalar = str | int | float | bool | None

__all__ = ["Reading", "Scalar", "Source", "Tables"]

_OWN_FIELDS = ("licence", "references", "task")
_Hashed = Sequence[tuple[Path, str]]


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Source:
    """Rows of one origin: a file, a folder or pattern of files, here or at a URL, or a dataset on the hub.

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
    """File, folder or pattern (*, ?, **) of files, relative to the job's data folder; or the URL of one (s3://...)."""
    hub: str | None = None
    """Dataset on the Hugging Face hub, as OWNER/NAME; needs a revision."""
    revision: str | None = None
    """Commit hash of the hub dataset, 40 hex digits."""
    subset: str | None = None
    """Configuration of the hub dataset."""
    streaming: bool = False
    """True to read a hub dataset as it arrives, for those too large for this machine's disk."""
    split: str = "train"
    """Split of the hub dataset."""
    format: str = "auto"
    """Row format: auto, alpaca, messages, sharegpt, prompt-completion, question-answer, super-natural-instructions."""
    task: str | None = None
    """Task of every row; left out, the row's own column `task`, if it is text."""
    licence: str = "unknown"
    """Licence of the rows, as an SPDX name where there is one, or unknown; columns can map a column to it."""
    non_commercial: bool | None = None
    """True when the licence forbids commercial use; left out, as the licence's name says (CC-BY-NC-4.0 does)."""
    commercial: bool = False
    """True to refuse the source, or reject its rows, where the licence forbids commercial use or is unknown."""
    select: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    """Column -> the value, or values, that a row must have there to be read; other rows are skipped."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The format's column -> the column's name in the rows, as in {prompt: source, completion: targets}."""
    template: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Text around the last user turn: {prompt} stands for it, {NAME} for a column, {{ and }} for braces. Of several
    texts, such as wordings of one instruction, a row gets the one that a hash of its turn chooses."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Most samples to keep: those first in a random order that the samples' ids alone decide, not the file's first."""
    keep: tuple[str, ...] = ()
    """Columns copied into each sample's meta."""

    def __post_init__(self) -> None:
        """Check what the types cannot: names, one origin, the format, the mapped columns."""
        check_name(self.name, noun="name of a source")
        if (self.path is None) == (self.hub is None):
            raise UserError("a source needs one of 'path' and 'hub'", value=self.path or self.hub)
        self._check_origin()
        self._check_licence()
        if self.format != "auto" and self.format not in FORMATS:
            raise UserError("unknown format", value=self.format, options=("auto", *FORMATS))
        kinds = FORMATS.values() if self.format == "auto" else (FORMATS[self.format],)
        known = {*_OWN_FIELDS, *(name for kind in kinds for name in kind.columns)}
        for name in self.columns:
            if name not in known:
                raise UserError(f"no column of the format '{self.format}'", value=name, options=known)

    def _check_origin(self) -> None:
        if self.hub is not None:
            hub.check(self.hub, self.revision)
            return
        if self.revision is not None or self.subset is not None:
            raise UserError("'revision' and 'subset' are for hub datasets", value=self.revision or self.subset)
        if self.streaming:
            raise UserError(
                "'streaming' is for hub datasets", value=True, remedy="leave it out: files are read as a stream"
            )
        if self.path is not None and remote.is_url(self.path):
            remote.check(self.path)

    def _check_licence(self) -> None:
        if self.non_commercial is False and non_commercial(self.licence):
            raise UserError(
                "the licence forbids commercial use and 'non_commercial' is false",
                value=self.licence,
                remedy="leave non_commercial out, or correct the licence",
            )
        if not self.commercial:
            return
        if self.forbids_commerce:
            raise UserError(
                f"source '{self.name}' is for non-commercial use only, and the job is commercial",
                value=self.licence,
                remedy="remove the source, or write commercial: false",
            )
        if not stated(self.licence) and "licence" not in self.columns:
            raise UserError(
                f"nothing says that source '{self.name}' may be used commercially",
                value=self.licence,
                remedy="name its licence, or map the column that holds it: columns: {licence: NAME}",
            )

    @property
    def forbids_commerce(self) -> bool:
        """Whether commercial use of the source as a whole is forbidden: `non_commercial`, or what the licence says."""
        return non_commercial(self.licence) if self.non_commercial is None else self.non_commercial

    def files(self, root: Path, allowed: Sequence[Path] = ()) -> list[Path]:
        """Return the source's files, absolute and sorted; empty for a hub dataset and for a URL.

        Paths are relative to `root` and must lie in it or in a folder of `allowed`, symlinks resolved. Raises UserError
        when one does not, or nothing is there, or a URL's protocol cannot be used; no network is reached.
        """
        if self.path is None:
            return []
        if remote.is_url(self.path):
            remote.Store(self.path)
            return []
        return locate(remote.without_scheme(self.path), root, allowed)

    def fingerprint(self, root: Path, allowed: Sequence[Path] = ()) -> str:
        """Return the SHA-256, 64 hex digits, that changes when the rows may have changed.

        One file: of its bytes. Several: of their names and hashes. Hub: of id, revision, subset and split. URL: of what
        the store says of its files (see `remote.fingerprint`). Reads every file that is here once.
        """
        if self.path is not None and remote.is_url(self.path):
            return remote.fingerprint(self.path)
        return self._fingerprint(_hashed(self.files(root, allowed)))

    def count(self, root: Path, allowed: Sequence[Path] = ()) -> int | None:
        """Return the rows of the files before `select` and `limit`, or None where that is not cheap to know."""
        if self.path is None or remote.is_url(self.path):
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
        with self._opened(root, allowed, context) as hashed:
            if self.limit is None:
                rows = reading.items(Numbering(self), self._files(hashed), self._where(hashed), context)
                yield from (item for _, item in rows)
                return
            samples, rejects, _ = reading.collect(self, self._files(hashed), self._where(hashed), context)
        items: list[tuple[int, Sample | Reject]] = [*samples, *rejects]
        yield from (item for _, item in sorted(items, key=lambda pair: pair[0]))

    def read_all(self, root: Path, allowed: Sequence[Path] = (), context: Context | None = None) -> Reading:
        """Return every sample and every reject of the source.

        Raises UserError when a file cannot be opened as what it is or changes while it is read, when no row has a
        column that the source names, when `select` matches no row, and when no row fits the format;
        `errors.Interrupted` when the context asks to stop.
        """
        with self._opened(root, allowed, context) as hashed:
            samples, rejects, skipped = reading.collect(self, self._files(hashed), self._where(hashed), context)
        return Reading(
            samples=[sample for _, sample in samples],
            rejects=[reject for _, reject in rejects],
            rows=len(samples) + len(rejects),
            skipped=skipped,
            sha256=self._fingerprint(hashed),
        )

    def tables(self, root: Path, allowed: Sequence[Path], context: Context) -> Tables:
        """Return the rows of `read_all` as frames, parsed by the context's engine. Errors as in `read_all`."""
        with self._opened(root, allowed, context) as hashed:
            found = reading.tables(self, self._files(hashed), self._where(hashed), context)
        return replace(found, sha256=self._fingerprint(hashed))

    @contextmanager
    def _opened(self, root: Path, allowed: Sequence[Path], context: Context | None) -> Iterator[_Hashed]:
        """Give the source's files with their hashes; copies of remote ones stay in the context's cache."""
        if self.path is None or not remote.is_url(self.path):
            yield _hashed(self.files(root, allowed))
        elif context is not None:
            yield _hashed(remote.copies(self.path, context.root / "cache" / "remote", context))
        else:
            with tempfile.TemporaryDirectory() as folder:
                yield _hashed(remote.copies(self.path, Path(folder), None))

    def _fingerprint(self, hashed: _Hashed) -> str:
        if len(hashed) == 1:
            return hashed[0][1]
        lines = [f"{digest}  {file.name}" for file, digest in hashed]
        if self.hub is not None:
            lines = [str(part) for part in (self.hub, self.revision, self.subset, self.split)]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def _files(self, hashed: _Hashed) -> Iterator[Iterable[Block]]:
        """Yield the blocks of each file."""
        if self.hub is not None:
            yield hub.read(self.hub, str(self.revision), self.subset, self.split, streaming=self.streaming)
        for file, digest in hashed:
            yield container.blocks(file, digest)

    def _where(self, hashed: _Hashed) -> str:
        return f"source '{self.name}' ({self.hub or (hashed[0][0].name if len(hashed) == 1 else self.path)})"


def _hashed(files: Sequence[Path]) -> _Hashed:
    return [(file, container.sha256(file)) for file in files]
