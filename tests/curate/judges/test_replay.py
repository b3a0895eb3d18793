"""Recorded verdicts: what is read, what is abstained from, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from curate.inquiry import CACHE
from curate.judge import Judge
from curate.judges.replay import Replay
from manifests.component import Context
from manifests.errors import UserError
from tests.curate.judged import by_response, frame, numbered

SAMPLES = frame([(f"q{i}", f"a{i}") for i in range(8)])
IDS = {row["response"]: row for row in SAMPLES.iter_rows(named=True)}


def jsonl(folder: Path, rows: list[dict]) -> str:
    path = folder / "verdicts.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return str(path)


def replayed(path: str, root: Path) -> dict:
    found = Judge(judge=Replay(path=path)).score(SAMPLES, Context(root=root))
    assert found.scores.height == SAMPLES.height
    return {text: (row["status"], row["value"], row["why"]) for text, row in by_response(SAMPLES, found.scores).items()}


def test_recorded_probabilities_and_words_are_served_exactly(tmp_path):
    rows = [
        {"sample_id": IDS["a0"]["sample_id"], "p_error": 0.3},
        {"content_id": IDS["a1"]["content_id"], "p_error": 1},
        {"content_id": IDS["a2"]["content_id"], "verdict": " Wrong "},
        {"content_id": IDS["a3"]["content_id"], "verdict": "correct"},
        {"content_id": IDS["a4"]["content_id"], "verdict": "unknown"},
        {"content_id": IDS["a5"]["content_id"], "p_error": 1.5},
        {"content_id": IDS["a6"]["content_id"], "p_error": "high"},
    ]
    found = replayed(jsonl(tmp_path, rows), tmp_path)
    assert [found[f"a{i}"][:2] for i in range(8)] == [
        ("ok", 0.3), ("ok", 1.0), ("ok", 1.0), ("ok", 0.0), ("abstained", None), ("failed", None), ("failed", None),
        ("abstained", None),
    ]  # fmt: skip
    assert found["a4"][2] == "recorded verdict 'unknown'"
    assert found["a7"][2] == "no recorded verdict"


def test_a_parquet_file_serves_the_same(tmp_path):
    rows = [{"content_id": IDS[f"a{i}"]["content_id"], "p_error": p} for i, p in enumerate([0.25, None, 0.9])]
    pl.DataFrame(rows).with_columns(other=pl.lit("x")).write_parquet(tmp_path / "v.parquet")
    found = replayed(str(tmp_path / "v.parquet"), tmp_path)
    assert [found[f"a{i}"][0] for i in range(4)] == ["ok", "abstained", "ok", "abstained"]
    assert found["a2"][1] == 0.9


def test_the_sample_id_wins_over_the_content_id(tmp_path):
    rows = [
        {"content_id": IDS["a0"]["content_id"], "p_error": 0.1},
        {"sample_id": IDS["a0"]["sample_id"], "p_error": 0.8},
    ]
    assert replayed(jsonl(tmp_path, rows), tmp_path)["a0"][1] == pytest.approx(0.8)


def test_a_verdict_may_be_recorded_twice_but_not_in_two_ways(tmp_path):
    row = {"content_id": IDS["a0"]["content_id"], "p_error": 0.1}
    assert replayed(jsonl(tmp_path, [row, row]), tmp_path)["a0"][0] == "ok"
    with pytest.raises(UserError, match=r"verdicts\.jsonl:2: two recorded verdicts contradict"):
        replayed(jsonl(tmp_path, [row, {**row, "p_error": 0.2}]), tmp_path)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (b"{not json", r":1: not a line of JSON"),
        (b"[1]", r":1: not a JSON object"),
        (b'{"p_error": 0.5}', r":1: a recorded verdict needs sample_id"),
        (b'{"content_id": "x"}', r":1: a recorded verdict needs"),
        (b'{"content_id": "\xff"}', r":1: not a line of JSON"),
    ],
)
def test_a_file_that_is_not_one_of_verdicts_is_refused_with_the_line(tmp_path, line, match):
    (tmp_path / "v.jsonl").write_bytes(line + b"\n")
    with pytest.raises(UserError, match=match):
        replayed(str(tmp_path / "v.jsonl"), tmp_path)


def test_a_missing_or_broken_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        replayed(str(tmp_path / "none.jsonl"), tmp_path)
    (tmp_path / "v.parquet").write_bytes(b"PAR0")
    with pytest.raises(UserError, match="cannot be read"):
        replayed(str(tmp_path / "v.parquet"), tmp_path)


def test_a_replay_makes_no_calls_and_fills_no_cache(tmp_path):
    path = jsonl(tmp_path, [{"content_id": "x", "p_error": 0.5}])
    judge = Judge(judge=Replay(path=path))
    assert judge.pending(numbered(5), Context(root=tmp_path)) == 0
    found = judge.score(numbered(5), Context(root=tmp_path))
    assert found.scores["key"].null_count() == 5
    assert not (tmp_path / CACHE).exists()


def test_the_identity_follows_the_files_content(tmp_path):
    path = jsonl(tmp_path, [{"content_id": "x", "p_error": 0.5}])
    before = Replay(path=path).identity()
    jsonl(tmp_path, [{"content_id": "x", "p_error": 0.6}])
    assert Replay(path=path).identity() != before
