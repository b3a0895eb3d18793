"""A small OpenAI-compatible server whose every answer, delay and fault a test decides."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PROBE = "The sky is blue. Verdict:"
SURE = {" correct": 0.7, " wrong": 0.2, " the": 0.05}


@dataclass
class Action:
    """One reply: probabilities of first tokens, texts with their finish, or a raw status and body.

    `delay` is in seconds; `drop` sends nothing and cuts the line, `cut` sends half of the body first.
    """

    tokens: Mapping[str, float] = field(default_factory=lambda: SURE)
    texts: Sequence[tuple[str, str]] = ()
    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    cut: bool = False


Script = Callable[[str, int, Mapping[str, Any]], Action]
"""(prompt, how many times it was asked before, the request) -> reply."""


class FakeServer(ThreadingHTTPServer):
    """Serves on a free port of 127.0.0.1 within a `with` block; keeps what it was asked and what it answered."""

    request_queue_size = 128  # more than the clients that may knock at once: one turned away comes back a second later
    daemon_threads = True
    block_on_close = False

    def __init__(self, script: Script = lambda *_: Action(), models: Sequence[str] = ("judge-1",)) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self.models = script, models
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.models_status = 200
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Address to give to a judge."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet when a client goes away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms for an acknowledgement
    server: FakeServer

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        data = {"object": "list", "data": [{"id": name} for name in self.server.models]}
        self._send(self.server.models_status, json.dumps(data).encode(), {})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = self.path.endswith("/chat/completions")
        prompt = request["messages"][0]["content"] if chat else request["prompt"]
        with self.server.lock:
            before = self.server.asked[prompt]
            self.server.asked[prompt] += 1
            self.server.requests.append(request)
            self.server.headers.append(dict(self.headers))
        action = self.server.script(prompt, before, request)
        time.sleep(action.delay)
        if action.drop:
            self.close_connection = True
            return
        said = _texts(action.texts, chat) if action.texts else _completion(action.tokens, chat)
        body = action.body if action.body is not None else json.dumps(said).encode()
        self._send(action.status, body, action.headers, cut=action.cut)
        if action.status == 200 and action.body is None and not action.cut:
            with self.server.lock:
                self.server.answered[prompt] += 1

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut


def _completion(tokens: Mapping[str, float], chat: bool) -> dict[str, Any]:
    top = {token: math.log(p) if p else -9999.0 for token, p in tokens.items()}
    best = max(top, key=lambda token: top[token])
    usage = {"prompt_tokens": 11, "completion_tokens": 1}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
    if chat:
        listed = [{"token": token, "logprob": value} for token, value in top.items()]
        choice["logprobs"] = {"content": [{"token": best, "logprob": top[best], "top_logprobs": listed}]}
        choice["message"] = {"role": "assistant", "content": best}
    else:
        choice |= {"text": best, "logprobs": {"tokens": [best], "top_logprobs": [top]}}
    return {"object": "completion", "choices": [choice], "usage": usage}


def _texts(texts: Sequence[tuple[str, str]], chat: bool) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    for index, (text, finish) in enumerate(texts):
        said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choices.append({"index": index, "finish_reason": finish, **said})
    usage = {"prompt_tokens": 11, "completion_tokens": sum(len(text.split()) for text, _ in texts)}
    return {"object": "completion", "choices": choices, "usage": usage}
