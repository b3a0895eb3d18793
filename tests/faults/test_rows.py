"""The row faults of the fault list, 1 to 40: each with the samples and the rejects that it must give."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curate.reason import REASONS
from curate.sample import Reject, Sample
from curate.sources import Reading, Source
from manifests.errors import UserError
from manifests.names import digest_bytes

GOOD = {"instruction": "Name a colour.", "input": "", "output": "Blue."}
OTHER = {"instruction": "Name a river.", "input": "", "output": "The Rhine."}
U, A = {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}


def jsonl(*rows: Any) -> bytes:
    return b"".join(row + b"\n" if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


def chat(*turns: Any) -> bytes:
    return jsonl({"messages": list(turns)})


def read(tmp_path: Path, name: str, data: bytes, **fields: Any) -> Reading:
    (tmp_path / name).write_bytes(data)
    source = Source(**{"name": "s", "role": "generalist", "path": name, **fields})
    reading = source.read_all(tmp_path)
    assert reading.rows == len(reading.samples) + len(reading.rejects)
    assert set(reading.reasons) <= set(REASONS)
    assert len({sample.id for sample in reading.samples}) == len(reading.samples)
    streamed = list(source.read(tmp_path))
    assert [item for item in streamed if isinstance(item, Sample)] == reading.samples
    assert [item for item in streamed if isinstance(item, Reject)] == reading.rejects
    return reading


def nested(depth: int) -> bytes:
    return b'{"instruction": "a", "output": "b", "x": ' + b"[" * depth + b"]" * depth + b"}"


LONG = b'{"instruction": "a", "output": "' + b"x" * (16 * 2**20) + b'"}'

# case -> bytes of a .jsonl file, samples, rejects by reason
LINES: dict[str, tuple[bytes, int, dict[str, int]]] = {
    "1 empty file": (b"", 0, {}),
    "2 only blank lines": (b"\n\n  \n\t\r\n", 0, {}),
    "3 BOM": (b"\xef\xbb\xbf" + jsonl(GOOD), 1, {}),
    "4 CRLF": (jsonl(GOOD, OTHER).replace(b"\n", b"\r\n"), 2, {}),
    "5 no final newline": (jsonl(GOOD, OTHER).rstrip(b"\n"), 2, {}),
    "6 truncated last line": (jsonl(GOOD, OTHER)[:-12], 1, {"truncated": 1}),
    "6 truncated inside a character": (jsonl(GOOD) + '{"instruction": "é'.encode()[:-1], 1, {"truncated": 1}),
    "7 invalid JSON mid-file": (jsonl(GOOD, b'{"instruction": nope}', OTHER), 2, {"invalid JSON": 1}),
    "7 cut line mid-file": (jsonl(GOOD, b'{"instruction": "a', OTHER), 2, {"invalid JSON": 1}),
    "8 not an object": (jsonl(GOOD, b"[1]", b"3", b'"a"', b"null", OTHER), 2, {"not an object": 4}),
    "9 duplicate keys": (jsonl(b'{"instruction": "a", "output": "b", "output": "c"}', GOOD), 1, {"duplicate key": 1}),
    "9 duplicate keys inside": (
        jsonl(b'{"messages": [{"role": "user", "role": "user", "content": "x"}]}', {"messages": [U, A]}),
        1,
        {"duplicate key": 1},
    ),
    "10 invalid UTF-8": (jsonl(b'{"instruction": "a", "output": "\xff"}', GOOD), 1, {"invalid UTF-8": 1}),
    "10 UTF-8 of a surrogate": (jsonl(b'{"output": "\xed\xa0\x80"}', GOOD), 1, {"invalid UTF-8": 1}),
    "11 escaped lone surrogate": (
        jsonl(rb'{"instruction": "a", "output": "\ud83d"}', rb'{"instruction": "a", "output": "\uDC00\ud83d"}', GOOD),
        1,
        {"lone surrogate": 2},
    ),
    "11 escaped pair": (jsonl(rb'{"instruction": "a", "output": "\ud83d\ude00"}'), 1, {}),
    "12 NUL escaped": (jsonl(rb'{"instruction": "a", "output": "b\u0000"}', GOOD), 1, {"NUL in text": 1}),
    "12 NUL in a key": (jsonl(rb'{"instruction": "a", "output": "b", "\u0000": 1}', GOOD), 1, {"NUL in text": 1}),
    "12 NUL byte": (jsonl(b'{"instruction": "a", "output": "b\x00"}', GOOD), 1, {"NUL in text": 1}),
    "12 backslash before u0000": (jsonl(rb'{"instruction": "a", "output": "\\u0000"}'), 1, {}),
    "13 control characters escaped": (jsonl(rb'{"instruction": "a\u0007", "output": "\u001b]0;x\u0007"}'), 1, {}),
    "13 control characters raw": (jsonl(b'{"instruction": "a", "output": "\x07"}', GOOD), 1, {"invalid JSON": 1}),
    "14 bidi and zero-width": (jsonl({**GOOD, "output": "a\u202eb\u200bc"}), 1, {}),
    "15 row over 16 MiB": (jsonl(GOOD, LONG, OTHER), 2, {"line too long": 1}),
    "16 10,000-deep nesting": (jsonl(GOOD, nested(10_000), OTHER), 2, {"nested too deeply": 1}),
    "16 nesting at the bound": (jsonl(nested(63), nested(64)), 1, {"nested too deeply": 1}),
    "17 1,000,000 turns": (
        b'{"messages": [' + b", ".join([b'{"role": "user"}'] * 1_000_000) + b"]}\n" + chat(U, A),
        1,
        {"line too long": 1},
    ),
    "17 1,001 turns": (chat(*[U, A] * 500) + chat(*[U, A] * 500, U), 1, {"too many turns": 1}),
    "18 empty messages": (chat() + chat(U, A), 1, {"empty messages": 1}),
    "19 missing assistant": (
        chat(U) + chat(U, A, U) + chat({"role": "system", "content": "s"}),
        0,
        {"missing assistant": 3},
    ),
    "20 assistant first": (chat(A) + chat({"role": "system", "content": "s"}, A), 0, {"assistant first": 2}),
    "21 consecutive same role": (chat(U, U, A) + chat(U, A, A), 0, {"consecutive same role": 2}),
    "22 unknown role": (
        chat({"role": "critic", "content": "x"}, A) + chat({"content": "x"}, A) + chat(U, A),
        1,
        {"unknown role": 2},
    ),
    "23 content null": (
        chat({"role": "user", "content": None}, A) + chat({"role": "user"}, A) + chat(U, A),
        1,
        {"missing content": 2},
    ),
    "24 content list": (
        chat({"role": "user", "content": [{"type": "image_url"}]}, A) + chat(U, A),
        1,
        {"multimodal content": 1},
    ),
    "25 tool calls": (
        chat(U, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]})
        + chat(U, {"role": "tool", "content": "3"}, A)
        + jsonl({"conversations": [{"from": "function_call", "value": "f()"}]})
        + chat(U, {**A, "tool_calls": None}),
        1,
        {"tool calls": 2, "missing column": 1},
    ),
    "26 empty response": (jsonl({**GOOD, "output": ""}, {**GOOD, "output": None}, GOOD), 1, {"empty response": 2}),
    "27 whitespace response": (jsonl({**GOOD, "output": " \n\t\u2003"}, GOOD), 1, {"empty response": 1}),
    "27 N/A and <noinput> are text": (jsonl({"instruction": "a", "input": "<noinput>", "output": "N/A"}), 1, {}),
    "28 wrong types": (
        jsonl(*({**GOOD, "output": v} for v in (3, 2.5, True, ["a"], {"a": 1})), {**GOOD, "input": 7}, GOOD),
        1,
        {"wrong type": 6},
    ),
    "28 wrong types in turns": (
        chat({"role": 1, "content": "a"}, A)
        + chat("a")
        + jsonl({"messages": {"a": 1}})
        + chat(U, {**A, "content": 1})
        + chat({"role": ["user"], "content": "a"}, A)
        + chat({"role": {"a": 1}, "content": "a"}, A),
        0,
        {"wrong type": 6},
    ),
    "29 mixed formats": (
        jsonl(GOOD, {"messages": [U, A]}, {"prompt": "a", "completion": "b"}),
        1,
        {"missing column": 2},
    ),
    "30 late column": (
        jsonl(*({"instruction": f"i{n}", "output": "o"} for n in range(10_000)), {**GOOD, "input": "late"}),
        10_001,
        {},
    ),
    "31 late change of type": (
        jsonl(*({"instruction": f"i{n}", "output": "o"} for n in range(10_000)), {**GOOD, "output": 5}, GOOD),
        10_001,
        {"wrong type": 1},
    ),
    "33 same row twice": (jsonl(GOOD, GOOD, GOOD), 3, {}),
    "34 same prompt, other answers": (jsonl(GOOD, {**GOOD, "output": "Red."}), 2, {}),
    "NaN and infinities": (
        jsonl(*(b'{"instruction": "a", "output": "b", "x": %b}' % x for x in (b"NaN", b"-Infinity", b"1e999")), GOOD),
        1,
        {"non-finite number": 3},
    ),
    "an integer of 5,000 digits": (jsonl(b'{"x": ' + b"9" * 5000 + b"}", GOOD), 1, {"invalid JSON": 1}),
}


@pytest.mark.parametrize("case", LINES)
def test_json_lines_give_exactly_the_expected_samples_and_rejects(tmp_path: Path, case: str) -> None:
    data, samples, reasons = LINES[case]
    reading = read(tmp_path, "rows.jsonl", data)
    assert (len(reading.samples), reading.reasons) == (samples, reasons)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gz", "zst"])
@pytest.mark.parametrize("case", ["3 BOM", "6 truncated last line", "12 NUL byte", "15 row over 16 MiB"])
def test_compression_changes_nothing(tmp_path: Path, case: str, pack: Callable[[bytes], bytes]) -> None:
    data, samples, reasons = LINES[case]
    reading = read(tmp_path, "rows.jsonl", pack(data))
    assert (len(reading.samples), reading.reasons) == (samples, reasons)


ARRAYS: dict[str, tuple[bytes, int, dict[str, int]]] = {
    "1 empty file": (b"", 0, {}),
    "1 empty array": (b"[]", 0, {}),
    "2 blank": (b" \n ", 0, {}),
    "3 BOM": (b"\xef\xbb\xbf[" + json.dumps(GOOD).encode() + b"]", 1, {}),
    "6 truncated in a row": (json.dumps([GOOD, OTHER]).encode()[:-9], 1, {"truncated": 1}),
    "6 truncated behind a row": (json.dumps([GOOD, OTHER]).encode()[:-1], 2, {"truncated": 1}),
    "7 invalid JSON in the middle": (
        json.dumps([GOOD, "X", OTHER]).encode().replace(b'"X"', b"{nope}"),
        2,
        {"invalid JSON": 1},
    ),
    "7 no comma": (b'[{"a": 1} {"b": 2}]', 0, {"invalid JSON": 1}),
    "7 comma at the end": (json.dumps([GOOD]).encode()[:-1] + b",]", 1, {"invalid JSON": 1}),
    "7 wrong bracket": (json.dumps([GOOD]).encode()[:-1] + b"}", 1, {"invalid JSON": 1}),
    "7 text behind the array": (json.dumps([GOOD]).encode() + b"\nabc", 1, {"invalid JSON": 1}),
    "8 not objects": (json.dumps([GOOD, 1, None, [], "a"]).encode(), 1, {"not an object": 4}),
    "10 invalid UTF-8": (
        b'[{"instruction": "\xff", "output": "b"}, ' + json.dumps(GOOD).encode() + b"]",
        1,
        {"invalid UTF-8": 1},
    ),
    "15 row over 16 MiB": (b"[" + LONG + b"," + json.dumps(GOOD).encode() + b"]", 1, {"line too long": 1}),
    "16 10,000-deep nesting": (
        b"[" + nested(10_000) + b"," + json.dumps(GOOD).encode() + b"]",
        1,
        {"nested too deeply": 1},
    ),
    "lines in a .json file": (jsonl(GOOD, b"{", OTHER), 2, {"invalid JSON": 1}),
    "one object over several lines": (json.dumps(GOOD, indent=1).encode(), 1, {}),
    "objects one after the other": (json.dumps(GOOD, indent=1).encode() * 2, 2, {}),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_json_documents_give_exactly_the_expected_samples_and_rejects(tmp_path: Path, case: str) -> None:
    data, samples, reasons = ARRAYS[case]
    reading = read(tmp_path, "rows.json", data)
    assert (len(reading.samples), reading.reasons) == (samples, reasons)


HEAD = b"instruction,input,output\n"
TABLES: dict[str, tuple[bytes, int, dict[str, int]]] = {
    "1 empty file": (b"", 0, {}),
    "1 header only": (HEAD, 0, {}),
    "3 BOM": (b"\xef\xbb\xbf" + HEAD + b"a,,b\n", 1, {}),
    "4 CRLF": (HEAD.replace(b"\n", b"\r\n") + b"a,,b\r\n\r\nc,,d\r\n", 2, {}),
    "5 no final newline": (HEAD + b"a,,b", 1, {}),
    "6 truncated last record": (HEAD + b'a,,b\nc,,"d', 1, {"truncated": 1}),
    "10 invalid UTF-8": (HEAD + b"a,,\xff\nc,,d\n", 1, {"invalid UTF-8": 1}),
    "12 NUL": (HEAD + b"a,,b\x00\nc,,d\n", 1, {"NUL in text": 1}),
    "15 row over 16 MiB": (HEAD + b"a,," + b"x" * (16 * 2**20) + b"\nc,,d\n", 1, {"line too long": 1}),
    "15 open quote over 16 MiB": (HEAD + b'a,,"' + (b"x" * 2**20 + b"\n") * 16 + b"c,,d\n", 1, {"line too long": 1}),
    "26 empty response": (HEAD + b"a,,\n", 0, {"empty response": 1}),
    "39 embedded newlines": (HEAD + b'"a\nb","x ""y""","c\r\n\nd"\ne,,f\n', 2, {}),
    "wrong number of columns": (HEAD + b"a,b\na,b,c,d\na,,b\n", 1, {"wrong number of columns": 2}),
    "stray quote": (HEAD + b'"a"b,,c\nd,,e\n', 1, {"malformed CSV": 1}),
    "field over the csv module's limit": (HEAD + b"a,," + b"x" * 200_000 + b"\n", 1, {}),
}


