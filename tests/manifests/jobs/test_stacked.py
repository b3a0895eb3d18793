"""A job whose adapters are measured stacked: the values of a model of its own, stopped, killed and failed as any."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from manifests.errors import Interrupted, UserError
from manifests.jobs import training
from manifests.jobs.spec import load_job
from manifests.jobs.stages import data_stages, training_stages
from manifests.store import Store
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, edit, go, keys, manifest, until
from trainers.bank import seats

LORA = ("  kind: full\n", "  kind: lora\n  rank: 4\n  lr: 0.03\n")
TASKS = (
    "  - {kind: loglik, name: capitals, task: capitals, limit: 3}\nerror_budget: 0.1\n",
    "  - {kind: loglik, name: capitals, task: capitals, limit: 3, engine: ENGINE}\n"
    "  - {kind: qa, name: asked, task: capitals, limit: 3, max_new_tokens: 6, engine: ENGINE}\n"
    "baselines: [base, copy]\nerror_budget: 0.1\n",
)
RESULTS = "SELECT run, task, example_id, metric, value, prediction FROM results ORDER BY ALL"


def written(path, engine):
    return edit(path, LORA, (TASKS[0], TASKS[1].replace("ENGINE", engine)))


def restacked(path):
    return edit(
        path, ("limit: 3, engine: torch}", "limit: 3, engine: stacked}"), ("6, engine: torch", "6, engine: stacked")
    )


@pytest.fixture(scope="module")
def by_torch(done, tmp_path_factory):
    """Return the job file of a finished job of four adapters, measured each by itself; read only."""
    from tests.manifests.jobs.conftest import inline

    root = tmp_path_factory.mktemp("torch")
    shutil.copytree(done.parent, root / "copy")
    path = written(root / "copy" / "job.yaml", "torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Workers, "submit", inline)
        assert go(path).exit_code == 0
    return path


@pytest.fixture
def path(by_torch, here, tmp_path):
    """Return the job file of a copy whose adapters are to be measured stacked."""
    shutil.copytree(by_torch.parent, tmp_path / "torch")
    return restacked(tmp_path / "torch" / "job.yaml")


@pytest.fixture
def shares(monkeypatch):
    """Return what the workers are given at once, each a list of runs."""
    given = []
    share = training.Workers.share
    monkeypatch.setattr(
        training.Workers,
        "share",
        lambda self, work, parts: given.append((work.__name__, [one.run for one in parts])) or share(self, work, parts),
    )
    return given


def assert_alike(found, expected):
    assert found.drop("value").equals(expected.drop("value"))
    for one, other in zip(found["value"], expected["value"], strict=True):
        assert one == other if one is None or other is None else one == pytest.approx(other, abs=1e-5)


def test_adapters_measured_stacked_have_the_results_of_models_of_their_own(by_torch, path, shares):
    expected = ask(by_torch, RESULTS)
    assert go(path).exit_code == 0
    runs = ["plain@0", "plain@1", "near@0", "near@1"]
    assert shares == [("measure_stacked", runs)] * 2
    found = ask(path, RESULTS)
    assert_alike(found, expected)
    assert ask(path, "FROM comparisons").height == ask(by_torch, "FROM comparisons").height
    assert len({tuple(part["value"]) for _, part in found.group_by("run")}) == 6
    before, after = keys(by_torch), keys(path)
    changed = {name for name in after if before[name] != after[name]}
    assert changed == {"compare:all", *(name for name in after if name.startswith("measure:"))}
    assert go(path).ran == 0


def test_a_value_is_the_same_whatever_is_measured_beside_it(path, shares, tmp_path):
    shutil.copytree(path.parent, tmp_path / "other")
    other = tmp_path / "other" / "job.yaml"
    go(path)
    shares.clear()
    go(other, workers=3)
    assert [runs for _, runs in shares] == [["plain@0", "near@1"], ["plain@1"], ["near@0"]] * 2
    assert ask(other, RESULTS).equals(ask(path, RESULTS))


def test_baselines_and_models_that_are_no_adapters_are_measured_each_by_itself(path):
    def parts(job, count):
        with Store(manifest(path)) as store:
            content = dict(store.query("SELECT blend, content_id FROM blends ORDER BY blend").iter_rows())
        stages = training_stages(job, data_stages(job), content, "b")
        given = training.exams(job, [stage for stage in stages if stage.kind == "measure"], count)
        return [[stage.name.removeprefix("measure:") for stage in one] for one in given]

    alone, shared = (
        [["base:capitals"], ["base:asked"], ["copy:capitals"], ["copy:asked"]],
        ["near@0", "near@1", "plain@0", "plain@1"],
    )
    stacked = [[f"{run}:{task}" for run in shared] for task in ("capitals", "asked")]
    assert parts(load_job(path), 1) == [*alone, *stacked]
    assert [len(one) for one in parts(load_job(path), 9)] == [1] * 12
    edit(path, ("  kind: lora\n  rank: 4\n", "  kind: full\n"))
    assert [len(one) for one in parts(load_job(path), 1)] == [1] * 12


def test_a_full_model_has_the_values_of_torch(by_torch, here, done, tmp_path):
    found = []
    for engine in ("torch", "stacked"):
        shutil.copytree(done.parent, tmp_path / engine)
        path = edit(tmp_path / engine / "job.yaml", (TASKS[0], TASKS[1].replace("ENGINE", engine)))
        go(path)
        found.append(ask(path, RESULTS))
    assert found[0].equals(found[1])


def test_a_run_that_failed_is_left_out_and_measured_once_it_is_mended(path, by_torch, monkeypatch):
    from trainers import worker

    fit = worker.fit

    def sometimes(request):
        if request.run == "near@0":
            raise UserError("the machine has a cold", value=0)
        return fit(request)

    edit(path, ("  steps: 4\n  batch", "  steps: 5\n  batch"))
    monkeypatch.setattr(worker, "fit", sometimes)
    assert go(path).exit_code == 1
    measured = set(ask(path, "SELECT DISTINCT run FROM results")["run"])
    assert measured == {"near@1", "plain@0", "plain@1", "base", "copy"}
    first = ask(path, RESULTS)
    monkeypatch.setattr(worker, "fit", fit)
    outcome = go(path)
    assert (outcome.exit_code, outcome.ran) == (0, 4)  # the run, its two measurements, the comparison
    whole = ask(path, RESULTS)
    assert whole.filter(whole["run"] != "near@0").equals(first)
    assert "near@0" in set(whole["run"])


def test_a_run_whose_weights_are_damaged_is_named_and_the_others_are_kept(path):
    weights = manifest(path) / "runs" / "near@0" / "adapter_model.safetensors"
    spoilt = bytearray(weights.read_bytes())
    spoilt[-1] ^= 1
    weights.write_bytes(spoilt)
    with pytest.raises(UserError, match="a file is damaged") as refused:
        go(path)
    assert "near@0" in str(refused.value)
    kept = ask(path, "SELECT DISTINCT run FROM results WHERE task = 'capitals' ORDER BY 1")["run"].to_list()
    assert kept == ["base", "near@1", "plain@0", "plain@1"]
    shutil.rmtree(weights.parent)
    assert go(path).exit_code == 0


def test_a_stop_while_measuring_keeps_what_is_done_and_goes_on_to_the_same_results(path, by_torch, monkeypatch):
    generate = seats.generate

    def stopping(*given):
        (manifest(path) / "work" / "stop").touch()  # as the job does when it hears the signal
        signal.raise_signal(signal.SIGINT)
        return generate(*given)

    monkeypatch.setattr(seats, "generate", stopping)
    with pytest.raises(Interrupted):
        go(path)
    stopped = keys(path)
    assert "measure:near@0:capitals" in stopped
    assert "measure:near@0:asked" not in stopped
    monkeypatch.setattr(seats, "generate", generate)
    assert go(path).exit_code == 0
    assert_alike(ask(path, RESULTS), ask(by_torch, RESULTS))


def test_a_job_killed_while_it_measures_goes_on_to_the_same_results(path, by_torch, tmp_path):
    log = tmp_path / "log"
    shutil.rmtree(manifest(path))
    process = small_job.start(path, log=log)
    assert until(lambda: sum(name.startswith("measure:") for name in keys(path)) > 3, process, 120), log.read_text(
        "utf-8"
    )
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    process = small_job.start(path, log=log)
    assert process.wait(300) == 0, log.read_text("utf-8")
    assert_alike(ask(path, RESULTS), ask(by_torch, RESULTS))


def test_an_engine_that_there_is_not_is_refused_with_its_line_and_the_nearest_name(path):
    with pytest.raises(UserError, match="stackd") as refused:
        load_job(edit(path, ("6, engine: stacked", "6, engine: stackd")))
    assert "did you mean 'stacked'?" in str(refused.value)
    assert "job.yaml:25" in str(refused.value)
