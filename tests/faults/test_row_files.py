"""Rows, cases 15, 17 and 32 to 40: what comes of whole files: archives, Parquet, folders, files that change."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curate.exact import Exact
from curate.raw import BLOCK_ROWS
from curate.sample import samples_frame
from curate.sources import Source
from manifests.component import Context
from manifests.errors import UserError
from manifests.names import digest_bytes
from tests.faults.test_rows import GOOD, HEAD, LONG, OTHER, A, U, chat, jsonl, read


def test_case_015_a_100_mb_row_is_refused_in_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with file.open("wb") as out:
        out.write(jsonl(GOOD) + b'{"instruction": "')
        for _ in range(100):
            out.write(b"x" * 10**6)
        out.write(b'"}\n' + jsonl(OTHER))
    source = Source(name="s", role="generalist", path="rows.jsonl")
    tracemalloc.start()
    reading = source.read_all(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(reading.samples), reading.reasons) == (2, {"line too long": 1})
    assert peak < 24 * 2**20


def test_case_032_files_of_one_folder_may_differ_in_format_and_columns(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jsonl").write_bytes(jsonl(GOOD, b"{"))
    (tmp_path / "d" / "b.jsonl").write_bytes(chat(U, A) + chat())
    pq.write_table(pa.Table.from_pylist([{"prompt": "p", "completion": ["x", "y"]}]), tmp_path / "d" / "c.parquet")
    reading = Source(name="s", role="generalist", path="d").read_all(tmp_path)
    assert [s.response for s in reading.samples] == ["Blue.", "Hi", "x"]
    assert [(r.line, r.reason) for r in reading.rejects] == [(2, "invalid JSON"), (4, "empty messages")]


def test_case_033_the_same_row_twice_has_one_content_and_two_ids(tmp_path: Path) -> None:
    samples = read(tmp_path, "rows.jsonl", jsonl(GOOD, GOOD)).samples
    assert samples[0].content_id == samples[1].content_id
    assert samples[0].id != samples[1].id


def test_case_034_other_answers_to_one_prompt_are_other_contents(tmp_path: Path) -> None:
    samples = read(tmp_path, "rows.jsonl", jsonl(GOOD, {**GOOD, "output": "Red."})).samples
    assert samples[0].prompt == samples[1].prompt
    assert samples[0].content_id != samples[1].content_id


def test_case_035_nfc_and_nfd_twins_are_two_samples(tmp_path: Path) -> None:
    twins = [{**GOOD, "output": unicodedata.normalize(form, "Café")} for form in ("NFC", "NFD")]
    samples = read(tmp_path, "rows.jsonl", jsonl(*twins)).samples
    assert samples[0].content_id != samples[1].content_id
    assert [s.response for s in samples] == [twin["output"] for twin in twins]
    decided = Exact().decide(samples_frame(samples), {}, Context(root=tmp_path))
    assert decided.filter(~pl.col("kept")).height == 1, "one is a duplicate of the other once characters are composed"


PACKS = {
    "gz": (gzip.compress, lambda cut: zlib.decompressobj(31).decompress(cut)),
    "zst": (
        zstandard.ZstdCompressor().compress,
        lambda cut: zstandard.ZstdDecompressor().decompressobj().decompress(cut),
    ),
}
"""How to pack, and what can be unpacked of a part."""


@pytest.mark.parametrize(("pack", "unpack"), PACKS.values(), ids=PACKS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_case_036_a_truncated_archive_gives_every_row_before_the_cut_and_one_reject(
    tmp_path: Path, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes], share: float
) -> None:
    rows = [{"instruction": f"{n} {n * 7919 % 10007}", "output": f"o{n * 104729 % 99991}"} for n in range(12_000)]
    packed = pack(jsonl(*rows))
    cut = packed[: int(share * len(packed))]
    whole = unpack(cut).count(b"\n")
    reading = read(tmp_path, "rows.jsonl.gz", cut)
    assert (len(reading.samples), reading.reasons) == (whole, {"truncated": 1})
    assert [s.prompt for s in reading.samples] == [r["instruction"] for r in rows[:whole]]
    assert reading.rejects[0].line == whole + 1
    assert share < 0.5 or whole > 3_000


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress], ids=["gz", "zst"]
)
def test_case_036_a_damaged_archive_is_corrupt_data_and_not_rows(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    packed = bytearray(pack(jsonl(*[GOOD] * 3)))
    packed[-3] ^= 0xFF
    reading = read(tmp_path, "rows.jsonl", bytes(packed))
    assert reading.reasons == {"corrupt data": 1}


def test_case_036_members_and_frames_are_read_through(tmp_path: Path) -> None:
    packed = gzip.compress(jsonl(GOOD)) + gzip.compress(jsonl(OTHER)) + b"\x00" * 100
    assert len(read(tmp_path, "rows.jsonl.gz", packed).samples) == 2
    zst = zstandard.ZstdCompressor().compress
    assert len(read(tmp_path, "rows.jsonl.zst", zst(jsonl(GOOD)) + zst(jsonl(OTHER))).samples) == 2


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gz", "zst"])
def test_case_036_an_archive_of_a_hundred_million_spaces_does_not_fill_memory(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(pack(b" " * 2**20 * 128 + b"\n" + jsonl(GOOD)))
    source = Source(name="s", role="generalist", path="rows.jsonl")
    tracemalloc.start()
    reading = source.read_all(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(reading.samples), reading.reasons) == (1, {"line too long": 1})
    assert peak < 160 * 2**20


def parquet(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> bytes:
    file = tmp_path / "made.tmp"
    pq.write_table(pa.Table.from_pylist(rows), file, **options)
    return file.read_bytes()


def test_case_037_parquet_with_a_cut_footer_is_refused_by_name(tmp_path: Path) -> None:
    data = parquet(tmp_path, [GOOD, OTHER])
    for cut in (data[:-1], data[:-20], data[:20], data[:4]):
        with pytest.raises(UserError, match="not a readable Parquet file") as caught:
            read(tmp_path, "rows.parquet", cut)
        assert "rows.parquet" in str(caught.value)
    with pytest.raises(UserError, match="not a readable Parquet file"):
        read(tmp_path, "rows.parquet.gz", gzip.compress(data)[:-20])
    with pytest.raises(UserError, match="not a Parquet file"):
        read(tmp_path, "rows.parquet", b"")


def test_case_037_a_damaged_page_ends_the_file_with_one_reject(tmp_path: Path) -> None:
    rows = [{"instruction": f"i{n}", "output": f"o{n}" * 9} for n in range(5000)]
    data = bytearray(parquet(tmp_path, rows, row_group_size=1000, compression="zstd", use_dictionary=False))
    column = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata.row_group(3).column(0)
    begin, end = column.data_page_offset, column.data_page_offset + column.total_compressed_size
    data[begin:end] = b"\x55" * (end - begin)
    reading = read(tmp_path, "rows.parquet", bytes(data))
    whole = 3000 // BLOCK_ROWS * BLOCK_ROWS
    assert reading.reasons == {"corrupt data": 1}
    assert [s.prompt for s in reading.samples] == [r["instruction"] for r in rows[:whole]]
    assert reading.rejects[0].line == whole + 1


def test_case_038_parquet_without_rows_has_no_samples_and_no_error(tmp_path: Path) -> None:
    empty = pa.table({"prompt": pa.array([], pa.string()), "completion": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "rows.parquet")
    reading = Source(name="s", role="eval", path="rows.parquet", keep=("id",)).read_all(tmp_path)
    assert (reading.rows, reading.skipped) == (0, 0)


def test_parquet_rows_with_nul_bad_utf8_or_wrong_types_are_rejects(tmp_path: Path) -> None:
    instruction = pa.array([b"a", b"b\xff", b"c", b"d\x00"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"instruction": instruction, "output": ["o"] * 4}), tmp_path / "rows.parquet")
    reading = Source(name="s", role="generalist", path="rows.parquet").read_all(tmp_path)
    assert [s.prompt for s in reading.samples] == ["a", "c"]
    assert [(r.line, r.reason) for r in reading.rejects] == [(2, "invalid UTF-8"), (4, "NUL in text")]


def test_case_017_a_hundred_thousand_turns_in_parquet_are_one_reject(tmp_path: Path) -> None:
    table = pa.table({"messages": pa.array([[{"role": "user", "content": "x"}] * 100_000, [U, A]])})
    pq.write_table(table, tmp_path / "rows.parquet")
    reading = Source(name="s", role="generalist", path="rows.parquet").read_all(tmp_path)
    assert (len(reading.samples), reading.reasons) == (1, {"too many turns": 1})


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
@pytest.mark.parametrize("by", ["replace", "write"])
def test_case_040_a_file_replaced_while_it_is_read_fails_the_reading(tmp_path: Path, name: str, by: str) -> None:
    rows = [{"instruction": f"i{n}", "output": "o" * 50} for n in range(3000)]
    data = parquet(tmp_path, rows) if name.endswith("parquet") else jsonl(*rows)
    other = parquet(tmp_path, rows[::-1]) if name.endswith("parquet") else jsonl(*rows[::-1])
    file = tmp_path / name
    file.write_bytes(data)
    source = Source(name="s", role="generalist", path=name)
    reading = iter(source.read(tmp_path))
    next(reading)
    if by == "replace":
        (tmp_path / "new").write_bytes(other)
        (tmp_path / "new").replace(file)
    else:
        file.write_bytes(other)
    with pytest.raises(UserError, match="changed while it was read"):
        list(reading)


def test_a_file_touched_but_not_changed_while_it_is_read_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(jsonl(*[GOOD] * 3))
    reading = iter(Source(name="s", role="generalist", path="rows.jsonl").read(tmp_path))
    next(reading)
    file.touch()
    assert len(list(reading)) == 2


def test_the_hash_of_a_reject_is_that_of_its_bytes(tmp_path: Path) -> None:
    reading = read(tmp_path, "rows.jsonl", jsonl(GOOD, b'{"broken"', LONG))
    assert [r.raw_hash for r in reading.rejects] == [digest_bytes(b'{"broken"'), digest_bytes(LONG)]
    assert [r.line for r in reading.rejects] == [2, 3]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.jsonl", jsonl(GOOD, {"messages": [U, A]}, {"a": [1, 2.5, None, {"b": "\u00e9\U0001f600"}]})),
        ("rows.json", json.dumps([GOOD, OTHER, {"a": {"b": []}}]).encode()),
        ("rows.csv", HEAD + 'a,"b\n""c""",d\né,,f\n'.encode()),
        ("rows.jsonl.gz", gzip.compress(jsonl(GOOD, OTHER), mtime=0)),
        ("rows.jsonl.zst", zstandard.ZstdCompressor(write_checksum=True).compress(jsonl(GOOD, OTHER))),
    ],
    ids=["jsonl", "json", "csv", "gz", "zst"],
)
def test_mutated_bytes_never_escape_as_anything_but_a_reject_or_a_user_error(
    tmp_path: Path, name: str, data: bytes
) -> None:
    rng = random.Random(7)
    outcomes: Counter[str] = Counter()
    for _ in range(200):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(mutated))
            kind = rng.randrange(3)
            if kind == 0:
                mutated[at] = rng.choice(b'\x00\xff"\\{}[],:\n\r\t 0n\xed\xa0')
            elif kind == 1:
                del mutated[at : at + rng.randint(1, 20)]
            else:
                mutated[at:at] = rng.randbytes(rng.randint(1, 3))
            if not mutated:
                break
        try:
            reading = read(tmp_path, name, bytes(mutated))
        except UserError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            outcomes.update(reading.reasons)
    assert outcomes["read"] > 50


def test_mutated_parquet_never_escapes_as_anything_but_rejects_or_a_user_error(tmp_path: Path) -> None:
    data = parquet(tmp_path, [{"instruction": f"i{n}", "output": f"o{n}", "m": [{"a": "x"}]} for n in range(50)])
    rng = random.Random(3)
    source = Source(name="s", role="generalist", path="rows.parquet")
    outcomes: Counter[str] = Counter()
    for _ in range(250):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        (tmp_path / "rows.parquet").write_bytes(mutated)
        try:
            reading = source.read_all(tmp_path)
        except UserError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            assert reading.rows == len(reading.samples) + len(reading.rejects)
    assert min(outcomes["read"], outcomes["refused"]) > 20


def test_case_037_a_column_name_that_is_not_utf8_is_refused_by_file(tmp_path: Path) -> None:
    data = parquet(tmp_path, [{"instruction": "a", "output": "b"}], store_schema=False)
    with pytest.raises(UserError, match=r"not a readable Parquet file.*rows\.parquet"):
        read(tmp_path, "rows.parquet", data.replace(b"instruction", b"instructio\xff"))
