"""Rows, cases 1 to 31, 33, 34 and 39: each in every kind of text file, with the samples and rejects that it gives."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from curate.reason import REASONS
from curate.sample import Reject, Sample
from curate.sources import Reading, Source

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


def numbered(case: str) -> str:
    """Return the name of a case as `case-012 NUL byte`: the fault list counts its cases by their names."""
    number, _, name = case.partition(" ")
    return f"case-{int(number):03d} {name}" if number.isdecimal() else case


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


@pytest.mark.parametrize("case", LINES, ids=numbered)
def test_json_lines_give_exactly_the_expected_samples_and_rejects(tmp_path: Path, case: str) -> None:
    data, samples, reasons = LINES[case]
    reading = read(tmp_path, "rows.jsonl", data)
    assert (len(reading.samples), reading.reasons) == (samples, reasons)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gz", "zst"])
@pytest.mark.parametrize("case", ["3 BOM", "6 truncated last line", "12 NUL byte", "15 row over 16 MiB"], ids=numbered)
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


@pytest.mark.parametrize("case", ARRAYS, ids=numbered)
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


@pytest.mark.parametrize("case", TABLES, ids=numbered)
def test_csv_gives_exactly_the_expected_samples_and_rejects(tmp_path: Path, case: str) -> None:
    data, samples, reasons = TABLES[case]
    reading = read(tmp_path, "rows.csv", data)
    assert (len(reading.samples), reading.reasons) == (samples, reasons)


def test_case_039_embedded_newlines_are_kept_and_the_place_is_the_record_s_first_line(tmp_path: Path) -> None:
    reading = read(tmp_path, "rows.csv", HEAD + b'"a\nb",,"c\nd"\n\ne,,\n')
    assert [m.content for m in reading.samples[0].messages] == ["a\nb", "c\nd"]
    assert reading.rejects[0].line == 6


def test_case_014_bidi_and_zero_width_characters_arrive_unchanged(tmp_path: Path) -> None:
    reading = read(tmp_path, "rows.jsonl", LINES["14 bidi and zero-width"][0])
    assert reading.samples[0].response == "a\u202eb\u200bc"
