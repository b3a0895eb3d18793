"""Sources at URLs: copied once, read like files here, known by what the store says of them, without credentials."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate import remote
from curate.sources import Source
from manifests.component import Context
from manifests.errors import Interrupted, UserError

fsspec = pytest.importorskip("fsspec")
ROWS = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(6)]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def source(path: str, **fields: Any) -> Source:
    return Source(**{"name": "s", "role": "generalist", "path": path, **fields})


@pytest.fixture
def bucket() -> Iterator[Any]:
    """Give a bucket of the store in memory, with two packed files, a note and a hidden file."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/x/a.jsonl.gz", gzip.compress(jsonl(ROWS[:4]), mtime=0))
    memory.pipe("/bucket/x/b.jsonl.gz", gzip.compress(jsonl(ROWS[4:]) + b"{broken\n", mtime=0))
    memory.pipe("/bucket/x/notes.txt", b"not rows")
    memory.pipe("/bucket/x/.hidden.jsonl", b"{}\n")
    yield memory
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    "path",
    ["memory://bucket/x/*.jsonl.gz", "memory://bucket/x", "memory://bucket/**/[ab].jsonl.gz"],
    ids=["pattern", "folder", "deep pattern"],
)
def test_files_of_a_store_are_read_like_files_here(bucket: Any, tmp_path: Path, path: str) -> None:
    (tmp_path / "x").mkdir()
    for name in ("a", "b"):
        (tmp_path / "x" / f"{name}.jsonl.gz").write_bytes(bucket.cat(f"/bucket/x/{name}.jsonl.gz"))
    here, there = source("x").read_all(tmp_path), source(path).read_all(tmp_path)
    assert there == here
    assert [s.prompt for s in there.samples] == [row["prompt"] for row in ROWS]
    assert [(r.line, r.reason) for r in there.rejects] == [(7, "invalid JSON")]


