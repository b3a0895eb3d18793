"""Cutting JSON documents into rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import parse, split
from curate.split import Part, parts
from tests.curate.test_parse import VALUES


def cut(data: bytes, size: int) -> list[Part]:
    return list(parts(data[i : i + size] for i in range(0, len(data), size)))


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]))
def test_the_elements_of_an_array_are_its_rows(values: list[Any], size: int, indent: int | None) -> None:
    found = cut(json.dumps(values, indent=indent).encode(), size)
    assert [json.loads(part.piece.raw) for part in found if part.kind == "element"] == values
    assert found[-1].kind == "end"
    assert [part.piece.number for part in found[:-1]] == list(range(1, len(values) + 1))
    assert all(part.piece.fault is None for part in found)


@given(
    st.lists(VALUES, max_size=4), st.dictionaries(st.text("abc", max_size=3), VALUES, max_size=3), st.integers(1, 40)
)
def test_instances_are_rows_and_other_members_are_members(
    instances: list[Any], others: dict[str, Any], size: int
) -> None:
    found = cut(json.dumps({**others, "Instances": instances, "z": [1]}).encode(), size)
    assert [json.loads(p.piece.raw) for p in found if p.kind == "instance"] == instances
    members = b",".join(p.piece.raw for p in found if p.kind == "member")
    assert json.loads(b"{" + members + b"}") == {**others, "z": [1]}


@given(st.binary(max_size=40).map(lambda b: b"[" + b), st.integers(1, 7))
def test_the_cut_does_not_depend_on_how_the_bytes_arrive(data: bytes, size: int) -> None:
    assert cut(data, size) == cut(data, len(data))


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b",", b'"', b"\\", b"1", b" ", b'"Instances":']), max_size=14))
def test_the_cut_of_broken_documents_does_not_depend_on_how_the_bytes_arrive(tokens: list[bytes]) -> None:
    data = b"".join(tokens)
    found = cut(data, max(1, len(data)))
    assert cut(data, 1) == found
    rows = [p.piece.number for p in found if p.kind in ("element", "instance")]
    assert rows == sorted(set(rows))


def test_no_byte_of_an_array_is_lost() -> None:
    data = b'[{"a": "]"}, nope, [1, 2], "x, y"'
    found = cut(data, 5)
    assert [(p.piece.raw.strip(), p.piece.fault) for p in found] == [
        (b'{"a": "]"}', None),
        (b"nope", None),
        (b"[1, 2]", None),
        (b'"x, y"', None),
        (b"", "truncated"),
    ]


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_row_over_the_bound_is_dropped_and_the_next_is_read(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(parse, "MAX_ROW", 10)
    monkeypatch.setattr(split, "MAX_ROW", 10)
    found = cut(b'["' + b"x" * 50 + b'",1,[' + b"2," * 20 + b"2],3]", size)
    assert [p.piece.fault for p in found] == ["line too long", None, "line too long", None, None]


def test_a_hundred_thousand_escapes_in_one_text_take_one_pass() -> None:
    value = ['\\"\n' * 100_000, 1]
    found = cut(json.dumps(value).encode(), 2**16)
    assert [json.loads(p.piece.raw) for p in found if p.kind == "element"] == value
