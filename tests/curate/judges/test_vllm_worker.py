"""The loop of the engine's process, with an engine that counts: when it adds, computes and sends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import pytest

from curate.judges import vllm_worker
from curate.judges.vllm_worker import Sender, read, serve

ROOT = Path(__file__).parents[3]


class Counting:
    """Answers at most `pace` questions in a step; numbers above 1,000 are refused at once."""

    def __init__(self, pace: int, feed=lambda step: None) -> None:
        self.pace, self.feed = pace, feed
        self.held: list[int] = []
        self.most = self.steps = 0

    @property
    def busy(self) -> bool:
        return bool(self.held)

    def add(self, message, ids):
        numbers = [message["first"] + i for i in range(len(ids))]
        self.held += [number for number in numbers if number <= 1000]
        self.most = max(self.most, len(self.held))
        return [[number, {"why": "too long"}] for number in numbers if number > 1000]

    def step(self):
        self.steps += 1
        self.feed(self.steps)
        done, self.held = self.held[: self.pace], self.held[self.pace :]
        return [[number, {"n": number}] for number in done]


def batch(first: int, n: int):
    return {"op": "ask", "menu": 0, "first": first}, [[1]] * n


def lines(out: io.BytesIO) -> list[list[int]]:
    return [[number for number, _ in json.loads(line)["replies"]] for line in out.getvalue().splitlines()]


def served(engine: Counting, *given, full: int = 100, n: int) -> list[list[int]]:
    """Return the numbers on each line that `serve` wrote until n questions were answered."""
    engine.batches = SimpleQueue()
    for item in given:
        engine.batches.put(item)
    out = io.BytesIO()
    thread = threading.Thread(target=serve, args=(engine, engine.batches, Sender(out, full)))
    thread.start()
    end = time.monotonic() + 20
    while sum(map(len, lines(out))) < n and time.monotonic() < end:
        time.sleep(0.001)
    engine.batches.put(None)
    thread.join()
    return lines(out)


def test_every_question_is_answered_once_and_sent_when_a_line_is_full_or_nothing_is_left():
    assert served(Counting(3), batch(0, 10), full=5, n=10) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]


def test_questions_that_come_while_others_are_answered_join_them():
    engine = Counting(2, lambda step: engine.batches.put(batch(10, 10)) if step == 1 else None)
    found = served(engine, batch(0, 10), full=8, n=20)
    assert sorted(number for line in found for number in line) == list(range(20))
    assert engine.most == 18, "the engine drained before it took the second batch"


def test_a_question_that_leaves_no_room_is_answered_though_the_engine_has_nothing_to_do():
    engine = Counting(2)
    assert served(engine, batch(1001, 2), batch(2000, 1), n=3) == [[1001, 1002], [2000]]
    assert engine.steps == 0


def test_few_finished_answers_are_sent_after_a_while(monkeypatch):
    monkeypatch.setattr(vllm_worker, "EVERY", 0.0)
    assert served(Counting(1), batch(0, 3), full=1000, n=3) == [[0], [1], [2]]


def test_what_nobody_waits_for_any_more_is_left_undone():
    engine = Counting(1, lambda step: engine.batches.put(None) if step == 2 else None)
    assert served(engine, batch(0, 100), full=1, n=2) == [[0], [1]]
    assert engine.steps == 2


def test_the_seconds_of_a_line_leave_out_the_time_without_questions(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    out = io.BytesIO()
    sender = Sender(out, 1)
    now[0] = 100.0
    sender.idle()
    now[0] = 101.5
    sender.add([[0, {}]], last=True)
    assert json.loads(out.getvalue())["seconds"] == pytest.approx(1.5)


class Letters:
    """A prompter that gives each letter a number."""

    def encode(self, prompts):
        return [[ord(letter) for letter in prompt] for prompt in prompts]


def test_the_reading_thread_gives_messages_with_their_tokens_and_then_the_end():
    batches: SimpleQueue = SimpleQueue()
    read(io.BytesIO(b'{"op": "ask", "first": 0, "prompts": ["ab", ""]}\n'), Letters(), batches)
    assert batches.get() == ({"op": "ask", "first": 0}, [[97, 98], []])
    assert batches.get() is None


def test_an_error_of_the_reading_thread_ends_the_process():
    batches: SimpleQueue = SimpleQueue()
    with pytest.raises(ValueError, match="property name"):
        read(io.BytesIO(b"{not json\n"), Letters(), batches)
    serve(Counting(1), batches, Sender(io.BytesIO(), 1))


def test_a_process_without_any_question_ends():
    command = [sys.executable, "-m", "curate.judges.vllm_worker", str(os.getpid())]
    assert subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=60, check=False).returncode == 0
