"""Whole jobs that curate: every step and scorer that needs no model, from the rows to the blends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from curate.index import write_index
from manifests.errors import Interrupted, UserError
from manifests.jobs.plan import plan
from manifests.store import Manifest
from tests.curate.fake_server import PROBE, FakeServer
from tests.manifests.jobs import curated_job, small_job
from tests.manifests.jobs.curated_job import CURATE, SECRET, again, ask, broken, content, finished, folder
from tests.manifests.jobs.small_job import edit, go
from tests.manifests.jobs.test_run import Stopping

REMARKS = """
    SELECT d.step, d.reason, s.meta->>'row' AS row, w.meta->>'row' AS witness
    FROM decisions d JOIN samples s USING (sample_id) LEFT JOIN samples w ON w.sample_id = d.witness_id
    WHERE d.reason IS NOT NULL ORDER BY ALL"""
BLENDS = {"mix:plain@0", "mix:plain@1", "mix:near@0"}


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    """Return the job file of a finished job; read only."""
    path = curated_job.write(tmp_path_factory.mktemp("curated"))
    assert go(path).exit_code == 0
    return path


@pytest.fixture
def copy(curated, tmp_path):
    shutil.copytree(curated.parent, tmp_path / "copy")
    return tmp_path / "copy" / "job.yaml"


def counted(path, sql):
    return dict(ask(path, sql).iter_rows())


def row_id(path, row):
    return ask(path, f"SELECT sample_id FROM samples WHERE meta->>'row' = '{row}'").item()


def dropped(path, step):
    """Return the rows that a step dropped with their witnesses, by the names that they have in the data."""
    return {row: witness for label, _, row, witness in ask(path, REMARKS).rows() if label == step}


def refused(path):
    with pytest.raises(UserError) as caught:
        go(path)
    return str(caught.value)


def cut(path, *curate):
    """Leave the job's sources, with these entries to curate; return the file."""
    text = path.read_text("utf-8")
    path.write_text(text[: text.index("curate:")] + "curate:\n" + "".join(f"  - {entry}\n" for entry in curate))
    return path


def test_every_step_and_scorer_without_a_model_runs_to_the_blends(curated):
    stages = list(finished(curated))
    assert tuple(name for name in stages if name.startswith(("step", "score"))) == CURATE
    assert set(stages[-3:]) == BLENDS
    assert broken(curated) == []


def test_each_step_finds_what_was_planted_for_it_and_names_the_witness(curated):
    assert ask(curated, REMARKS).rows() == [
        ("10-conflict", "conflict", "e5", "p30"),
        ("10-conflict", "conflict", "e6", "p31"),
        ("10-conflict", "conflict", "p30", None),
        ("10-conflict", "conflict", "p31", None),
        ("11-rules", "email-address", "e8", None),
        ("11-rules", "no-output", "e10", None),
        ("11-rules", "secret", "e7", None),
        ("11-rules", "url-only", "e9", None),
        ("12-decontaminate", "overlaps eval", "e11", None),
        ("12-decontaminate", "overlaps eval", "e12", None),
        ("7-exact", "exact duplicate", "p20", "e0"),
        ("7-exact", "exact duplicate", "p21", "e1"),
        ("8-fuzzy", "near duplicate", "e2", "p22"),
        ("8-fuzzy", "near duplicate", "p23", "e3"),
        ("9-semantic", "semantic duplicate", "e4", "p29"),
    ]
    leaks = "SELECT w.role FROM decisions d JOIN samples w ON w.sample_id = d.witness_id WHERE step LIKE '12-%'"
    assert ask(curated, leaks)["role"].to_list() == ["eval", "eval"]


def test_every_row_that_enters_a_step_is_kept_or_dropped_there_for_one_reason(curated):
    whole = ask(curated, "SELECT step, source, n_in, n_kept, n_dropped FROM funnel WHERE reason IS NULL").rows()
    assert all(given == kept + lost for _, _, given, kept, lost in whole)
    by_reason = counted(
        curated, "SELECT step || source, sum(n_dropped)::INT FROM funnel WHERE reason IS NOT NULL GROUP BY 1"
    )
    assert by_reason == {step + source: lost for step, source, _, _, lost in whole if lost}
    for source, role in (("pool", "generalist"), ("extra", "generalist"), ("facts", "specialist")):
        left = ask(curated, f"SELECT samples FROM sources WHERE source = '{source}'").item()
        for step, _, given, kept, _ in sorted(
            (r for r in whole if r[1] == source), key=lambda r: int(r[0].split("-")[0])
        ):
            assert given == left, step
            left = kept
        still = f"SELECT count(*) FROM samples WHERE source = '{source}' AND role = '{role}' AND kept"
        assert ask(curated, still).item() == left


