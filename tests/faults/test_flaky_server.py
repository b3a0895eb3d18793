"""A judge before a failing server, a job killed while it judges: nothing lost, asked twice or made up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from curate.inquiry import CACHE
from tests.benchmarks import flaky_server
from tests.benchmarks.flaky_server import RATE, SLACK, Run
from tests.curate.judged import numbered

ROWS = 1000
REASONS = {
    "5xx": "server: status",
    "time-out": "server: no answer within",
    "no JSON": "server: malformed reply: <html>",
    "another shape": "server: malformed: no label probabilities",
    "cut": "server: malformed reply: {",
    "off the menu": "off the menu",
}


@pytest.fixture(scope="module")
def samples() -> pl.DataFrame:
    return numbered(ROWS)


@pytest.fixture(scope="module")
def clean(samples: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return flaky_server.clean_run(samples, tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def planted(samples: pl.DataFrame) -> Counter[str]:
    found = Counter(flaky_server.fault_of(prompt, 0) for prompt in flaky_server.prompts(samples))
    assert set(found) == {None, *flaky_server.SHARES}
    return Counter({str(name): n for name, n in found.items() if name})


def test_faults_that_pass_leave_the_scores_of_the_clean_run(samples, clean, planted, tmp_path):
    first, second = flaky_server.flaky_runs(samples, tmp_path, lasting=False, retries=1)
    assert first.scores.equals(clean.scores)
    assert second.scores.equals(clean.scores)
    assert first.billed == ROWS + planted.total() - planted["off the menu"]
    assert first.billed <= ROWS * (1 + RATE) * SLACK
    assert second.billed == 0


def test_faults_that_last_are_counted_each_by_its_reason_and_cured_by_the_next_run(samples, clean, planted, tmp_path):
    first, second = flaky_server.flaky_runs(samples, tmp_path, lasting=True, retries=1)
    failed = first.scores.filter(pl.col("status") == "failed")
    assert {name: failed["why"].str.starts_with(why).sum() for name, why in REASONS.items()} == dict(planted)
    assert failed.height == planted.total()
    assert failed["value"].null_count() == failed.height
    rest = first.scores.filter(pl.col("status") != "failed")
    assert rest.equals(clean.scores.join(rest, on="sample_id", how="semi"))
    assert first.billed <= ROWS * (1 + RATE) * SLACK
    assert second.billed == planted.total() - planted["off the menu"]
    assert second.scores.equals(clean.scores)


def test_answers_off_the_menu_are_the_models_own_and_not_asked_again(clean, planted):
    assert clean.counts == {"failed": planted["off the menu"], "ok": ROWS - planted["off the menu"]}
    assert clean.billed == ROWS


def test_a_job_killed_twice_while_judging_asks_no_stored_call_again(tmp_path):
    cost = list(flaky_server.killed_while_judging(tmp_path, kills=2, rows=120, concurrency=4, seed=0))
    assert len(cost) == 2
    for kill in cost:
        assert kill.stored >= 1
        assert kill.stored_and_repeated == 0
        assert kill.repeated <= 2 * 4, "four connections, and an answer in hand for each"
        assert kill.stored <= kill.answered
    assert list(Path(tmp_path).rglob(CACHE.name))
