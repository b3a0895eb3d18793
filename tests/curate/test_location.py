"""Which files a path names, and that none lies outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.location import locate
from manifests.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "job"
    for name in ("a.jsonl", "data/b.csv", "data/a.parquet", "data/deep/c.jsonl.gz", "data/README.md", "data/.x.jsonl"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "outside.jsonl").write_text("secret")
    return root


def names(root: Path, path: str, *allowed: Path) -> list[str]:
    return [str(file.relative_to(root)) for file in locate(path, root, allowed)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.jsonl", ["a.jsonl"]),
        ("./data/../a.jsonl", ["a.jsonl"]),
        ("data", ["data/a.parquet", "data/b.csv"]),
        ("data/*.csv", ["data/b.csv"]),
        ("data/[ab].*", ["data/a.parquet", "data/b.csv"]),
        ("**/*.jsonl*", ["a.jsonl", "data/deep/c.jsonl.gz"]),
        ("**/a.*", ["a.jsonl", "data/a.parquet"]),
    ],
)
def test_files_folders_and_patterns(root: Path, path: str, expected: list[str]) -> None:
    assert names(root, path) == expected
    assert names(root, str(root / path)) == expected


def test_a_file_with_a_star_in_its_name_is_that_file(root: Path) -> None:
    (root / "we*ird.jsonl").write_text("")
    assert names(root, "we*ird.jsonl") == ["we*ird.jsonl"]


@pytest.mark.parametrize(
    "path",
    [
        "../outside.jsonl",
        "data/../../outside.jsonl",
        "data/deep/../../../outside.jsonl",
        "../*.jsonl",
        "/etc/passwd",
        "/etc/*",
        "/dev/zero",
        "..",
        "link.jsonl",
        "l*k.jsonl",
        "folder",
        "folder/outside.jsonl",
        "../absent.jsonl",
    ],
)
def test_nothing_outside_of_the_root_is_given(root: Path, path: str) -> None:
    (root / "link.jsonl").symlink_to(root.parent / "outside.jsonl")
    (root / "folder").symlink_to(root.parent)
    with pytest.raises(UserError) as caught:
        locate(path, root)
    assert path in str(caught.value)
    if "*" not in path or path.startswith("l"):
        assert str(root) in str(caught.value)


def test_a_link_inside_a_folder_that_leads_out_is_refused_with_the_folder(root: Path) -> None:
    (root / "data" / "z.jsonl").symlink_to(root.parent / "outside.jsonl")
    with pytest.raises(UserError, match="outside"):
        locate("data", root)


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "link.jsonl").symlink_to(root / "a.jsonl")
    assert names(root, "link.jsonl") == ["a.jsonl"]


def test_other_folders_may_be_allowed(root: Path, tmp_path: Path) -> None:
    assert locate("../outside.jsonl", root, [tmp_path]) == [tmp_path / "outside.jsonl"]
    assert locate("outside.jsonl", root, [tmp_path]) == [tmp_path / "outside.jsonl"]
    (root / "outside.jsonl").write_text("nearer")
    assert locate("outside.jsonl", root, [tmp_path]) == [root / "outside.jsonl"]


def test_a_missing_file_names_the_nearest(root: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean 'data/b\.csv'") as caught:
        locate("data/bb.csv", root)
    assert str(root) in str(caught.value)


@pytest.mark.parametrize(
    "path", ["", "a\x00b", "~/a.jsonl", "x" * 300, "x/" * 3000, "nothing/*.jsonl", "data/deep/none"]
)
def test_unusable_paths_are_user_errors(root: Path, path: str) -> None:
    with pytest.raises(UserError):
        locate(path, root)


def test_a_folder_without_readable_files_and_a_pipe_are_refused(root: Path) -> None:
    (root / "empty").mkdir()
    with pytest.raises(UserError, match="no file that can be read"):
        locate("empty", root)
    os.mkfifo(root / "pipe.jsonl")
    with pytest.raises(UserError, match="not a regular file"):
        locate("pipe.jsonl", root)
    (root / "loop.jsonl").symlink_to(root / "loop.jsonl")
    with pytest.raises(UserError):
        locate("loop.jsonl", root)
