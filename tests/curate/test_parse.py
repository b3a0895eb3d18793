"""Strict JSON objects, decompression and lines from untrusted bytes."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import parse
from curate.parse import Hold, deeper, inflate, lines, load
from curate.reason import REASONS, BadRow
from manifests.names import digest_bytes

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def reason(raw: bytes, *, last: bool = False) -> str | None:
    try:
        load(raw, last=last)
    except BadRow as bad:
        found = bad.reason
    else:
        return None
    assert found in REASONS
    return found


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.booleans())
def test_every_json_object_is_read_as_the_json_module_writes_it(value: dict[str, Any], ascii_only: bool) -> None:
    assert load(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_known_reason(raw: bytes) -> None:
    found = reason(raw)
    if found is None:
        assert isinstance(json.loads(raw), dict)


@given(st.text(st.characters(), max_size=20))
def test_a_text_is_refused_exactly_when_it_holds_nul_or_a_surrogate(text: str) -> None:
    raw = json.dumps({"a": [text]}).encode()
    broken = "\x00" in text or any("\ud800" <= c <= "\udfff" for c in json.loads(raw)["a"][0])
    assert (reason(raw) is not None) == broken


@pytest.mark.parametrize(
    ("raw", "last", "expected"),
    [
        (b'{"a": 1', True, "truncated"),
        (b'{"a": 1', False, "invalid JSON"),
        (b'{"a": "b', True, "truncated"),
        (b'{"a": nope}', True, "invalid JSON"),
        (b'{"a": 1} x', True, "invalid JSON"),
        ("é".encode()[:1], True, "truncated"),
        (b"\xff", True, "invalid UTF-8"),
        (b"", False, "invalid JSON"),
        (b'{"a": 01}', False, "invalid JSON"),
        (b"{'a': 1}", False, "invalid JSON"),
        (b'{"a": 1, "\\u0061": 2}', False, "duplicate key"),
        (b'{"a": 1e400}', False, "non-finite number"),
        (b'{"a": -Infinity}', False, "non-finite number"),
    ],
)
def test_each_fault_has_its_reason(raw: bytes, last: bool, expected: str) -> None:
    assert reason(raw, last=last) == expected


@given(st.integers(0, 70), st.sampled_from(["list", "dict", "both"]))
def test_depth_is_counted_exactly(depth: int, kind: str) -> None:
    value: Any = 1
    for i in range(depth):
        value = {"k": value, "l": 2} if kind == "dict" or (kind == "both" and i % 2) else [1, value]
    assert deeper(value, 64) == (depth > 64)
    assert not deeper(value, depth)
    assert depth == 0 or deeper(value, depth - 1)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert reason(json.dumps({"a": [[] for _ in range(1000)]}).encode()) is None


CHUNKS = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc", b"", b" ", b"\xef\xbb\xbf", b"\xff"]), max_size=12)


@given(CHUNKS)
def test_lines_do_not_depend_on_how_the_bytes_arrive(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    expected = whole.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    expected = expected[:-1] if expected[-1] == b"" else expected
    for cut in (chunks, [whole], [whole[i : i + 1] for i in range(len(whole))]):
        found = list(lines(cut))
        assert [piece.raw for piece in found] == expected
        assert [piece.number for piece in found] == list(range(1, len(expected) + 1))
        assert [piece.last for piece in found if piece.last] == (
            [True] if whole[-1:] not in (b"", b"\n") and expected else []
        )


def test_a_line_of_exactly_the_bound_passes_and_one_byte_more_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "MAX_ROW", 10)
    data = b"x" * 10 + b"\n" + b"y" * 11 + b"\nz\n"
    for size in (1, 3, 7, 100):
        found = list(lines(data[i : i + size] for i in range(0, len(data), size)))
        assert [piece.fault for piece in found] == [None, "line too long", None]
        assert found[1].raw_hash == digest_bytes(b"y" * 11)
        assert found[0].raw_hash == digest_bytes(b"x" * 10)


def test_hold_starts_again_after_take() -> None:
    hold = Hold()
    hold.add(b"ab")
    assert hold.take(1).raw == b"ab"
    assert hold.take(2).raw == b""


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 50), st.sampled_from(["gz", "zst"]))
def test_inflate_undoes_compression_however_the_bytes_arrive(members: list[bytes], size: int, kind: str) -> None:
    pack = gzip.compress if kind == "gz" else zstandard.ZstdCompressor().compress
    packed = b"".join(pack(member) for member in members)
    assert b"".join(inflate(packed[i : i + size] for i in range(0, len(packed), size))) == b"".join(members)


@settings(max_examples=60)
@given(st.data(), st.sampled_from(["gz", "zst"]))
def test_every_proper_prefix_of_an_archive_is_truncated(data: st.DataObject, kind: str) -> None:
    content = random.Random(5).randbytes(3000)
    packed = gzip.compress(content) if kind == "gz" else zstandard.ZstdCompressor().compress(content)
    cut = data.draw(st.integers(4, len(packed) - 1))
    out: list[bytes] = []
    with pytest.raises(BadRow, match="truncated"):
        out.extend(inflate([packed[:cut]]))
    assert content.startswith(b"".join(out))


@given(
    st.binary(max_size=100).filter(lambda b: b[:2] != b"\x1f\x8b" and b[:4] != b"\x28\xb5\x2f\xfd"), st.integers(1, 9)
)
def test_other_bytes_pass_as_they_are(data: bytes, size: int) -> None:
    assert b"".join(inflate(data[i : i + size] for i in range(0, len(data), size))) == data


def test_chunks_of_a_bomb_are_bounded() -> None:
    bomb = b"\x00" * 2**26
    assert max(map(len, inflate([gzip.compress(bomb)]))) <= parse.CHUNK
    assert max(map(len, inflate([zstandard.ZstdCompressor().compress(bomb)]))) <= parse.CHUNK
