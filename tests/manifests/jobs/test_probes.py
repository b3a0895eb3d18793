"""A job whose judge is probed: how many answers that say nothing passed is in the manifest."""

from __future__ import annotations

import zlib

from curate.probe import MASTER_KEYS
from tests.curate.fake_server import PROBE, SURE, Action, FakeServer
from tests.manifests.jobs import small_job


def careless(prompt, before, request):
    """Call a lone colon correct, and other answers as their hash will have it."""
    wrong = 0.9 if zlib.crc32(prompt.encode()) % 2 else 0.2
    return Action(SURE if prompt == PROBE or "Response: :\n" in prompt else {" correct": 1 - wrong, " wrong": wrong})


def test_the_false_pass_rate_is_stored_and_rows_have_no_more_scores_than_without(here, tmp_path):
    with FakeServer(careless) as server:
        path = small_job.without_training(small_job.write(tmp_path, small_job.served(server)))
        usual = small_job.ask(_run(path), SQL)
        small_job.edit(path, ("{kind: judge,", "{kind: judge, probes: 3,"))
        _run(path)
        assert small_job.ask(path, SQL).equals(usual)
    rows = small_job.ask(path, "SELECT * FROM quality WHERE measured_on = 'master-keys'").rows(named=True)
    assert [(row["scorer"], row["metric"], row["n"]) for row in rows] == [("judge", "false_pass_rate", 30)]
    assert 3 / (3 * len(MASTER_KEYS)) <= rows[0]["value"] < 1.0
    assert rows[0]["ci_low"] < rows[0]["value"] < rows[0]["ci_high"]
    assert small_job.broken(path) == []


SQL = "SELECT sample_id, value, status FROM scores ORDER BY sample_id"


def _run(path):
    assert small_job.go(path).exit_code == 0
    return path
