"""What a file holds, whatever its extension says; counts; task files."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curate import container
from curate.sources import Reading, Source
from manifests.errors import UserError

ROWS = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(5)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS).encode()
CSV = b"prompt,completion\n" + b"".join(f"p{i},c{i}\n".encode() for i in range(5))


@pytest.fixture
def table(tmp_path: Path) -> bytes:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "made.tmp")
    return (tmp_path / "made.tmp").read_bytes()


def read(tmp_path: Path, name: str, data: bytes, **fields: Any) -> Reading:
    (tmp_path / name).write_bytes(data)
    return Source(**{"name": "s", "role": "generalist", "path": name, **fields}).read_all(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "LINES"),
        ("a.JSONL", "LINES"),
        ("a.ndjson", "LINES"),
        ("a.json", "LINES"),
        ("a.json", "ARRAY"),
        ("a.jsonl", "ARRAY"),
        ("a.csv", "CSV"),
        ("a.csv", "TSV"),
        ("a.tsv", "TSV"),
        ("a.tsv", "CSV"),
        ("a.csv", "LINES"),
        ("a.csv", "ARRAY"),
        ("a", "LINES"),
        ("a.data", "ARRAY"),
        ("a.jsonl", "PARQUET"),
        ("a.parquet", "PARQUET"),
        ("a.txt", "PARQUET"),
    ],
)
@pytest.mark.parametrize("packed", ["", ".gz", ".zst", "lying"])
def test_content_decides_where_the_extension_lies(
    tmp_path: Path, table: bytes, name: str, content: str, packed: str
) -> None:
    data = {"LINES": LINES, "ARRAY": ARRAY, "CSV": CSV, "TSV": CSV.replace(b",", b"\t"), "PARQUET": table}[content]
    if packed == ".gz":
        data = gzip.compress(data)
    elif packed in (".zst", "lying"):
        data = zstandard.ZstdCompressor().compress(data)
    reading = read(tmp_path, name + (packed if packed != "lying" else ".gz"), data)
    assert [s.response for s in reading.samples] == [row["completion"] for row in ROWS]
    assert reading.rejects == []


def test_unknown_content_is_refused_with_the_known_extensions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot tell what this file holds") as caught:
        read(tmp_path, "a.txt", b"hello")
    assert ".jsonl" in str(caught.value)
    with pytest.raises(UserError, match="not a Parquet file"):
        read(tmp_path, "a.parquet", b"hello, world")
    with pytest.raises(UserError, match="UTF-16"):
        read(tmp_path, "a.jsonl", LINES.decode().encode("utf-16"))


def test_an_unusable_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names a column twice"):
        read(tmp_path, "a.csv", b"a,b,a\n1,2,3\n")
    with pytest.raises(UserError, match="invalid UTF-8"):
        read(tmp_path, "a.csv", b"a,\xff\n1,2\n")


def test_a_first_line_that_is_an_array_among_lines_is_one_bad_row(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", b"[1]\n" + LINES).reasons == {"not an object": 1}


def test_a_first_line_longer_than_the_look_ahead_is_fine(tmp_path: Path) -> None:
    big = {"prompt": "x" * 200_000, "completion": "y"}
    assert len(read(tmp_path, "a.jsonl", json.dumps(big).encode() + b"\n" + LINES).samples) == 6
    assert len(read(tmp_path, "a.json", json.dumps([big, *ROWS]).encode()).samples) == 6
    assert len(read(tmp_path, "a.json", json.dumps(big).encode() + b"\n" + LINES).samples) == 6


def test_count_is_the_number_of_rows_where_it_is_cheap(tmp_path: Path, table: bytes) -> None:
    def count(name: str, data: bytes) -> int | None:
        (tmp_path / name).write_bytes(data)
        return Source(name="s", role="generalist", path=name).count(tmp_path)

    broken = b"\n" + LINES + b"{broken\n  \n" + LINES.rstrip(b"\n")
    assert count("a.jsonl", broken) == 11
    assert count("b.jsonl.gz", gzip.compress(broken)) == 11
    assert count("c.parquet", table) == 5
    assert count("d.csv", CSV) is None
    assert count("e.json", ARRAY) is None
    assert count("f.parquet.gz", gzip.compress(table)) is None
    reading = read(tmp_path, "a.jsonl", broken)
    assert reading.rows == 11
    assert Source(name="s", role="generalist", path="*.jsonl*").count(tmp_path) == 22
    assert Source(name="s", role="generalist", path="*.*").count(tmp_path) is None


def test_the_hash_is_sha256sum_s(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", LINES).sha256 == hashlib.sha256(LINES).hexdigest()
    assert container.sha256(tmp_path / "a.jsonl") == hashlib.sha256(LINES).hexdigest()


def test_an_unreadable_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the file"):
        container.sha256(tmp_path / "absent")
    with pytest.raises(UserError, match="not a regular file"):
        list(container.blocks(tmp_path, "0"))


TASK = {
    "Contributors": ["someone"],
    "Definition": ["Say the colour."],
    "Positive Examples": [{"input": "sky", "output": "blue", "explanation": "seen"}],
    "Negative Examples": [],
    "Instances": [
        {"id": "1", "input": "grass", "output": ["green", "dark green"]},
        {"id": "2", "input": "snow", "output": ["white"]},
        {"id": "3", "input": "ice", "output": []},
        "not an instance",
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("order", ["official", "sorted", "reversed"])
def test_a_task_file_gives_a_sample_for_every_instance(tmp_path: Path, indent: int | None, order: str) -> None:
    items = list(TASK.items())
    items = {"official": items, "sorted": sorted(items), "reversed": items[::-1]}[order]
    reading = read(tmp_path, "task9_colour.json", json.dumps(dict(items), indent=indent).encode(), keep=("id",))
    assert [s.prompt for s in reading.samples] == ["Say the colour.\n\ngrass", "Say the colour.\n\nsnow"]
    assert reading.samples[0].meta == {"references": ["green", "dark green"], "id": "1"}
    assert {s.task for s in reading.samples} == {"task9_colour"}
    assert [(r.line, r.reason) for r in reading.rejects] == [(3, "empty response"), (4, "not an object")]


def test_a_template_can_show_the_examples_of_a_task(tmp_path: Path) -> None:
    template = "{definition}\n\n{examples}\n\nInput: {input}\nOutput:"
    reading = read(tmp_path, "task9.json", json.dumps(TASK).encode(), template=template)
    expected = "Say the colour.\n\nInput: sky\nOutput: blue\n\nInput: grass\nOutput:"
    assert reading.samples[0].prompt == expected


def test_a_task_with_a_broken_definition_gives_no_instance(tmp_path: Path) -> None:
    data = json.dumps(TASK).replace('["Say the colour."]', '["Say", nope]').encode()
    assert read(tmp_path, "t.json", data).reasons == {"invalid JSON": 3, "not an object": 1}
    twice = json.dumps(TASK).replace('"Contributors"', '"Definition"').encode()
    assert read(tmp_path, "t.json", twice).reasons == {"duplicate key": 3, "not an object": 1}


def test_tasks_one_after_the_other_keep_their_own_definitions(tmp_path: Path) -> None:
    tasks = [{"Definition": d, "Instances": [{"input": "i", "output": "o"}]} for d in ("D1", "D2")]
    reading = read(tmp_path, "t.json", b"\n".join(json.dumps(task, indent=1).encode() for task in tasks))
    assert [s.prompt for s in reading.samples] == ["D1\n\ni", "D2\n\ni"]