def test_copies_stay_in_the_cache_and_are_fetched_once(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    fetch = remote.Store.fetch
    monkeypatch.setattr(remote.Store, "fetch", lambda *a: (fetched.append(a[1].name), fetch(*a)))
    context = Context(tmp_path / "manifest")
    one = source("memory://bucket/x/*.gz")
    first = one.read_all(tmp_path, context=context)
    assert one.read_all(tmp_path, context=context) == first
    assert fetched == ["a.jsonl.gz", "b.jsonl.gz"]
    copies = sorted(p.name for p in (tmp_path / "manifest" / "cache" / "remote").rglob("*.gz"))
    assert copies == ["a.jsonl.gz", "b.jsonl.gz"]


def test_a_changed_object_changes_the_fingerprint_and_is_fetched_anew(bucket: Any, tmp_path: Path) -> None:
    one, context = source("memory://bucket/x/a.jsonl.gz"), Context(tmp_path / "m")
    before = one.fingerprint(tmp_path)
    assert one.fingerprint(tmp_path) == before
    assert len(one.read_all(tmp_path, context=context).samples) == 4
    bucket.pipe("/bucket/x/a.jsonl.gz", gzip.compress(jsonl(ROWS), mtime=0))
    assert one.fingerprint(tmp_path) != before
    assert len(one.read_all(tmp_path, context=context).samples) == 6
    assert len(list((tmp_path / "m" / "cache" / "remote").rglob("*.gz"))) == 1


def test_a_new_object_of_a_pattern_changes_the_fingerprint(bucket: Any, tmp_path: Path) -> None:
    one = source("memory://bucket/x/*.gz")
    before = one.fingerprint(tmp_path)
    bucket.pipe("/bucket/x/c.jsonl.gz", gzip.compress(jsonl(ROWS)))
    assert one.fingerprint(tmp_path) != before


def test_an_object_that_changes_while_it_is_fetched_leaves_no_copy(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = remote.Store._chunks

    def meanwhile(self: remote.Store, item: remote.Object) -> Iterator[bytes]:
        yield from chunks(self, item)
        time.sleep(0.01)
        bucket.pipe("/bucket/x/a.jsonl.gz", gzip.compress(jsonl(ROWS[::-1])))

    monkeypatch.setattr(remote.Store, "_chunks", meanwhile)
    with pytest.raises(UserError, match="changed while it was fetched"):
        source("memory://bucket/x/a.jsonl.gz").read_all(tmp_path, context=Context(tmp_path))
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_fetching_stops_when_it_is_asked_to(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        source("memory://bucket/x").read_all(tmp_path, context=Context(tmp_path, stopping=lambda: True))


def test_an_object_of_which_the_store_tells_nothing_is_known_by_its_bytes(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_TIMES", ())
    one = source("memory://bucket/x/a.jsonl.gz")
    before = one.fingerprint(tmp_path)
    bucket.pipe("/bucket/x/a.jsonl.gz", gzip.compress(jsonl(ROWS[:4]), mtime=0))
    assert one.fingerprint(tmp_path) == before
    bucket.pipe("/bucket/x/a.jsonl.gz", gzip.compress(jsonl(ROWS[1:5]), mtime=0))
    assert one.fingerprint(tmp_path) != before


def test_what_is_not_there_is_a_user_error_with_the_url(bucket: Any, tmp_path: Path) -> None:
    for path, part in (
        ("memory://bucket/x/none.jsonl", "no such file"),
        ("memory://bucket/none", "no such file"),
        ("memory://bucket/x/*.csv", "no file at the URL can be read"),
    ):
        for verb in (source(path).fingerprint, source(path).read_all):
            with pytest.raises(UserError, match=part) as caught:
                verb(tmp_path)
            assert path in str(caught.value)


def test_no_network_is_reached_before_reading(tmp_path: Path) -> None:
    one = source("https://store.invalid/rows.jsonl")
    assert one.files(tmp_path) == []
    assert one.count(tmp_path) is None
    with pytest.raises(UserError, match=r"cannot read from the store|no such file"):
        one.fingerprint(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@host/rows.jsonl",
        "https://hunter2@host/rows.jsonl",
        "s3://KEY:hunter2@bucket/rows.jsonl",
        "https://host/rows.jsonl?X-Amz-Signature=hunter2",
        "https://host/rows.jsonl?sv=1&sig=hunter2",
        "https://host/rows.jsonl?access_token=hunter2",
        "sftp://me:hunter2@host/rows.jsonl",
        "s3://KEY:ab/hunter2@bucket/rows.jsonl",
        "s3://KEY:ab?hunter2@bucket/rows.jsonl",
        "s3://KEY:hunter2/rows.jsonl",
        "https://me:hunter2@host:80/a@b.jsonl",
        "https://host?sig=hunter2",
        "https://host/rows.jsonl?a=1;sig=hunter2",
        "https://host/rows.jsonl?a=1&amp;sig=hunter2",
        "https://host/rows.jsonl?s%69g=hunter2",
        "https://host/rows.jsonl#access_token=hunter2",
        "https://host/rows.jsonl?pwd=hunter2",
        "abfs://box@account/rows.jsonl?AccountKey=hunter2",
        "memory://bucket/x/*.gz?X-Goog-Credential=hunter2",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    for refuse in (source, remote.Store, remote.fingerprint):
        with pytest.raises(UserError, match="credentials in a URL") as caught:
            refuse(url)
        said = f"{caught.value!r} {caught.value.value} {caught.value.__cause__}"
        assert "hunter2" not in said
        assert "KEY" not in said


def test_other_refusals_show_no_credentials_either() -> None:
    for url in ("hf://me:hunter2@x/y?token=hunter2", "https://me:hunter2@host/a::b", "S3://KEY:hunter2@bucket/a"):
        with pytest.raises(UserError) as caught:
            source(url)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://host:8443/@scope/a.jsonl?version=3&part=2",
        "s3://bucket/author=ada/key?.jsonl",
        "s3://bucket/tokens/signed#1.jsonl",
        "sftp://me@host:22/rows.jsonl",
        "hdfs://name:8020/a:b.jsonl",
    ],
)
def test_a_port_a_query_and_a_name_are_no_credentials(url: str) -> None:
    assert source(url).path == url


def test_a_container_and_its_account_are_no_credentials() -> None:
    assert source("abfs://container@account.dfs.core.windows.net/rows.jsonl").path is not None


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("s4://bucket/rows.jsonl", "did you mean 's3"),
        ("local:///etc/passwd", "unknown protocol"),
        ("reference://x", "unknown protocol"),
        ("zip://a.jsonl::https://host/a.zip", "unknown protocol"),
        ("https://host/a::memory://b", "cannot be read|not a URL"),
        ("hf://datasets/owner/name/a.parquet", "hub: and revision"),
    ],
)
def test_other_protocols_are_refused(url: str, part: str) -> None:
    with pytest.raises(UserError, match=part):
        source(url)


def test_a_protocol_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(UserError, match="Install s3fs to access S3"):
        source("s3://bucket/rows.jsonl").files(tmp_path)


def test_a_file_url_is_a_path_of_this_machine_and_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for folder in (tmp_path, tmp_path / "in"):
        (folder / "rows.jsonl").write_bytes(jsonl(ROWS))
    assert len(source(f"file://{tmp_path}/in/rows.jsonl").read_all(tmp_path / "in").samples) == 6
    with pytest.raises(UserError, match="outside"):
        source(f"file://{tmp_path}/rows.jsonl").read_all(tmp_path / "in")


def test_a_hostile_name_stays_in_the_cache(bucket: Any, tmp_path: Path) -> None:
    name = "x" * 300 + ".jsonl"
    bucket.pipe(f"/bucket/long/{name}", jsonl(ROWS))
    reading = source("memory://bucket/long").read_all(tmp_path, context=Context(tmp_path))
    assert len(reading.samples) == 6


def test_a_copy_that_was_cut_is_fetched_again(bucket: Any, tmp_path: Path) -> None:
    bucket.pipe("/bucket/x/plain.jsonl", jsonl(ROWS))
    one, context = source("memory://bucket/x/plain.jsonl"), Context(tmp_path)
    whole = one.read_all(tmp_path, context=context)
    (copy,) = (tmp_path / "cache" / "remote").rglob("*.jsonl")
    copy.write_bytes(jsonl(ROWS[:3]))  # on a line's end: nothing but its size tells
    assert one.read_all(tmp_path, context=context) == whole
    copy.unlink()
    assert one.read_all(tmp_path, context=context) == whole


def test_what_another_fetch_left_behind_is_cleared_away(bucket: Any, tmp_path: Path) -> None:
    one, context = source("memory://bucket/x/a.jsonl.gz"), Context(tmp_path)
    one.read_all(tmp_path, context=context)
    (copy,) = (tmp_path / "cache" / "remote").rglob("*.gz")
    stale = copy.parent.parent / "stale" / "a.jsonl.gz"
    stale.parent.mkdir()
    stale.write_bytes(b"old")
    assert len(one.read_all(tmp_path, context=context).samples) == 4
    assert not stale.parent.exists()
    assert copy.exists()


def test_an_object_that_vanishes_or_changes_between_listing_and_fetching(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = remote.Store.objects

    def then(change: Any) -> None:
        def objects(self: remote.Store) -> list[remote.Object]:
            found = listed(self)
            change()
            return found

        monkeypatch.setattr(remote.Store, "objects", objects)

    then(lambda: bucket.pipe("/bucket/x/a.jsonl.gz", gzip.compress(jsonl(ROWS), mtime=0)))
    one, context = source("memory://bucket/x/a.jsonl.gz"), Context(tmp_path)
    assert len(one.read_all(tmp_path, context=context).samples) == 6
    then(lambda: None)
    assert len(one.read_all(tmp_path, context=context).samples) == 6
    then(lambda: bucket.rm("/bucket/x/a.jsonl.gz"))
    with pytest.raises(UserError, match="no such file"):
        one.read_all(tmp_path, context=Context(tmp_path / "new"))
    assert not [p for p in (tmp_path / "new").rglob("*") if p.is_file()]


def test_a_store_that_gives_fewer_bytes_than_it_says_is_refused(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote.Store, "_chunks", lambda self, item: iter([jsonl(ROWS[:1])]))
    with pytest.raises(UserError, match="changed while it was fetched"):
        source("memory://bucket/x").read_all(tmp_path, context=Context(tmp_path))
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def test_a_file_of_a_web_server_is_read(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "www").mkdir()
    file = tmp_path / "www" / "rows.jsonl"
    file.write_bytes(jsonl(ROWS))
    handler = functools.partial(_Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        one = source(f"http://127.0.0.1:{server.server_port}/rows.jsonl")
        before = one.fingerprint(tmp_path)
        reading = one.read_all(tmp_path, context=Context(tmp_path))
        file.write_bytes(jsonl(ROWS[::-1]))
        os.utime(file, (1e9, 1e9))
        assert one.fingerprint(tmp_path) != before
        with pytest.raises(UserError, match="no such file"):
            source(f"http://127.0.0.1:{server.server_port}/none.jsonl").read_all(tmp_path)
        server.shutdown()
    assert [s.prompt for s in reading.samples] == [row["prompt"] for row in ROWS]
