"""The hashes beside a folder's files find every change of them."""

from __future__ import annotations

import hashlib

import pytest

from manifests import seal
from manifests.errors import UserError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b").write_bytes(b"two")
    (tmp_path / "a").write_bytes(b"one")
    seal.seal(tmp_path, [tmp_path / "data" / "b", tmp_path / "a"])
    return tmp_path


def test_the_file_has_the_layout_of_sha256sum_in_the_order_of_names(folder):
    expected = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in (("a", b"one"), ("data/b", b"two"))]
    assert (folder / seal.SUMS).read_text().splitlines() == expected
    assert seal.damaged(folder) == []
    seal.check(folder, "never")


def test_a_changed_and_an_absent_file_are_named(folder):
    (folder / "a").write_bytes(b"One")
    (folder / "data" / "b").unlink()
    assert seal.damaged(folder) == ["a is not what was written", "data/b is absent"]
    with pytest.raises(UserError, match="damaged") as caught:
        seal.check(folder, "write it again")
    assert caught.value.remedy == "write it again"


def test_a_changed_list_of_hashes_is_found_and_an_absent_one_says_nothing(folder):
    sums = folder / seal.SUMS
    sums.write_bytes(b"0" + sums.read_bytes()[1:] if sums.read_bytes()[:1] != b"0" else b"1" + sums.read_bytes()[1:])
    assert seal.damaged(folder) == ["a is not what was written"]
    sums.unlink()
    assert seal.damaged(folder) is None
    seal.check(folder, "never")
