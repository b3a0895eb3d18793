"""A server that answers with anything at all: its rows fail with a reason, the others keep their scores, in time."""

from __future__ import annotations

import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from curate.judge import Judge
from curate.judges.http import MAX_BODY
from curate.judges.openai import OpenAI
from manifests.component import Context
from tests.curate.judged import by_response, numbered

GOOD = json.dumps({"choices": [{"text": " wrong", "logprobs": {"top_logprobs": [{" wrong": -0.1, " correct": -3.0}]}}]})
MODELS = json.dumps({"data": [{"id": "judge-1"}]})
HOSTILE = "is 1 plus"


def answer(body: bytes | str, *headers: str, status: str = "200 OK") -> bytes:
    data = body if isinstance(body, bytes) else body.encode()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


def choice(logprobs: str) -> bytes:
    return answer('{"choices": [{"text": "x", "logprobs": ' + logprobs + "}]}")


def complete(reply: bytes) -> bool:
    """Return whether the body is as long as its head says: then the connection stays open."""
    head, _, body = reply.partition(b"\r\n\r\n")
    said = re.search(rb"Content-Length: (\d+)", head)
    return said is not None and len(body) == int(said[1])


class _Handler(socketserver.StreamRequestHandler):
    """Answers well, but to the one hostile question with the server's own bytes, piece by piece."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = self.rfile.read(length).decode()
            if not line.startswith(b"POST"):
                self.wfile.write(answer(MODELS))
            elif HOSTILE in body:
                for piece in self.server.pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(self.server.pause)
                if not complete(b"".join(self.server.pieces)):
                    return
            else:
                self.wfile.write(answer(GOOD))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, pieces: list[bytes], pause: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pieces, self.pause = pieces, pause

    def handle_error(self, request, client_address) -> None:
        """Stay quiet when the client goes away."""


@contextmanager
def hostile(*pieces: bytes, pause: float = 0.0) -> Iterator[str]:
    with _Server(list(pieces), pause) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def scored(url: str, root, **fields) -> dict:
    engine = OpenAI(url=url, model="judge-1", backoff=0.0, **{"retries": 1, "timeout": 5.0, "concurrency": 2} | fields)
    samples = numbered(6)
    return dict(by_response(samples, Judge(judge=engine, prompt="plain").score(samples, Context(root=root)).scores))


CASES = {
    "nothing at all": (b"", "connection lost"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "connection lost (BadStatusLine"),
    "a status that is no number": (b"HTTP/1.1 abc OK\r\n\r\n", "connection lost (BadStatusLine"),
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "connection lost (LineTooLong"),
    "a thousand headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n", "connection lost"),
    "less than it said": (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + GOOD.encode()[:40], "malformed reply"),
    "broken chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "connection lost (IncompleteRead",
    ),
    "a moved address": (answer("", "Location: http://127.0.0.1:9/", status="301 Moved"), "status 301"),
    "packed bytes": (answer(b"\x1f\x8b\x08\x00\x00", "Content-Encoding: gzip"), "malformed reply"),
    "more than may be": (answer(b'{"x": "' + b"x" * MAX_BODY + b'"}'), "malformed reply: more than 4 MiB"),
    "deep nesting": (answer("[" * 200_000), "malformed"),
    "bytes that are no text": (answer(b'{"choices": "\xff\xfe"}'), "malformed"),
    "a number with 5,000 digits": (answer('{"choices": ' + "9" * 5000 + "}"), "malformed"),
    "a list": (answer("[]"), "malformed reply"),
    "null": (answer("null"), "malformed reply"),
    "choices that are a number": (answer('{"choices": 7}'), "no label probabilities"),
    "choices that are null": (answer('{"choices": null}'), "no label probabilities"),
    "no choice": (answer('{"choices": []}'), "no label probabilities"),
    "no probabilities": (choice("null"), "no label probabilities"),
    "a probability above 1": (choice('{"top_logprobs": [{" wrong": 5.0}]}'), "not log-probabilities"),
    "probabilities above 1 together": (choice('{"top_logprobs": [{" wrong": 0.0, " correct": 0.0}]}'), "add up to 2"),
    "NaN": (choice('{"top_logprobs": [{" wrong": NaN}]}'), "not log-probabilities"),
    "a number that no float holds": (
        choice('{"top_logprobs": [{" wrong": -' + "9" * 400 + "}]}"),
        "no label probabilities",
    ),
    "words for numbers": (choice('{"top_logprobs": [{" wrong": "high"}]}'), "no label probabilities"),
    "lists for numbers": (choice('{"top_logprobs": [{" wrong": [1]}]}'), "no label probabilities"),
    "a lone surrogate": (choice('{"top_logprobs": [{"\\ud800": -0.1}]}'), "off the menu"),
    "minus infinity": (choice('{"top_logprobs": [{" wrong": -Infinity, " correct": -Infinity}]}'), "off the menu"),
    "an error that is no text": (answer('{"error": {"message": [1, {"a": null}]}}', status="400 Bad"), "status 400"),
    "an error of a megabyte": (answer('{"error": "' + "x" * 2**20 + '"}', status="400 Bad"), "status 400"),
}


@pytest.mark.parametrize(("reply", "why"), CASES.values(), ids=CASES)
def test_its_row_fails_with_the_reason_and_the_others_do_not(reply, why, tmp_path):
    with hostile(reply) as url:
        found = scored(url, tmp_path)
    bad = found.pop("It is 2.")
    assert (bad["status"], bad["value"]) == ("failed", None)
    assert why in bad["why"]
    assert len(bad["why"]) < 400
    assert {row["status"] for row in found.values()} == {"ok"}


def test_case_047_an_answer_that_trickles_in_is_given_up_in_time(tmp_path):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(GOOD)}\r\n\r\n".encode()
    pieces = [head, *(GOOD[i : i + 1].encode() for i in range(len(GOOD)))]
    with hostile(*pieces, pause=0.2) as url:
        started = time.monotonic()
        found = scored(url, tmp_path, timeout=0.8)
        taken = time.monotonic() - started
    assert "no answer within 0.8 s" in found["It is 2."]["why"]
    assert taken < 0.2 * len(GOOD)
    assert {row["status"] for text, row in found.items() if text != "It is 2."} == {"ok"}


def test_further_fields_of_an_answer_do_no_harm(tmp_path):
    body = json.loads(GOOD) | {
        "id": "x" * 1000,
        "usage": {"prompt_tokens": "many", "completion_tokens": -1.5},
        "error": None,
    }
    with hostile(answer(json.dumps(body))) as url:
        found = scored(url, tmp_path)
    assert {row["status"] for row in found.values()} == {"ok"}
