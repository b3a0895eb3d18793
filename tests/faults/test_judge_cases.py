"""Scores and judges, cases 41 to 62, over real HTTP: what a server may do, and what comes of its row and the others."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from curate.judge import Judge
from curate.judges.http import Client
from curate.judges.openai import OpenAI
from manifests.component import Context
from manifests.errors import UserError
from tests.curate.fake_server import PROBE, Action, FakeServer, Script
from tests.curate.judged import by_response, frame, numbered

ROW = "It is 2."
"""The response of the one row that meets the fault; its prompt holds `ASKED`."""
ASKED = "is 1 plus"
SAMPLES = numbered(5)
Found = Mapping[str, dict[str, Any]]
Scores = dict[str, tuple[Any, ...]]


def judge_at(server: FakeServer, read: str = "probabilities", **fields: Any) -> Judge:
    engine = OpenAI(url=server.url, model="judge-1", **{"retries": 1, "backoff": 0.0, "timeout": 20.0} | fields)
    return Judge(judge=engine, prompt="plain", read=read)  # type: ignore[arg-type]


def scored(judge: Judge, root: Path, samples: Any = SAMPLES) -> Found:
    return by_response(samples, judge.score(samples, Context(root=root)).scores)


def meets(fault: Action, times: int | None = None, otherwise: Action | None = None) -> Script:
    """Return a script in which one row meets `fault`, the first `times` times (always, when None)."""

    def script(prompt: str, before: int, request: Mapping[str, Any]) -> Action:
        faulty = ASKED in prompt and prompt != PROBE and (times is None or before < times)
        return fault if faulty else (otherwise or Action())

    return script


def clean(tmp_path: Path) -> Found:
    with FakeServer() as server:
        return scored(judge_at(server), tmp_path / "clean")


def written(text: str, finish: str = "stop") -> Action:
    return Action(texts=[(text, finish)])


def without_key(found: Found) -> Scores:
    return {text: (row["status"], row["value"], row["why"]) for text, row in found.items()}


def failed_alone(fault: Action, tmp_path: Path, **fields: Any) -> tuple[str, bool]:
    """Return why the row failed that alone met `fault`, and whether the next run asks for it and cures it.

    No other row may fail; a row that is not asked for again must stay as it is.
    """
    good = written("correct") if fields.get("read") == "text" else Action()
    with FakeServer(meets(fault, None, good)) as server:
        judge = judge_at(server, **fields)
        found = dict(scored(judge, tmp_path))
        row = found.pop(ROW)
        assert (row["status"], row["value"]) == ("failed", None)
        assert len(row["why"]) < 400
        assert {other["status"] for other in found.values()} == {"ok"}
        server.script, before = meets(good), server.asked.total() - server.asked[PROBE]
        again = scored(judge, tmp_path)
        asked = server.asked.total() - server.asked[PROBE] - before
    cured = again[ROW]["status"] == "ok"
    assert asked == int(cured)
    return row["why"], cured


def met_once(fault: Action, tmp_path: Path, **fields: Any) -> tuple[Scores, int]:
    """Return the scores of a run in which one row meets `fault` once, and how many calls it made."""
    with FakeServer(meets(fault, times=1)) as server:
        found = scored(judge_at(server, **fields), tmp_path)
        return without_key(found), server.asked.total() - server.asked[PROBE]


def test_case_041_a_server_that_refuses_connections_stops_the_run_at_the_start(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    judge = Judge(judge=OpenAI(url=url, model="judge-1", backoff=0.0), prompt="plain")
    with pytest.raises(UserError, match="connection refused") as refused:
        scored(judge, tmp_path)
    assert refused.value.value == url
    assert "curl" in refused.value.remedy
    assert judge.pending(SAMPLES, Context(root=tmp_path)) == SAMPLES.height


def test_case_042_a_server_that_dies_ends_the_run_and_the_next_one_asks_what_is_left(tmp_path):
    samples = numbered(40)
    with FakeServer(lambda *_: Action(delay=0.02)) as server:
        judge = judge_at(server, concurrency=4)

        def stop_later(done: int, total: int) -> None:
            if done >= 10:
                server.shutdown()
                server.server_close()
                server.script = lambda *_: Action(drop=True)

        with pytest.raises(UserError, match="cannot be reached any more") as gone:
            judge.score(samples, Context(root=tmp_path, progress=stop_later))
    assert "run the same command" in gone.value.remedy
    with FakeServer() as server:
        judge = judge_at(server)
        left = judge.pending(samples, Context(root=tmp_path))
        found = scored(judge, tmp_path, samples)
        assert server.asked.total() - server.asked[PROBE] == left
    assert 0 < left <= 30
    assert {row["status"] for row in found.values()} == {"ok"}


PASSING = {
    "case-043 status 500": Action(status=500, body=b"boom"),
    "case-044 status 503 with Retry-After": Action(status=503, body=b"", headers={"Retry-After": "0"}),
    "case-045 status 429": Action(status=429, body=b"{}"),
    "case-046 status 408": Action(status=408, body=b"{}"),
    "case-048 a page of HTML": Action(body=b"<html><body>gateway</body></html>"),
    "case-049 an empty body": Action(body=b""),
    "case-050 half of a JSON": Action(body=b'{"choices": [{"logpr'),
    "case-050 a body cut on its way": Action(cut=True),
    "case-053 JSON of another shape": Action(body=b'{"verdict": "wrong", "score": 1}'),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_leaves_the_scores_of_the_clean_run(fault, tmp_path):
    assert met_once(fault, tmp_path) == (without_key(clean(tmp_path)), SAMPLES.height + 1)


def test_case_046_a_time_out_that_passes_leaves_the_scores_of_the_clean_run(tmp_path):
    found = met_once(Action(delay=1.5), tmp_path, timeout=0.5)
    assert found == (without_key(clean(tmp_path)), SAMPLES.height + 1)


LASTING = {
    "case-043 status 500": (
        Action(status=500, body=b'{"error": "out of memory"}'),
        "server: status 500: out of memory",
    ),
    "case-044 status 503": (Action(status=503, body=b""), "server: status 503: empty body"),
    "case-045 status 429": (Action(status=429, body=b"slow down"), "server: status 429: slow down"),
    "case-046 status 408": (Action(status=408, body=b"{}"), "server: status 408"),
    "case-048 a page of HTML": (Action(body=b"<html>no</html>"), "malformed reply: <html>no</html>"),
    "case-049 an empty body": (Action(body=b""), "malformed reply: empty body"),
    "case-050 malformed JSON": (Action(body=b'{"choices": [}'), "malformed reply"),
    "case-053 right JSON of another shape": (Action(body=b'{"verdict": "wrong"}'), "no label probabilities"),
    "case-053 an empty choice": (Action(body=b'{"choices": [{}]}'), "no label probabilities"),
}


@pytest.mark.parametrize(("fault", "why"), LASTING.values(), ids=LASTING)
def test_a_fault_that_lasts_fails_its_row_alone_until_the_server_is_well(fault, why, tmp_path):
    said, cured = failed_alone(fault, tmp_path)
    assert why in said
    assert cured


def test_case_046_a_time_out_that_lasts_fails_its_row_alone(tmp_path):
    said, cured = failed_alone(Action(delay=1.0), tmp_path, timeout=0.3, retries=0)
    assert "no answer within 0.3 s" in said
    assert cured


class _Remembering(threading.Event):
    """An event that notes how long it was waited for, and does not wait."""

    waits: list[float] = []  # noqa: RUF012 - one list for the one test

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


@pytest.mark.parametrize(("header", "wait"), [("7", 7.0), ("100000", 60.0), (None, 3.0), ("soon", 3.0)])
def test_case_044_retry_after_decides_how_long_is_waited_within_a_minute(header, wait, tmp_path, monkeypatch):
    monkeypatch.setattr("curate.judges.openai.Client", lambda *given: Client(*given[:-1], _Remembering()))
    _Remembering.waits.clear()
    headers = {} if header is None else {"Retry-After": header}
    with FakeServer(meets(Action(status=503, body=b"", headers=headers), times=1)) as server:
        found = scored(judge_at(server, backoff=3.0), tmp_path)
    assert found[ROW]["status"] == "ok"
    assert _Remembering.waits == [wait]


def logprobs(text: str) -> Action:
    return Action(body=b'{"choices": [{"logprobs": {"top_logprobs": [' + text.encode() + b"]}}]}")


MADE_UP = {
    "case-054 a probability above one": (logprobs('{" wrong": 3}'), "not log-probabilities"),
    "case-054 probabilities above one together": (logprobs('{" wrong": 0, " correct": 0}'), "add up to 2"),
    "case-055 NaN": (logprobs('{" wrong": NaN}'), "not log-probabilities"),
    "case-055 Infinity": (logprobs('{" wrong": Infinity}'), "not log-probabilities"),
    "case-055 minus infinity for all": (logprobs('{" wrong": -Infinity, " correct": -Infinity}'), "off the menu"),
    "case-056 no label among the likeliest": (Action({" maybe": 0.9, " the": 0.05}), "off the menu"),
    "case-056 hardly a label": (Action({" maybe": 0.9, " wrong": 0.05}), "off the menu: the labels have probability"),
}


@pytest.mark.parametrize(("fault", "why"), MADE_UP.values(), ids=MADE_UP)
def test_a_number_that_is_no_probability_of_a_label_is_a_failure_and_no_score(fault, why, tmp_path):
    # A well-formed answer off the menu is the model's own: it is kept, and not asked for again.
    own = why.startswith("off the menu")
    said, cured = failed_alone(fault, tmp_path, retries=0)
    assert why in said
    assert cured != own


SAID = {
    "case-051 cut by its limit": (written("The answer is not", "length"), "truncated"),
    "case-051 a JSON cut by its limit": (written('{"verdict": "wro', "length"), "truncated"),
    "case-052 white space without end": (written(" \t" * 4000, "length"), "empty"),
    "case-052 white space and an end": (written("  "), "empty"),
    "case-052 white space past its end": (written("\n \t" * 4000, "length"), "goes on after the stop"),
    "case-053 a JSON whose last field is no text": (written('{"verdict": {"label": "wrong"}}'), "malformed"),
    "case-054 a score in place of a word": (written("0.93"), "off the menu"),
    "case-056 a word off the menu": (written("Verdict: perhaps"), "off the menu"),
    "case-057 two verdicts": (written("correct, or rather wrong"), "malformed: more than one label"),
    "case-057 a JSON with two verdicts": (written('{"verdict": "wrong", "verdict": "correct"}'), "two fields named"),
    "case-058 a refusal": (written("I'm sorry, but I can't help with that."), "off the menu"),
    "case-058 a filter": (written("", "content_filter"), "ended by 'content_filter'"),
}


@pytest.mark.parametrize(("fault", "why"), SAID.values(), ids=SAID)
def test_a_text_that_is_no_verdict_is_a_failure_and_no_score(fault, why, tmp_path):
    # A text that the model ended is its own: it is kept. One that the server should not have sent is asked for again.
    said, cured = failed_alone(fault, tmp_path, read="text")
    assert why in said
    assert cured == why.startswith(("goes on", "ended by"))


def test_case_052_a_body_of_white_space_without_end_is_cut_off(tmp_path):
    said, cured = failed_alone(Action(body=b" " * (5 << 20)), tmp_path, retries=0)
    assert "malformed reply: more than 4 MiB" in said
    assert cured


def test_case_059_answers_out_of_order_reach_their_own_rows(tmp_path):
    samples = numbered(24)

    def script(prompt: str, before: int, request: Mapping[str, Any]) -> Action:
        if prompt == PROBE:
            return Action()
        number = next(i for i in range(24) if f"is {i} plus" in prompt)
        return Action({" wrong": number / 100, " correct": 0.5}, delay=0.004 * (24 - number))

    with FakeServer(script) as server:
        found = scored(judge_at(server, concurrency=24), tmp_path, samples)
    for number in range(24):
        share = number / 100
        assert found[f"It is {number + 1}."]["value"] == pytest.approx(share / (share + 0.5))


def test_case_060_another_model_behind_the_address_stops_the_run(tmp_path):
    with FakeServer(models=("judge-2", "base")) as server:
        judge = judge_at(server)
        with pytest.raises(UserError, match="does not serve the model: 'judge-1'") as refused:
            scored(judge, tmp_path)
        assert server.asked.total() == 0
    assert "did you mean 'judge-2'?" in str(refused.value)
    assert judge.pending(SAMPLES, Context(root=tmp_path)) == SAMPLES.height


def test_case_061_an_answer_that_changes_from_call_to_call_is_recorded_once_and_kept(tmp_path):
    turn = {"a": 0, "b": 1}
    root = "a"

    def script(prompt: str, before: int, request: Mapping[str, Any]) -> Action:
        return Action({" wrong": 0.8, " correct": 0.1} if (ASKED in prompt) == bool(turn[root]) else {" correct": 0.9})

    with FakeServer(script) as server:
        judge = judge_at(server)
        first = without_key(scored(judge, tmp_path / "a"))
        root, asked = "b", server.asked.total()
        assert without_key(scored(judge, tmp_path / "a")) == first
        assert server.asked.total() == asked, "what was recorded is not asked again"
        other = without_key(scored(judge, tmp_path / "b"))
    agreement = sum(first[text] == other[text] for text in first) / len(first)
    assert agreement == 0.0, "another manifest has the answers that it was given"


def test_case_061_one_request_that_two_rows_make_is_one_call_and_one_answer(tmp_path):
    samples = frame([("What is 1 plus one?", "It is 2.")] * 3)
    answers = iter([0.9, 0.1, 0.5])

    def script(prompt: str, before: int, request: Mapping[str, Any]) -> Action:
        return Action() if prompt == PROBE else Action({" wrong": next(answers), " correct": 0.05})

    with FakeServer(script) as server:
        scores = judge_at(server).score(samples, Context(root=tmp_path)).scores
        assert server.asked.total() - server.asked[PROBE] == 1
    assert scores["value"].n_unique() == 1
    assert scores["key"].n_unique() == 1


def test_case_062_a_row_too_long_for_the_context_fails_with_what_the_server_said(tmp_path):
    error = json.dumps({"error": {"message": "This model's maximum context length is 512 tokens, you asked for 900"}})
    said, cured = failed_alone(Action(status=400, body=error.encode()), tmp_path)
    assert "too long: status 400: This model's maximum" in said
    assert cured


def test_case_062_a_server_that_cuts_a_prompt_in_silence_is_found_out(tmp_path):
    samples = frame([("What is 1 plus one?", "It is 2. " * 9000), ("What is 2 plus one?", "It is 3.")])
    body = {"choices": [{"text": " wrong", "logprobs": {"top_logprobs": [{" wrong": -0.1}]}}]}
    cut = Action(body=json.dumps(body | {"usage": {"prompt_tokens": 512, "completion_tokens": 1}}).encode())
    with FakeServer(meets(cut)) as server:
        rows = judge_at(server).score(samples, Context(root=tmp_path)).scores.to_dicts()
    status = {row["status"]: row["why"] for row in rows}
    assert set(status) == {"ok", "failed"}
    assert "it cuts prompts" in status["failed"]


def test_the_fault_is_what_the_row_meets_and_nothing_else(tmp_path):
    found = clean(tmp_path)
    assert {row["status"] for row in found.values()} == {"ok"}
    assert len(found) == SAMPLES.height
