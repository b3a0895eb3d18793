"""Job files and judge's replies to be damaged by `mutations`, and what may come out of reading them.

A job goes through the YAML reader, and through the whole loader when its name is `job.yaml`: a value or `UserError`. A
reply goes through what the judge does with it: body to `Reply`, reply to opinion, text to label or claims, stored and
recorded replies to `Reply`; whatever they hold, a value is finite and within 0..1 and everything else has a reason.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from curate.answer_text import read_answer, read_claim
from curate.cache import _decode
from curate.claim_check import listed
from curate.judges import FAILED, OK, Call, Menu, Reply, Text, Writing, checked
from curate.judges.http import Check, _object
from curate.judges.openai import OpenAI, OpenAISession
from curate.judges.replay import Replay
from curate.opinion import read, written
from manifests.component import Context
from manifests.errors import UserError
from manifests.jobs import init, yaml_lines
from manifests.jobs.spec import load_job

MENU: Final = Menu((" correct", " wrong", " unsure"), "Verdict:")
ENGINE: Final = OpenAI(url="http://127.0.0.1:9/v1", model="judge-1")
CALL: Final = Call("key", "Is it right?", "sample", "content")
TOP: Final = {" wrong": -0.25, " correct": -1.75, " the": -4.0}
USAGE: Final = {"prompt_tokens": 11, "completion_tokens": 1}
EXAMPLES: Final = Path(init.__file__).parents[1] / "examples"


def jobs() -> list[dict[str, bytes]]:
    """Return job files: for each set the one that the loader reads whole, and two that the YAML reader reads."""
    texts = [init.HERE / "init.yaml", *sorted(EXAMPLES.glob("*.yaml"))]
    found = [path.read_bytes() for path in texts]
    odd = b"a: {b: [1, -2.5e-3, 0x1F, ~, true, 'q', \"\\u00e9\\n\"], c: 1}\nf: |\n  text\n  more\nd: >-\n  x\n"
    block = b"? k\n: v\nlist:\n- a: 1e-4\n  b: yes\n- &x c\n- *x\n- !!int 3\n--- \nz: .nan\n"
    return [
        {"job.yaml": found[0], "plain.yaml": found[1 + i % (len(found) - 1)], "odd.yaml": block if i % 2 else odd}
        for i in range(3)
    ]


def replies() -> list[dict[str, bytes]]:
    """Return what a judge may be answered with, one way of each kind in every set."""
    return [dict(_replies(i)) for i in range(3)]


def _replies(i: int) -> Iterator[tuple[str, bytes]]:
    chat = {"content": [{"token": "w", "logprob": -1, "top_logprobs": _alternatives()}]}
    plain = {"tokens": [" wrong"], "top_logprobs": [TOP]}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "text": " wrong", "logprobs": chat if i else plain}
    yield "label.reply", _bytes({"id": "x", "choices": [choice], "usage": USAGE}, i)
    texts = [choice | {"index": 1 - j, "text": f"It is {j}."} for j in range(2)]
    messages = [{"index": j, "finish_reason": "length", "message": {"content": "Ja.\nNo"}} for j in range(2)]
    yield "texts.reply", _bytes({"choices": messages if i == 1 else texts, "usage": USAGE}, i)
    words = ("I think.\n**Verdict:** wrong", '```json\n{"why": "a", "verdict": "correct"}\n```', "unsure, since")
    yield "verdict.reply", words[i].encode()
    claims = ("Claims:\n- Rome is in Italy.\n- It is old.", "1. Oslo is a city\n2) So is Bergen", "NONE")
    yield "claims.reply", claims[i].encode()
    said = ("false, [corrected fact]: It is Rome.", "true", "unknown\n[Corrected Facts]\nIt is 7.")
    yield "claim.reply", said[i].encode()
    recorded = ({"reply": "wrong", "finish": "stop"}, {"p_error": 0.25}, {"verdict": "wrong"})
    rows = [{"sample_id": "sample"} | recorded[i], {"content_id": "other", "claim": "Rome is old.", "reply": "unsure"}]
    yield "recorded.reply", b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    kept = {"finish": "stop", "tokens_in": 3, "tokens_out": 1, "seconds": 0.5, "tokens_cached": 2}
    yield "stored.reply", _bytes(kept | ({"texts": [["a", "stop"]]} if i else {"probabilities": [0.7, 0.2]}), i)


def _alternatives() -> list[dict[str, Any]]:
    return [{"token": token, "logprob": value, "bytes": None} for token, value in TOP.items()]


def _bytes(value: Mapping[str, Any], i: int) -> bytes:
    return json.dumps(value, indent=1 if i == 2 else None).encode()


def job_outcome(folder: Path, name: str, data: bytes) -> Counter[str]:
    """Read a job file; return whether it was read or refused, and how many values it had."""
    if name == "job.yaml" and not (folder / "data").exists():
        shutil.copytree(init.HERE / "first", folder / "data")
    (folder / name).write_bytes(data)
    try:
        located = load_job(folder / name).located if name == "job.yaml" else yaml_lines.load(folder / name)
    except UserError as error:
        if not error.what or "Traceback" in str(error):
            raise AssertionError(f"{name}: a refusal without a reason: {error}") from error
        return Counter({"refused": 1})
    json.dumps(located.value, allow_nan=False)
    return Counter({"read": 1, "rows": len(located.lines)})


def reply_outcome(folder: Path, name: str, data: bytes) -> Counter[str]:
    """Read a reply in every way that replies of its kind are read; return how many had a value and how many not."""
    opinions = READINGS[name](folder, data)
    for value, why in opinions:
        if value is None and not why:
            raise AssertionError(f"{name}: no value and no reason")
        if value is not None and not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise AssertionError(f"{name}: a value of {value}")
    valued = sum(value is not None for value, _ in opinions)
    return Counter({"read": 1, "rows": len(opinions), "samples": valued})


Opinions = Sequence[tuple[float | None, str | None]]


class _Answering:
    """A client whose server answered with these bytes; what is done with them is the real client's."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def timed_post(self, path: str, payload: Mapping[str, Any], check: Check) -> tuple[dict[str, Any], float]:
        """Return the body and its seconds, or raise Fault."""
        return _object(self.data, check), 0.1


