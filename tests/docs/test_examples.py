"""The shipped jobs: they fit the schema that the command prints, and load where their data is."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import jsonschema
import pytest

from manifests import demo
from manifests.errors import UserError
from manifests.jobs import init, yaml_lines
from manifests.jobs.plan import plan
from manifests.jobs.spec import load_job

EXAMPLES = sorted((demo.PACKAGE / "examples").glob("*.yaml"))
JOBS = [init.HERE / "init.yaml", *EXAMPLES]


def strings(value):
    """Yield every text in a job file's values."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


@pytest.fixture(scope="module")
def validator():
    """Return the validator of the schema that `blendsmith schema` prints."""
    script = "import sys; from manifests.cli import main; sys.argv = ['blendsmith', 'schema']; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return jsonschema.Draft202012Validator(json.loads(done.stdout))


@pytest.fixture
def project(tmp_path):
    """Return a demo's folder as it is before its jobs run, with what the second takes from the first."""
    folder = tmp_path / "demo"
    demo._project(folder)
    for text in strings(yaml_lines.load(folder / demo.JOBS[1]).value):
        if text.startswith("judge/"):
            (folder / text).mkdir(parents=True)
    return folder


def test_the_demo_and_the_examples_of_the_readme_are_there():
    assert {path.name for path in EXAMPLES} == {
        *demo.JOBS,
        "alpaca-writing.yaml",
        "alpaca-factual.yaml",
        "hallucination.yaml",
        "skills.yaml",
        "specialist-or-generalist.yaml",
        "task-adapters-p3.yaml",
        "task-adapters-smollm2.yaml",
        "task-adapters.yaml",
        "two-by-two-pool.yaml",
        "two-by-two.yaml",
        "writing-assistance.yaml",
    }


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_it_fits_the_printed_schema(validator, path):
    value = json.loads(json.dumps(yaml_lines.load(path).value))
    assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(value)] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_says_first_what_it_asks(path):
    first = path.read_text("utf-8").splitlines()[0]
    assert re.match(r"# \w.{30,}[.?]?$", first)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_has_the_name_of_its_file_and_a_licence_for_every_source(path):
    value = yaml_lines.load(path).value
    assert value["name"] == path.stem
    assert [source["name"] for source in value["sources"] if not source.get("licence")] == []
    for source in value["sources"]:
        assert ("NC" in source["licence"]) == bool(source.get("non_commercial")), source["name"]


def test_the_template_loads_where_init_wrote_it_and_has_something_to_do(tmp_path):
    init.write(tmp_path)
    job = load_job(tmp_path / "job.yaml")
    assert job.manifest == tmp_path / "runs" / "first-job"
    assert plan(job).totals()["run"] > 10


@pytest.mark.parametrize("name", demo.JOBS)
def test_the_demos_jobs_load_with_the_data_that_ships(project, name):
    job = load_job(project / name)
    assert job.data == project / "data"
    assert all(source.count(job.data) for source in job.sources)
    assert {source.role for source in job.sources} <= {"generalist", "specialist", "eval", "knowledge"}


def test_the_demos_second_job_asks_for_the_first_when_it_has_not_run(tmp_path):
    demo._project(tmp_path / "demo")
    with pytest.raises(UserError, match=r"demo\.yaml:\d+: no such file"):
        load_job(tmp_path / "demo" / demo.JOBS[1])


def test_the_demo_has_a_control_for_each_filter_and_compares_them(project):
    job = load_job(project / demo.JOBS[1])
    filtered = {recipe.name for recipe in job.mix if getattr(recipe, "where", None)}
    control = {recipe.like: recipe.name for recipe in job.mix if recipe.kind == "random_drop"}
    assert filtered == set(control)
    assert {(name, control[name]) for name in filtered} <= set(job.compare)
    assert {len(recipe.seeds) for recipe in job.mix} == {3}


def test_the_demo_never_overwrites_what_was_changed(project):
    changed = project / demo.JOBS[0]
    changed.write_text("name: mine\n", encoding="utf-8")
    demo._project(project)
    assert changed.read_text("utf-8") == "name: mine\n"


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="not empty"):
        demo._project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("name", "pool"),
    [("alpaca-writing.yaml", 6), ("alpaca-factual.yaml", 6), ("skills.yaml", 3), ("specialist-or-generalist.yaml", 3)],
)
def test_the_jobs_on_the_pool_load_wherever_the_data_folder_is(tmp_path, name, pool):
    path = demo.PACKAGE / "examples" / name
    data = tmp_path / "data"
    data.mkdir()
    for source in yaml_lines.load(path).value["sources"]:
        (data / source["path"]).write_bytes(b"")
    job = load_job(path, data=data, manifest=tmp_path / "out")
    assert (job.data, job.manifest) == (data, tmp_path / "out")
    assert len(job.compare) >= 3
    pooled = [source for source in job.sources if source.role == "generalist"]
    assert len({source.name for source in pooled}) == len(pooled) == pool


def loaded(name, data):
    """Return the example job over empty files, with a folder for a base that it has beside them."""
    path = demo.PACKAGE / "examples" / name
    value = yaml_lines.load(path).value
    for source in value["sources"]:
        (data / source["path"]).write_bytes(b"")
    if (base := value["train"]["base"]) == "base":
        (data / base).mkdir()
    return load_job(path, data=data, manifest=data / "out")


@pytest.mark.parametrize(
    ("name", "kinds", "gates"),
    [
        (
            "two-by-two.yaml",
            {"known-true", "known-false", "new-true", "own-false", "new-false"},
            {"true-only", "familiar-only"},
        ),
        (
            "two-by-two-pool.yaml",
            {"true-known", "true-new", "false-known", "false-new"},
            {"not-false", "not-new"},
        ),
    ],
)
def test_a_two_by_two_has_a_blend_of_each_kind_and_a_control_for_each_gate(tmp_path, name, kinds, gates):
    job = loaded(name, tmp_path)
    assert kinds <= {recipe.name for recipe in job.mix}
    assert len({recipe.where for recipe in job.mix if recipe.name in kinds}) == len(kinds)
    control = {recipe.like: recipe.name for recipe in job.mix if recipe.kind == "random_drop"}
    assert set(control) == gates
    assert set(control.items()) <= set(job.compare)
    assert next(c for c in job.curate if c.kind == "familiarity").model.model == job.train.base


@pytest.mark.parametrize("name", ["task-adapters-p3.yaml", "task-adapters-smollm2.yaml", "task-adapters.yaml"])
def test_a_generated_adapter_is_compared_with_every_control_of_its_job(tmp_path, name):
    job = loaded(name, tmp_path)
    (recipe,) = (recipe.name for recipe in job.mix)
    controls = {"none", "prompt", "nearest", "mean", "own", "shuffled", "random"}
    assert {(f"{recipe}/generated", f"{recipe}/{control}") for control in controls} <= set(job.compare)
    assert {tuple(recipe.seeds) for recipe in job.mix} == {(0, 1, 2)}
