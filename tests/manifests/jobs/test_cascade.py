"""The cascade and familiarity inside a job: what they read, what the pool's p_error is, what is run again."""

from __future__ import annotations

import json
import shutil

import pytest

from manifests.errors import UserError
from manifests.jobs import rows
from manifests.jobs.plan import plan
from manifests.jobs.spec import load_job
from manifests.store import Manifest
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, edit, finished, go, lines, manifest

JUDGE = "  - {kind: judge, judge: {kind: replay, path: data/verdicts.jsonl}}\n"
CASCADE = """\
  - {kind: computed}
  - {kind: factuality, reads: [computed, judge], truth: wrong, otherwise: abstain}
  - {kind: judge, name: later, judge: {kind: replay, path: data/later.jsonl}}
"""


def write(folder, cascade=CASCADE):
    """Write the small job with a cascade after its judge and another judge of one opinion after that."""
    path = small_job.without_training(small_job.write(folder))
    pool = [json.loads(line) for line in (folder / "data" / "pool.jsonl").read_text("utf-8").splitlines()[:-1]]
    lines(folder / "data" / "later.jsonl", [{"content_id": small_job.key(row), "p_error": 0.25} for row in pool])
    return edit(path, (JUDGE, JUDGE + cascade))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("cascade"))
    assert go(path).exit_code == 0
    return path


class Published:
    """The published copy as a state."""

    def __init__(self, opened):
        self.query = opened.sql


def test_the_pools_p_error_is_the_cascades_though_a_judge_stands_after_it(done):
    with Manifest(manifest(done)) as opened:
        pool = rows.scored(Published(opened)).filter(role="generalist")
    assert pool["p_error"].equals(pool["factuality"])
    assert set(pool["later"]) == {0.25}
    assert not pool["p_error"].equals(pool["later"])


def test_a_sum_that_is_wrong_is_wrong_whatever_the_judge_says_and_carries_the_proof(done):
    found = ask(
        done,
        "SELECT s.meta->>'wrong' AS wrong, f.p_error, f.evidence = c.evidence AS same, x.why, f.claims"
        " FROM verdicts f JOIN samples s USING (sample_id) JOIN verdicts c ON c.sample_id = f.sample_id"
        " AND c.judge = 'computed' JOIN scores x ON x.sample_id = f.sample_id AND x.scorer = 'factuality'"
        " WHERE f.judge = 'factuality' AND c.status = 'ok'",
    )
    assert found.height >= 30
    assert set(found["why"]) == {"computed decides"}
    assert all(found["same"])
    assert found["p_error"].to_list() == [float(wrong == "true") for wrong in found["wrong"]]  # the judge errs on row 1


def test_the_cascades_errors_and_each_instruments_are_in_the_manifest(done):
    query = "SELECT scorer, value FROM quality WHERE metric = 'precision'"
    found = ask(done, query + " AND measured_on LIKE '% in factuality' ORDER BY scorer")
    assert found["scorer"].to_list() == ["computed", "factuality", "judge"]
    assert dict(found.iter_rows())["factuality"] == 1.0
    assert dict(found.iter_rows())["judge"] < 1.0
    stages = ask(done, "SELECT stage FROM stages WHERE kind = 'quality'")["stage"]
    assert stages.to_list() == ["quality:factuality"]


def test_without_a_cascade_the_last_scorer_that_gives_verdicts_is_asked(tmp_path):
    path = write(tmp_path, CASCADE.replace("  - {kind: factuality", "  # {kind: factuality"))
    assert go(path).exit_code == 0
    with Manifest(manifest(path)) as opened:
        pool = rows.scored(Published(opened)).filter(role="generalist")
    assert set(pool["p_error"]) == {0.25}


def test_a_scorer_whose_name_ends_like_the_cascade_is_not_taken_for_it(tmp_path):
    path = write(tmp_path, CASCADE.replace("  - {kind: factuality", "  # {kind: factuality"))
    edit(path, ("{kind: computed}", "{kind: computed, name: factuality}"))
    assert go(path).exit_code == 0
    with Manifest(manifest(path)) as opened:
        assert set(rows.scored(Published(opened)).filter(role="generalist")["p_error"]) == {0.25}


def test_a_changed_band_runs_the_cascade_and_the_blends_and_nothing_before_them(done, tmp_path):
    shutil.copytree(done.parent, tmp_path / "copy")
    path = edit(tmp_path / "copy" / "job.yaml", ("otherwise: abstain", "otherwise: last"))
    before = finished(path)
    assert {row.stage for row in plan(load_job(path)).rows if row.action == "run"} == {
        "score:6-factuality", "mix:plain@0", "mix:plain@1", "mix:near@0", "mix:near@1",
    }  # fmt: skip
    assert go(path).exit_code == 0
    after = finished(path)
    assert {stage for stage in after if after[stage] != before[stage]} == {
        "score:6-factuality", "quality:factuality", "mix:plain@0", "mix:plain@1", "mix:near@0", "mix:near@1",
    }  # fmt: skip
    assert small_job.broken(path) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{kind: factuality, reads: [computed]}", "no earlier scorer has this name: 'computed'"),
        ("{kind: factuality, reads: [size]}", "'factuality' reads a scorer that does not look for errors: 'size'"),
        ("{kind: factuality, reads: [judge], bands: {judg: [0, 1]}}", "a band for a scorer that is not read: 'judg'"),
        ("{kind: factuality, reads: [judge], bands: {judge: [0]}}", "job.yaml:1"),
    ],
)
def test_what_a_cascade_cannot_read_is_said_with_its_line(tmp_path, line, message):
    path = write(tmp_path, f"  - {{kind: length, name: size}}\n  - {line}\n")
    with pytest.raises(UserError) as caught:
        load_job(path)
    assert message in str(caught.value)
    assert "job.yaml:1" in str(caught.value)


def test_the_judge_is_not_asked_of_rows_that_a_cheaper_scorer_decided(tmp_path):
    spare = JUDGE.replace("{kind: judge,", "{kind: judge, unless: [computed],")
    path = small_job.without_training(small_job.write(tmp_path))
    edit(path, (JUDGE, "  - {kind: computed}\n" + spare + "  - {kind: factuality, reads: [computed, judge]}\n"))
    assert go(path).exit_code == 0
    query = "SELECT c.status AS computed, j.why FROM scores c JOIN scores j USING (sample_id)"
    found = ask(path, query + " WHERE c.scorer = 'computed' AND j.scorer = 'judge'")
    assert found.filter(computed="ok").height >= 30
    assert set(found.filter(computed="ok")["why"]) == {"computed decides it"}
    assert "computed decides it" not in set(found.filter(computed="abstained")["why"])
    decided = ask(path, "SELECT DISTINCT why FROM scores WHERE scorer = 'factuality' AND status = 'ok'")["why"]
    assert "computed decides" in set(decided)


def test_a_judge_cannot_be_spared_by_a_scorer_that_does_not_look_for_errors(tmp_path):
    path = small_job.without_training(small_job.write(tmp_path))
    edit(path, (JUDGE, "  - {kind: length}\n" + JUDGE.replace("{kind: judge,", "{kind: judge, unless: [length],")))
    with pytest.raises(UserError, match="reads a scorer that does not look for errors"):
        load_job(path)
