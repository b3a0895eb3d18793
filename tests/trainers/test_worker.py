"""Workers: a request is made into a run in another process, which does not outlive its parent."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from manifests.component import spec_of
from manifests.errors import Interrupted, UserError
from trainers import worker
from trainers.lora import Lora
from trainers.scratch import Scratch
from trainers.tasks.loglik import Loglik
from trainers.trainer import TASKS, TRAINERS, Example, Fitted, Request

EXAMPLES = (
    Example("e1", (("user", "Where does Ada live?"),), ("Rome",)),
    Example("e2", (("user", "Where does Ben live?"),), ("Oslo",)),
)
TASK = Loglik(name="cities", source="cities")


@pytest.fixture
def request_of(base, rows, tmp_path):
    def make(name="run", **fields) -> Request:
        trainer = Lora(base=str(base), steps=5, lr=1e-2, batch_tokens=256, max_tokens=64)
        return Request(
            run=name,
            trainer=worker.describe(trainer),
            base=str(base),
            seed=3,
            rows=rows,
            out=tmp_path / name,
            tags={"blend": "b"},
            tasks=((worker.describe(TASK), EXAMPLES),),
            **fields,
        )

    return make


@pytest.mark.parametrize(
    "trainer",
    [
        Lora(base="x", checkpoint_steps=7, threads=2, targets=("q_proj", "v_proj")),
        Lora(base=Scratch(width=64, threads=2)),
    ],
)
def test_a_component_is_made_again_from_its_description(trainer):
    assert worker.build(TRAINERS, worker.describe(trainer)) == trainer
    plain = worker.build(TRAINERS, spec_of(trainer))
    assert spec_of(plain) == spec_of(trainer)
    assert plain.threads == 1


def test_a_description_of_another_version_or_kind_is_refused():
    spec = worker.describe(Lora(base="x"))
    with pytest.raises(UserError, match="another version"):
        worker.build(TRAINERS, {**spec, "version": 99})
    with pytest.raises(UserError, match="did you mean 'lora'"):
        worker.build(TRAINERS, {**spec, "kind": "lorra"})
    assert worker.build(TASKS, worker.describe(TASK)) == TASK


def test_a_pool_fits_and_measures_as_this_process_does(request_of):
    here, found = worker.run(request_of("here"))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=worker.start) as pool:
        future = pool.submit(worker.run, request_of("there"))
        there, again = future.result(timeout=300)
    assert there.content_id == here.content_id
    assert there.path.name == "there"
    assert again == found
    assert [(task, one.example_id, one.metric) for task, one in found] == [
        ("cities", "e1", "loglik"),
        ("cities", "e2", "loglik"),
    ]
    assert all(one.value < 0 for _, one in found)
    assert worker.progress(there.path) is None


def test_fitting_and_measuring_are_separate_stages(request_of, base):
    request = request_of()
    fitted = worker.fit(request)
    bare = dataclasses.replace(request, rows=())
    assert worker.measure(bare) == worker.measure(bare, fitted.path)
    assert worker.measure(bare, base) != worker.measure(bare)
    assert worker.measure(dataclasses.replace(bare, tasks=())) == []


def test_a_run_that_was_queued_when_the_job_stopped_is_not_begun(request_of, tmp_path):
    stop = tmp_path / "stop"
    stop.touch()
    request = request_of(stop=stop)
    with pytest.raises(Interrupted, match="before run was fitted"):
        worker.fit(request)
    assert not request.out.exists()


def test_the_stop_file_ends_a_run_that_then_goes_on(request_of, tmp_path, monkeypatch):
    stop = tmp_path / "stop"
    request = request_of(stop=stop)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_reporter", lambda path: lambda step, steps: stop.touch() if step == 2 else None)
        with pytest.raises(Interrupted, match=r"step [2-4] of 5"):
            worker.fit(request)
    stop.unlink()
    with monkeypatch.context() as patch:  # a start that is slower than the part before
        clock = SimpleNamespace(**{**vars(time), "perf_counter": iter([0.0, 1e9]).__next__})
        patch.setattr(worker, "time", clock)
        fitted = worker.fit_share(request)
    assert fitted.steps == 5
    assert fitted.cpu_seconds is None
    stop.touch()
    with pytest.raises(Interrupted, match="measuring run"):
        worker.measure(request)


def test_progress_can_be_read_from_outside(request_of, monkeypatch):
    monkeypatch.setattr(worker, "_EVERY", 0.0)
    request = request_of()
    assert worker.progress(request.out) is None
    show = worker._reporter(request.out / worker.PROGRESS)
    request.out.mkdir()
    show(2, 5)
    assert worker.progress(request.out) == (2, 5)


PARENT = """
import multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
from trainers import worker
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=worker.start)
    import os
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_a_worker_dies_with_its_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=env)
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    os.kill(child, signal.SIGINT)  # Ctrl-C is the parent's to handle
    time.sleep(0.2)
    assert _alive(child)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_module_costs_no_heavy_import():
    code = "import sys, trainers.worker; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'peft')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0


def test_runs_trained_together_share_the_processor_time_by_the_seconds_that_each_was_trained():
    one, two = (Fitted(Path("x"), "c", 1, 10, seconds, 0) for seconds in (1.0, 3.0))
    assert worker.shares([one, two], 5.0, 8.0) == [2.0, 6.0]
    assert worker.shares([one, two], 3.0, 8.0) == [None, None]  # some of it was trained before
    assert worker.shares([one, UserError("no")], 5.0, 8.0) == [None, None]
    assert worker.shares([], 5.0, 8.0) == []
