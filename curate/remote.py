"""Files at a URL: object stores and web servers through fsspec, copied here before they are read.

A copy stands in a private folder under the identity that the store gives the object (its ETag, or its size and time of
change), so an unchanged object is fetched once and a changed one is another file. Credentials never stand in a path:
each package takes them from where it always does (environment, configuration, .netrc).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from curate.container import COMPRESSED, SHAPES, proposed
from curate.parse import CHUNK
from manifests.atomic import replacing
from manifests.component import Context
from manifests.errors import Interrupted, UserError, missing_extra
from manifests.names import digest

PROTOCOLS: Final = (
    *("abfs", "abfss", "az", "ftp", "gcs", "gs", "hdfs", "http", "https", "memory", "oci", "oss", "s3", "s3a", "sftp"),
)
"""Protocols that are read. What reaches files of this machine another way (`local`, `zip`, `reference`) is not here."""

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRET: Final = re.compile(r"sig|token|key|secret|passw|passphrase|^pass$|pwd|credential|auth", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"[/?#]")
_TAIL: Final = re.compile(r"[?#].*", re.DOTALL)
_PARTS: Final = re.compile(r"[?#&;]")
_PORT: Final = re.compile(r"^[^:]*(?::\d*)?$|^\[[^\]]*\](?::\d*)?$")
_HASHES: Final = ("ETag", "etag", "Content-MD5", "content_md5", "md5Hash", "md5", "crc32c", "checksum", "generation")
_TIMES: Final = ("LastModified", "Last-Modified", "last_modified", "mtime", "updated", "modified", "modify", "created")
_NAME: Final = re.compile(r"\w[\w.+=@ -]{0,200}")


class Object(NamedTuple):
    """One file of a store: its name there, bytes (None where the store does not say) and what changes when it does."""

    url: str
    name: str
    size: int | None
    token: str | None


def is_url(path: str | None) -> bool:
    """Return whether `path` is a URL that is read through fsspec; `file://` is a path of this machine."""
    found = _URL.match(path or "")
    return found is not None and found[1].lower() != "file"


def without_scheme(path: str) -> str:
    """Return a path of this machine without the `file://` that may stand before it."""
    return path[len("file://") :] if path.lower().startswith("file://") else path


def check(url: str) -> None:
    """Raise UserError for a protocol that is not read, chained URLs, and credentials inside the URL."""
    scheme, _, rest = url.partition("://")
    if scheme == "hf":
        raise UserError(
            "a hub dataset is not read by URL", value=_shown(url), remedy="write hub: and revision: instead"
        )
    if scheme not in PROTOCOLS:
        raise UserError(
            "unknown protocol", value=scheme, options=PROTOCOLS, remedy=f"protocols: file, {', '.join(PROTOCOLS)}"
        )
    if "::" in rest or "\x00" in rest:
        raise UserError("not a URL that can be read", value=_shown(url), remedy="name the object itself, without '::'")
    authority, tail = _AUTHORITY.split(rest, maxsplit=1)[0], _TAIL.search(rest)
    user, at, place = authority.rpartition("@")
    names = [unquote(part.partition("=")[0]) for part in _PARTS.split(tail[0] if tail else "")]
    user_is_secret = at and (":" in user or scheme in ("http", "https", "s3", "s3a", "gs", "gcs"))
    # A secret that holds a slash or a question mark ends the authority early: KEY:a/b@bucket has the "port" a.
    cut_off = not _PORT.search(place)
    if user_is_secret or cut_off or any(map(_SECRET.search, names)):
        raise UserError(
            "credentials in a URL",
            value=_shown(url),
            remedy="leave them out of the job: set them in the environment or the store's own configuration",
        )


def _shown(url: str) -> str:
    """Return the URL without what may be secret."""
    scheme, _, rest = url.partition("://")
    if not _PORT.search(_AUTHORITY.split(rest, maxsplit=1)[0].rpartition("@")[2]):
        rest = rest.rpartition("@")[2] if "@" in rest else ""
    place, slash, path = _TAIL.sub("", rest).partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


class Store:
    """The objects that one URL names."""

    def __init__(self, url: str) -> None:
        """Prepare; raises UserError when fsspec or the protocol's package is missing. Reaches no network."""
        check(url)
        try:
            import fsspec
        except ImportError as error:
            raise missing_extra("fsspec", "remote") from error
        self.url, self.scheme = url, url.partition("://")[0]
        try:
            self._system = fsspec.filesystem(self.scheme, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            why = str(error).partition("\n")[0]
            remedy = "install what it names; http(s) needs 'blendsmith[remote]', s3 needs s3fs, gs gcsfs, az adlfs"
            raise UserError(f"the protocol cannot be used ({why})", value=self.scheme, remedy=remedy) from error

    def objects(self) -> list[Object]:
        """Return the files that the URL names, sorted by name: one, those of a folder, or those of a pattern.

        Of a folder, its own files with a known extension, hidden ones left out. Raises UserError when there is none.
        """
        wild = "*[" if self.scheme in ("http", "https") else "*?["
        try:
            if any(sign in self.url for sign in wild):
                found = list(self._system.glob(self.url, detail=True).values())
            else:
                info = self._system.info(self.url)
                whole = info.get("type") != "directory"
                found = [info] if whole else [i for i in self._system.ls(self.url, detail=True) if _readable(i)]
        except _failures() as error:
            raise self._refused(error) from error
        files = [self._whole(self._object(info)) for info in found if info.get("type") == "file"]
        if not files:
            known = f"known extensions: {', '.join(SHAPES)}, each also with {' or '.join(COMPRESSED)}"
            raise UserError("no file at the URL can be read", value=self.url, remedy=known)
        return sorted(files, key=lambda item: item.url)

    def sha256(self, item: Object) -> str:
        """Return the SHA-256 of an object's bytes, 64 hex digits; fetches them and keeps nothing."""
        found = hashlib.sha256()
        for chunk in self._chunks(item):
            found.update(chunk)
        return found.hexdigest()

    def fetch(self, item: Object, file: Path, context: Context | None) -> None:
        """Copy an object to `file`, all of it or nothing; raise UserError when it changes meanwhile."""
        before, done = self._object(self._info(item.url)), 0
        with replacing(file) as temporary, temporary.open("wb") as out:
            for chunk in self._chunks(item):
                done += out.write(chunk)
                if context is not None and context.stopping():
                    raise Interrupted("stopped while fetching")
            if self._object(self._info(item.url)) != before or (before.size is not None and done != before.size):
                raise UserError(
                    "the object changed while it was fetched",
                    value=item.url,
                    remedy="run again when nothing writes to it",
                )

    def _info(self, url: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = self._system.info(url)
        except _failures() as error:
            raise self._refused(error) from error
        return found

    def _chunks(self, item: Object) -> Iterator[bytes]:
        try:
            with self._system.open(item.url, "rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except _failures() as error:
            raise self._refused(error) from error

    def _whole(self, item: Object) -> Object:
        """Return the object with what a listing may have left out."""
        return item if item.token is not None else self._object(self._info(item.url))

    def _object(self, info: Mapping[str, Any]) -> Object:
        url = str(self._system.unstrip_protocol(info["name"]))
        name = url.partition("?")[0].rstrip("/").rpartition("/")[2]
        size = info.get("size")
        strong = next((info[key] for key in _HASHES if info.get(key)), None)
        times = [str(_seconds(info[key])) for key in _TIMES if info.get(key)]
        token = str(strong) if strong is not None else ",".join(times) if times and size is not None else None
        return Object(url, name, None if size is None else int(size), token)

    def _refused(self, error: BaseException) -> UserError:
        why = (str(error) or type(error).__name__).partition("\n")[0]
        if isinstance(error, FileNotFoundError):
            return UserError("no such file", value=self.url, remedy="check the URL, and that you may list its folder")
        return UserError(
            f"cannot read from the store ({why})",
            value=self.url,
            remedy="check the URL, the network and your credentials",
        )


def fingerprint(url: str) -> str:
    """Return the SHA-256 that changes when an object of the URL does: of names, sizes and the store's own hashes.

    An object of which the store tells neither a hash nor a time is fetched and hashed.
    """
    store = Store(url)
    lines = [f"{item.url} {item.size} {item.token or store.sha256(item)}" for item in store.objects()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def copies(url: str, folder: Path, context: Context | None) -> list[Path]:
    """Return copies of the URL's files in `folder`, fetching those that are absent or have changed.

    Raises UserError when one cannot be had, Interrupted when the context asks to stop.
    """
    store = Store(url)
    return [_copy(store, item, folder, context) for item in store.objects()]


def _copy(store: Store, item: Object, folder: Path, context: Context | None) -> Path:
    mine = folder / digest(item.url)
    name = item.name if _NAME.fullmatch(item.name) else digest(item.name) + _suffix(item.name)
    file = mine / digest([item.size, item.token]) / name
    if item.token is None or not file.is_file() or item.size not in (None, file.stat().st_size):
        store.fetch(item, file, context)
    for other in mine.iterdir():
        if other != file.parent:
            shutil.rmtree(other)
    return file


def _suffix(name: str) -> str:
    packed = next((end for end in COMPRESSED if name.lower().endswith(end)), "")
    plain = name.lower().removesuffix(packed)
    return next((end for end in SHAPES if plain.endswith(end)), "") + packed


def _seconds(when: Any) -> object:  # noqa: ANN401 - a time as a store writes it
    """Return a time as seconds where it is a datetime: listings and single answers of one store may differ in that."""
    return when.timestamp() if isinstance(when, datetime) else when


def _readable(info: Mapping[str, Any]) -> bool:
    name = Path(str(info["name"]).rstrip("/")).name
    return info.get("type") == "file" and proposed(Path(name)) is not None and not name.startswith(".")


def _failures() -> tuple[type[BaseException], ...]:
    """Return the errors that stores raise: Python's own, and those of the packages in use that are not."""
    known = (
        ("aiohttp", "ClientError"),
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("gcsfs.retry", "HttpError"),
        ("google.auth.exceptions", "GoogleAuthError"),
        ("azure.core.exceptions", "AzureError"),
    )
    found = [getattr(sys.modules[module], name) for module, name in known if module in sys.modules]
    return (OSError, ValueError, asyncio.TimeoutError, *found)