@pytest.mark.parametrize("case", TABLES)
def test_csv_gives_exactly_the_expected_samples_and_rejects(tmp_path: Path, case: str) -> None:
    data, samples, reasons = TABLES[case]
    reading = read(tmp_path, "rows.csv", data)
    assert (len(reading.samples), reading.reasons) == (samples, reasons)


def test_39_embedded_newlines_are_kept_and_the_place_is_the_record_s_first_line(tmp_path: Path) -> None:
    reading = read(tmp_path, "rows.csv", HEAD + b'"a\nb",,"c\nd"\n\ne,,\n')
    assert [m.content for m in reading.samples[0].messages] == ["a\nb", "c\nd"]
    assert reading.rejects[0].line == 6


def test_14_bidi_and_zero_width_characters_arrive_unchanged(tmp_path: Path) -> None:
    reading = read(tmp_path, "rows.jsonl", LINES["14 bidi and zero-width"][0])
    assert reading.samples[0].response == "a\u202eb\u200bc"


def test_15_a_100_mb_row_is_refused_in_little_memory(tmp_path: Path) -> None:
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


def test_32_files_of_one_folder_may_differ_in_format_and_columns(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jsonl").write_bytes(jsonl(GOOD, b"{"))
    (tmp_path / "d" / "b.jsonl").write_bytes(chat(U, A) + chat())
    pq.write_table(pa.Table.from_pylist([{"prompt": "p", "completion": ["x", "y"]}]), tmp_path / "d" / "c.parquet")
    reading = Source(name="s", role="generalist", path="d").read_all(tmp_path)
    assert [s.response for s in reading.samples] == ["Blue.", "Hi", "x"]
    assert [(r.line, r.reason) for r in reading.rejects] == [(2, "invalid JSON"), (4, "empty messages")]


def test_33_the_same_row_twice_has_one_content_and_two_ids(tmp_path: Path) -> None:
    samples = read(tmp_path, "rows.jsonl", jsonl(GOOD, GOOD)).samples
    assert samples[0].content_id == samples[1].content_id
    assert samples[0].id != samples[1].id


def test_34_other_answers_to_one_prompt_are_other_contents(tmp_path: Path) -> None:
    samples = read(tmp_path, "rows.jsonl", jsonl(GOOD, {**GOOD, "output": "Red."})).samples
    assert samples[0].prompt == samples[1].prompt
    assert samples[0].content_id != samples[1].content_id


def test_35_nfc_and_nfd_twins_are_two_samples(tmp_path: Path) -> None:
    twins = [{**GOOD, "output": unicodedata.normalize(form, "Café")} for form in ("NFC", "NFD")]
    samples = read(tmp_path, "rows.jsonl", jsonl(*twins)).samples
    assert samples[0].content_id != samples[1].content_id
    assert [s.response for s in samples] == [twin["output"] for twin in twins]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gz", "zst"])
def test_36_a_truncated_archive_gives_the_rows_before_the_cut_and_one_reject(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    rows = [{"instruction": f"{n} {n * 7919 % 10007}", "output": f"o{n * 104729 % 99991}"} for n in range(20_000)]
    packed = pack(jsonl(*rows))
    reading = read(tmp_path, "rows.jsonl.gz", packed[: len(packed) // 2])
    assert reading.reasons == {"truncated": 1}
    assert [s.prompt for s in reading.samples] == [r["instruction"] for r in rows[: len(reading.samples)]]
    assert 5_000 < len(reading.samples) < 15_000
    assert reading.rejects[0].line == len(reading.samples) + 1


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress], ids=["gz", "zst"]
)
def test_36_a_damaged_archive_is_corrupt_data_and_not_rows(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    packed = bytearray(pack(jsonl(*[GOOD] * 3)))
    packed[-3] ^= 0xFF
    reading = read(tmp_path, "rows.jsonl", bytes(packed))
    assert reading.reasons == {"corrupt data": 1}


def test_36_members_and_frames_are_read_through(tmp_path: Path) -> None:
    packed = gzip.compress(jsonl(GOOD)) + gzip.compress(jsonl(OTHER)) + b"\x00" * 100
    assert len(read(tmp_path, "rows.jsonl.gz", packed).samples) == 2
    zst = zstandard.ZstdCompressor().compress
    assert len(read(tmp_path, "rows.jsonl.zst", zst(jsonl(GOOD)) + zst(jsonl(OTHER))).samples) == 2


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gz", "zst"])
def test_36_an_archive_of_a_billion_spaces_does_not_fill_memory(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
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


def test_37_parquet_with_a_cut_footer_is_refused_by_name(tmp_path: Path) -> None:
    data = parquet(tmp_path, [GOOD, OTHER])
    for cut in (data[:-1], data[:-20], data[:20], data[:4]):
        with pytest.raises(UserError, match="not a readable Parquet file") as caught:
            read(tmp_path, "rows.parquet", cut)
        assert "rows.parquet" in str(caught.value)
    with pytest.raises(UserError, match="not a readable Parquet file"):
        read(tmp_path, "rows.parquet.gz", gzip.compress(data)[:-20])
    with pytest.raises(UserError, match="not a Parquet file"):
        read(tmp_path, "rows.parquet", b"")


def test_37_a_damaged_page_ends_the_file_with_one_reject(tmp_path: Path) -> None:
    rows = [{"instruction": f"i{n}", "output": f"o{n}" * 9} for n in range(5000)]
    data = bytearray(parquet(tmp_path, rows, row_group_size=1000, compression="zstd", use_dictionary=False))
    middle = len(data) // 2
    data[middle : middle + 2000] = b"\x55" * 2000
    reading = read(tmp_path, "rows.parquet", bytes(data))
    assert reading.reasons == {"corrupt data": 1}
    assert [s.prompt for s in reading.samples] == [r["instruction"] for r in rows[: len(reading.samples)]]
    assert 1000 <= len(reading.samples) < 5000


def test_38_parquet_without_rows_has_no_samples_and_no_error(tmp_path: Path) -> None:
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


def test_17_a_hundred_thousand_turns_in_parquet_are_one_reject(tmp_path: Path) -> None:
    table = pa.table({"messages": pa.array([[{"role": "user", "content": "x"}] * 100_000, [U, A]])})
    pq.write_table(table, tmp_path / "rows.parquet")
    reading = Source(name="s", role="generalist", path="rows.parquet").read_all(tmp_path)
    assert (len(reading.samples), reading.reasons) == (1, {"too many turns": 1})


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
@pytest.mark.parametrize("by", ["replace", "write"])
def test_40_a_file_replaced_while_it_is_read_fails_the_reading(tmp_path: Path, name: str, by: str) -> None:
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


def test_37_a_column_name_that_is_not_utf8_is_refused_by_file(tmp_path: Path) -> None:
    data = parquet(tmp_path, [{"instruction": "a", "output": "b"}], store_schema=False)
    with pytest.raises(UserError, match=r"not a readable Parquet file.*rows\.parquet"):
        read(tmp_path, "rows.parquet", data.replace(b"instruction", b"instructio\xff"))