def _asked(data: bytes, how: Writing | None) -> Reply:
    """Return the reply that a server's body becomes: a session's whole way from its bytes."""
    session = OpenAISession(ENGINE, cast(Any, _Answering(data)), [MENU])
    found: list[Reply] = []
    session._all = lambda calls, question: iter([[session._answer(call, question) for call in calls]])  # type: ignore[method-assign]
    for batch in session.ask([CALL], MENU) if how is None else session.write([CALL], how):
        found += [checked(reply) for reply in batch]
    return found[0]


def _opinion(reply: Reply) -> tuple[float | None, str | None]:
    said = read(reply, MENU, 0.5)
    return said.value, said.why


def _labels(folder: Path, data: bytes) -> Opinions:
    return [_opinion(_asked(data, None))]


def _texts(folder: Path, data: bytes) -> Opinions:
    reply = _asked(data, Writing(16, n=2))
    first = Reply(key="key", status=reply.status, why=reply.why, texts=reply.texts[:1])
    said = written(first)
    return [(None, said.why) if said.why is not None else (1.0, None)]


def _verdict(folder: Path, data: bytes) -> Opinions:
    text = data.decode("utf-8", "surrogateescape")
    found = [read_answer(text, finish, MENU.labels) for finish in ("stop", "length")]
    return [(None if index is None else index / 2, why) for index, why in found]


def _claims(folder: Path, data: bytes) -> Opinions:
    text = data.decode("utf-8", "replace")
    said = listed(written(Reply(key="key", status=OK, texts=(Text(text, "stop"),))), 8)
    if said.why is None and not 0 <= len(said.claims) <= min(8, said.named):
        raise AssertionError(f"{len(said.claims)} claims of {said.named}")
    return [(None if said.why else 1.0, said.why)]


def _claim(folder: Path, data: bytes) -> Opinions:
    found = [read_claim(data.decode("utf-8", "replace"), finish) for finish in ("stop", "length")]
    return [(None if one.label is None else one.label / 2, one.why) for one in found]


def _recorded(folder: Path, data: bytes) -> Opinions:
    (folder / "recorded.jsonl").write_bytes(data)
    try:
        with Replay(path=str(folder / "recorded.jsonl")).open([MENU], Context(root=folder)) as session:
            batches = [*session.ask([CALL], MENU), *session.write([CALL], Writing(16))]
    except UserError as error:
        return [(None, error.what)]
    return [_opinion(checked(reply)) for batch in batches for reply in batch]


def _stored(folder: Path, data: bytes) -> Opinions:
    reply = _decode("key", data.decode("utf-8", "replace"))
    if reply is None:
        return [(None, "as if it were absent")]
    if reply.status == FAILED:
        raise AssertionError("a failure was served from the cache")
    return [_opinion(reply)] if not reply.texts else [(1.0, None)]


READINGS: Final[Mapping[str, Callable[[Path, bytes], Opinions]]] = {
    "label.reply": _labels,
    "texts.reply": _texts,
    "verdict.reply": _verdict,
    "claims.reply": _claims,
    "claim.reply": _claim,
    "recorded.reply": _recorded,
    "stored.reply": _stored,
}
"""Name of a reply -> all that reads such a one; each gives (value, why there is none)."""
