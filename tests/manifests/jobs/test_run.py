"""Running a job: what is done, what is done again, and what is left alone."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import threading

import pytest

from manifests.errors import BusyError, ContaminationError, Interrupted, UserError
from manifests.jobs import execute, training
from manifests.jobs.plan import plan
from manifests.jobs.progress import Silent
from manifests.jobs.run import run
from manifests.lock import Lock
from manifests.store import Manifest, Store
from tests.curate.fake_server import SURE, Action, FakeServer
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, broken, edit, finished, go, ids, manifest

DECONTAMINATE = "  - {kind: decontaminate, ngram: 6}\n"
LEAK = {"question": "Tell me the capital city of Cuba, please.", "answer": "Havana"}


def digest(path):
    return hashlib.sha256((manifest(path) / "manifest.duckdb").read_bytes()).hexdigest()


def again(path):
    """Run the job and return the stages that were run and the stages that went."""
    before = finished(path)
    outcome = go(path)
    after = finished(path)
    ran = {name for name, at in after.items() if before.get(name) != at}
    assert outcome.ran == len(ran)
    assert broken(path) == []
    return ran, set(before) - set(after)


def kinds(names):
    return {name.split(":")[0] for name in names}


def test_a_run_ends_with_every_stage_published_and_no_law_broken(done):
    assert kinds(small_job.keys(done)) == set(small_job.KINDS)
    assert broken(done) == []
    assert ask(done, "SELECT count(*) FROM runs WHERE status = 'done'").item() == 4
    assert ask(done, "SELECT count(*) FROM leaderboard").height == 1
    assert ask(done, "SELECT count(*) FROM results").item() == 4 * 3
    assert ask(done, "SELECT blend_a, blend_b FROM comparisons").height == 1


def test_rows_are_conserved_from_the_source_to_the_blend(done):
    sources = ask(done, "SELECT source, rows, samples, rejects FROM sources ORDER BY source").rows()
    assert sources == [("facts", 12, 12, 0), ("held-out", 4, 4, 0), ("pool", 40, 38, 2)]
    steps = ask(
        done, "SELECT step, source, n_in, n_kept, n_dropped FROM funnel WHERE reason IS NULL ORDER BY step, source"
    ).rows()
    assert steps == [
        ("1-exact", "pool", 38, 37, 1),
        ("2-rules", "pool", 37, 37, 0),
        ("3-decontaminate", "facts", 12, 12, 0),
        ("3-decontaminate", "pool", 37, 36, 1),
    ]
    assert ask(done, "SELECT count(*), count(value) FROM scores").row(0) == (36, 36)
    assert ask(done, "SELECT count(*) FROM blend_members m JOIN samples s USING (sample_id) WHERE NOT kept").item() == 0
    shares = ask(done, "SELECT blend, n_rows FROM blends ORDER BY blend").rows()
    assert shares == [("near@0", 24), ("near@1", 24), ("plain@0", 28), ("plain@1", 28)]


def test_a_condition_holds_for_every_generalist_row_of_its_blend(done):
    worst = "SELECT max(p_error) FROM blend_members m JOIN verdicts v USING (sample_id) WHERE blend LIKE '{}@%'"
    assert ask(done, worst.format("near")).item() == 0.1
    assert ask(done, worst.format("plain")).item() == 0.9


def test_a_second_run_does_nothing_and_leaves_the_file_as_it_is(copy):
    before = digest(copy)
    outcome = go(copy)
    assert (outcome.ran, outcome.reused, outcome.exit_code) == (0, 22, 0)
    assert outcome.message.startswith("nothing to do, 22 re-used")
    assert digest(copy) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("checkpoint_steps", ""), ("notes: A test.", "notes: Other words."), ("error_budget: 0.1", "error_budget: 0.5")],
)
def test_an_inert_field_runs_nothing(copy, old, new):
    edit(copy, ("max_tokens: 64", "max_tokens: 64\n  checkpoint_steps: 3") if old == "checkpoint_steps" else (old, new))
    assert again(copy) == (set(), set())


def test_notes_are_published_though_no_stage_is_run(copy):
    edit(copy, ("notes: A test.", "notes: Other words."))
    go(copy)
    with Manifest(manifest(copy)) as opened:
        assert opened.meta()["notes"] == "Other words."


def test_a_bound_of_memory_runs_nothing_and_is_recorded_until_it_is_taken_out(copy):
    edit(copy, ("notes: A test.", "notes: A test.\nmemory: 500"))
    assert again(copy) == (set(), set())
    with Manifest(manifest(copy)) as opened:
        assert opened.sql("SELECT current_setting('memory_limit') AS m").item() == "476.8 MiB"
    edit(copy, ("\nmemory: 500", ""))
    assert again(copy) == (set(), set())
    with Manifest(manifest(copy)) as opened:
        assert opened.meta()["memory"] == ""


def test_a_changed_step_that_keeps_the_same_rows_trains_nothing_again(copy):
    edit(copy, ("ngram: 6", "ngram: 5"))
    before = ids(copy)
    ran, _ = again(copy)
    assert kinds(ran) == {"step", "score", "cells", "mix", "base"}
    assert {"step:1-exact", "step:2-rules"}.isdisjoint(ran)
    assert ids(copy) == before


def test_a_changed_recipe_trains_only_what_it_draws_anew(copy):
    edit(copy, ("rows: 16", "rows: 15"))
    ran, _ = again(copy)
    assert ran == {
        *(f"{kind}:plain@{seed}" for kind in ("mix", "train") for seed in (0, 1)),
        *(f"measure:plain@{seed}:capitals" for seed in (0, 1)),
        "compare:all",
    }


def test_a_changed_job_gives_what_a_fresh_run_of_it_gives(copy, fresh):
    for path in (copy, fresh):
        edit(path, ("keep: [wrong]", "keep: [wrong], limit: 30"))
    ran, _ = again(copy)
    assert "train:plain@0" in ran
    assert "read:facts" not in ran
    go(fresh)
    assert ids(copy) == ids(fresh)
    same = "SELECT run, example_id, value FROM results ORDER BY ALL"
    assert ask(copy, same).equals(ask(fresh, same))


def test_a_longer_training_keeps_the_blends_and_the_base(copy):
    edit(copy, ("  steps: 4\n", "  steps: 5\n"))
    assert kinds(again(copy)[0]) == {"train", "measure", "compare"}


def test_a_removed_recipe_is_pruned_and_the_rest_compared_again(copy):
    text = copy.read_text("utf-8")
    copy.write_text("".join(line for line in text.splitlines(keepends=True) if "name: near" not in line), "utf-8")
    ran, gone = again(copy)
    assert ran == {"compare:all"}
    assert len(gone) == 1 + 2 * 3  # its space, and three stages a seed
    assert ask(copy, "SELECT DISTINCT recipe FROM blends").item() == ask(copy, "SELECT recipe FROM blends").row(0)[0]
    for table in ("blend_members", "strata"):
        assert ask(copy, f"SELECT count(*) FROM {table} WHERE blend LIKE 'near%'").item() == 0
    assert ask(copy, "SELECT count(*) FROM results WHERE run LIKE 'near%'").item() == 0
    assert ask(copy, "SELECT blend FROM leaderboard")["blend"].to_list() == ["plain"]


def test_a_source_and_a_step_may_go_and_come_at_once(copy):
    small_job.without_training(copy)
    source = "  - {name: held-out, path: data/held-out.jsonl, format: question-answer, role: eval, task: capitals"
    source += ", licence: CC0-1.0}\n"
    edit(copy, (source, ""), (DECONTAMINATE, "  - {kind: fuzzy, threshold: 0.9}\n"))
    ran, gone = again(copy)
    assert "step:1-exact" not in ran
    assert "read:held-out" in gone


def test_a_job_without_recipes_and_training_ends_with_its_scores(fresh):
    text = fresh.read_text("utf-8")
    fresh.write_text(text[: text.index("mix:")] + "error_budget: 0.1\n", "utf-8")
    outcome = go(fresh)
    assert (outcome.ran, outcome.exit_code) == (7, 0)
    assert ask(fresh, "SELECT count(*) FROM blends").item() == 0
    assert go(fresh).ran == 0


def test_blends_and_runs_do_not_depend_on_workers_batch_or_order_of_rows(done, fresh):
    pool = fresh.parent / "data" / "pool.jsonl"
    rows = pool.read_text("utf-8").splitlines(keepends=True)
    random.Random(3).shuffle(rows)
    pool.write_text("".join(rows), "utf-8")
    go(fresh, batch=3, workers=2)
    assert ids(fresh) == ids(done)


def test_worker_processes_give_what_this_process_gives(done, tmp_path):
    path = small_job.write(tmp_path)
    assert go(path, workers=2, batch=5).exit_code == 0
    assert ids(path) == ids(done)
    assert ask(path, "FROM leaderboard").equals(ask(done, "FROM leaderboard"))


def test_more_rows_than_the_pool_has_is_refused_with_both_counts(fresh):
    edit(small_job.without_training(fresh), ("rows: 16", "rows: 500"))
    with pytest.raises(UserError) as caught:
        go(fresh)
    assert "500" in str(caught.value)
    assert "36" in str(caught.value)
    assert "score" in kinds(small_job.keys(fresh))  # what came before is kept


def test_a_failed_run_is_recorded_and_tried_again_the_next_time(copy):
    edit(copy, ("max_tokens: 64", "max_tokens: 100"))
    for _ in range(2):
        outcome = go(copy)
        assert outcome.exit_code == 1
        assert "4 runs failed" in outcome.message
        assert outcome.ran == 5  # four runs and the comparison
    runs = ask(copy, "SELECT DISTINCT status, steps, content_id FROM runs").rows()
    assert runs == [("failed", None, None)]
    with Store(manifest(copy)) as store:
        note = store.query("SELECT DISTINCT note FROM store.runs").item()
    assert "max_tokens is more than the base model takes" in note
    assert ask(copy, "SELECT count(*) FROM results").item() == 0
    assert broken(copy) == []


def test_what_a_mended_run_gives_is_compared_with_the_others(copy, done, monkeypatch):
    from trainers.full import Full

    fit, before = Full.fit, ids(copy)
    shutil.rmtree(manifest(copy) / "runs")
    edit(copy, ("  steps: 4\n", "  steps: 5\n"))
    failing = {"near@0"}

    def sometimes(self, rows, base, seed, out, context, tags=None):
        if out.name in failing:
            raise UserError("the machine has a cold", value=out.name)
        return fit(self, rows, base, seed, out, context, tags)

    monkeypatch.setattr(Full, "fit", sometimes)
    assert go(copy).exit_code == 1
    assert dict(ask(copy, "SELECT blend, n_seeds FROM leaderboard").iter_rows()) == {"near": 1, "plain": 2}
    failing.clear()
    outcome = go(copy)
    assert (outcome.ran, outcome.exit_code) == (3, 0)
    assert dict(ask(copy, "SELECT blend, n_seeds FROM leaderboard").iter_rows()) == {"near": 2, "plain": 2}
    assert {name for name, value in ids(copy).items() if before[name] != value} == {
        f"run {name}@{seed}" for name in ("near", "plain") for seed in (0, 1)
    }


def test_lost_weights_are_made_again_when_they_are_to_be_measured(copy):
    before = ids(copy)
    shutil.rmtree(manifest(copy) / "runs" / "near@1")
    assert go(copy).ran == 0
    edit(copy, ("limit: 3", "limit: 2"))
    ran, _ = again(copy)
    assert {name for name in ran if name.startswith("train")} == {"train:near@1"}
    assert ids(copy) == before


def test_a_lost_export_is_written_again_and_nothing_else(copy):
    shutil.rmtree(manifest(copy) / "blends" / "near@1")
    assert again(copy)[0] == {"mix:near@1"}
    assert (manifest(copy) / "blends" / "near@1" / "README.md").exists()


def test_eval_rows_in_a_blend_are_refused_before_anything_is_trained(fresh):
    edit(fresh, (DECONTAMINATE, ""), ("rows: 16", "rows: all"))
    with (fresh.parent / "data" / "facts.jsonl").open("a") as file:
        file.write(json.dumps(LEAK) + "\n")
    for _ in range(2):
        with pytest.raises(ContaminationError, match="overlap eval rows") as caught:
            go(fresh)
        assert caught.value.exit_code == 2
        assert "decontaminate" in caught.value.remedy
        assert "train" not in kinds(small_job.keys(fresh))


def test_new_eval_rows_that_a_trained_blend_holds_are_refused_too(copy):
    edit(copy, (DECONTAMINATE, ""))
    edit(copy, ("rows: 16", "rows: 36"))
    with (copy.parent / "data" / "pool.jsonl").open() as file:
        rows = [line for line in file if "Cuba" not in line]
    (copy.parent / "data" / "pool.jsonl").write_text("".join(rows))
    assert go(copy).exit_code == 0
    asked = {"question": "What is 1 plus 3?", "answer": "4"}
    with (copy.parent / "data" / "held-out.jsonl").open("a") as file:
        file.write(json.dumps(asked) + "\n")
    with pytest.raises(ContaminationError):
        go(copy)


def test_the_error_budget_decides_the_exit_code(fresh):
    small_job.without_training(fresh)
    assert go(fresh).exit_code == 0  # 2 of 56 rows are rejects, 0.1 are tolerated
    for budget, code in ((0.03, 1), (0.036, 0), (0.0, 1)):
        outcome = run(small_job.job(fresh, error_budget=budget))
        assert (outcome.ran, outcome.exit_code) == (0, code)
        assert "2 of 56 rows rejected" in outcome.message
        assert ("error budget" in outcome.message) == (code == 1)


def test_failed_verdicts_count_against_the_budget(here, tmp_path):
    def mumbling(prompt, before, request):
        return Action({" the": 0.9} if "is 1 plus" in prompt or "is 2 plus" in prompt else SURE)

    with FakeServer(mumbling) as server:
        path = small_job.without_training(small_job.write(tmp_path, small_job.served(server)))
        edit(path, ("error_budget: 0.1", "error_budget: 0.05"))
        outcome = go(path)
    assert outcome.exit_code == 1
    assert "2 of 36 scores failed" in outcome.message
    failed = ask(path, "SELECT status, value FROM scores WHERE why LIKE 'off the menu%'").rows()
    assert failed == [("failed", None)] * 2


def test_only_one_process_writes(copy):
    lock = Lock(manifest(copy))
    try:
        with pytest.raises(BusyError, match="process") as caught:
            go(copy)
        assert caught.value.exit_code == 3
    finally:
        lock.release()
    assert go(copy).ran == 0


def test_a_kill_between_writing_and_publishing_is_made_good(copy, monkeypatch):
    edit(copy, ("limit: 3", "limit: 2"))

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        commit = Store.commit
        written = []
        patch.setattr(Store, "commit", lambda self, *given: (commit(self, *given), written.append(given[0].stage))[0])
        patch.setattr(Store, "publish", lambda self: killed(self) if written[-1:] == ["compare:all"] else None)
        with pytest.raises(KeyboardInterrupt):
            go(copy)
    assert "compare:all" in written
    assert go(copy).ran == 0
    assert ask(copy, "SELECT count(*) FROM results").item() == 4 * 2
    assert ask(copy, "SELECT n_examples FROM leaderboard").rows() == [(2,), (2,)]


def test_a_damaged_published_copy_is_replaced(copy):
    good = digest(copy)
    (manifest(copy) / "manifest.duckdb").write_bytes(b"not a database")
    assert go(copy).ran == 0
    assert ask(copy, "SELECT count(*) FROM runs").item() == 4
    assert broken(copy) == []
    assert good


def test_a_lost_work_file_is_made_from_the_published_copy(copy):
    shutil.rmtree(manifest(copy) / "work")
    assert go(copy).ran == 0
    assert broken(copy) == []


def measured(path):
    frame = ask(path, "SELECT metric, value FROM quality WHERE scorer = 'judge' AND measured_on = 'meta.wrong'")
    return dict(frame.iter_rows())


def test_the_judge_s_quality_follows_its_truth_though_no_stage_of_the_job_is_run(copy):
    assert measured(copy) == {}
    edit(copy, ("{kind: judge, ", "{kind: judge, truth: wrong, "))
    assert again(copy) == ({"quality:judge"}, set())
    found = measured(copy)
    assert found["recall"] == 1.0  # every wrong row is called wrong
    assert 0.8 < found["precision"] < 1.0  # and row 1 too
    assert {"baseline_words_auroc", "gain_auroc", "prevalence_ppi"} <= set(found)
    assert again(copy) == (set(), set())
    edit(copy, ("truth: wrong, ", ""))
    assert again(copy) == (set(), {"quality:judge"})
    assert measured(copy) == {}


def test_a_kill_before_the_judge_was_evaluated_is_made_good(fresh, monkeypatch):
    from manifests.jobs import quality

    edit(small_job.without_training(fresh), ("{kind: judge, ", "{kind: judge, truth: wrong, "))
    with monkeypatch.context() as patch:
        patch.setattr(quality, "record", lambda job, store, planned: 0)
        go(fresh)
    assert measured(fresh) == {}
    assert go(fresh).ran == 1
    assert measured(fresh)["recall"] == 1.0


def test_labels_by_hand_outlive_a_run_and_run_again_only_what_reads_them(fresh, tmp_path):
    from manifests.labelling import import_labels

    edit(
        small_job.without_training(fresh),
        ("mix:\n", "  - {kind: calibrated, of: judge, labels: true, min_labels: 1, name: certified}\nmix:\n"),
        ("p_error < 0.5", "judge < 0.5"),  # p_error is the last judge's, which says nothing without labels
    )
    go(fresh)
    rows = ask(fresh, "SELECT sample_id, p_error FROM verdicts WHERE judge = 'judge' AND status = 'ok' ORDER BY ALL")
    names = {True: "wrong", False: "correct"}
    for by, n in (("ann", 6), ("bob", 9)):
        lines = [
            json.dumps({"sample_id": name, "label": names[p > 0.5], "drawn": "drawn random 0.5"})
            for name, p in [*rows.head(n).iter_rows(), *rows.tail(3).iter_rows(), *rows.filter(rows["p_error"] > 0.5)
                            .head(2).iter_rows()]
        ]  # fmt: skip
        (tmp_path / "labels.jsonl").write_text("\n".join(lines))
        import_labels(manifest(fresh), tmp_path / "labels.jsonl", by)
        ran, gone = again(fresh)
        assert gone == set()
        assert {name.split(":")[0] for name in ran} == {"score", "mix", "quality"}
        assert "score:5-calibrated" in ran
        assert "score:4-judge" not in ran
        assert again(fresh) == (set(), set())
        assert ask(fresh, "SELECT count(DISTINCT labelled_by) FROM labels").item() == 1 + (by == "bob")
    assert ask(fresh, "SELECT count(*) FROM quality WHERE measured_on = 'labels' AND metric = 'auroc'").item() == 2


class Stopping(Silent):
    """Asks to stop as a stage begins or, with `inside`, as it advances."""

    def __init__(self, stage, *, inside=False):
        self.stage, self.inside, self.running, self.closed = stage, inside, "", False

    def start(self, stage, count, unit):
        self.running = stage
        if not self.inside and stage.startswith(self.stage):
            self._ask()

    def advance(self, done, total):
        if self.inside and self.running.startswith(self.stage):
            self._ask()

    def close(self):
        self.closed = True

    def _ask(self):
        import signal

        signal.raise_signal(signal.SIGINT)
        self.stage = "never again"


@pytest.mark.parametrize("kind", ["step", "score", "mix", "base", "train", "measure"])
def test_a_stop_at_any_stage_keeps_what_is_finished_and_goes_on(fresh, done, kind):
    reporter = Stopping(kind)
    if kind in ("step", "score", "mix"):
        small_job.without_training(fresh)
    with pytest.raises(Interrupted) as caught:
        go(fresh, reporter=reporter)
    assert caught.value.exit_code == 130
    assert reporter.closed
    assert broken(fresh) == []
    stopped = small_job.keys(fresh)
    assert "read:pool" in stopped
    assert {"compare:all", "mix:near@1" if kind == "mix" else "compare:all"}.isdisjoint(stopped)
    outcome = go(fresh)
    assert outcome.exit_code == 0
    assert outcome.reused >= len(stopped) - 4
    assert ids(fresh).items() <= ids(done).items()


def test_a_stop_while_judging_repeats_no_finished_call(here, tmp_path):
    with FakeServer(small_job.answer) as server:
        path = small_job.without_training(small_job.write(tmp_path, small_job.served(server)))
        with pytest.raises(Interrupted, match="asking"):
            go(path, reporter=Stopping("score", inside=True))
        assert 0 < len(server.asked) < 36
        assert go(path).exit_code == 0
        assert len(server.asked) == 36 + 1
        assert small_job.repeats(server) <= 2 * 2  # those that were with its two connections


def test_a_job_may_run_in_a_thread_that_cannot_take_signals(copy):
    found = []
    thread = threading.Thread(target=lambda: found.append(go(copy)))
    thread.start()
    thread.join()
    assert found[0].ran == 0


def test_a_step_that_answers_for_others_is_a_bug_and_writes_nothing(fresh, monkeypatch):
    from curate.exact import Exact
    from manifests.errors import ConservationError

    decide = Exact.decide
    monkeypatch.setattr(
        Exact,
        "decide",
        lambda self, samples, reference, context: decide(self, samples, reference, context).with_columns(
            sample_id=decide(self, samples, reference, context)["witness_id"] + "0"
        ),
    )
    with pytest.raises(ConservationError, match="1 of them not among those given"):
        go(fresh)
    assert set(small_job.keys(fresh)) == {"read:pool", "read:facts", "read:held-out"}


def test_plan_counts_what_run_then_does(fresh):
    first = plan(small_job.job(fresh))
    outcome = go(fresh)
    assert first.totals()["run"] == outcome.ran == 22
    assert first.totals()["training steps"] == 16
    assert outcome.reused == first.totals()["re-use"] == 0


def test_every_kind_of_data_stage_has_its_work():
    assert set(execute.WORK) | {"base", "train", "measure", "compare"} == set(small_job.KINDS)
    assert training.STOP_SECONDS > 0
