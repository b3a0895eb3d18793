"""The judge over HTTP: what it sends, every fault of a server, keys, order and stopping."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from pathlib import Path

import pytest

from curate.inquiry import Inquiry
from curate.judge import Judge
from curate.judges import Reply, Writing, checked, http
from curate.judges.openai import OpenAI, read_probabilities
from manifests.component import Context, spec_of
from manifests.errors import Interrupted, UserError
from tests.curate.fake_server import PROBE, SURE, Action, FakeServer
from tests.curate.judged import by_response, frame, numbered

LABELS = (" correct", " wrong")


def judge_at(server: FakeServer, **fields) -> Judge:
    settings = {"timeout": 5.0, "retries": 2, "backoff": 0.01, "concurrency": 4} | fields
    return Judge(judge=OpenAI(url=server.url, model="judge-1", **settings), prompt="plain")


def statuses(judge: Judge, samples, root: Path) -> dict:
    scored = judge.score(samples, Context(root=root))
    assert scored.scores.height == samples.height
    assert scored.verdicts.height == samples.height
    return by_response(samples, scored.scores)


def only(text: str, action: Action):
    """Return a script that answers prompts holding `text` with `action` and all others properly."""
    return lambda prompt, before, request: action if text in prompt else Action()


def test_p_error_is_the_wrong_labels_share_of_the_two_labels(tmp_path):
    with FakeServer() as server:
        found = statuses(judge_at(server), numbered(3), tmp_path)
    assert all(row["status"] == "ok" for row in found.values())
    assert [row["value"] for row in found.values()] == pytest.approx([0.2 / 0.9] * 3)


def test_the_request_asks_for_one_token_and_its_alternatives_without_a_grammar(tmp_path):
    with FakeServer() as server:
        statuses(judge_at(server), numbered(1), tmp_path)
        request = next(r for r in server.requests if r["prompt"] != PROBE)
    assert request["max_tokens"] == 1
    assert request["logprobs"] == 20
    assert request["temperature"] == 0
    assert not {"structured_outputs", "guided_choice", "response_format"} & set(request)


def test_chat_strips_the_labels_and_drops_the_extra_field_where_the_server_refuses_it(tmp_path):
    def script(prompt, before, request):
        if "chat_template_kwargs" in request:
            return Action(status=400, body=b'{"error": {"message": "unknown field"}}')
        return Action(tokens={"correct": 0.1, "wrong": 0.8})

    with FakeServer(script) as server:
        found = statuses(judge_at(server, chat=True), numbered(2), tmp_path)
        assert sum("chat_template_kwargs" in request for request in server.requests) == 1
    assert {round(row["value"], 9) for row in found.values()} == {round(0.8 / 0.9, 9)}


@pytest.mark.parametrize(
    "fault",
    [
        Action(status=500, body=b"boom"),
        Action(status=503, body=b""),
        Action(status=408, body=b"{}"),
        Action(status=429, body=b"slow down", headers={"Retry-After": "0"}),
        Action(body=b"<html><body>gateway</body></html>"),
        Action(body=b""),
        Action(body=b'{"choices": [{"logpr'),
        Action(body=b"[1, 2]"),
        Action(drop=True),
        Action(delay=0.6),
    ],
    ids=["500", "503", "408", "429", "html", "empty", "cut-json", "list", "dropped", "slow"],
)
def test_a_fault_that_passes_is_asked_again(tmp_path, fault):
    def script(prompt, before, request):
        return fault if "is 1 plus" in prompt and before == 0 else Action()

    with FakeServer(script) as server:
        found = statuses(judge_at(server, timeout=0.3), numbered(4), tmp_path)
        assert max(server.asked.values()) == 2
    assert {row["status"] for row in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Action(status=500, body=b'{"error": {"message": "out of memory"}}'), "server: status 500: out of memory"),
        (Action(status=400, body=b'{"error": "bad prompt"}'), "server: status 400: bad prompt"),
        (Action(status=400, body=b'{"message": "maximum context length is 512 tokens"}'), "too long: status 400"),
        (Action(body=b"<html>no</html>"), "malformed reply: <html>no</html>"),
        (Action(body=b'{"choices": []}'), "malformed: no label probabilities"),
        (Action(body=b'{"choices": [{"logprobs": null}]}'), "malformed: no label probabilities"),
        (Action(body=b'{"choices": [{"logprobs": {"top_logprobs": [{" wrong": NaN}]}}]}'), "not log-probabilities"),
        (Action(body=b'{"choices": [{"logprobs": {"top_logprobs": [{" wrong": 3}]}}]}'), "not log-probabilities"),
        (Action(body=b'{"choices": [{"logprobs": {"top_logprobs": [{}]}}]}'), "not log-probabilities"),
        (Action(tokens={" maybe": 0.9, " wrong": 0.05}), "off the menu: the labels have probability 0.05"),
        (Action(tokens={" maybe": 0.9}), "off the menu: the labels have probability 0"),
        (Action(drop=True), "connection lost"),
    ],
)
def test_a_fault_that_stays_fails_its_row_and_no_other(tmp_path, fault, why):
    with FakeServer(only("is 1 plus", fault)) as server:
        found = statuses(judge_at(server, retries=1), numbered(5), tmp_path)
    assert found["It is 2."]["status"] == "failed"
    assert found["It is 2."]["value"] is None
    assert why in found["It is 2."]["why"]
    assert {row["status"] for text, row in found.items() if text != "It is 2."} == {"ok"}


def test_failed_calls_are_asked_again_in_the_next_run_and_finished_ones_are_not(tmp_path):
    samples = numbered(5)
    with FakeServer(only("is 1 plus", Action(status=500, body=b""))) as server:
        judge = judge_at(server, retries=0)
        statuses(judge, samples, tmp_path)
        assert judge.pending(samples, Context(root=tmp_path)) == 1
        server.script = lambda *_: Action()
        found = statuses(judge, samples, tmp_path)
        asked = {prompt: n for prompt, n in server.asked.items() if prompt != PROBE}
    assert {row["status"] for row in found.values()} == {"ok"}
    assert sorted(asked.values()) == [1, 1, 1, 1, 2]


def test_retry_after_sets_the_wait(tmp_path):
    def script(prompt, before, request):
        busy = Action(status=429, body=b"", headers={"Retry-After": "1"})
        return busy if before == 0 and prompt != PROBE else Action()

    with FakeServer(script) as server:
        started = time.perf_counter()
        statuses(judge_at(server), numbered(1), tmp_path)
    assert time.perf_counter() - started >= 1.0


def test_retry_after_may_be_a_date():
    assert http.retry_after("Wed, 21 Oct 2015 07:28:10 GMT", 1445412480.0) == pytest.approx(10.0)
    assert http.retry_after("Wed, 21 Oct 2015 07:28:10 GMT", 1545412480.0) == 0.0
    assert http.retry_after("soon", 0.0) is None
    assert http.retry_after(None, 0.0) is None


def test_a_server_that_refuses_connections_is_a_user_error_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    judge = Judge(judge=OpenAI(url=f"http://127.0.0.1:{port}", model="judge-1"), prompt="plain")
    started = time.perf_counter()
    with pytest.raises(UserError, match="connection refused"):
        judge.score(numbered(2), Context(root=tmp_path))
    assert time.perf_counter() - started < 2.0


def test_a_server_that_goes_away_ends_the_run_and_keeps_what_was_finished(tmp_path):
    samples = numbered(60)
    with FakeServer(lambda *_: Action(delay=0.02)) as server:
        judge = judge_at(server, retries=1)

        def stop_later(done: int, total: int) -> None:
            if done >= 10:
                server.shutdown()
                server.server_close()
                server.script = lambda *_: Action(drop=True)

        with pytest.raises(UserError, match="cannot be reached any more"):
            judge.score(samples, Context(root=tmp_path, progress=stop_later))
    left = judge.pending(samples, Context(root=tmp_path))
    assert 0 < left <= 50


def test_a_model_that_is_not_served_is_named_with_the_nearest(tmp_path):
    with FakeServer(models=["judge-l", "other"]) as server, pytest.raises(UserError, match="did you mean 'judge-l'"):
        statuses(judge_at(server), numbered(1), tmp_path)


def test_a_server_without_a_list_of_models_is_used_all_the_same(tmp_path):
    with FakeServer() as server:
        server.models_status = 404
        found = statuses(judge_at(server), numbered(2), tmp_path)
    assert {row["status"] for row in found.values()} == {"ok"}


def test_a_server_without_probabilities_is_refused_at_the_start(tmp_path):
    body = b'{"choices": [{"text": " correct", "logprobs": null}]}'
    with FakeServer(lambda *_: Action(body=body)) as server, pytest.raises(UserError, match="no token probabilities"):
        statuses(judge_at(server), numbered(2), tmp_path)


def test_a_refused_key_is_a_user_error_and_never_a_failed_row(tmp_path):
    with FakeServer(lambda *_: Action(status=401, body=b"no")) as server, pytest.raises(UserError, match="api_key_env"):
        statuses(judge_at(server), numbered(2), tmp_path)


def test_the_key_is_sent_and_stored_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "s3cret-value")
    with FakeServer() as server:
        judge = judge_at(server, api_key_env="JUDGE_KEY")
        statuses(judge, numbered(2), tmp_path)
        assert {h["Authorization"] for h in server.headers} == {"Bearer s3cret-value"}
    stored = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"s3cret-value" not in stored
    assert "s3cret-value" not in repr(spec_of(judge))


def test_a_key_variable_that_is_not_set_is_a_user_error(tmp_path, monkeypatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with FakeServer() as server, pytest.raises(UserError, match="JUDGE_KEY"):
        statuses(judge_at(server, api_key_env="JUDGE_KEY"), numbered(1), tmp_path)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(UserError, match="api_key_env") as caught:
        OpenAI(url="http://user:hunter2@host:8000/v1", model="m")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["host:8000", "ftp://host/v1", "http://", "http://host/v1?x=1"])
def test_what_is_not_a_servers_url_is_refused(url):
    with pytest.raises(UserError, match="not the url"):
        OpenAI(url=url, model="m")


def test_where_the_server_runs_and_how_it_is_asked_do_not_change_the_key():
    one = OpenAI(url="http://a:1/v1", model="m", retries=1, concurrency=2)
    two = OpenAI(url="http://b:2/v1", model="m", timeout=3.0)
    assert spec_of(one) == spec_of(two)
    assert one.identity() == two.identity()
    assert one.identity() != OpenAI(url="http://a:1/v1", model="m", revision="2").identity()


def test_the_result_depends_neither_on_the_order_of_answers_nor_on_the_connections(tmp_path):
    def script(prompt, before, request):
        p = (hash_of(prompt) % 97) / 100
        return Action(tokens={" correct": 0.98 - p, " wrong": p}, delay=(hash_of(prompt) % 5) / 200)

    def hash_of(text: str) -> int:
        return sum(text.encode())

    samples = numbered(40)
    with FakeServer(script) as server:
        one = judge_at(server, concurrency=1).score(samples, Context(root=tmp_path / "1"))
        many = judge_at(server, concurrency=16).score(samples.reverse(), Context(root=tmp_path / "16"))
    assert one.scores.equals(many.scores)
    assert one.verdicts.equals(many.verdicts)
    assert one.scores["value"].n_unique() > 10


def test_a_stop_ends_after_the_answers_in_hand(tmp_path):
    samples = numbered(200)
    done = []
    with FakeServer(lambda *_: Action(delay=0.005)) as server:
        judge = judge_at(server)
        context = Context(root=tmp_path, progress=lambda n, _: done.append(n), stopping=lambda: done[-1] >= 20)
        with pytest.raises(Interrupted):
            judge.score(samples, context)
        asked = sum(server.asked.values()) - server.asked[PROBE]
    assert 20 <= asked <= 20 + 4 * judge.judge.concurrency
    assert judge.pending(samples, Context(root=tmp_path)) <= 180


def test_equal_conversations_share_one_call(tmp_path):
    samples = frame([("Who?", "Me.")] * 5 + [("Who?", "You.")])
    with FakeServer() as server:
        judge = judge_at(server)
        assert judge.pending(samples, Context(root=tmp_path)) == 2
        judge.score(samples, Context(root=tmp_path))
        assert sum(server.asked.values()) - server.asked[PROBE] == 2


def chat_body(tokens: dict[str, float]) -> dict:
    listed = [{"token": token, "logprob": math.log(p)} for token, p in tokens.items()]
    return {"choices": [{"logprobs": {"content": [{"top_logprobs": listed}]}}]}


def test_alternative_tokens_of_a_label_add_up_and_ambiguous_ones_count_for_none():
    body = chat_body({" correct": 0.4, " cor": 0.1, " wrong": 0.2, " w": 0.05, " ": 0.2, " corrects": 0.05})
    assert read_probabilities(body, LABELS) == pytest.approx((0.5, 0.25))


def test_labels_are_told_apart_by_case():
    assert read_probabilities(chat_body({" Correct": 0.9, " wrong": 0.1}), LABELS) == pytest.approx((0.0, 0.1))


def test_a_proxy_variable_does_not_divert_the_calls(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with FakeServer() as server:
        assert os.environ["http_proxy"]
        assert len(statuses(judge_at(server), numbered(1), tmp_path)) == 1


def test_the_fake_servers_sure_answer_is_what_the_tests_assume():
    assert sum(SURE.values()) < 1.0


def written(server: FakeServer, root: Path, how: Writing, prompts=("p",), **fields) -> list[Reply]:
    settings = {"timeout": 5.0, "retries": 2, "backoff": 0.0} | fields
    engine = OpenAI(url=server.url, model="judge-1", **settings)
    with Inquiry(engine, (), Context(root=root)) as inquiry:
        calls = [inquiry.call(prompt, how, prompt, prompt) for prompt in prompts]
        replies = inquiry.write(calls, how)
    return [replies[call.key] for call in calls]


def saying(*texts: tuple[str, str]):
    return lambda prompt, before, request: Action() if prompt == PROBE else Action(texts=texts)


def requests(server: FakeServer) -> list[dict]:
    return [r for r in server.requests if PROBE not in (r.get("prompt"), r.get("messages", [{}])[0].get("content"))]


@pytest.mark.parametrize("chat", [False, True])
def test_texts_are_read_with_their_ends_and_counted(tmp_path, chat):
    with FakeServer(saying(("one", "stop"), ("two", "length"))) as server:
        (reply,) = written(server, tmp_path, Writing(7, n=2, temperature=0.5, stop=("\n",)), chat=chat)
    assert reply.texts == (("one", "stop"), ("two", "length"))
    assert reply.tokens_in > 0
    (request,) = requests(server)
    assert {name: request[name] for name in ("max_tokens", "n", "temperature", "stop")} == {
        "max_tokens": 7,
        "n": 2,
        "temperature": 0.5,
        "stop": ["\n"],
    }


def test_each_prompt_has_a_seed_of_its_own_that_batch_and_run_do_not_change(tmp_path):
    def seeds(root, how, prompts):
        with FakeServer(saying(("one", "stop"))) as server:
            written(server, root, how, prompts)
            return {request["prompt"]: request.get("seed") for request in requests(server)}

    warm = seeds(tmp_path / "1", Writing(7, temperature=0.5), ["a", "b", "c"])
    assert len(set(warm.values())) == 3
    assert all(0 <= seed < 2**31 for seed in warm.values())
    assert seeds(tmp_path / "2", Writing(7, temperature=0.5), ["c", "a"]) == {name: warm[name] for name in "ac"}
    assert seeds(tmp_path / "3", Writing(7, temperature=0.5, seed=1), ["a"])["a"] != warm["a"]
    assert seeds(tmp_path / "4", Writing(7), ["a"]) == {"a": None}


def test_no_request_holds_a_field_that_servers_ignore_in_silence(tmp_path):
    with FakeServer(saying(("one", "stop"), ("two", "stop"))) as server:
        statuses(judge_at(server), numbered(2), tmp_path / "1")
        statuses(judge_at(server, chat=True), numbered(2), tmp_path / "2")
        written(server, tmp_path / "3", Writing(7, n=2, stop=("x",), temperature=1.0))
        names = {name for request in server.requests for name in request}
    assert not [name for name in names if name.startswith("guided_")]
    assert names <= {
        "model", "prompt", "messages", "max_tokens", "temperature", "logprobs", "top_logprobs", "n", "seed", "stop",
        "chat_template_kwargs",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "how", "why"),
    [
        ([("one", "stop")], Writing(7, n=2), "1 texts in place of 2"),
        ([("one", "stop"), ("two", "stop")], Writing(7), "2 texts in place of 1"),
        ([("yes\nand more", "length")], Writing(7, stop=("\n",)), "a text that goes on after the stop"),
        ([("yes", "content_filter")], Writing(7), "a text ended by 'content_filter'"),
        ([("", "tool_calls")], Writing(7), "a text ended by 'tool_calls'"),
    ],
)
def test_what_a_server_ignores_or_withholds_fails_its_call_at_once(tmp_path, texts, how, why):
    with FakeServer(saying(*texts)) as server:
        (reply,) = written(server, tmp_path, how)
    assert reply.status == "failed"
    assert reply.why.startswith(f"malformed: {why}")
    assert len(requests(server)) == 1
    assert reply.tokens_in > 0, "what it cost is known"


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": []}',
        b'{"choices": [{"finish_reason": "stop"}]}',
        b'{"choices": [{"text": null, "finish_reason": "stop"}]}',
        b'{"choices": [{"text": "a", "index": 1e999, "finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}',
        b'{"error": "overloaded"}',
    ],
)
def test_a_body_without_text_is_asked_for_again_and_then_fails(tmp_path, body):
    with FakeServer(lambda prompt, *_: Action() if prompt == PROBE else Action(body=body)) as server:
        (reply,) = written(server, tmp_path, Writing(7))
    assert reply.status == "failed"
    assert "no text in" in reply.why
    assert len(requests(server)) == 3


def test_a_server_that_is_only_to_write_need_not_know_probabilities(tmp_path):
    def script(prompt, before, request):
        if "logprobs" in request:
            return Action(status=400, body=b'{"error": "logprobs are not supported"}')
        return Action(texts=[("one", "stop")])

    with FakeServer(script) as server:
        assert written(server, tmp_path, Writing(7))[0].status == "ok"


def test_a_server_that_ignores_max_tokens_is_refused_at_the_start(tmp_path):
    top = {"top_logprobs": [{" correct": -0.1}]}
    said = {"choices": [{"text": "a b c", "logprobs": top}], "usage": {"prompt_tokens": 8, "completion_tokens": 340}}
    body = json.dumps(said).encode()
    with FakeServer(lambda *_: Action(body=body)) as server, pytest.raises(UserError, match=r"ignores max_tokens.*340"):
        statuses(judge_at(server), numbered(1), tmp_path)


def test_a_prompt_that_the_server_cut_is_not_judged(tmp_path):
    # The fake server says that it read 11 tokens, whatever it was sent.
    with FakeServer() as server:
        samples = frame([("q", "short"), ("q", "word " * 1000)])
        found = statuses(judge_at(server), samples, tmp_path)
    assert found["short"]["status"] == "ok"
    assert found["word " * 1000]["status"] == "failed"
    assert "the server read 11 tokens of a prompt of 50" in found["word " * 1000]["why"]


def test_probabilities_that_add_up_to_more_than_one_are_none():
    with pytest.raises(ValueError, match=r"add up to 1\.3"):
        read_probabilities(chat_body({" correct": 0.6, " wrong": 0.2, " other": 0.5}), LABELS)


def test_a_failed_answer_keeps_the_tokens_that_it_cost():
    reply = Reply(key="k", status="ok", probabilities=(0.9, 0.9), tokens_in=7, tokens_out=1)
    bad = checked(reply)
    assert (bad.status, bad.tokens_in, bad.tokens_out) == ("failed", 7, 1)
    engine = OpenAI(url="http://h", model="m", price_in=1e6, price_out=2e6)
    assert engine.cost(bad) == pytest.approx(9.0)
