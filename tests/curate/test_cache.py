"""The call cache: what it keeps, what it never serves, and what a kill or a damaged file does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from curate.cache import CallCache
from curate.inquiry import CACHE
from curate.judge import Judge
from curate.judges import ABSTAINED, OK, Reply, failed
from curate.judges.openai import OpenAI
from manifests.component import Context
from manifests.errors import UserError
from tests.curate.fake_server import PROBE, Action, FakeServer
from tests.curate.judged import numbered

ROOT = Path(__file__).parents[2]


def ok(key: str, wrong: float = 0.25) -> Reply:
    return Reply(
        key=key, status=OK, probabilities=(0.5, wrong), finish="length", tokens_in=7, tokens_out=1, seconds=0.125
    )


def test_a_finished_call_comes_back_as_it_was_put(tmp_path):
    with CallCache(tmp_path / "c" / "calls.sqlite") as cache:
        cache.put([ok("a"), ok("b", 0.1 + 0.2)])
    with CallCache(tmp_path / "c" / "calls.sqlite") as cache:
        assert cache.get(["a", "b", "c"]) == {"a": ok("a"), "b": ok("b", 0.1 + 0.2)}


def test_thousands_of_keys_are_looked_up_at_once(tmp_path):
    with CallCache(tmp_path / "calls.sqlite") as cache:
        cache.put([ok(f"k{i}") for i in range(0, 3000, 2)])
        assert len(cache.get(f"k{i}" for i in range(3000))) == 1500


def test_a_failure_is_counted_and_never_served(tmp_path):
    with CallCache(tmp_path / "calls.sqlite") as cache:
        cache.put([failed("a", "first")])
        cache.put([failed("a", "second")])
        assert cache.get(["a"]) == {}
        assert cache.failures() == {"a": ("second", 2)}
        cache.put([ok("a")])
        assert cache.failures() == {}
        assert set(cache.get(["a"])) == {"a"}


def test_an_abstention_is_neither_a_hit_nor_a_failure(tmp_path):
    with CallCache(tmp_path / "calls.sqlite") as cache:
        cache.put([Reply(key="a", status=ABSTAINED, why="nothing to check")])
        assert cache.get(["a"]) == {}
        assert cache.failures() == {}


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "{}",
        '{"probabilities": [0.5], "finish": "", "tokens_in": 1, "tokens_out": 1, "seconds": 0}',
        '{"probabilities": [0.9, 0.9], "finish": "", "tokens_in": 1, "tokens_out": 1, "seconds": 0}',
        '{"probabilities": [NaN, 0.9], "finish": "", "tokens_in": 1, "tokens_out": 1, "seconds": 0}',
        '{"probabilities": [0.1, 0.9], "finish": "", "tokens_in": 1e999, "tokens_out": 1, "seconds": 0}',
        '{"probabilities": [%s, 0.9], "finish": "", "tokens_in": 1, "tokens_out": 1, "seconds": 0}' % ("9" * 400),
        "[" * 5000,
    ],
)
def test_an_entry_that_cannot_be_read_counts_as_absent(tmp_path, text):
    with CallCache(tmp_path / "calls.sqlite") as cache:
        cache.put([ok("a"), ok("b")])
    with sqlite3.connect(tmp_path / "calls.sqlite") as connection:
        connection.execute("UPDATE calls SET reply = ? WHERE key = 'a'", [text])
    connection.close()
    with CallCache(tmp_path / "calls.sqlite") as cache:
        assert set(cache.get(["a", "b"])) == {"b"}


def test_a_damaged_file_is_refused_with_its_name_and_the_remedy_and_left_as_it_is(tmp_path):
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(UserError, match="move it away") as caught:
        CallCache(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"this is not a database" * 100


def test_damage_inside_the_file_is_a_user_error_too(tmp_path):
    path = tmp_path / "calls.sqlite"
    with CallCache(path) as cache:
        cache.put([ok(f"{i:032x}") for i in range(2000)])
    data = bytearray(path.read_bytes())
    data[8192:-4096] = os.urandom(len(data) - 8192 - 4096)
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"), CallCache(path) as cache:
        cache.get(f"{i:032x}" for i in range(2000))


def test_another_programs_database_is_refused(tmp_path):
    path = tmp_path / "calls.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.close()
    with pytest.raises(UserError, match="not a call cache"):
        CallCache(path)


def test_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "calls.sqlite"
    CallCache(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(UserError, match="version 9"):
        CallCache(path)


def test_a_folder_in_the_files_place_is_a_user_error(tmp_path):
    (tmp_path / "calls.sqlite").mkdir()
    with pytest.raises(UserError, match="cannot be used"):
        CallCache(tmp_path / "calls.sqlite")


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path):
    with CallCache(tmp_path / "calls.sqlite") as cache:
        with pytest.raises(ValueError, match="JSON"):
            cache.put([ok("a"), ok("b", float("nan"))])
        assert cache.get(["a"]) == {}
        cache.put([ok("a")])
        assert set(cache.get(["a"])) == {"a"}


def _write(path: Path, name: str) -> None:
    with CallCache(path) as cache:
        for i in range(15):
            cache.put([ok(f"{name}{i}")])


def test_two_processes_may_write_at_the_same_time(tmp_path):
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "calls.sqlite"
    writers = [context.Process(target=_write, args=(path, name)) for name in "xy"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    with CallCache(path) as cache:
        assert len(cache.get(f"{name}{i}" for name in "xy" for i in range(15))) == 30


RUN = """
import sys
from pathlib import Path
from curate.judge import Judge
from curate.judges.openai import OpenAI
from manifests.component import Context
from tests.curate.judged import numbered
judge = Judge(judge=OpenAI(url=sys.argv[1], model="judge-1", concurrency=4), prompt="plain")
judge.score(numbered(150), Context(root=Path(sys.argv[2])))
"""


@pytest.mark.parametrize("after", [5, 60])
def test_a_killed_run_resumes_and_repeats_no_call_beyond_those_in_flight(tmp_path, after):
    samples, context = numbered(150), Context(root=tmp_path)
    with FakeServer(lambda *_: Action(delay=0.01)) as server:
        judge = Judge(judge=OpenAI(url=server.url, model="judge-1", concurrency=4), prompt="plain")
        reached = threading.Event()

        def script(prompt, before, request):
            if len(server.answered) > after:
                reached.set()
            return Action(delay=0.01)

        server.script = script
        command = [sys.executable, "-c", RUN, server.url, str(tmp_path)]
        child = subprocess.Popen(command, cwd=ROOT)
        assert reached.wait(60)
        child.send_signal(signal.SIGKILL)
        child.wait()
        time.sleep(0.1)
        answered = set(server.answered) - {PROBE}
        left = judge.pending(samples, context)
        scored = judge.score(samples, context)
        repeated = [prompt for prompt, n in server.asked.items() if n > 1 and prompt != PROBE]
    assert 150 - len(answered) <= left <= 150 - len(answered) + 2 * judge.judge.concurrency
    assert len(repeated) <= 2 * judge.judge.concurrency
    assert scored.scores["status"].to_list() == ["ok"] * 150
    assert judge.pending(samples, context) == 0
    assert (tmp_path / CACHE).exists()
