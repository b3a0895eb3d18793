"""Any OpenAI-compatible server, such as `vllm serve`, asked over HTTP."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from curate.judges import OK, Call, Menu, Reply, Text, Writing, failed, seed_of
from curate.judges.http import Check, Client, Fault, Gone
from manifests.component import COMPONENT, Context
from manifests.errors import UserError

TOP: Final = 20
"""Alternatives asked for: the most that vLLM and others give by default."""
_TOO_LONG: Final = ("maximum context", "context length", "max_model_len", "too long", "longer than")
_REFUSED: Final = (401, 403, 404)
_ENDS: Final = ("stop", "length")
_CUT: Final = 16
"""Bytes per token that no ordinary text has: above it the server did not read the whole prompt."""
_WHOLE: Final = 1.02
"""Most that the alternatives' probabilities may add up to: they are exponentials of rounded logarithms."""
_LONG: Final = 4096
"""Bytes of a prompt that a server may be tempted to cut."""


class _Question(NamedTuple):
    """How prompts are asked, and how the answers are read.

    `asking`: prompt -> the fields of a request that say how it is to be answered. `check`: raises ValueError for a body
    of another shape, which is asked for again. `read`: body -> the fields of `Reply` that it holds; ValueError when the
    answer is not what was asked for, which asking again would not change.
    """

    asking: Callable[[str], Mapping[str, Any]]
    check: Check
    read: Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class OpenAI:
    """Asks a server that completes text and returns the log-probabilities of the first token's 20 likeliest values.

    The request holds no grammar: under one the probabilities are renormalised over the menu, and a model that wants to
    say something else could not be told from one that is sure. A label outside the 20 counts as probability 0; the
    error is at most that of the 20th.
    """

    kind: ClassVar[str] = "openai"
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    inert: ClassVar[frozenset[str]] = frozenset(
        {"url", "api_key_env", "timeout", "retries", "backoff", "concurrency", "price_in", "price_out"}
    )

    url: str
    """Address of the server, such as http://127.0.0.1:8000/v1; no user name or password in it."""
    model: str
    """Model id; the server must list it under /v1/models."""
    revision: str = ""
    """Any text; change it when the weights behind the id change, so that stored answers are not used."""
    chat: bool = False
    """Use /v1/chat/completions in place of /v1/completions."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds to wait for one answer."""
    retries: Annotated[int, Field(ge=0)] = 5
    """Further attempts after 408, 425, 429, 5xx, a lost connection, a time-out or a body without an answer."""
    backoff: Annotated[float, Field(ge=0)] = 0.5
    """Seconds before the first further attempt; doubled each time, at most 60; Retry-After wins."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    """Connections at once."""
    price_in: Annotated[float, Field(ge=0)] = 0.0
    """What a million tokens of a prompt cost, in any currency: for the cost that is told and for --max-cost."""
    price_out: Annotated[float, Field(ge=0)] = 0.0
    """What a million tokens of an answer cost."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = urlsplit(self.url)
        if parts.username or parts.password:
            bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            raise UserError(
                "the judge's url holds a password",
                value=bare,
                remedy="put the key into a variable, named by api_key_env",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            bare = parts._replace(query="", fragment="").geturl()  # what was left out may be a key
            raise UserError("not the url of a server", value=bare, remedy="give one such as http://127.0.0.1:8000/v1")
        return self

    def identity(self) -> dict[str, Any]:
        """Return the model id, `revision` and the endpoint's kind; where the server runs does not matter."""
        return {
            "kind": self.kind,
            "version": self.version,
            "model": self.model,
            "revision": self.revision,
            "chat": self.chat,
        }

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[OpenAISession]:
        """Check that the server answers, lists the model and answers each menu; raise UserError otherwise."""
        stop = threading.Event()
        client = Client(self.url, self._key(), self.timeout, self.retries, self.backoff, stop)
        session = OpenAISession(self, client, menus)
        try:
            session.start()
            yield session
        finally:
            stop.set()
            client.close()

    def cost(self, reply: Reply) -> float:
        """Return what the reply's tokens cost at `price_in` and `price_out`."""
        return (reply.tokens_in * self.price_in + reply.tokens_out * self.price_out) / 1e6

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        if not os.environ.get(self.api_key_env):
            raise UserError("the environment variable with the API key is not set", value=self.api_key_env)
        return os.environ[self.api_key_env]


class OpenAISession:
    """A server that was found to work."""

    def __init__(self, judge: OpenAI, client: Client, menus: Sequence[Menu]) -> None:
        self._judge, self._client, self._menus = judge, client, menus
        self._extra: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}} if judge.chat else {}

    def start(self) -> None:
        """Ask for the list of models and for one completion."""
        try:
            listed = self._client.get("/models")
        except Fault as fault:
            if fault.status not in (404, 405):
                raise self._unusable(fault) from fault
        else:
            names = [item.get("id") for item in listed.get("data") or () if isinstance(item, dict)]
            if self._judge.model not in names:
                raise UserError(
                    f"the server at {self._judge.url} does not serve the model",
                    value=self._judge.model,
                    options=[str(name) for name in names],
                )
        try:
            body = self._probe()
        except Fault as fault:
            raise self._unusable(fault) from fault
        try:
            for menu in self._menus:
                read_probabilities(body, self._labels(menu))
        except ValueError as error:
            raise UserError(
                "the server returns no token probabilities", value=self._judge.url, remedy=f"its reply: {error}"
            ) from error
        written = _usage(body, "completion_tokens")
        if written > 1:
            raise UserError(
                f"the server ignores max_tokens: it wrote {written} tokens where 1 was asked for",
                value=self._judge.url,
                remedy="every call would cost as much; turn off reasoning, or serve the model with vLLM",
            )

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        """Yield replies as they come; raise UserError when the server can no longer be reached."""
        labels, reading = self._labels(menu), self._reading

        def read(body: Mapping[str, Any]) -> dict[str, Any]:
            """Return what a reply's body says of the menu's labels."""
            return {"probabilities": read_probabilities(body, labels)}

        return self._all(calls, _Question(lambda _: reading, read, read))

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        """Yield replies as they come; raise UserError when the server can no longer be reached."""
        common: dict[str, Any] = {"max_tokens": how.max_tokens, "temperature": how.temperature}
        if how.n > 1:
            common["n"] = how.n
        if how.stop:
            common["stop"] = list(how.stop)

        def asking(prompt: str) -> dict[str, Any]:
            """Return the fields of a request for this prompt."""
            return {**common, "seed": seed_of(how, prompt)} if how.temperature > 0.0 else common

        return self._all(calls, _Question(asking, _texts, lambda body: {"texts": read_texts(body, how)}))

    def _all(self, calls: Sequence[Call], question: _Question) -> Iterator[list[Reply]]:
        self._client.stop.clear()
        pool = ThreadPoolExecutor(self._judge.concurrency, thread_name_prefix="judge")
        waiting = iter(calls)
        running: set[Future[Reply]] = set()
        try:
            while True:
                for call in waiting:
                    running.add(pool.submit(self._answer, call, question))
                    if len(running) >= 2 * self._judge.concurrency:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield [future.result() for future in done if future.exception() is None]
                for future in done:
                    future.result()
        finally:
            self._client.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, call: Call, question: _Question) -> Reply:
        request = self._request(call.prompt, question.asking(call.prompt))
        try:
            body, seconds = self._client.timed_post(self._path, request, question.check)
        except Gone as gone:
            raise UserError(
                f"the judge's server cannot be reached any more ({gone}); finished calls are kept",
                value=self._judge.url,
                remedy="start it again and run the same command",
            ) from gone
        except Fault as fault:
            if fault.status in _REFUSED:
                raise self._unusable(fault) from fault
            long = fault.status in (400, 413, 422) and any(hint in fault.detail.lower() for hint in _TOO_LONG)
            return failed(call.key, f"too long: {fault}" if long else f"server: {fault}")
        # What cannot be used was paid for all the same.
        read, written = _usage(body, "prompt_tokens"), _usage(body, "completion_tokens")
        size = len(call.prompt.encode("utf-8", "surrogatepass"))
        if read and size > max(_LONG, _CUT * read):
            why = f"too long: the server read {read} tokens of a prompt of {size} bytes: it cuts prompts"
            return failed(call.key, why, tokens_in=read, tokens_out=written)
        try:
            said = question.read(body)
        except ValueError as error:
            return failed(call.key, f"malformed: {error}", tokens_in=read, tokens_out=written)
        end = str(body["choices"][0].get("finish_reason") or "")
        return Reply(key=call.key, status=OK, finish=end, tokens_in=read, tokens_out=written, seconds=seconds, **said)

    def _probe(self) -> dict[str, Any]:
        """Return a first answer; a server that refuses vLLM's own field is asked without it from then on."""
        prompt = "The sky is blue. Verdict:"
        asked = self._reading if self._menus else {"max_tokens": 1, "temperature": 0}
        try:
            return self._client.post(self._path, self._request(prompt, asked))
        except Fault as fault:
            if fault.status not in (400, 422) or not self._extra:
                raise
            self._extra = {}
            return self._client.post(self._path, self._request(prompt, asked))

    def _labels(self, menu: Menu) -> tuple[str, ...]:
        return tuple(label.strip() for label in menu.labels) if self._judge.chat else menu.labels

    @property
    def _reading(self) -> dict[str, Any]:
        """The request that reads label probabilities."""
        top: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP} if self._judge.chat else {"logprobs": TOP}
        return {"max_tokens": 1, "temperature": 0, **top}

    @property
    def _path(self) -> str:
        return "/chat/completions" if self._judge.chat else "/completions"

    def _request(self, prompt: str, request: Mapping[str, Any]) -> dict[str, Any]:
        common = {"model": self._judge.model, **request, **self._extra}
        if self._judge.chat:
            return {**common, "messages": [{"role": "user", "content": prompt}]}
        return {**common, "prompt": prompt}

    def _unusable(self, fault: Fault) -> UserError:
        what = "refuses the key" if fault.status in (401, 403) else "cannot be used"
        return UserError(
            f"the judge's server {what} ({fault})",
            value=self._judge.url,
            remedy="set api_key_env" if fault.status in (401, 403) else "check that it runs: curl URL/models",
        )


