"""Bases, worker processes, requests and the tables of runs."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from manifests.component import Context
from manifests.errors import Interrupted, UserError
from manifests.jobs import training
from manifests.jobs.spec import load_job
from manifests.jobs.stages import Stage, data_stages, training_stages
from manifests.store import StageRecord, Store
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import edit, ids, manifest

CONTEXT = Context(Path())


def stage(position=0, kind="measure"):
    return Stage(f"{kind}:a@{position}", kind, None, "k", position, "{}", 0, f"a@{position}")


def test_a_made_base_is_known_by_what_it_learnt(done, tmp_path):
    job = small_job.job(done)
    known = training.base_identity(job, data_stages(job))
    assert known
    other = small_job.job(done, manifest=tmp_path)
    assert training.base_identity(other, data_stages(other)) is None  # not made there yet


def test_a_base_folder_is_known_by_its_weights_and_not_by_its_place(done, tmp_path):
    import shutil

    job = small_job.job(done)
    built = training.base_path(job, data_stages(job), job.manifest)
    moved = shutil.copytree(built, tmp_path / "moved")

    def known(base):
        given = small_job.job(done, train=dataclasses.replace(job.train, base=str(base)))
        return training.base_identity(given, [])

    assert known(built) == known(moved) != known("org/model")
    weights = moved / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert known(moved) != known(built)


def test_a_job_without_training_needs_no_base(done):
    assert training.base_identity(small_job.job(done, train=None), []) == ""


def test_a_request_holds_the_rows_to_fit_or_the_examples_to_measure(copy):
    job = small_job.job(copy)
    data = data_stages(job)
    with Store(manifest(copy)) as store:
        fit, measure = training_stages(job, data, {"near@1": ids(copy)["blend near@1"]}, "b")[:2]
        asked = training.request(job, store, fit, "base", Path("stop"))
        assert (asked.run, asked.seed, len(asked.rows), asked.tasks) == ("near@1", 1, 24, ())
        assert asked.tags["blend_content_id"] == ids(copy)["blend near@1"]
        assert asked.out == store.root / "runs" / "near@1"
        asked = training.request(job, store, measure, "", Path("stop"))
        assert (asked.rows, len(asked.tasks), len(asked.tasks[0][1])) == ((), 1, 3)


def test_a_run_is_recorded_with_its_figures_or_with_its_failure(done):
    from trainers.trainer import Fitted

    job = small_job.job(done)
    fitted = Fitted(Path("x"), "c", 4, 100, 1.5, 1000)
    good = training.run_tables(job, stage(kind="train"), "/m/bases/scratch", fitted, "")["runs"].row(0, named=True)
    assert (good["status"], good["content_id"], good["steps"], good["note"]) == ("done", "c", 4, None)
    assert good["base"] == "scratch:scratch"
    bad = training.run_tables(job, stage(kind="train"), "b", None, "too long")["runs"].row(0, named=True)
    assert (bad["status"], bad["content_id"], bad["note"]) == ("failed", None, "too long")


def test_what_vllm_measures_goes_to_one_worker_and_the_first_run_is_measured_twice(copy):
    from trainers.trainer import Measured

    edit(copy, ("limit: 3}", "limit: 3, engine: vllm}"), ("error_budget: 0.1\n", "baselines: [base, copy]\n"))
    job = load_job(copy, extras=False)
    with Store(manifest(copy)) as store:
        content = dict(store.query("SELECT blend, content_id FROM blends ORDER BY blend").iter_rows())
        measures = [s for s in training_stages(job, data_stages(job), content, "b") if s.kind == "measure"]
        first, again = measures[:2]
        assert [stage.parent for stage in (first, again)] == ["near@0", "near@0/again"]
        assert sum(stage.parent.endswith("/again") for stage in measures) == 1
        assert first.key != again.key
        apart, together = training.exams(job, measures, 2)
        assert [stage.parent for stage in apart] == ["copy"]
        assert {stage.parent for stage in together} == {*content, "near@0/again", "base"}
        once, twice = (training.request(job, store, one, "b", Path("stop")) for one in (first, again))
        assert once.out == twice.out
        assert once.tasks[0][1] == twice.tasks[0][1][::-1]
        known = store.query("SELECT example_id, metric, value FROM store.results WHERE run = 'near@0'").rows()
        moved = [("capitals", Measured(example, metric, value - 0.25)) for example, metric, value in known]
        record = StageRecord(again.name, again.kind, again.key, again.spec, again.position)
        store.commit(record, training.result_tables(again, moved))
        found = training.compare_tables(job, store)["comparisons"].sort("blend_b").rows(named=True)
    assert [(row["blend_a"], row["blend_b"]) for row in found] == [("near@0", "near@0/again"), ("near", "plain")]
    assert found[0]["difference"] == pytest.approx(0.25)
    assert found[0]["n_seeds"] == 1


def completed(value=None, error=None):
    future: Future = Future()
    future.set_exception(error) if error is not None else future.set_result(value)
    return future


def test_results_are_handed_over_in_the_order_of_the_stages_and_errors_after_them(tmp_path):
    seen = []
    with training.workers(1, tmp_path) as pool:
        futures = {completed(i): stage(i) for i in (2, 0)}
        futures[completed(error=UserError("no"))] = stage(1)
        pool.gather(futures, CONTEXT, lambda s, result: seen.append((s.position, str(result))))
    assert seen == [(0, "0"), (2, "2"), (1, "no")]


def test_a_stop_cancels_what_waits_and_tells_the_workers(tmp_path):
    waiting: Future = Future()
    with training.workers(1, tmp_path) as pool:
        pool.stop.parent.mkdir(parents=True)
        with pytest.raises(Interrupted):
            pool.gather({waiting: stage()}, Context(Path(), stopping=lambda: True), lambda s, result: None)
        assert waiting.cancelled()
        assert pool.stop.exists()
    assert not pool.stop.exists()


def test_the_mark_of_an_earlier_stop_is_removed(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "stop").touch()
    with training.workers(1, tmp_path) as pool:
        assert not pool.stop.exists()


def test_a_worker_that_dies_is_a_message_and_not_a_traceback(tmp_path):
    with training.workers(1, tmp_path) as pool:
        future = pool.submit(os._exit, 1)
        with pytest.raises(UserError, match="worker process died during measure:a@0"):
            pool.gather({future: stage()}, CONTEXT, lambda s, result: None)


def test_signals_before_a_worker_has_its_handlers_do_not_end_it(tmp_path):
    with training.workers(1, tmp_path) as pool:
        future = pool.submit(os.getpid)
        (worker,) = pool._pool._processes
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker, number)
        assert future.result(60) == worker
        time.sleep(0.05)
        assert pool.submit(os.getpid).result(60) == worker
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