def test_a_scorer_has_one_score_for_every_row_that_the_steps_before_it_kept(curated):
    counts = ask(curated, "SELECT scorer, count(*), count(DISTINCT sample_id) FROM scores GROUP BY 1 ORDER BY 1").rows()
    early, late = 38 + 13, 38 + 13 - 9
    assert counts == [
        *((name, early, early) for name in ("classifier", "complexity", "computed", "early", "given-once")),
        ("judge", late, late),
        ("length", early, early),
        ("novelty", late, late),
    ]
    odd = "SELECT count(*) FROM scores WHERE (status = 'ok') <> (value IS NOT NULL) OR (status = 'ok') <> (why IS NULL)"
    assert ask(curated, odd).item() == 0
    wrong = "SELECT meta->>'row' FROM scores JOIN samples USING (sample_id) WHERE scorer = 'computed' AND value = 1"
    assert set(ask(curated, wrong).to_series()) == {f"p{a - 11}" for a in (15, 20, 25, 30)}


def test_a_blend_holds_only_kept_rows_and_its_condition_is_true_of_each_generalist_row(curated):
    assert ask(curated, "SELECT count(*) FROM blend_members JOIN samples USING (sample_id) WHERE NOT kept").item() == 0
    computed = "SELECT max(value) FROM blend_members JOIN scores USING (sample_id) WHERE scorer = 'computed' AND blend"
    assert ask(curated, f"{computed} = 'near@0'").item() == 0
    assert ask(curated, f"{computed} LIKE 'plain@%'").item() == 1


def test_the_plan_says_what_a_run_does_and_a_second_run_does_nothing(curated, copy, tmp_path):
    before = plan(small_job.job(curated_job.write(tmp_path)))
    assert {row.action for row in before.rows} == {"run"}
    assert {row.stage for row in before.rows} == set(finished(curated))
    after = {row.stage: row for row in plan(small_job.job(copy)).rows}
    assert {row.action for row in after.values()} == {"re-use"}
    rows = counted(copy, "SELECT stage, n_rows FROM stages WHERE kind = 'step'")
    assert {name: after[name].count for name in rows} == rows
    assert again(copy) == set()


def test_the_plan_of_a_changed_step_counts_the_rows_that_it_will_see(copy):
    edit(copy, ("floor: 0.4", "floor: 0.5"))
    planned = {row.stage: row for row in plan(small_job.job(copy)).rows}
    assert {planned[name].action for name in CURATE[:7]} == {"re-use"}
    step = planned["step:8-fuzzy"]
    assert (step.action, step.count, step.at_most) == ("run", 38 + 13 - 2, False)


def test_only_rows_in_conflict_are_judged_and_the_view_pairs_them(curated):
    judged = ask(
        curated,
        "SELECT s.meta->>'row', status, value, why FROM scores JOIN samples s USING (sample_id) WHERE scorer = 'judge'",
    ).rows()
    assert {row[0]: row[2] for row in judged if row[1] == "ok"} == {"p30": 0.2, "p31": 0.2, "e5": 0.8, "e6": 0.2}
    assert {row[1:] for row in judged if row[1] != "ok"} == {("abstained", None, "no step made such a remark on it")}
    pairs = "SELECT conflict_id, count(*), count(DISTINCT prompt), count(DISTINCT response), count(similarity)"
    found = ask(curated, f"{pairs} FROM conflicts GROUP BY 1 ORDER BY 1").rows()
    assert sorted(row[0] for row in found) == sorted(row_id(curated, row) for row in ("p30", "p31"))
    assert {row[1:] for row in found} == {(2, 1, 2, 1)}


def test_a_served_judge_is_asked_of_the_rows_in_conflict_alone(tmp_path):
    with FakeServer(small_job.answer) as server:
        judge = f"{{kind: judge, remarked: [conflict], judge: {small_job.served(server)}}}"
        path = cut(curated_job.write(tmp_path), "{kind: conflict}", judge)
        assert plan(small_job.job(path)).totals()["judge calls"] == 38 + 13  # at most: no step has run
        again(path)
        asked = [prompt for prompt in server.asked if prompt != PROBE]
        assert len(asked) == 4
        assert all("heron" in prompt or "badger" in prompt for prompt in asked)
        edit(path, ("{kind: conflict}", "{kind: conflict, numbers_agree: false}"))
        assert again(path) == {"step:1-conflict", "score:2-judge"}
        assert sum(server.asked.values()) == 4 + server.asked[PROBE]  # the answers are in the cache