def read_probabilities(body: Mapping[str, Any], labels: Sequence[str]) -> tuple[float, ...]:
    """Return the labels' probabilities from a completion or chat completion.

    A token counts for a label when it is the label's beginning, or the whole label and more, and says nothing of
    another: so alternative tokenisations of a label add up. Raise ValueError when the body is not of that form.
    """
    try:
        found = body["choices"][0]["logprobs"]
        if "content" in found:
            pairs = [(str(item["token"]), float(item["logprob"])) for item in found["content"][0]["top_logprobs"]]
        else:
            pairs = [(str(token), float(value)) for token, value in found["top_logprobs"][0].items()]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        msg = f"no label probabilities in {str(body)[:200]!r}"
        raise ValueError(msg) from error
    if not pairs or any(math.isnan(value) or value > 0.01 for _, value in pairs):
        msg = f"not log-probabilities: {pairs[:3]!r}"
        raise ValueError(msg)
    total = sum(math.exp(value) for _, value in pairs)
    if total > _WHOLE:
        msg = f"not log-probabilities: the alternatives' probabilities add up to {total:.3g}"
        raise ValueError(msg)
    sums = [0.0] * len(labels)
    for token, value in pairs:
        hits = [i for i, label in enumerate(labels) if token and label.startswith(token)]
        if len(hits) == 1:
            sums[hits[0]] += math.exp(value)
    return tuple(min(value, 1.0) for value in sums)


