"""Recorded verdicts: what is read, what is abstained from, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from curate.inquiry import CACHE
from curate.judge import Judge
from curate.judges import Call, Menu, Writing
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


MENU = Menu((" correct", " wrong", " unsure"), "Verdict:")
CLAIMS = ("true", "false", "unknown")


def record(name: str, reply: str | None, **more: object) -> dict:
    return {"content_id": IDS[name]["content_id"], "reply": reply, **more}


def opened(folder: Path, rows: list[dict], **options: object):
    return Replay(path=jsonl(folder, rows), **options).open([MENU], Context(root=folder))


def call(name: str, prompt: str = "?") -> Call:
    return Call(f"key {name} {prompt}", prompt, IDS[name]["sample_id"], IDS[name]["content_id"])


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
        (b"[" * 5000, r":1: not a line of JSON \(nested too deeply\)"),
    ],
)
def test_a_file_that_is_not_one_of_verdicts_is_refused_with_the_line(tmp_path, line, match):
    (tmp_path / "v.jsonl").write_bytes(line + b"\n")
    with pytest.raises(UserError, match=match):
        replayed(str(tmp_path / "v.jsonl"), tmp_path)


def test_a_number_that_no_float_holds_is_a_failure(tmp_path):
    (tmp_path / "v.jsonl").write_text(f'{{"content_id": "{IDS["a0"]["content_id"]}", "p_error": {"9" * 400}}}\n')
    assert replayed(str(tmp_path / "v.jsonl"), tmp_path)["a0"][0] == "failed"


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


def test_recorded_replies_are_read_by_their_last_line_and_never_guessed(tmp_path):
    rows = [
        record("a0", "The date is off.\nVerdict: wrong"),
        record("a1", "Correct."),
        record("a2", "Verdict: unsure"),
        record("a3", "I cannot say."),
        record("a4", None),
        record("a5", "Verdict: wro", finish="length"),
        record("a6", "Verdict: correct\nVerdict: correct and wrong"),
    ]
    found = replayed(jsonl(tmp_path, rows), tmp_path)
    assert [found[f"a{i}"][:2] for i in range(8)] == [
        ("ok", 1.0), ("ok", 0.0), ("abstained", None), ("failed", None), ("failed", None), ("failed", None),
        ("failed", None), ("abstained", None),
    ]  # fmt: skip
    assert [found[f"a{i}"][2].split(":")[0] for i in (3, 4, 5, 6)] == [
        "off the menu", "empty reply", "truncated", "malformed",
    ]  # fmt: skip


def test_replies_in_parquet_are_read_as_those_in_json_lines(tmp_path):
    rows = [record("a0", "wrong"), record("a1", None), record("a2", "Verdict: cor", finish="length")]
    pl.DataFrame(rows).write_parquet(tmp_path / "v.parquet")
    assert replayed(str(tmp_path / "v.parquet"), tmp_path) == replayed(jsonl(tmp_path, rows), tmp_path)


def test_several_replies_to_a_row_are_votes_and_those_that_decide_nothing_lower_the_mass(tmp_path):
    votes = ["wrong", "wrong", "correct", "hm", "unsure"]
    with opened(tmp_path, [record("a0", text) for text in votes]) as session:
        ((reply,),) = session.ask([call("a0")], MENU)
        assert reply.probabilities == (0.2, 0.4, 0.2)
        assert reply.p_error == pytest.approx(2 / 3)
        assert reply.mass == pytest.approx(0.8)
        ((reply,),) = session.ask([call("a0")], Menu(MENU.labels[:2], MENU.tail))
        assert reply.probabilities == (0.2, 0.4)


def test_most_votes_that_decide_nothing_fail_the_row_by_its_label_mass(tmp_path):
    rows = [record("a0", text) for text in ("wrong", "hm", "hm")]
    status, value, why = replayed(jsonl(tmp_path, rows), tmp_path)["a0"]
    assert (status, value) == ("failed", None)
    assert why.startswith("off the menu: the labels have probability 0.333")


def test_an_unsure_reply_counts_as_wrong_where_the_field_says_so(tmp_path):
    rows = [record("a0", "unknown"), record("a1", "true"), record("a2", "false, [corrected fact]: It is true.")]
    for unsure, status in (("abstain", "abstained"), ("wrong", "ok")):
        with opened(tmp_path, rows, labels=CLAIMS, unsure=unsure) as session:
            ((first, second, third),) = session.ask([call("a0"), call("a1"), call("a2")], MENU)
        assert first.status == status
        assert first.p_error == (None if unsure == "abstain" else 1.0)
        assert (second.p_error, third.p_error) == (0.0, 1.0)
        assert third.texts[0].text.endswith("It is true.")


def test_a_claims_record_answers_the_prompt_that_names_the_claim(tmp_path):
    rows = [
        record("a0", "true", claim="Rome is old"),
        record("a0", "false", claim="Rome is old and small"),
        record("a0", "false", claim="It lies in Spain"),
        record("a0", "true"),
        record("a1", "false", claim="Rome is old"),
    ]
    with opened(tmp_path, rows, labels=CLAIMS) as session:
        asked = [
            call("a0", "Answer: Rome is old and small. It lies in Spain.\nClaim: Rome is old\nVerdict:"),
            call("a0", "Answer: Rome is old.\nClaim: Rome is old and small\nVerdict:"),
            call("a0", "Answer: Claim: Rome is old\nClaim: It lies in Spain\nVerdict:"),
            call("a0", "Answer: Rome is old and small. Is all of it right?"),
            call("a1", "Claim: Rome is old"),
            call("a1", "Claim: Rome is new"),
        ]
        (replies,) = session.ask(asked, MENU)
    assert [reply.p_error for reply in replies] == [0.0, 1.0, 1.0, 0.0, 1.0, None]
    assert replies[-1].status == "abstained"


def test_claims_with_records_are_listed_and_judged_one_by_one(tmp_path):
    rows = [
        record("a0", "true", claim="a0"),
        record("a0", "false, [corrected fact]: It is small.", claim="It is large"),
        record("a1", "unknown", claim="It is old"),
        record("a2", "true", claim="It is new"),
        record("a2", "hm", claim="It is blue"),
    ]
    engine = Replay(path=jsonl(tmp_path, rows), labels=CLAIMS)
    found = Judge(judge=engine, mode="claims", pool="mean").score(SAMPLES, Context(root=tmp_path))
    scores = by_response(SAMPLES, found.scores)
    assert [(scores[f"a{i}"]["status"], scores[f"a{i}"]["value"]) for i in range(4)] == [
        ("ok", 0.5), ("abstained", None), ("failed", None), ("failed", None),
    ]  # fmt: skip
    verdicts = {row["sample_id"]: row["claims"] for row in found.verdicts.iter_rows(named=True)}
    assert [claim["verdict"] for claim in json.loads(verdicts[IDS["a0"]["sample_id"]])] == ["correct", "wrong"]
    assert "no recorded reply" in scores["a3"]["why"]


def test_recorded_replies_are_texts_for_who_asks_for_texts(tmp_path):
    rows = [record("a0", "first"), record("a0", "second", finish="length"), {**record("a1", None), "p_error": 0.5}]
    with opened(tmp_path, rows) as session:
        ((one, number, nothing),) = session.write([call("a0"), call("a1"), call("a2")], Writing(max_tokens=9))
        ((two,),) = session.write([call("a0")], Writing(max_tokens=9, n=2))
        ((three,),) = session.write([call("a0")], Writing(max_tokens=9, n=3))
    assert one.texts == (("first", "stop"),)
    assert two.texts == (("first", "stop"), ("second", "length"))
    assert (number.why, nothing.why) == ("no recorded reply", "no recorded reply")
    assert (three.status, three.why) == ("failed", "2 recorded replies in place of 3")


def test_a_number_and_a_reply_of_one_row_contradict_each_other(tmp_path):
    rows = [record("a0", "wrong"), {"content_id": IDS["a0"]["content_id"], "p_error": 0.5}]
    with pytest.raises(UserError, match="contradict"):
        replayed(jsonl(tmp_path, rows), tmp_path)


def test_a_claim_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(UserError, match=r":1: the claim of a recorded verdict must be a text"):
        replayed(jsonl(tmp_path, [record("a0", "wrong", claim=3)]), tmp_path)


@pytest.mark.parametrize("labels", [("yes",), ("a", "b", "c", "d")])
def test_a_menu_of_recorded_words_has_two_or_three(tmp_path, labels):
    with pytest.raises(ValueError, match="labels"):
        Replay(path="x.jsonl", labels=labels)
