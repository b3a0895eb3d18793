"""Rows in blocks: none is lost, doubled or numbered otherwise, and a block outgrows its bounds by one row at most."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import container, raw, table
from curate.raw import RawRow, grouped, of_document, of_lines
from curate.sources import Source
from manifests.errors import UserError

LINES = st.lists(st.sampled_from([b'{"a":1}', b"", b"  ", b"{oops", b"[1]", b'{"b":"\xc3\xa9"}']), max_size=12)


def chunked(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(LINES, st.integers(1, 5), st.integers(1, 40), st.integers(1, 9))
def test_blocks_of_lines_hold_every_line_once_with_its_number(
    rows: list[bytes], most: int, full: int, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "BLOCK_ROWS", most)
        patch.setattr(raw, "BLOCK_BYTES", full)
        blocks = list(of_lines(chunked(b"\n".join(rows), chunk)))
    found = [row for block in blocks for row in block.rows()]
    expected = [(number, line) for number, line in enumerate(rows, 1) if line.strip()]
    assert [(row.number, row.raw.raw) for row in found if not isinstance(row.raw, bytes) and row.raw] == expected
    for row, (_, line) in zip(found, expected, strict=True):
        assert row.columns == (json.loads(line) if line.startswith(b'{"') else None)
        assert (row.fault is None) == (row.columns is not None)
    for block in blocks:
        sizes = [len(piece.raw) for piece in block.pieces]
        assert 0 < len(sizes) <= most
        assert sum(sizes[:-1]) < full
        assert block is blocks[-1] or len(sizes) == most or sum(sizes) >= full


@given(st.lists(st.binary(max_size=9), max_size=12), st.integers(1, 4), st.integers(1, 20))
def test_grouping_keeps_the_rows_and_bounds_the_blocks(raws: list[bytes], most: int, full: int) -> None:
    rows = [RawRow(i, {"i": i}, None, data) for i, data in enumerate(raws)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "BLOCK_ROWS", most)
        patch.setattr(raw, "BLOCK_BYTES", full)
        blocks = [list(block.rows()) for block in grouped(rows)]
    assert [row for block in blocks for row in block] == rows
    for block in blocks:
        assert 0 < len(block) <= most
        assert sum(len(row.raw or b"") for row in block[:-1]) < full  # type: ignore[arg-type]


def test_a_row_of_a_table_has_the_same_hash_in_a_block_of_any_size_and_after_a_journey(tmp_path: Path) -> None:
    rows = [{"a": f"é{i}", "b": [i, None], "c": {"d": i / 3}} for i in range(9)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=4)
    digest = container.sha256(tmp_path / "a.parquet")
    seen = []
    for most in (1, 4, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(table, "BLOCK_ROWS", most)
            blocks = list(container.blocks(tmp_path / "a.parquet", digest))
        for each in (blocks, pickle.loads(pickle.dumps(blocks))):  # noqa: S301 - made here
            seen.append([(row.number, row.raw_hash, row.columns) for block in each for row in block.rows()])
    assert all(each == seen[0] for each in seen)
    assert [number for number, _, _ in seen[0]] == list(range(1, 10))
    assert len({hashed for _, hashed, _ in seen[0]}) == 9


VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(alphabet='a"\\{}[],:é\n', max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUE, min_size=1, max_size=3), max_size=5),
    st.sampled_from([None, 1]),
    st.integers(1, 30),
)
def test_an_array_gives_its_elements_however_the_bytes_arrive(
    rows: list[dict[str, Any]], indent: int | None, chunk: int
) -> None:
    data = json.dumps(rows, indent=indent, ensure_ascii=False).encode()
    found = list(of_document(chunked(data, chunk), "name"))
    assert [row.columns for row in found] == rows
    assert [row.number for row in found] == list(range(1, len(rows) + 1))


def test_objects_one_after_the_other_are_rows_and_a_broken_one_breaks_no_other() -> None:
    data = b'{"a": 1}\n{"a": nope}\n{"a": 3, "a": 4}\n{"a": {"b": 5}}'
    found = list(of_document([data], "name"))
    assert [row.columns for row in found] == [{"a": 1}, None, None, {"a": {"b": 5}}]
    assert [row.fault for row in found] == [None, "invalid JSON", "duplicate key", None]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_file_with_other_bytes_than_were_hashed_is_refused_at_its_end(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist([{"prompt": "p", "completion": "c"}]), file)
    else:
        file.write_bytes(b'{"prompt": "p", "completion": "c"}\n' * 3)
    blocks = container.blocks(file, "0" * 64)
    assert list(next(blocks).rows())
    with pytest.raises(UserError, match="changed while it was read"):
        list(blocks)
    assert list(container.blocks(file, container.sha256(file)))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"prompt": "p\x00", "completion": "c"}], "NUL in text"),
        ([{"prompt": "p", "completion": "c", "x": ["a", "b\x00"]}], "NUL in text"),
        ([{"prompt": "p" * (2**24 + 1), "completion": "c"}], "line too long"),
    ],
)
def test_what_json_may_not_hold_a_table_may_not_either(tmp_path: Path, rows: list[Any], reason: str) -> None:
    good = {"prompt": "good", "completion": "c", **({"x": ["a"]} if "x" in rows[0] else {})}
    pq.write_table(pa.Table.from_pylist([*rows, good]), tmp_path / "a.parquet")
    reading = Source(name="s", role="generalist", path="a.parquet").read_all(tmp_path)
    assert reading.reasons == {reason: 1}
    assert [sample.prompt for sample in reading.samples] == ["good"]
