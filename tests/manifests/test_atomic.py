"""A file is the old one or the new one, whatever happens."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from manifests import atomic
from manifests.errors import UserError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def half(path):
    path.write_bytes(b"half")
    path.parent.write_bytes(b"a folder cannot be written to")


def test_text_is_written_as_utf_8_and_folders_are_made(tmp_path):
    atomic.write_text(tmp_path / "a" / "b.txt", "grün\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"gr\xc3\xbcn\n"
    assert names(tmp_path / "a") == ["b.txt"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "f"
    atomic.write_bytes(path, b"old")
    with pytest.raises(IsADirectoryError), atomic.replacing(path) as temporary:
        half(temporary)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


def test_the_name_holds_the_old_content_until_the_end(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert temporary.parent == path.parent
    assert path.read_bytes() == b"new"


def test_text_that_cannot_be_encoded_writes_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        atomic.write_text(tmp_path / "f", "\ud800")
    assert names(tmp_path) == []


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    calls = []

    def fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        calls.append(f"fsync {kind}")

    replace = os.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    atomic.write_bytes(tmp_path / "f", b"x")
    assert calls == ["fsync file", "replace", "fsync folder"]


def test_a_link_in_a_folder_s_place_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("1")
    (tmp_path / "blend").symlink_to(tmp_path / "outside")
    (tmp_path / "file").symlink_to(tmp_path / "outside" / "kept")
    with atomic.replacing_folder(tmp_path / "blend") as temporary:
        (temporary / "new").write_text("2")
    atomic.write_text(tmp_path / "file", "3")
    assert names(tmp_path / "blend") == ["new"]
    assert not (tmp_path / "blend").is_symlink()
    assert names(tmp_path / "outside") == ["kept"]
    assert (tmp_path / "outside" / "kept").read_text() == "1"


def test_links_that_lead_out_of_a_folder_are_refused_and_others_are_not(tmp_path):
    (tmp_path / "m" / "runs").mkdir(parents=True)
    atomic.check_links(tmp_path / "nowhere")
    (tmp_path / "m" / "within").symlink_to(tmp_path / "m" / "runs")
    (tmp_path / "m" / "round").symlink_to(tmp_path / "m" / "round")
    atomic.check_links(tmp_path / "m")
    for given in (tmp_path, "../..", "/etc/passwd", "/no/such/place"):
        (tmp_path / "m" / "runs" / "out").symlink_to(given)
        with pytest.raises(UserError, match="leads out of it"):
            atomic.check_links(tmp_path / "m")
        (tmp_path / "m" / "runs" / "out").unlink()


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "blend"
    with atomic.replacing_folder(folder) as temporary:
        (temporary / "old").write_text("1")
    with atomic.replacing_folder(folder) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "new").write_text("2")
        assert names(folder) == ["old"]
    assert names(folder) == ["sub"]
    assert names(tmp_path) == ["blend"]


def test_a_failure_leaves_the_old_folder_and_no_other(tmp_path):
    folder = tmp_path / "blend"
    with atomic.replacing_folder(folder) as temporary:
        (temporary / "old").write_text("1")
    with pytest.raises(IsADirectoryError), atomic.replacing_folder(folder) as temporary:
        half(temporary / "half")
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["blend"]


def test_what_a_killed_process_left_of_a_folder_is_taken_over(tmp_path):
    left = tmp_path / f".blend.{os.getpid()}.tmp"
    left.mkdir()
    (left / "rubbish").write_text("x")
    with atomic.replacing_folder(tmp_path / "blend") as temporary:
        (temporary / "a").write_text("1")
    assert names(tmp_path / "blend") == ["a"]


WRITER = """
import sys
from pathlib import Path
from manifests import atomic
from manifests.errors import UserError
path, turn = Path(sys.argv[1]), 0
print("ready", flush=True)
while True:
    turn += 1
    atomic.write_bytes(path, str(turn % 10).encode() * 50_000)
"""


def test_a_kill_at_any_time_leaves_one_whole_version(tmp_path):
    path = tmp_path / "f"
    for delay in (0.0, 0.01, 0.05, 0.1):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        if path.exists():
            data = path.read_bytes()
            assert len(data) == 50_000
            assert len(set(data)) == 1


def test_a_reader_never_sees_half_of_a_file(tmp_path):
    path = tmp_path / "f"
    atomic.write_bytes(path, b"0" * 100_000)
    stop = threading.Event()
    torn = []

    def read():
        while not stop.is_set():
            data = path.read_bytes()
            if len(data) != 100_000 or len(set(data)) != 1:
                torn.append(data[:10])

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(60):
        atomic.write_bytes(path, str(turn % 10).encode() * 100_000)
    stop.set()
    reader.join()
    assert torn == []