def read_texts(body: Mapping[str, Any], how: Writing) -> tuple[Text, ...]:
    """Return the `how.n` texts of a completion or chat completion.

    Raise ValueError when they are not all there, when one holds what should have ended it, and when one was ended by
    anything but the model or its length: such as a filter.
    """
    said = _texts(body)
    if len(said) != how.n:
        msg = f"{len(said)} texts in place of {how.n} in {str(body)[:200]!r}"
        raise ValueError(msg)
    odd = next((end for _, end in said if end not in _ENDS), None)
    if odd is not None:
        msg = f"a text ended by {odd or 'nothing'!r}"
        raise ValueError(msg)
    unheard = next((stop for stop in how.stop for text, _ in said if stop in text), None)
    if unheard is not None:
        msg = f"a text that goes on after the stop {unheard!r}"
        raise ValueError(msg)
    return said


def _texts(body: Mapping[str, Any]) -> tuple[Text, ...]:
    """Return all texts of a body, in order; raise ValueError when it has none, or none in a choice."""
    try:
        choices = sorted(body["choices"], key=lambda choice: int(choice.get("index", 0)))
        said = [choice["text"] if "text" in choice else choice["message"]["content"] for choice in choices]
        ends = [str(choice.get("finish_reason") or "") for choice in choices]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        msg = f"no text in {str(body)[:200]!r}"
        raise ValueError(msg) from error
    if not said or not all(isinstance(text, str) for text in said):
        msg = f"no text in {str(body)[:200]!r}"
        raise ValueError(msg)
    return tuple(Text(text, end) for text, end in zip(said, ends, strict=True))


def _usage(body: Mapping[str, Any], name: str) -> int:
    """Return a count of the body's `usage`, 0 where it is not told."""
    usage = body.get("usage")
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
