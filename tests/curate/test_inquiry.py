"""Questions through the call cache: nothing is asked twice, costs are told and bounded, and every call has a reply."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import inquiry as module
from curate.cache import CallCache
from curate.inquiry import CACHE, Inquiry, spent, stored
from curate.judges import FAILED, OK, Call, Menu, Reply, Text, Writing, failed
from manifests.component import Context
from manifests.errors import Interrupted, UserError

MENU = Menu((" yes", " no"), "?")
HOW = Writing(5, n=2)


@dataclass
class Priced:
    """Answers every call at `price`, in batches; those whose prompt holds `bad` fail, `mute` get no reply."""

    price: float = 1.0
    batch: int = 10
    name: str = "m"
    asked: list[str] = field(default_factory=list)
    opened: int = 0
    sessions: int = 0
    kind: ClassVar[str] = "priced"
    version: ClassVar[int] = 1
    cached: bool = True

    def identity(self) -> dict:
        return {"model": self.name}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[Priced]:
        self.opened += 1
        self.sessions += 1
        try:
            yield self
        finally:
            self.sessions -= 1

    def cost(self, reply: Reply) -> float:
        return self.price * reply.tokens_out

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[list[Reply]]:
        return self._all(calls, {"probabilities": (0.6, 0.3)})

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[list[Reply]]:
        return self._all(calls, {"texts": (Text("a", "stop"),) * how.n})

    def _all(self, calls, said) -> Iterator[list[Reply]]:
        for start in range(0, len(calls), self.batch):
            part = calls[start : start + self.batch]
            self.asked += [call.prompt for call in part]
            yield [
                failed(call.key, "bad", tokens_out=1)
                if "bad" in call.prompt
                else Reply(key=call.key, status=OK, finish="stop", tokens_out=1, **said)
                for call in part
                if "mute" not in call.prompt
            ]


def put(engine, root: Path, prompts, *, how=MENU, **context) -> dict[str, Reply]:
    with Inquiry(engine, [MENU], Context(root=root, **context)) as inquiry:
        calls = [inquiry.call(prompt, how, prompt, prompt) for prompt in prompts]
        replies = inquiry.ask(calls, how) if isinstance(how, Menu) else inquiry.write(calls, how)
        return {call.prompt: replies[call.key] for call in calls}


def prompts(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


def test_what_was_answered_once_is_not_asked_again_and_starts_no_engine(tmp_path):
    first = Priced()
    put(first, tmp_path, prompts(30))
    second = Priced()
    put(second, tmp_path, prompts(30))
    assert (len(first.asked), first.opened, second.asked, second.opened) == (30, 1, [], 0)
    more = Priced()
    put(more, tmp_path, prompts(35))
    assert more.asked == prompts(35)[30:]


def test_equal_calls_are_one(tmp_path):
    engine = Priced()
    assert len(put(engine, tmp_path, ["a", "b", "a", "a"])) == 2
    assert engine.asked == ["a", "b"]


def test_an_engine_that_is_not_cached_is_asked_anew_for_every_sample(tmp_path):
    engine = Priced(cached=False)
    with Inquiry(engine, [MENU], Context(root=tmp_path)) as inquiry:
        calls = [inquiry.call("same", MENU, sample, "c") for sample in ("s1", "s2")]
        assert calls[0].key != calls[1].key
        assert inquiry.pending(calls) == 0
        assert len(inquiry.ask(calls, MENU)) == 2
    assert not (tmp_path / CACHE).exists()


def test_what_decides_an_answer_is_in_its_key_and_nothing_else_is(tmp_path):
    def key(engine=None, prompt="p", what=MENU, sample="s", content="c"):
        with Inquiry(engine or Priced(), [MENU], Context(root=tmp_path)) as inquiry:
            return inquiry.call(prompt, what, sample, content).key

    same = {key(), key(sample="other"), key(content="other"), key(engine=Priced(price=9.0, batch=3))}
    assert len(same) == 1
    others = [
        key(prompt="q"),
        key(engine=Priced(name="n")),
        key(what=Menu((" yes", " nope"), "?")),
        key(what=Menu((" yes", " no"), "!")),
        *(key(what=how) for how in (HOW, Writing(6, n=2), Writing(5), Writing(5, n=2, temperature=0.5))),
        *(key(what=how) for how in (Writing(5, n=2, seed=1), Writing(5, n=2, stop=("x",)))),
    ]
    assert len({*same, *others}) == 1 + len(others)


def test_every_call_has_a_reply_though_the_engine_gives_none_or_too_many(tmp_path):
    class Chatty(Priced):
        def _all(self, calls, said):
            for batch in super()._all(calls, said):
                yield [*batch, *batch, Reply(key="of nobody", status=OK, probabilities=(0.5, 0.5))]

    found = put(Chatty(), tmp_path, ["a", "mute", "bad"])
    assert {prompt: reply.status for prompt, reply in found.items()} == {"a": OK, "mute": FAILED, "bad": FAILED}
    assert found["mute"].why == "the judge gave no answer"
    with CallCache(tmp_path / CACHE) as cache:
        assert sorted(times for _, times in cache.failures().values()) == [1, 1]
        assert cache.get(["of nobody"]) == {}


def test_failed_calls_are_asked_again_and_finished_ones_are_not(tmp_path):
    put(Priced(), tmp_path, ["a", "bad"])
    again = Priced()
    put(again, tmp_path, ["a", "bad"])
    assert again.asked == ["bad"]


def test_texts_come_back_from_the_cache_as_they_were_written(tmp_path):
    first = put(Priced(), tmp_path, ["a"], how=HOW)["a"]
    again = put(Priced(), tmp_path, ["a"], how=HOW)["a"]
    assert again.texts == first.texts == (Text("a", "stop"), Text("a", "stop"))
    assert again.probabilities is None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text(), st.sampled_from(["stop", "length"])), min_size=1, max_size=3),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 20),
)
def test_any_text_survives_the_cache(tmp_path_factory, texts, tokens, cached):
    said = tuple(Text(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"), end) for text, end in texts)
    reply = Reply(key="k", status=OK, texts=said, finish="stop", tokens_in=tokens, tokens_cached=cached)
    with CallCache(tmp_path_factory.mktemp("cache") / "c.sqlite") as cache:
        cache.put([reply])
        assert cache.get(["k"]) == {"k": reply}


def test_cached_calls_cost_nothing_and_count_for_no_budget(tmp_path):
    put(Priced(), tmp_path, prompts(100))
    assert len(put(Priced(), tmp_path, prompts(101), max_cost=1.5)) == 101


def test_a_budget_stops_the_calls_when_enough_are_done_to_see_it_and_keeps_them(tmp_path):
    engine = Priced()
    with pytest.raises(
        UserError, match=r"about 200\.00, more than --max-cost 150\.00; 50 of 200 are done, cost 50"
    ) as e:
        put(engine, tmp_path, prompts(200), max_cost=150.0)
    assert "raise --max-cost" in str(e.value)
    assert (len(engine.asked), engine.sessions) == (50, 0)
    with CallCache(tmp_path / CACHE) as cache:
        assert len(cache.failures()) == 0
    more = Priced()
    assert len(put(more, tmp_path, prompts(200), max_cost=150.0)) == 200
    assert more.asked == prompts(200)[50:]
    assert sorted(engine.asked + more.asked) == sorted(prompts(200)), "a call was repeated"


def test_a_budget_that_is_spent_stops_the_calls_at_once(tmp_path):
    engine = Priced()
    with pytest.raises(UserError, match="more than --max-cost 15"):
        put(engine, tmp_path, prompts(40), max_cost=15.0)
    assert len(engine.asked) == 20


def test_a_budget_that_is_enough_is_not_felt_and_none_is_needed_where_nothing_has_a_price(tmp_path):
    assert len(put(Priced(), tmp_path / "1", prompts(200), max_cost=200.0)) == 200
    assert len(put(Priced(price=0.0), tmp_path / "2", prompts(200), max_cost=0.0)) == 200


def test_the_budget_holds_for_all_that_one_inquiry_asks(tmp_path):
    engine = Priced()
    with Inquiry(engine, [MENU], Context(root=tmp_path, max_cost=150.0)) as inquiry:
        inquiry.ask([inquiry.call(prompt, MENU, "s", "c") for prompt in prompts(100)], MENU)
        with pytest.raises(UserError, match=r"about 200\.00"):
            inquiry.write([inquiry.call(prompt, HOW, "s", "c") for prompt in prompts(100)], HOW)
    assert len(engine.asked) == 150


def test_failed_calls_count_for_the_budget_when_their_tokens_are_known(tmp_path):
    engine = Priced()
    with pytest.raises(UserError, match="more than --max-cost"):
        put(engine, tmp_path, [f"bad {i}" for i in range(100)], max_cost=20.0)
    assert len(engine.asked) == 30


def test_what_is_left_is_told_once_with_its_cost(tmp_path, monkeypatch):
    told: list[str] = []
    clock = iter(range(0, 100_000, 60))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    put(Priced(price=0.5), tmp_path, prompts(1000), say=told.append)
    assert len(told) == 1
    assert told[0].startswith("1,000 calls: about 19 min to go, cost about 500.00 in all")


def test_a_short_stage_is_not_announced(tmp_path):
    told: list[str] = []
    put(Priced(), tmp_path, prompts(200), say=told.append)
    assert told == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(20, "less than a minute"), (100, "about 2 min"), (7000, "about 117 min"), (10_000, "about 3 h")],
)
def test_times_are_told_in_minutes_and_hours(seconds, said):
    assert module._duration(seconds) == said


def test_a_stop_keeps_what_was_answered_and_ends_the_engine(tmp_path):
    engine, done = Priced(), []
    with pytest.raises(Interrupted):
        put(engine, tmp_path, prompts(100), progress=lambda n, _: done.append(n), stopping=lambda: done[-1] >= 30)
    assert engine.sessions == 0
    more = Priced()
    put(more, tmp_path, prompts(100))
    assert more.asked == prompts(100)[30:]


def test_a_stop_after_the_last_answer_is_too_late(tmp_path):
    assert len(put(Priced(), tmp_path, prompts(10), stopping=lambda: True)) == 10


def test_progress_counts_stored_calls_first_and_then_each_batch(tmp_path):
    put(Priced(), tmp_path, prompts(20))
    seen = []
    put(Priced(), tmp_path, prompts(45), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 45), (30, 45), (40, 45), (45, 45)]


def test_what_stored_calls_cost_can_be_asked_afterwards(tmp_path):
    assert spent(tmp_path, ["k"], Priced()) == 0.0
    with Inquiry(Priced(), [MENU], Context(root=tmp_path)) as inquiry:
        calls = [inquiry.call(prompt, MENU, "s", "c") for prompt in ["a", "b", "bad"]]
        inquiry.ask(calls, MENU)
    keys = [call.key for call in calls]
    assert len(stored(tmp_path, keys)) == 2
    assert spent(tmp_path, keys, Priced(price=0.25)) == 0.5


def test_pending_counts_distinct_calls_without_an_answer_and_makes_no_file(tmp_path):
    with Inquiry(Priced(), [MENU], Context(root=tmp_path)) as inquiry:
        calls = [inquiry.call(prompt, MENU, "s", "c") for prompt in ["a", "b", "a"]]
        assert inquiry.pending(calls) == 2
        assert not (tmp_path / CACHE).exists()
    put(Priced(), tmp_path, ["a"])
    with Inquiry(Priced(), [MENU], Context(root=tmp_path)) as inquiry:
        assert inquiry.pending(inquiry.call(prompt, MENU, "s", "c") for prompt in ["a", "b", "a"]) == 1


def test_a_kill_between_batches_loses_no_batch_that_was_given(tmp_path):
    """The child kills itself while its third batch is asked for; the first two are in the file."""
    pid = os.fork()
    if pid == 0:

        class Deadly(Priced):
            def _all(self, calls, said):
                for n, batch in enumerate(super()._all(calls, said)):
                    if n == 2:
                        os.kill(os.getpid(), 9)
                    yield batch

        try:
            put(Deadly(), tmp_path, prompts(50))
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
    more = Priced()
    put(more, tmp_path, prompts(50))
    assert more.asked == prompts(50)[20:]


def test_a_reply_from_another_version_is_not_taken_for_one(tmp_path):
    put(Priced(), tmp_path, ["a"])
    with CallCache(tmp_path / CACHE) as cache:
        (key,) = [row[0] for row in cache._connection.execute("SELECT key FROM calls")]
        cache._connection.execute("UPDATE calls SET reply = ?", [json.dumps({"finish": "stop", "tokens_in": 1})])
        assert cache.get([key]) == {}
