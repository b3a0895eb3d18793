"""What a running job says: lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from manifests.jobs.progress import Live, Plain, Silent, reporter


@pytest.fixture
def lines():
    return []


def test_plain_says_one_line_a_finished_stage(lines):
    plain = Plain(write=lines.append)
    plain.start("read:pool", 0, "rows")
    plain.advance(1, 2)
    plain.finish("read:pool", 1.25, "1,000 rows")
    plain.close()
    assert lines == ["read:pool: 1,000 rows (1.2 s)"]


def test_plain_says_where_a_long_stage_is_now_and_then(lines, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("manifests.jobs.progress.time.monotonic", lambda: now[0])
    plain = Plain(write=lines.append, every=10.0)
    plain.start("score:1-judge", 0, "rows")
    for second in range(1, 26):
        now[0] = float(second)
        plain.advance(second * 100, 2_500 if second < 15 else 0)
    assert lines == ["score:1-judge: 1,000 of 2,500", "score:1-judge: 2,000"]
    plain.start("mix:a@0", 0, "rows")
    plain.advance(1, 1)
    assert len(lines) == 2  # the next stage has its own ten seconds


def test_plain_writes_to_standard_error_at_once(capsys):
    Plain().finish("mix:a@0", 0.04, "3 rows")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "mix:a@0: 3 rows (0.0 s)\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_live_leaves_a_line_a_stage_and_a_clean_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    live = reporter()
    assert isinstance(live, Live)
    try:
        live.start("train: 4", 4, "runs")
        live.advance(2, 4)
        live.finish("train: 4", 12.0, "done")
        live.start("[bold]x[/bold]", 0, "rows")
        live.advance(3, 0)
    finally:
        live.close()
    shown = screen.getvalue()
    assert "train: 4: done" in shown
    assert "(12.0 s)" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is shown again


def test_elsewhere_lines_are_plain(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(reporter(), Plain)


def test_silent_says_nothing(capsys):
    silent = Silent()
    silent.start("a", 1, "rows")
    silent.advance(1, 1)
    silent.finish("a", 1.0, "done")
    silent.close()
    assert capsys.readouterr() == ("", "")