def test_what_a_step_found_is_told_by_the_view_and_by_why_and_secrets_are_masked(curated):
    detail = dict(ask(curated, "SELECT reason, detail FROM decisions WHERE step = '11-rules' AND detail <> ''").rows())
    assert detail == {
        "secret": "ap… (26 characters)",
        "email-address": "an… (27 characters)",
        "no-output": "<nooutput>",
        "url-only": "https://tides.org/why",
    }
    with Manifest(folder(curated)) as opened:
        assert "overlaps eval, witness" in str(opened.why(row_id(curated, "e11")).rows())
        assert ": tell me the capital city of cuba please" in str(opened.why(row_id(curated, "e11")).rows())
        told = opened.why(row_id(curated, "e7")).rows()
    assert ("kept", "11-rules", "secret: ap… (26 characters)") in {row[1:4] for row in told}
    for table in ("decisions", "scores", "verdicts", "funnel", "blend_members"):
        text = str(ask(curated, f"FROM {table}").rows())
        assert SECRET not in text
        assert "lindqvist" not in text


def test_other_values_of_a_scorer_choose_other_duplicates_and_leave_the_rest_alone(copy):
    assert dropped(copy, "8-fuzzy") == {"e2": "p22", "p23": "e3"}
    edit(copy, ("column: value", "column: other"))
    ran = again(copy)
    assert dropped(copy, "7-exact") == {"e0": "p20", "p21": "e1"}
    assert dropped(copy, "8-fuzzy") == {"p22": "e2", "e3": "p23"}
    assert not ran & {*CURATE[:2], *CURATE[3:6], "read:pool"}
    assert set(CURATE[6:]) | {"score:3-imported"} <= ran


def test_a_scorer_that_no_step_reads_runs_no_step_again(copy):
    edit(copy, ("{kind: length, unit: words}", "{kind: length}"))
    ran = again(copy)
    assert ran == {"score:1-length", *BLENDS}


def test_scorers_that_are_run_again_see_the_rows_that_they_would_see_in_a_new_job(copy, tmp_path):
    changes = (("folds: 3", "folds: 4"), ("hash, name: early", "hash, key: both, name: early"))
    fresh = edit(curated_job.write(tmp_path), *changes)
    again(fresh)
    assert again(edit(copy, *changes)) == {"score:5-classifier", "score:6-novelty", *BLENDS}
    assert content(copy) == content(fresh)


@pytest.mark.parametrize(
    ("name", "hint"), [("novelty", ""), ("nobody", "valid: "), ("given-one", "did you mean 'given-once'?")]
)
def test_a_measure_of_merit_by_a_scorer_that_stands_later_or_nowhere_is_refused_with_its_line(tmp_path, name, hint):
    path = edit(curated_job.write(tmp_path), ("prefer: [low given-once, length]", f"prefer: [low {name}]"))
    message = refused(path)
    assert f"{path}:15: no earlier scorer has this name: '{name}'" in message
    assert "put a scorer of this name before the step that reads it" in message
    assert hint in message


def test_nothing_depends_on_the_order_of_rows_workers_batch_or_hash_seed(curated, tmp_path):
    path = curated_job.write(tmp_path)
    curated_job.shuffle(path, 7)
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(small_job.ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*small_job.COMMAND, "run", str(path), "--workers", "2", "--batch", "3"],
        check=True,
        env=environment,
        capture_output=True,
    )
    assert content(path) == content(curated)


@pytest.mark.parametrize("head", ["commercial: true\nengine: local", "engine: {kind: local, workers: 2}"])
def test_a_commercial_job_and_other_engines_give_the_same_manifest(curated, tmp_path, head):
    path = curated_job.write(tmp_path, f"{curated_job.TEXT}{head}\n")
    assert again(path)
    assert content(path) == content(curated)


