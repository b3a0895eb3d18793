"""Results reach a terminal, a pipe or a machine whole, and nothing in them acts on the terminal."""

from __future__ import annotations

import json
import math
import sys
import unicodedata

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from manifests import output


@given(st.text())
def test_no_control_character_is_left(text):
    shown = output.symbols(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs")]
    assert len(shown) == len(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_is_left_alone(text):
    assert output.symbols(text) == text


def test_direction_overrides_are_shown_and_lines_kept_when_asked():
    assert output.symbols("a\u202eb\u2066c") == "a\ufffdb\ufffdc"
    assert output.symbols("a\nb\rc", lines=True) == "a\nb␍c"
    assert output.symbols("a\nb") == "a␊b"


def test_a_frame_is_one_line_a_row_in_a_pipe(capsys):
    frame = pl.DataFrame({"a": ["x\ty", None], "b": [0.1 + 0.2, math.nan], "c": [True, False], "d": [[1, 2], None]})
    output.table(frame)
    assert capsys.readouterr().out == "a\tb\tc\td\nx␉y\t0.3\tyes\t[1, 2]\n\tnan\tno\t\n"


def test_json_has_null_for_what_is_not_finite_and_is_ascii(capsys):
    output.table(pl.DataFrame({"a": ["ä\x1b"], "b": [math.inf], "c": [[math.nan, 1.0]]}), as_json=True)
    out = capsys.readouterr().out
    assert json.loads(out) == [{"a": "ä\x1b", "b": None, "c": [None, 1.0]}]
    assert out.isascii()
    assert "\x1b" not in out


def test_an_empty_frame_still_has_its_header(capsys):
    output.table(pl.DataFrame({"a": [], "b": []}))
    assert capsys.readouterr().out == "a\tb\n"


def test_a_terminal_gets_a_table_in_which_markup_is_text(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    output.table(pl.DataFrame({"name": ["[red]x[/red]\x1b[2J", "y" * 500], "n": [1, 2]}))
    out = capsys.readouterr().out
    assert "[red]x[/red]␛[2J" in out
    assert "y" * (output.WIDEST - 1) + "…" in out
    assert "\t" not in out


def test_facts_are_a_line_each_or_one_object(capsys):
    output.facts({"a": 1, "b": None, "c": [1, 2]})
    assert capsys.readouterr().out == "a: 1\nb: \nc: [1, 2]\n"
    output.facts({"a": 0.5}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"a": 0.5}


def test_an_error_goes_to_standard_error_with_its_lines(capsys):
    output.error("bad: '\x1b[2J'\n  remedy")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: bad: '␛[2J'\n  remedy\n"
