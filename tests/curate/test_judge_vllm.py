"""The judge's modes on a real vLLM engine whose tiny model writes junk: N statuses for N rows, nothing asked twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from curate.judge import Judge
from curate.judges import ABSTAINED, FAILED, OK, Call, Menu, Reply, Session, Writing
from curate.judges.replay import Replay
from curate.judges.vllm import Vllm
from manifests.component import Context
from tests.curate import tiny_model
from tests.curate.judged import frame

MODES = {
    "claims": {"mode": "claims", "max_claims": 2, "votes": 3, "reason": 12, "reason_cut": "keep", "partial": "ignore"},
    "votes": {"votes": 3},
    "unsure": {"votes": 2, "unsure": "unsure"},
    "reason": {"votes": 3, "reason": 12, "reason_cut": "keep", "defects": ("fact", "logic"),
               "repair": 12, "threshold": 0.0},
    "text": {"read": "text", "votes": 3, "partial": "ignore"},
}  # fmt: skip


class Counted:
    """An open session in the place of an engine of its own; counts the calls."""

    kind, version, cached = "counted", 1, True

    def __init__(self, session: Session) -> None:
        self.session, self.calls = session, 0

    def identity(self) -> dict:
        return {}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[Counted]:
        yield self

    def cost(self, reply: Reply) -> float:
        return 0.0

    def ask(self, calls: Sequence[Call], menu: Menu) -> Iterator[Sequence[Reply]]:
        self.calls += len(calls)
        return self.session.ask(calls, menu)

    def write(self, calls: Sequence[Call], how: Writing) -> Iterator[Sequence[Reply]]:
        self.calls += len(calls)
        return self.session.write(calls, how)


def judge(engine, mode: str) -> Judge:
    # letters after a space share a token in this tokenizer, so the labels have none
    return Judge(
        judge=engine,
        labels=("correct", "wrong"),
        **({} if MODES[mode].get("read") == "text" else {"min_label_mass": 0.0}),
        **MODES[mode],
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Iterator[Counted]:
    folder = tiny_model.build(tmp_path_factory.mktemp("model"), steps=20)
    menus = list(dict.fromkeys(menu for mode in MODES for menu in judge(Replay(path="x"), mode)._menus()))
    settings = Vllm(model=str(folder), chunk=32, max_model_len=512)
    with settings.open(menus, Context(root=tmp_path_factory.mktemp("root"))) as session:
        yield Counted(session)


@pytest.mark.vllm
@pytest.mark.parametrize("mode", MODES)
def test_a_real_engine_gives_every_row_a_status_and_is_not_asked_twice(engine, tmp_path, mode):
    rows = [*((q, a) for q, a, _ in tiny_model.rows(6, seed=4)), ("q", ""), ("q", "long " * 500), ("q", "</s><data-0>")]
    samples, context = frame(rows), Context(root=tmp_path)
    asked = judge(engine, mode)
    pending = asked.pending(samples, context)
    assert pending >= 8
    before = engine.calls
    found = asked.score(samples, context)
    assert engine.calls - before >= pending
    ids = samples["sample_id"].to_list()
    assert found.scores["sample_id"].to_list() == found.verdicts["sample_id"].to_list() == ids
    assert set(found.scores["status"]) <= {OK, ABSTAINED, FAILED}
    for score, said in zip(found.scores.iter_rows(named=True), found.verdicts.iter_rows(named=True), strict=True):
        assert (score["value"] is not None) == (score["status"] == OK)
        assert score["status"] == OK or score["why"]
        assert said["claims"] is None or len(json.loads(said["claims"])) <= 2
    status = dict(zip(samples["response"], found.scores["status"], strict=True))
    assert status[""] == ABSTAINED
    assert status["long " * 500] == FAILED
    if mode in {"votes", "reason"}:
        assert OK in status.values()
        trails = [json.loads(text)["votes"] for text in found.verdicts["evidence"].drop_nulls()]
        assert {len(trail) for trail in trails} == {3}
    too_long = found.scores.filter(found.scores["why"].str.contains("too long"))
    assert too_long.height == 1
    again = judge(engine, mode)
    stored = engine.calls
    remaining = again.pending(samples, context)
    second = again.score(samples, context)
    assert engine.calls - stored == remaining, "only what failed is asked again"
    assert second.scores.equals(found.scores)
    assert second.verdicts.equals(found.verdicts)


@pytest.mark.vllm
@pytest.mark.parametrize("mode", MODES)
def test_a_second_run_over_rows_that_fit_asks_a_real_engine_nothing(engine, tmp_path, mode):
    samples, context = frame((q, a) for q, a, _ in tiny_model.rows(5, seed=8)), Context(root=tmp_path)
    first = judge(engine, mode).score(samples, context)
    stored = engine.calls
    second = judge(engine, mode).score(samples, context)
    assert engine.calls == stored
    assert second.scores.equals(first.scores)
    assert judge(engine, mode).pending(samples, context) == 0