def test_another_threshold_selects_among_the_stored_pairs_and_runs_nothing_before(copy):
    (pairs,) = (folder(copy) / "cache" / "pairs").iterdir()
    before = pairs.stat().st_mtime_ns
    edit(copy, ("threshold: 0.6, floor", "threshold: 0.935, floor"))
    ran = again(copy)
    assert dropped(copy, "8-fuzzy") == {"e2": "p22"}
    assert not ran & {*CURATE[:7], "read:pool", "read:extra"}
    assert set(CURATE[7:]) <= ran
    assert list((folder(copy) / "cache" / "pairs").iterdir()) == [pairs]
    assert pairs.stat().st_mtime_ns == before


def test_rows_are_compared_with_those_of_an_earlier_job_which_stay(curated, tmp_path):
    path = cut(curated_job.write(tmp_path), "{kind: fuzzy, threshold: 0.6, index: data/old.parquet}")
    with Manifest(folder(curated)) as opened:
        write_index(
            opened.sql("FROM samples WHERE meta->>'row' IN ('e2', 'p24')"), path.parent / "data" / "old.parquet"
        )
    again(path)
    found = dropped(path, "1-fuzzy")
    assert found["p22"] == "e2"  # a row of the index comes first
    assert "p24" not in found
    extra = path.parent / "data" / "extra.jsonl"
    extra.write_text("".join(line for line in extra.open() if "Good luck" not in line), "utf-8")
    again(path)  # the row of the index is no sample here any more
    detail = ask(path, "SELECT detail FROM decisions JOIN samples s USING (sample_id) WHERE s.meta->>'row' = 'p22'")
    assert detail.item() == "the witness is a row of the index, source extra"


def test_another_index_file_of_the_same_name_runs_the_step_again(curated, tmp_path):
    path = cut(curated_job.write(tmp_path), "{kind: fuzzy, threshold: 0.6, index: data/old.parquet}")
    old = path.parent / "data" / "old.parquet"
    assert re.search(r"job.yaml:\d+: .*no such", refused(path))
    with Manifest(folder(curated)) as opened:
        write_index(opened.sql("FROM samples WHERE meta->>'row' = 'e2'"), old)
        again(path)
        write_index(opened.sql("FROM samples WHERE meta->>'row' = 'p22'"), old)
    assert again(path) == {"step:1-fuzzy"}
    assert dropped(path, "1-fuzzy")["e2"] == "p22"


def test_a_number_of_rows_may_be_asked_for_instead_of_a_threshold(tmp_path):
    path = cut(curated_job.write(tmp_path), "{kind: fuzzy, floor: 0.4, keep: 48}")
    again(path)
    assert ask(path, "SELECT sum(n_kept)::INT FROM funnel").item() <= 48
    details = ask(path, "SELECT DISTINCT detail FROM decisions WHERE NOT kept")["detail"].to_list()
    assert len(details) == 1
    assert re.fullmatch(r"threshold 0\.\d+ leaves 4[78] rows, 48 asked for", details[0])
    edit(path, ("keep: 48", "keep: 4"))
    assert "more than the size asked for: 4" in refused(path)
    edit(path, ("floor: 0.4, ", ""))
    assert f"{path}:8: `keep` needs a floor: 4" in refused(path)


def test_a_source_that_would_vanish_stops_the_job_and_keeps_what_came_before(tmp_path):
    path = cut(curated_job.write(tmp_path), "{kind: exact}", "{kind: fuzzy, threshold: 0.6, max_removed_share: 0.05}")
    assert refused(path) == (
        f"{path}:9: near-duplicate removal would take more than 5.0% of a source: ['extra']\n"
        "  loss by source: extra: 1 of 13 (7.7%); pool: 1 of 36 (2.8%)\n"
        "  raise `threshold`, set `max_shingle_rows` (templates), compare another `key`, or raise `max_removed_share`"
    )
    assert set(finished(path)) == {"read:pool", "read:extra", "read:facts", "read:held-out", "step:1-exact"}


def test_a_job_that_is_stopped_at_every_stage_in_turn_ends_like_one_that_never_was(curated, tmp_path):
    path = curated_job.write(tmp_path)
    unfinished = set()
    for at, stage in enumerate(CURATE):
        with pytest.raises(Interrupted):
            go(path, reporter=Stopping(stage))
        assert broken(path) == []
        found = set(finished(path)) & set(CURATE)
        assert found in (set(CURATE[:at]), set(CURATE[: at + 1]))
        unfinished |= {stage} - found
    long = ("complexity", "imported", "computed", "classifier", "novelty", "fuzzy", "semantic")
    assert unfinished >= {name for name in CURATE if name.endswith(long)}
    assert again(path) >= BLENDS
    assert content(path) == content(curated)
